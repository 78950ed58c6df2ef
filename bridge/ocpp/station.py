"""What one connected charger says and what it is answered. Synchronous, without sockets.

``handle`` takes a frame and returns what to send once the journal has reached its sequence number.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import msgspec
import structlog
from prometheus_client import Counter

from bridge import schemas
from bridge.access import Entry
from bridge.command_bus import CommandOutcome
from bridge.events import AnswerRefused, AnyEvent, CommandAnswered, FrameMended, FrameRefused, StationBooted
from bridge.intake import Frame, Intake, Outcome
from bridge.journal import JournalError
from bridge.ocpp import answers, frames, masking
from bridge.ocpp.commands import Calls
from bridge.ocpp.frames import BROKEN, Call, Error, ErrorCode, Result, ResultError, Send, Unreadable
from bridge.ocpp.mending import Wrong, mended, tree_of
from bridge.ocpp.traits import TELLING, Watch
from bridge.ocpp.versions import Action, Context, Version
from bridge.ocpp.waiting_room import MAX_FRAME_BYTES, Host
from bridge.ocpp.ways import Ways
from bridge.policies import Quirks
from bridge.session import Session

_log = structlog.get_logger("ocpp")
_frames = Counter("chargewatch_ocpp_frames", "OCPP calls taken, by action.", ["protocol", "action"])
_errors = Counter("chargewatch_ocpp_refused_frames", "Frames answered with a CALLERROR, by code.", ["protocol", "code"])

_BOOT = "BootNotification"
_BOOTLESS_AFTER = timedelta(seconds=10)  # some never boot again after a reconnect (field quirk 15)
_MAX_NOTES = 100
_NOTHING: frozenset[tuple[str, str]] = frozenset()
_REGISTRATION = {Entry.ACCEPTED: "Accepted", Entry.HELD: "Pending"}


class Reply(NamedTuple):
    """``frame`` may leave when the journal has committed ``seq``; empty when there is nothing to say. ``asks`` are
    the events that ask something of us after that."""

    seq: int
    frame: bytes = b""
    asks: tuple[AnyEvent, ...] = ()


class Talk:
    """The conversation with one station over one connection. ``entry()`` asks the door anew at each boot, so
    a held station comes in as soon as a person has approved it; until then its frames make no events."""

    def __init__(
        self,
        station: str,
        version: Version,
        intake: Intake,
        calls: Calls,
        entry: Callable[[], Entry],
        heartbeat_s: int,
        max_frame_bytes: int,
        has_signer: bool = False,
        ways: Ways | None = None,
        host: Host | None = None,
    ) -> None:
        self.station = station
        self.version = version
        self._intake = intake
        self._calls = calls
        self._entry = entry
        self._registration = _REGISTRATION.get(entry(), "Pending")
        self._host = host
        self.is_stranger = self.is_held  # until it is let in, its frames make no events
        self._heartbeat_s = heartbeat_s
        self._max_frame_bytes = max_frame_bytes
        self._has_signer = has_signer
        self._ways = ways or Ways(intake, Quirks())
        self._watch = Watch() if self.is_stranger else self._ways.watches[station]  # of strangers none is kept
        self._told = _NOTHING
        self._first_at: datetime | None = None
        self.learn()

    def learn(self) -> None:
        """Look up how this station is treated: at first, after a boot, and when a person has changed it."""
        self._word = self._ways.word_on(self.station)
        self.policy = self._ways.policy_of(self.station)
        self._spoken = self._ways.spoken(self.station, self.version, self.policy)
        self._calls.ask_single_keys = self.policy.ask_single_keys
        if self.policy.calls == "at_once" and self._registration == "Accepted":
            self._calls.open()

    def learn_anew(self) -> None:
        """The directory has changed: has this station's word in it?"""
        if self._ways.word_on(self.station) != self._word:
            self.learn()

    @property
    def is_held(self) -> bool:
        """It waits for a person's approval: nothing is asked of it."""
        return self._registration != "Accepted"

    def handle(self, raw: bytes, received_at: datetime) -> Reply:
        """Take one frame. Raises JournalError only."""
        if len(raw) > self._most_bytes:
            return self._refuse_big(raw, len(raw), received_at)
        frame, note = frames.read(raw)
        if type(frame) is Call or type(frame) is Send:
            return self._take(frame, note, raw, received_at)
        if isinstance(frame, Result | Error):
            return self._answered(frame, raw, received_at)
        if isinstance(frame, ResultError):
            return self._answer_refused(frame, raw, received_at)
        assert isinstance(frame, Unreadable)
        return self._refuse(frame, raw, received_at)

    def handle_big(self, head: bytes, size: int, received_at: datetime) -> Reply:
        """A frame above the cap, of which only the first bytes were kept."""
        return self._refuse_big(head, size, received_at)

    def wire(self, event: AnyEvent, action: str, *notes: str) -> int:
        """Journal that the station came or went."""
        events: list[AnyEvent] = [event]
        if notes:
            events.append(self._mended(action, notes, event.received_at))
        return self._keep(b"", action, self._intake.handle(*events), event.received_at)

    def sent(self, action: str, raw: bytes, now: datetime) -> int:
        """Journal a call of ours before it leaves."""
        frame = Frame(self.station, self.version.protocol, "<", action, masking.masked(action, raw), now)
        return self._intake.keep(frame, Outcome(()))

    # calls of the charger

    def _take(self, call: Call | Send, note: str, raw: bytes, received_at: datetime) -> Reply:
        name = call.action
        try:
            self._guard(name)
            if type(call) is Send and name not in self.version.sends:
                raise Wrong(ErrorCode.MESSAGE_TYPE, f"{name[:64]!r} is no message without an answer here")
            action, request, notes = self._read(name, call.payload, note)
            context = self._context(received_at)
            events = action.events(request, context)
            if notes:
                events = [*events, *self._news(name, notes, received_at)]
            if received_at >= self._watch.due or name in TELLING:
                events = [*events, *self._noticed(events, received_at)]
            outcome = self._decided(*events)
            payload = action.reply(request, outcome.events, context) if action.reply else {}
            reply = frames.result(call.id, payload) if type(call) is Call else b""
            seq = self._keep(raw, name, outcome, received_at, reply)
        except Wrong as wrong:
            unreadable = Unreadable(self._answerable(call), frames.safe_action(name), wrong.error, wrong.detail)
            return self._refuse(unreadable, raw, received_at)
        except JournalError:
            raise
        except Exception:  # a fault of ours must not take the charger's connection with it
            _log.exception("a frame met a fault of ours", station=self.station, action=frames.safe_action(name))
            detail = "our fault: the frame is kept and logged"
            faulty = Unreadable(self._answerable(call), frames.safe_action(name), ErrorCode.INTERNAL, detail)
            return self._refuse(faulty, raw, received_at)
        self._count(name)
        if name == _BOOT:
            self.learn()
        self._open_calls(name, received_at)
        return Reply(seq, reply, outcome.events if action.asks and not self.is_held else ())

    def _noticed(self, events: list[AnyEvent], received_at: datetime) -> list[AnyEvent]:
        if self._registration != "Accepted":  # it boots again and again because it is told to wait
            return []
        return self._watch.look(self.station, events, received_at, self._intake.book)

    def _answerable(self, call: Call | Send) -> str | int:
        """The id for a CALLERROR; "" for a SEND where there are such: it is never answered."""
        return "" if type(call) is Send and self.version.sends else call.id

    def _decided(self, *events: AnyEvent) -> Outcome:
        if not self.is_stranger:
            return self._intake.handle(*events)
        for event in events:
            if isinstance(event, StationBooted) and self._host is not None:
                self._host.has_booted(event)
        return Outcome(())

    def _guard(self, name: str) -> None:
        if name == _BOOT:
            self._registration = _REGISTRATION.get(self._entry(), "Pending")
            if self.is_stranger and self._registration == "Accepted":
                self.is_stranger = False
                self._watch = self._ways.watches[self.station]
                if self._host is not None:
                    self._host.is_let_in()
        elif self.is_held:
            raise Wrong(ErrorCode.SECURITY, "this station waits for approval; only BootNotification is answered")

    def _context(self, received_at: datetime) -> Context:
        return Context(
            self.station,
            received_at,
            self._registration,
            self._heartbeat_s,
            self._intake.decide,
            self._session_of,
            self._has_signer,
            self._intake.final_cost,
            self._calls.full_report,
        )

    def _session_of(self, transaction_id: str) -> Session | None:
        return self._intake.book.find_session(self.station, transaction_id)

    def _read(self, name: str, payload: msgspec.Raw, note: str) -> tuple[Action, Any, list[str]]:
        """The typed request. Understood in this version, else mended, else in the older one."""
        notes = [note] if note else []
        version = self._spoken
        action = version.actions.get(name)
        if action is not None:
            try:
                request = action.decode(payload)
            except BROKEN:
                pass
            else:
                if action.is_checked:
                    notes += self._oddities(version.protocol, name, payload)
                return action, request, notes
        return self._read_odd(name, payload, notes)

    def _oddities(self, protocol: str, name: str, payload: msgspec.Raw) -> list[str]:
        if frames.is_deep(payload):
            raise Wrong(ErrorCode.FORMAT, f"nested deeper than {frames.MAX_DEPTH} levels")
        said = masking.shown(name, frames.loose(bytes(payload)))
        return [found.detail for found in schemas.violations(protocol, name, said)]

    def _read_odd(self, name: str, payload: msgspec.Raw, notes: list[str]) -> tuple[Action, Any, list[str]]:
        tree = tree_of(payload)
        wrong: Wrong | None = None
        version: Version | None = self._spoken
        while version is not None:
            action = version.actions.get(name)
            if action is not None:
                try:
                    request, found = mended(version.protocol, name, action, tree)
                except Wrong as error:
                    wrong = wrong or error
                else:
                    if version is not self._spoken:
                        found = [f"{version.protocol} on a {self.version.protocol} connection", *found]
                    return action, request, [*notes, *found]
            version = version.fallback
        raise wrong or self._unknown(name)

    def _unknown(self, name: str) -> Wrong:
        protocol = self.version.protocol
        if name in schemas.known_actions(protocol):
            return Wrong(ErrorCode.NOT_SUPPORTED, f"{name} from a charger is not supported here")
        return Wrong(ErrorCode.NOT_IMPLEMENTED, f"{name[:64]!r} is no action of {protocol}")

    def _open_calls(self, name: str, received_at: datetime) -> None:
        if self._calls.is_open:
            return
        if name == _BOOT:
            if self._registration == "Accepted":
                self._calls.open()
            return
        self._first_at = self._first_at or received_at
        station = self._intake.book.stations.get(self.station)
        has_booted = station is not None and station.booted_at is not None
        if self.policy.calls == "boot":
            return
        if has_booted or received_at - self._first_at > _BOOTLESS_AFTER:
            self._calls.open()

    def _count(self, name: str) -> None:
        if name in self.version.actions:
            _counter(self.version.protocol, name).inc()

    # answers of the charger

    def _answered(self, frame: Result | Error, raw: bytes, received_at: datetime) -> Reply:
        waiting = self._calls.match(frame.id)
        outcome = answers.outcome_of(frame)
        status = outcome.code or str(outcome.payload.get("status", "Answered"))[:64]
        detail = outcome.detail
        if waiting is None:
            status, detail = "Unexpected", "no call of ours waits for this answer: late, or never asked"
        event = CommandAnswered(
            station=self.station,
            at=received_at,
            received_at=received_at,
            action=waiting.action if waiting else "",
            request_id=str(frame.id),
            status=status,
            detail=detail,
        )
        action = waiting.action if waiting else "answer"
        told: list[AnyEvent] = []
        complaint = b""
        if waiting is not None and outcome.outcome is CommandOutcome.ANSWERED:
            told = answers.told_by(self.version, waiting, outcome.payload, self._context(received_at))
            complaint = answers.complaint_about(self.version, waiting, outcome.payload)
        seq = self._keep(raw, action, self._decided(event, *told), received_at, complaint)
        if waiting is not None:
            waiting.answer.set_result(outcome)
        return Reply(seq, complaint)

    def _answer_refused(self, frame: ResultError, raw: bytes, received_at: datetime) -> Reply:
        """Kept and not answered, in any version: an error is never answered with another."""
        event = AnswerRefused(
            station=self.station,
            at=received_at,
            received_at=received_at,
            request_id=str(frame.id),
            code=frame.code[:64],
            detail=frame.description[:255],
        )
        return Reply(self._keep(raw, "answer", self._decided(event), received_at))

    # what cannot be taken

    def _refuse_big(self, head: bytes, size: int, received_at: datetime) -> Reply:
        detail = f"a frame of {size} bytes; at most {self._most_bytes} are taken"
        return self._refuse(frames.head_of(head)._replace(detail=detail), head[: self._most_bytes], received_at)

    @property
    def _most_bytes(self) -> int:
        return MAX_FRAME_BYTES if self.is_stranger else self._max_frame_bytes

    def _refuse(self, frame: Unreadable, raw: bytes, received_at: datetime) -> Reply:
        protocol = self.version.protocol
        code = frames.code_of(frame.error, protocol)
        event = FrameRefused(
            station=self.station,
            at=received_at,
            received_at=received_at,
            action=frame.action,
            code=code,
            detail=frame.detail[:500],
        )
        reply = b"" if frame.id == "" else frames.error(frame.id, code, frame.detail)
        _errors.labels(protocol, code).inc()
        shown = masking.masked("", raw)  # it may be anything, whatever action it names
        seq = self._keep(shown, frame.action, self._decided(event), received_at, reply)
        return Reply(seq, reply)

    def _news(self, action: str, notes: list[str], received_at: datetime) -> list[AnyEvent]:
        """A charger repeats its habits in every frame: each is told once per connection."""
        fresh = [note[:255] for note in notes if (action, note[:60]) not in self._told]
        if not fresh or len(self._told) >= _MAX_NOTES:
            return []
        self._told |= {(action, note[:60]) for note in fresh}
        return [self._mended(action, tuple(fresh), received_at)]

    def _mended(self, action: str, notes: tuple[str, ...], at: datetime) -> FrameMended:
        return FrameMended(station=self.station, at=at, received_at=at, action=action, notes=notes)

    def _keep(self, raw: bytes, action: str, outcome: Outcome, received_at: datetime, reply: bytes = b"") -> int:
        frame = Frame(self.station, self.version.protocol, ">", action, masking.masked(action, raw), received_at)
        return self._intake.keep(frame, outcome, reply)


@cache
def _counter(protocol: str, action: str) -> Counter:
    """Looked up once for all connections."""
    return _frames.labels(protocol, action)


