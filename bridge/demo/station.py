"""A virtual OCPP station without its socket: bays, the queue of calls, what to do with replies and commands.

One call is outstanding at a time, as with real chargers. What belongs to a transaction is kept while the
station is offline and sent later, in order, with its own timestamps; everything else is told afresh after
reconnecting. ``ocpp16`` and ``ocpp201`` give the words. Times are Unix seconds on the wall clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from uuid import uuid4

from bridge.demo.bay import Bay, Began, CardShown, Happening, StatusIs, Stopped
from bridge.demo.equipment import Equipment
from bridge.demo.words import Call, CommandRefused, Payload, StationPlan, Transaction

_QUEUE_LIMIT = 4_000  # above it samples are thinned out, never starts and stops
_CLOCK_ALIGNED_S = 900.0
_NOT_BOOTED_HEARTBEAT_S = 30.0


class Station(Equipment):
    """Subclasses set ``subprotocol`` and ``COMMANDS`` and fill in the words: what raises NotImplementedError here."""

    subprotocol: ClassVar[str]
    offered: ClassVar[tuple[str, ...]] = ()  # subprotocols, when it would take others as well
    COMMANDS: ClassVar[dict[str, Callable[[Any, Payload, float], Payload]]]

    def __init__(self, plan: StationPlan, bays: dict[int, Bay], meter_interval_s: float) -> None:
        self.plan, self.bays, self.meter_interval_s = plan, bays, meter_interval_s
        self.queue: deque[Call] = deque()
        self.transactions: dict[int, Transaction] = {}
        self.is_online = self.is_accepted = False
        self.has_booted = False
        self.boot_reason = "PowerUp"
        self.reboot_at: float | None = None
        self.heartbeat_s = 300.0
        self._heartbeat_at = self._clock_at = float("inf")
        self._sample_at: dict[int, float] = {}
        self._last_status: dict[int, str] = {}
        self._claimed: dict[int, int] = {}  # evse -> reservation that its next session redeems
        self.equip()

    # the words, by protocol

    def boot_call(self) -> Call:
        raise NotImplementedError

    def station_status_call(self, at: float) -> Call | None:
        raise NotImplementedError

    def status_calls(self, evse: int, status: StatusIs) -> Iterable[Call]:
        raise NotImplementedError

    def state_calls(self, evse: int, status: StatusIs) -> Iterable[Call]:
        """What a change of status means to the running transaction; nothing in 1.6."""
        return ()

    def authorize_call(self, evse: int, token: str) -> Call:
        raise NotImplementedError

    def start_call(self, transaction: Transaction, began: Began) -> Call:
        raise NotImplementedError

    def sample_call(self, evse: int, transaction: Transaction | None, at: float, context: str) -> Call:
        raise NotImplementedError

    def stop_call(self, transaction: Transaction, stopped: Stopped) -> Call:
        raise NotImplementedError

    def verdict_of(self, call: Call, reply: Payload) -> bool:
        """Did the central system accept the token of this Authorize or start?"""
        raise NotImplementedError

    def filled(self, call: Call) -> Payload:
        """The payload as it goes out, with what is known only now."""
        return call.payload

    # connection

    def connected(self, at: float) -> None:
        """The socket is open: boot if this is a fresh start, else tell the present status."""
        self.is_online = True
        self.queue = deque(call for call in self.queue if call.is_kept)
        if not self.has_booted:
            self.is_accepted = False
            self.queue.appendleft(self.boot_call())
        else:
            self._tell_status(at)
        self._heartbeat_at = at + self.heartbeat_s

    def disconnected(self, at: float) -> None:
        """The socket is gone; drops what is only news of the moment."""
        self.is_online = False
        self.queue = deque(call for call in self.queue if call.is_kept)
        self._heartbeat_at = float("inf")
        for evse, bay in self.bays.items():
            bay.verdict(at, True)  # a card that waits for its answer: known ones charge while offline
            self.take(evse, bay.advance(at))

    def rejoin(self, at: float) -> None:
        """Begin with the cars that are already there; call it just before connecting."""
        self.is_online = True  # so that nothing is marked as queued
        for evse, bay in self.bays.items():
            bay.rejoin(at)
            self.take(evse, bay.advance(at))
        self.is_online = False

    # time

    def due(self) -> float:
        """When ``tick`` should be called next."""
        return min(
            self._heartbeat_at,
            self._clock_at,
            min((bay.due() for bay in self.bays.values()), default=float("inf")),
            min(self._sample_at.values(), default=float("inf")),
            self.equipment_due(),
        )

    def tick(self, at: float) -> None:
        """Let the bays live up to ``at`` and queue what there is to say."""
        self.run_equipment(at)
        for evse, bay in self.bays.items():
            if bay.due() <= at:
                self.take(evse, bay.advance(at))
            if self._sample_at.get(evse, float("inf")) <= at:
                self._sample(evse, at)
        if self._clock_at <= at:
            self._clock_at = _next_clock(at)
            for evse in self.bays:
                self.put(self.sample_call(evse, self.transactions.get(evse), at, "Sample.Clock"))
        if self._heartbeat_at <= at:
            self._heartbeat_at = at + self.heartbeat_s
            self.put(Call("Heartbeat", {}))

    def _sample(self, evse: int, at: float) -> None:
        self.take(evse, self.bays[evse].advance(at))
        transaction = self.transactions.get(evse)
        if transaction is None:
            return
        due = self._sample_at[evse]
        missed = int((at - due) // self.meter_interval_s)
        self._sample_at[evse] = due + (missed + 1) * self.meter_interval_s
        if len(self.queue) < _QUEUE_LIMIT:
            self.put(self.sample_call(evse, transaction, at, "Sample.Periodic"))

    def say(self, action: str, payload: Payload) -> None:
        """Queue news of the moment."""
        self.put(Call(action, payload))

    def take(self, evse: int, happened: Iterable[Happening]) -> None:
        for news in happened:
            match news:
                case StatusIs():
                    for call in (*self.status_calls(evse, news), *self.state_calls(evse, news)):
                        self.put(call)
                case CardShown():
                    self._show_card(evse, news)
                case Began():
                    self._begin(evse, news)
                case Stopped():
                    self._end(evse, news)

    def _show_card(self, evse: int, shown: CardShown) -> None:
        if self.is_online:
            self.put(self.authorize_call(evse, shown.token))
        else:
            bay = self.bays[evse]
            bay.verdict(shown.at, not self.local_list.refuses(shown.token))
            self.take(evse, bay.advance(shown.at))

    def _begin(self, evse: int, began: Began) -> None:
        transaction = Transaction(evse, began.token, began.at, reservation=self._claimed.pop(evse, None))
        self.transactions[evse] = transaction
        self.diary.append((began.at, f"EVSE {evse} began a session"))
        self._sample_at[evse] = began.at + self.meter_interval_s
        self.put(self.start_call(transaction, began))

    def _end(self, evse: int, stopped: Stopped) -> None:
        transaction = self.transactions.pop(evse, None)
        self._sample_at.pop(evse, None)
        if transaction is not None:
            self.profiles.ended(str(transaction.id))
            self.diary.append((stopped.at, f"EVSE {evse} ended a session: {stopped.reason}"))
            self.put(self.stop_call(transaction, stopped))

    def put(self, call: Call) -> None:
        """Queue a call; news of the moment is dropped while offline."""
        if call.is_kept or self.is_online:
            self.queue.append(call)

    def _tell_status(self, at: float) -> None:
        self._last_status.clear()
        news = [call for call in (self.station_status_call(at),) if call is not None]
        for evse, bay in self.bays.items():
            news.extend(self.status_calls(evse, bay.status_now(at)))
        self.queue.extendleft(reversed(news))

    # the other side

    def next_call(self) -> Call | None:
        """The call to send now, which stays in the queue until ``answered`` or ``refused``."""
        if not self.queue or not self.is_online:
            return None
        call = self.queue[0]
        return call if self.is_accepted or call.action == "BootNotification" else None

    def answered(self, call: Call, reply: Payload, at: float) -> None:
        """The CALLRESULT of ``call``."""
        self._drop(call)
        if call.action == "BootNotification":
            self._booted(reply, at)
        elif call.action == "Authorize":
            self.bays[call.evse].verdict(at, self.verdict_of(call, reply))
            self.take(call.evse, self.bays[call.evse].advance(at))
        elif self._is_running(call.transaction) and not self.verdict_of(call, reply):
            self.stop(call.evse, at, "DeAuthorized")

    def _is_running(self, transaction: Transaction | None) -> bool:
        return transaction is not None and self.transactions.get(transaction.evse) is transaction

    def refused(self, call: Call, at: float) -> None:
        """The CALLERROR of ``call``, or no answer for good: it is not repeated, except the boot."""
        self._drop(call)
        if call.action == "BootNotification":
            self._heartbeat_at = at + _NOT_BOOTED_HEARTBEAT_S
            self.queue.appendleft(self.boot_call())
        elif call.action == "Authorize":
            self.bays[call.evse].verdict(at, False)

    def retry(self, call: Call, at: float) -> None:
        """No answer came: transactions are sent again under a new message id, news of the moment is dropped."""
        if call.is_kept or call.action == "BootNotification":
            call.message_id = str(uuid4())
        else:
            self.refused(call, at)

    def _drop(self, call: Call) -> None:
        if self.queue and self.queue[0] is call:
            self.queue.popleft()
        elif call in self.queue:
            self.queue.remove(call)

    def _booted(self, reply: Payload, at: float) -> None:
        interval = float(reply.get("interval") or 0) or 300.0
        self.heartbeat_s = max(interval, 1.0)
        self._heartbeat_at = at + self.heartbeat_s
        if reply.get("status") != "Accepted":
            self.boot_retry_at = at + self.heartbeat_s
            return
        self.is_accepted = self.has_booted = True
        self._clock_at = _next_clock(at)
        self.device.put("HeartbeatInterval", str(int(self.heartbeat_s)))
        self.diary.append((at, f"booted with firmware {self.firmware}"))
        self._tell_status(at)
        for job in self.after_boot:
            job(at)
        self.after_boot.clear()

    boot_retry_at: float | None = None

    def retry_boot(self, at: float) -> None:
        """Boot again once the interval of a Pending or Rejected reply has passed."""
        if self.boot_retry_at is not None and at >= self.boot_retry_at:
            self.boot_retry_at = None
            self.queue.appendleft(self.boot_call())

    def obey(self, action: str, payload: Payload, at: float) -> Payload:
        """Answer a command of the central system. Raises CommandRefused for a CALLERROR."""
        handler = self.COMMANDS.get(action)
        if handler is None:
            raise CommandRefused("NotImplemented", f"{action} is not implemented")
        try:
            return handler(self, payload, at)
        except (KeyError, TypeError, ValueError) as error:
            raise CommandRefused(self.malformed_code, f"{action}: {error}") from error

    malformed_code: ClassVar[str] = "FormationViolation"

    def stop(self, evse: int, at: float, reason: str) -> bool:
        """End the transaction of one EVSE."""
        bay = self.bays.get(evse)
        if bay is None or not bay.stop(at, reason):
            return False
        self.take(evse, bay.advance(at))
        return True

    def start_remotely(self, evse: int | None, token: str, at: float, remote_start_id: int | None = None) -> bool:
        """Start at ``evse``, or at the first free bay."""
        for number in [evse] if evse else list(self.bays):
            bay = self.bays.get(number)
            if bay is None:
                continue
            if (reservation := self.claim(number, token, at)) is not None:
                self._claimed[number] = reservation
            if bay.remote_start(at, token, remote_start_id):
                self.take(number, bay.advance(at))
                return True
        return False

    def reset(self, at: float, reason: str) -> None:
        """Stop everything, close, boot again."""
        for evse in self.bays:
            self.stop(evse, at, reason)
        self.has_booted, self.boot_reason, self.reboot_at = False, "RemoteReset", at + 2.0

    def change_availability(self, evse: int, at: float, is_operative: bool) -> str:
        """OCPP's status for the answer; ``evse`` 0 means all."""
        numbers = list(self.bays) if evse == 0 else [evse]
        if not set(numbers) <= set(self.bays):
            return "Rejected"
        done = [self.bays[number].enable(at, is_operative) for number in numbers]
        for number in numbers:
            self.take(number, self.bays[number].advance(at))
        return "Accepted" if all(done) else "Scheduled"

    def trigger(self, wanted: str, evse: int, at: float) -> str:
        """Send a message now; OCPP's status for the answer."""
        if wanted == "BootNotification":
            self.queue.append(self.boot_call())
        elif wanted == "Heartbeat":
            self.say("Heartbeat", {})
        elif wanted == "StatusNotification":
            self.trigger_status(evse, at)
        elif wanted == "MeterValues":
            self.trigger_sample(evse, at)
        elif wanted == "FirmwareStatusNotification":
            self.put(self.firmware_status_call(*self.firmware_status))
        elif wanted in ("LogStatusNotification", "DiagnosticsStatusNotification"):
            self.put(self.log_status_call(*self.log_status))
        else:
            return "NotImplemented"
        return "Accepted"

    def trigger_status(self, evse: int, at: float) -> None:
        """Tell the status of one EVSE again, or of all for 0."""
        for number, bay in self.bays.items():
            if evse in (0, number):
                self._last_status.pop(number, None)
                for call in self.status_calls(number, bay.status_now(at)):
                    self.put(call)

    def trigger_sample(self, evse: int, at: float) -> None:
        """Send a sample of one EVSE now, or of all for 0."""
        for number, bay in self.bays.items():
            if evse in (0, number):
                self.take(number, bay.advance(at))
                self.put(self.sample_call(number, self.transactions.get(number), at, "Trigger"))


def _next_clock(at: float) -> float:
    return (at // _CLOCK_ALIGNED_S + 1) * _CLOCK_ALIGNED_S
