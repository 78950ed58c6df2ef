"""A charging station that plays the Open Charge Alliance's test cases step by step against the real server.

Every step is held against the official schemas in both directions: what the station says, what it is answered, what
it is asked and what it answers to that. The steps are plain calls; the loop runs inside of them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from ocpp_world import World, world
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidMessage, InvalidStatus

from bridge import schemas
from bridge.access import Directory, TokenEntry
from bridge.command_bus import Answer, CommandOutcome, Request
from bridge.events import AnyEvent, CommandAnswered, DetailKind, DetailsReported, utc_now
from bridge.intake import Frame, Outcome
from bridge.session import Session
from bridge.snapshots import Connector
from bridge.stores.details import Details
from bridge.stores.records import Records

T = TypeVar("T")
Played = Callable[..., AbstractContextManager[Any]]  # the fixture of that name
ACCEPTED: dict[str, Any] = {"status": "Accepted"}
REJECTED: dict[str, Any] = {"status": "Rejected"}
LATER = datetime(2099, 1, 1, tzinfo=UTC)
_CARDS = (
    TokenEntry(token="CARD1", group="FLEET"),
    TokenEntry(token="CARD2", group="FLEET"),
    TokenEntry(token="STRANGER"),
    TokenEntry(token="MASTER", group="MASTERS"),
    TokenEntry(token="BLOCKED", group="FLEET", is_blocked=True),
    TokenEntry(token="EXPIRED", expires_at=datetime(2020, 1, 1, tzinfo=UTC)),
    TokenEntry(token="UNTIL2099", expires_at=LATER),
)
DRIVERS = Directory(tokens={card.token: card for card in _CARDS})
_REGISTER = "Energy.Active.Import.Register"
_CONTEXTS = {"Started": "Transaction.Begin", "Updated": "Sample.Periodic", "Ended": "Transaction.End"}


class Asked(NamedTuple):
    """A call of ours as it arrived, and what it came to. ``told``: what was recorded besides the answer itself."""

    action: str
    payload: dict[str, Any]
    result: Answer
    told: tuple[AnyEvent, ...]

    @property
    def is_refused(self) -> bool:
        """The station said no: that is a value, and nothing was recorded but its answer."""
        said = self.result.payload.get("status", "")
        is_no = self.result.outcome is CommandOutcome.REFUSED or said not in ("Accepted", "")
        return is_no and self.told == ()


def cases(names: str, table: Mapping[str, Any]) -> Callable[[T], T]:
    """Parametrise by case: ``{"TC_B_20_CSMS": values}``; the ids of the tests are the keys."""
    rows = [pytest.param(*(row if isinstance(row, tuple) else (row,)), id=name) for name, row in table.items()]
    mark: Callable[[T], T] = pytest.mark.parametrize([name.strip() for name in names.split(",")], rows)
    return mark


class Station:
    """``path`` is a folder of the test's own, with a migrated database ``template.db`` to copy for the records."""

    protocol = ""

    def __init__(self, runner: asyncio.Runner, there: World, path: Path, door: Mapping[str, Any]) -> None:
        self.there = there
        self.book = there.book
        self.events: list[AnyEvent] = []
        self.frames: list[Frame] = []  # as journaled
        self._run, self._path = runner.run, path
        self._records: Records | None = None
        self._taken = 0  # events that are in the records
        self._said = 0  # events before the station's last message
        self._ids = itertools.count(1)
        self._keep = there.intake.keep
        there.intake.keep = self._kept  # type: ignore[method-assign]
        self.door = dict(door)
        self.link: ClientConnection = self._run(_opened(there, self.protocol, self.door))

    # the conversation

    def say(self, action: str, payload: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call the server; the payload of its CALLRESULT."""
        payload = payload or {}
        assert schemas.violations(self.protocol, action, payload) == []
        frame = self._run(self._exchange(action, payload))
        assert frame[0] == 3, frame
        assert schemas.violations(self.protocol, action, frame[2], is_response=True) == []
        answer: dict[str, Any] = frame[2]
        return answer

    def refused(self, action: str, payload: dict[str, Any] | None = None) -> str:
        """Call the server, which does not take it; the code of its CALLERROR."""
        frame = self._run(self._exchange(action, payload or {}))
        assert frame[0] == 4, frame
        return str(frame[2])

    def asked(
        self, name: str, params: Mapping[str, Any] | None = None, answer: Mapping[str, Any] | str = ACCEPTED
    ) -> Asked:
        """A person gives a command, composed or OCPP's own; the station gets one call and answers it with a payload,
        or with a CALLERROR of that code."""
        found = self.asked_often(name, params, [answer])
        assert len(found) == 1
        return found[0]

    def asked_often(self, name: str, params: Mapping[str, Any] | None, answers: list[Any]) -> list[Asked]:
        """The same for a command that takes several calls."""
        return self._run(self._command(name, dict(params or {}), answers))

    def called(self, answer: Mapping[str, Any] = ACCEPTED) -> tuple[str, dict[str, Any]]:
        """The server calls of its own accord; what it says. The station gives that answer."""
        frame = json.loads(self._run(_received(self.link)))
        self._run(self._answered(frame, answer))
        return frame[2], frame[3]

    def decided(self, directory: Directory) -> None:
        """People have changed who may come in."""

        async def heard() -> None:
            self.there.intake.directory = directory
            self.there.server.recheck()

        self._run(heard())

    def again(self, **door: Any) -> None:
        """The station connects anew; ``door``: what it shows from now on (headers, certificates)."""
        self._run(self.link.close())
        self.door |= door
        self.link = self._run(_opened(self.there, self.protocol, self.door))

    def knocks(self, protocol: str | None = None, **door: Any) -> int:
        """It goes, and comes by another door: the status it gets, 101 when it comes in; 0: TLS fails."""
        self.close()
        try:
            link = self._run(_opened(self.there, protocol or self.protocol, self.door | door))
        except InvalidStatus as error:
            return error.response.status_code
        except (OSError, InvalidMessage):  # ssl.SSLError is one; in TLS 1.3 it is told after the handshake
            return 0
        self._run(link.close())
        return 101

    def close(self) -> None:
        self._run(self.link.close())

    def leave(self) -> None:
        """The play is over."""
        self.close()
        if self._records is not None:
            self._records.close()

    # what is known of it

    def details(self, kind: DetailKind) -> dict[str, dict[str, Any]]:
        """The records' details of a kind, by key."""
        if self._records is None:
            shutil.copy(self._path / "template.db", self._path / "details.db")
            self._records = Records(f"sqlite:///{self._path}/details.db")
        details, taken = Details(self._records), len(self.events)
        details.take([event for event in self.events[self._taken :] if isinstance(event, DetailsReported)])
        self._taken = taken
        return {row.key: row.body for row in details.of_station("CP", kind)}

    def session(self, transaction: str | int) -> Session:
        found = self.book.find_session("CP", str(transaction))
        assert found is not None, f"no session {transaction}"
        return found

    def connector(self, evse: int = 1, connector: int = 1) -> Connector:
        return self.book.connectors["CP", evse, connector]

    @property
    def new(self) -> list[AnyEvent]:
        """The events since the station's last message; the server may have begun to ask it something meanwhile."""
        return self.events[self._said :]

    def told(self, kind: type[T]) -> list[T]:
        """Those of a kind."""
        return [event for event in self.new if isinstance(event, kind)]

    # inside

    def _kept(self, frame: Frame, outcome: Outcome, reply: bytes = b"") -> int:
        self.events += outcome.events
        self.frames.append(frame)
        return self._keep(frame, outcome, reply)

    async def _exchange(self, action: str, payload: dict[str, Any]) -> list[Any]:
        message_id = f"m{next(self._ids)}"
        self._said = len(self.events)
        await self.link.send(json.dumps([2, message_id, action, payload]))
        frame = json.loads(await self.link.recv())
        assert frame[1] == message_id, frame
        return list(frame)

    async def _command(self, name: str, params: dict[str, Any], answers: list[Any]) -> list[Asked]:
        request = Request(id="r", action=name, payload=params, reply_to="x")
        done = asyncio.create_task(self.there.server.execute(request, "CP"))
        frames = []
        for answer in answers:
            arriving = asyncio.create_task(self.link.recv())  # type: ignore[var-annotated,arg-type]
            await asyncio.wait((done, arriving), return_when=asyncio.FIRST_COMPLETED)
            assert arriving.done(), done.result()
            frame = json.loads(arriving.result())
            frames.append((frame, await self._answered(frame, answer)))
        result = await done
        return [Asked(frame[2], frame[3], result, told) for frame, told in frames]

    async def _answered(self, frame: list[Any], answer: Any) -> tuple[AnyEvent, ...]:
        assert frame[0] == 2, frame
        assert schemas.violations(self.protocol, frame[2], frame[3]) == []
        before = self._said = len(self.events)
        kept = len(self.frames)
        if isinstance(answer, str):
            await self.link.send(json.dumps([4, frame[1], answer, "", {}]))
        else:
            assert schemas.violations(self.protocol, frame[2], dict(answer), is_response=True) == []
            await self.link.send(json.dumps([3, frame[1], answer]))
        await self.there.until(lambda: len(self.frames) > kept, "the answer in the journal")
        return tuple(event for event in self.events[before:] if not isinstance(event, CommandAnswered))


class Station16(Station):
    """Speaks OCPP 1.6."""

    protocol = "ocpp1.6"

    def boot(self) -> dict[str, Any]:
        return self.say("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "Box"})

    def status(self, status: str, connector: int = 1, error: str = "NoError") -> None:
        said = {"connectorId": connector, "status": status, "errorCode": error, "timestamp": now()}
        assert self.say("StatusNotification", said) == {}

    def authorize(self, tag: str) -> dict[str, Any]:
        return dict(self.say("Authorize", {"idTag": tag})["idTagInfo"])

    def start(self, tag: str = "CARD1", meter: int = 1000, **more: Any) -> int:
        """A transaction that is accepted; its id."""
        said = {"connectorId": 1, "idTag": tag, "meterStart": meter, "timestamp": now()} | more
        answer = self.say("StartTransaction", said)
        assert answer["idTagInfo"]["status"] == "Accepted"
        assert isinstance(answer["transactionId"], int)
        return int(answer["transactionId"])

    def stop(self, transaction: int, reason: str = "Local", meter: int = 5000, **more: Any) -> dict[str, Any]:
        said = {"transactionId": transaction, "meterStop": meter, "timestamp": now(), "reason": reason} | more
        return self.say("StopTransaction", said)

    def charging(self, tag: str = "CARD1") -> int:
        """State EnergyTransfer: plugged in, authorised, started, charging."""
        self.status("Preparing")
        assert self.authorize(tag)["status"] == "Accepted"
        transaction = self.start(tag)
        self.status("Charging")
        return transaction


class Station201(Station):
    """Speaks OCPP 2.0.1."""

    protocol = "ocpp2.0.1"

    def boot(self, reason: str = "PowerUp") -> dict[str, Any]:
        who = {"model": "Box", "vendorName": "Acme"}
        return self.say("BootNotification", {"reason": reason, "chargingStation": who})

    def status(self, status: str, evse: int = 1, connector: int = 1) -> None:
        said = {"evseId": evse, "connectorId": connector, "connectorStatus": status, "timestamp": now()}
        assert self.say("StatusNotification", said) == {}

    def authorize(self, token: str, kind: str = "ISO14443", **more: Any) -> dict[str, Any]:
        return dict(self.say("Authorize", {"idToken": {"idToken": token, "type": kind}} | more)["idTokenInfo"])

    def transaction(self, id: str = "tx-1", evse: int | None = 1) -> Transaction:
        return Transaction(self, id, evse)

    def charging(self, token: str = "CARD1", id: str = "tx-1") -> Transaction:
        """State EnergyTransferStarted by a local card."""
        self.status("Occupied")
        going = self.transaction(id)
        going.event("Started", "CablePluggedIn", "EVConnected", wh=1000)
        assert self.authorize(token)["status"] == "Accepted"
        assert going.event("Updated", "Authorized", "EVConnected", token)["idTokenInfo"]["status"] == "Accepted"
        assert going.event("Updated", "ChargingStateChanged", "Charging") == {}
        return going

    def variable_set(self, name: str, value: str) -> Asked:
        """The reusable step of most 2.0.1 cases: the CSMS sets a variable, the station takes it."""
        component, _, variable = name.partition(".")
        result = {"component": {"name": component}, "variable": {"name": variable}, "attributeStatus": "Accepted"}
        done = self.asked("SetConfiguration", {"key": name, "value": value}, {"setVariableResult": [result]})
        assert self.details(DetailKind.VARIABLE)[f"{component} {variable} Actual"]["value"] == value
        return done

    def takes(self, component: str, action: str, items: int) -> None:
        """It reports how many entries it takes in a call."""
        variable = {"name": "ItemsPerMessage", "instance": action}
        limit = {"component": {"name": component}, "variable": variable, "variableAttribute": [{"value": str(items)}]}
        said = {"requestId": 1, "generatedAt": now(), "seqNo": 0, "reportData": [limit]}
        assert self.say("NotifyReport", said) == {}

    def notified(self, *entries: dict[str, Any]) -> None:
        """A NotifyEvent with these entries: component, variable, actualValue, trigger ..."""
        usual = {"timestamp": now(), "trigger": "Delta", "eventNotificationType": "HardWiredNotification"}
        data = [usual | {"eventId": number} | entry for number, entry in enumerate(entries, 1)]
        assert self.say("NotifyEvent", {"generatedAt": now(), "seqNo": 0, "eventData": data}) == {}


class Transaction:
    """A 2.x transaction: counts its messages from 0, says its EVSE in the first one that has it."""

    def __init__(self, station: Station201, id: str, evse: int | None) -> None:
        self.station, self.id, self.evse = station, id, evse
        self.seq_no = itertools.count()
        self._has_said_evse = False

    def event(
        self, kind: str, trigger: str, state: str | None = None, token: str | None = None, wh: int | None = None,
        reason: str | None = None, info: Mapping[str, Any] | None = None, **more: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """One TransactionEvent; its answer."""
        about = {"transactionId": self.id, "chargingState": state, "stoppedReason": reason} | dict(info or {})
        said: dict[str, Any] = {
            "eventType": kind, "timestamp": now(), "triggerReason": trigger, "seqNo": next(self.seq_no),
            "transactionInfo": {name: value for name, value in about.items() if value is not None},
        }  # fmt: skip
        if token is not None:
            said["idToken"] = {"idToken": token, "type": "ISO14443"}
        if wh is not None:
            said["meterValue"] = [meter_value(wh, _CONTEXTS[kind])]
        if self.evse is not None and not self._has_said_evse:
            said["evse"], self._has_said_evse = {"id": self.evse, "connectorId": 1}, True
        return self.station.say("TransactionEvent", said | more)

    @property
    def session(self) -> Session:
        return self.station.session(self.id)


def meter_value(wh: float, context: str = "Sample.Periodic", ahead_s: float = 0.0, **more: Any) -> dict[str, Any]:
    """A 2.x meter value of the register."""
    value = {"value": wh, "context": context, "measurand": _REGISTER} | more
    return {"timestamp": now(ahead_s), "sampledValue": [value]}


def now(ahead_s: float = 0.0) -> str:
    """The station's clock, which is ours; ``ahead_s``: so many seconds later, negative for earlier."""
    return (utc_now() + timedelta(seconds=ahead_s)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


S = TypeVar("S", bound=Station)


@contextmanager
def station(
    path: Path,
    template: Path,
    kind: type[S],
    directory: Directory = DRIVERS,
    door: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[S]:
    """A station that is connected and has not booted yet. ``door``: what it shows (``additional_headers``, ``ssl``)."""
    (path / "template.db").symlink_to(template)
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        there = runner.run(stack.enter_async_context(world(path, directory, **settings)))
        try:
            playing = kind(runner, there, path, door or {})
            try:
                yield playing
            finally:
                playing.leave()
        finally:
            runner.run(stack.aclose())


async def _received(link: ClientConnection) -> str | bytes:
    return await link.recv()


async def _opened(there: World, protocol: str, door: Mapping[str, Any]) -> ClientConnection:
    url = there.url("/ocpp/CP")
    url = url.replace("ws:", "wss:") if "ssl" in door else url
    return await connect(url, subprotocols=[protocol], **door)  # type: ignore[list-item]
