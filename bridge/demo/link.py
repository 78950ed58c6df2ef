"""One station's WebSocket: connects, sends one call at a time, answers commands, comes back after a loss."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from array import array
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import IO, Any
from urllib.parse import quote

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI, WebSocketException
from websockets.typing import Subprotocol

from bridge.demo.station import Station
from bridge.demo.updates import Transfer, carry_out
from bridge.demo.words import Call, CommandRefused

_CALL, _RESULT, _ERROR = 2, 3, 4
_CALL_TIMEOUT_S = 30.0
_REBOOT_S = 8.0
_BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Tally:
    """What a fleet has sent and got back; latencies in seconds."""

    def __init__(self, acks: IO[str] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.latencies_s = array("f")
        self.last_error = ""
        self._acks = acks

    def acknowledged(self, station: str, call: Call, reply: dict[str, Any], seconds: float) -> None:
        self.counts["acknowledged"] += 1
        self.actions[call.action] += 1
        self.latencies_s.append(seconds)
        if self._acks is not None:
            self._acks.write(json.dumps(ack_record(station, call, reply), separators=(",", ":")) + "\n")
            self._acks.flush()

    def as_dict(self) -> dict[str, Any]:
        ordered = sorted(self.latencies_s)
        names = ("connected", "connections", "sent", "acknowledged", "errors", "timeouts", "lost", "commands")
        return {name: self.counts[name] for name in names} | {
            "reply_p50_ms": _quantile_ms(ordered, 0.50),
            "reply_p99_ms": _quantile_ms(ordered, 0.99),
            "actions": dict(sorted(self.actions.items())),
            "last_error": self.last_error,
        }


def _quantile_ms(ordered: list[float], share: float) -> float | None:
    return round(ordered[int(share * (len(ordered) - 1))] * 1000, 2) if ordered else None


def ack_record(station: str, call: Call, reply: dict[str, Any]) -> dict[str, Any]:
    """What a later comparison with the journal needs to find one acknowledged message again."""
    payload = call.payload
    meter = payload.get("meterValue") or [{}]
    fields = {
        "connector": payload.get("connectorId") or (payload.get("evse") or {}).get("id") or payload.get("evseId"),
        "timestamp": payload.get("timestamp") or meter[0].get("timestamp"),
        "transaction_id": reply.get("transactionId") or (call.transaction.id if call.transaction else None),
        "event_type": payload.get("eventType"),
        "seq_no": payload.get("seqNo"),
        "status": payload.get("status") or payload.get("connectorStatus"),
        "register_wh": payload.get("meterStart", payload.get("meterStop", _register(meter[0]))),
    }
    known = {key: value for key, value in fields.items() if value is not None}
    return {"station": station, "id": call.message_id, "action": call.action} | known


def _register(meter_value: dict[str, Any]) -> int | None:
    for entry in meter_value.get("sampledValue", ()):
        if entry.get("measurand") == "Energy.Active.Import.Register":
            return int(entry["value"])
    return None


class Link:
    """Runs one station against ``url``. ``blackout``: (from, to) during which the line is dead."""

    def __init__(
        self,
        station: Station,
        url: str,
        tally: Tally,
        rng: Random,
        *,
        key: str = "",
        compression: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.station, self._tally, self._rng, self._clock = station, tally, rng, clock
        self._url = f"{url.rstrip('/')}/{quote(station.plan.id, safe='')}"
        self._key = key
        self._transfers: set[asyncio.Task[None]] = set()
        self._compression = compression
        self._outstanding: Call | None = None
        self._sent_at = 0.0
        self._failures = 0
        self._patience: asyncio.Timeout | None = None
        self.blackout = (0.0, 0.0)

    def wake(self) -> None:
        """Something was done to the station from outside: look at once."""
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Until cancelled."""
        station = self.station
        while True:
            await self._sit_out_blackout()
            try:
                async with connect(
                    self._url,
                    subprotocols=[Subprotocol(name) for name in station.offered or (station.subprotocol,)],
                    additional_headers=_headers(station.plan.id, station.key or self._key),
                    compression=self._compression,
                    ping_interval=60,
                    ping_timeout=30,
                    close_timeout=2,
                    open_timeout=15,
                    user_agent_header=None,
                ) as socket:
                    await self._converse(socket)
            except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed, WebSocketException) as error:
                if isinstance(error, InvalidURI):
                    raise
                self._tally.last_error = f"{self.station.plan.id}: {type(error).__name__}: {error}"
                self._tally.counts["lost" if self._failures == 0 else "refused"] += 1
            await self._live_offline(self._clock() + self._back_off_s())

    def _back_off_s(self) -> float:
        if self.station.reboot_at is not None:
            self.station.reboot_at = None
            return _REBOOT_S
        wait = _BACK_OFF_S[min(self._failures, len(_BACK_OFF_S) - 1)] * self._rng.uniform(0.7, 1.3)
        self._failures += 1
        return wait

    async def _sit_out_blackout(self) -> None:
        while self.blackout[0] <= self._clock() < self.blackout[1]:
            await self._live_offline(self.blackout[1])

    async def _live_offline(self, until: float) -> None:
        """Cars come and go while the line is dead; only transactions are written down."""
        while (now := self._clock()) < until:
            self.station.tick(now)
            await asyncio.sleep(max(0.05, min(until, self.station.due()) - self._clock()))

    async def _converse(self, socket: ClientConnection) -> None:
        self._tally.counts.update(connected=1, connections=1)
        self._outstanding = None
        self.station.connected(self._clock())
        try:
            while not self._wants_to_close():
                await self._pump(socket)
                await self._listen(socket)
        finally:
            self._tally.counts["connected"] -= 1
            self.station.disconnected(self._clock())
            self._outstanding = None

    def _wants_to_close(self) -> bool:
        now, reboot_at = self._clock(), self.station.reboot_at
        is_rebooting = reboot_at is not None and (now >= reboot_at or not self.station.queue)
        return is_rebooting or self.blackout[0] <= now < self.blackout[1]

    async def _pump(self, socket: ClientConnection) -> None:
        """Let time pass in the station, then send what is next unless an answer is still due."""
        now = self._clock()
        self.station.retry_boot(now)
        self.station.tick(now)
        self._move_files()
        if self._outstanding is not None and now - self._sent_at > _CALL_TIMEOUT_S:
            self._tally.counts["timeouts"] += 1
            self.station.retry(self._outstanding, now)
            self._outstanding = None
        if self._outstanding is None and (call := self.station.next_call()) is not None:
            self._outstanding, self._sent_at = call, now
            self._tally.counts["sent"] += 1
            await socket.send(_text([_CALL, call.message_id, call.action, self.station.filled(call)]))

    def _move_files(self) -> None:
        while self.station.transfers:
            task = asyncio.create_task(self._move(self.station.transfers.popleft()))
            self._transfers.add(task)
            task.add_done_callback(self._transfers.discard)

    async def _move(self, transfer: Transfer) -> None:
        is_good = await asyncio.to_thread(carry_out, transfer)
        transfer.done(self._clock(), is_good)
        self.wake()

    async def _listen(self, socket: ClientConnection) -> None:
        try:
            async with asyncio.timeout(self._patience_s()) as self._patience:
                text = await socket.recv()
        except TimeoutError:
            return
        finally:
            self._patience = None
        await self._receive(socket, text)

    def _patience_s(self) -> float:
        if self._outstanding is None and self.station.next_call() is not None:
            return 0.0
        now, until = self._clock(), self.station.due()
        if self._outstanding is not None:
            until = min(until, self._sent_at + _CALL_TIMEOUT_S + 0.1)
        for moment in (self.blackout[0], self.station.reboot_at or 0.0, self.station.boot_retry_at or 0.0):
            if moment > now:
                until = min(until, moment)
        return min(max(0.0, until - now), 5.0)

    async def _receive(self, socket: ClientConnection, text: str | bytes) -> None:
        message = _decode(text)
        match message:
            case [int(kind), message_id, *rest] if kind in (_RESULT, _ERROR):
                self._take_answer(kind, str(message_id), rest)
            case [int(kind), message_id, str(action), dict(payload)] if kind == _CALL:
                self._tally.counts["commands"] += 1
                await socket.send(_text(self._answer(message_id, action, payload)))

    def _take_answer(self, kind: int, message_id: str, rest: list[Any]) -> None:
        call, now = self._outstanding, self._clock()
        if call is None or call.message_id != message_id:
            return  # late: it must not match a newer call
        self._outstanding, self._failures = None, 0
        if kind == _RESULT:
            reply = rest[0] if rest and isinstance(rest[0], dict) else {}
            self._tally.acknowledged(self.station.plan.id, call, reply, now - self._sent_at)
            self.station.answered(call, reply, now)
        else:
            self._tally.counts["errors"] += 1
            self._tally.last_error = f"{self.station.plan.id}: {call.action}: {rest[:2]}"
            self.station.refused(call, now)

    def _answer(self, message_id: Any, action: str, payload: dict[str, Any]) -> list[Any]:
        try:
            return [_RESULT, message_id, self.station.obey(action, payload, self._clock())]
        except CommandRefused as refusal:
            return [_ERROR, message_id, refusal.code, refusal.description, {}]


def _headers(id: str, key: str) -> dict[str, str]:
    basic = base64.b64encode(f"{id}:{key}".encode()).decode()
    return {"Authorization": f"Basic {basic}"} if key else {}


def _text(frame: list[Any]) -> str:
    return _encode(frame).decode()
