"""A charging station of OCPP 2.0.1 or 2.1 made with the ``ocpp`` package, which turns every message into its own types.

python charger.py CONFIG: the configuration is JSON (url, station, key, protocols, card). It prints what happens as JSON
lines, goes on when told by a line, and ends with 1 when anything it saw broke the protocol. Its one scene is ``life``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sys
import uuid
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import ocpp.v21
import ocpp.v201
from ocpp.exceptions import NotImplementedError as OcppNotImplemented
from ocpp.exceptions import NotSupportedError, OCPPError
from ocpp.routing import after, create_route_map, on
from websockets.asyncio.client import connect

CONFIG = json.loads(sys.argv[1])
PROTOCOL = CONFIG["protocols"][0]
PACKAGE = {"ocpp2.0.1": ocpp.v201, "ocpp2.1": ocpp.v21}[PROTOCOL]
CALL, RESULT = PACKAGE.call, PACKAGE.call_result
VARIABLES = [
    ({"name": "OCPPCommCtrlr"}, {"name": "HeartbeatInterval"}, "300"),
    ({"name": "EVSE", "evse": {"id": 1}}, {"name": "Power"}, "22000"),
    ({"name": "Connector", "evse": {"id": 1, "connector_id": 1}}, {"name": "ConnectorType"}, "cType2"),
]
REASONS = {"Remote": "RemoteStop", "EVDisconnected": "EVCommunicationLost"}
violations: list[str] = []
logging.getLogger("ocpp").setLevel(logging.CRITICAL)  # what is wrong is told as a violation


def say(**line: Any) -> None:
    print(json.dumps(line, default=vars), flush=True)


def violation(text: str) -> None:
    violations.append(text)
    say(violation=text)


def expect(is_so: bool, text: str) -> None:
    if not is_so:
        violation(text)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sampled(wh: int, context: str) -> list[dict[str, Any]]:
    def sample(measurand: str, unit: str, value: float, **more: Any) -> dict[str, Any]:
        return {"value": value, "measurand": measurand, "unit_of_measure": {"unit": unit}, "context": context, **more}

    register = sample("Energy.Active.Import.Register", "kWh", wh / 1000)
    power, soc = sample("Power.Active.Import", "kW", 7.36), sample("SoC", "Percent", 54, location="EV")
    currents = [sample("Current.Import", "A", 10.7, phase=phase) for phase in ("L1", "L2", "L3")]
    return [{"timestamp": now(), "sampled_value": [register, power, soc, *currents]}]


class Transaction:
    def __init__(self, evse: int, token: str) -> None:
        self.id = str(uuid.uuid4())
        self.evse = evse
        self.token = {"id_token": token, "type": "ISO14443"}
        self.seq_no = -1


class Charger(PACKAGE.ChargePoint):  # type: ignore[misc, name-defined]
    def __init__(self, connection: Any) -> None:
        super().__init__(CONFIG["station"], connection, response_timeout=10)
        self.register_wh = {1: 1000, 2: 5000}
        self.transactions: dict[str, Transaction] = {}
        self.route_map = create_route_map(self)
        self.deeds: set[asyncio.Task[None]] = set()

    async def _handle_call(self, message: Any) -> Any:
        say(asked=message.action, payload=message.payload)
        try:
            return await super()._handle_call(message)
        except (NotSupportedError, OcppNotImplemented):  # not every command is known to this charger
            raise
        except OCPPError as error:
            violation(f"{message}: {error!r}")
            raise

    async def say(self, name: str, **fields: Any) -> Any:
        answer = await self.call(getattr(CALL, name)(**fields), suppress=False)
        say(said=name, answer=answer)
        return answer

    def later(self, deed: Awaitable[None]) -> None:
        """What follows an answer."""
        task = asyncio.ensure_future(deed)
        self.deeds.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[None]) -> None:
        self.deeds.discard(task)  # type: ignore[arg-type]
        if not task.cancelled() and task.exception():
            violation(f"{task.exception()!r}")

    # what it says

    async def status(self, evse: int, word: str) -> None:
        await self.say("StatusNotification", timestamp=now(), connector_status=word, evse_id=evse, connector_id=1)

    async def boot(self) -> None:
        station = {"vendor_name": "Acme", "model": "Py-2", "serial_number": "SN-0003", "firmware_version": "2.0.0"}
        answer = await self.say("BootNotification", reason="PowerUp", charging_station=station)
        expect(answer.status == "Accepted", f"booted as {answer.status}")
        for evse in (1, 2):
            await self.status(evse, "Available")

    async def event(self, transaction: Transaction, kind: str, why: str, info: dict[str, Any], **more: Any) -> None:
        transaction.seq_no += 1
        answer = await self.say(
            "TransactionEvent",
            event_type=kind,
            timestamp=now(),
            trigger_reason=why,
            seq_no=transaction.seq_no,
            transaction_info={"transaction_id": transaction.id, **info},
            evse={"id": transaction.evse, "connector_id": 1},
            **more,
        )
        if "id_token" in more:
            info = answer.id_token_info or {}
            expect(info.get("status") == "Accepted", f"{kind} was answered {answer}")

    async def begin(self, evse: int, token: str, remote_start_id: int | None = None) -> Transaction:
        transaction = Transaction(evse, token)
        self.transactions[transaction.id] = transaction
        first = sampled(self.register_wh[evse], "Transaction.Begin")
        await self.status(evse, "Occupied")
        if remote_start_id is None:
            connected = {"charging_state": "EVConnected"}
            await self.event(transaction, "Started", "CablePluggedIn", connected, meter_value=first)
            await self.event(transaction, "Updated", "Authorized", connected, id_token=transaction.token)
        else:
            remote = {"remote_start_id": remote_start_id}
            token_and_first = {"id_token": transaction.token, "meter_value": first}
            await self.event(transaction, "Started", "RemoteStart", remote, **token_and_first)
        await self.event(transaction, "Updated", "ChargingStateChanged", {"charging_state": "Charging"})
        return transaction

    async def sample(self, transaction: Transaction, wh: int) -> None:
        self.register_wh[transaction.evse] += wh
        reading = sampled(self.register_wh[transaction.evse], "Sample.Periodic")
        charging = {"charging_state": "Charging"}
        await self.event(transaction, "Updated", "MeterValuePeriodic", charging, meter_value=reading)

    async def end(self, transaction: Transaction, reason: str) -> None:
        last = sampled(self.register_wh[transaction.evse], "Transaction.End")
        info = {"stopped_reason": reason, "charging_state": "Idle"}
        await self.event(transaction, "Ended", REASONS[reason], info, meter_value=last)
        await self.status(transaction.evse, "Available")

    async def live(self) -> None:
        await self.say("Heartbeat")
        for token, wanted in ((CONFIG["card"], "Accepted"), ("STRANGER", "Unknown")):
            answer = await self.say("Authorize", id_token={"id_token": token, "type": "ISO14443"})
            expect(answer.id_token_info["status"] == wanted, f"{token} is {answer.id_token_info}")
        await self.say("SecurityEventNotification", type="StartupOfTheDevice", timestamp=now(), tech_info="cold")
        await self.say("FirmwareStatusNotification", status="Idle")
        await self.say("LogStatusNotification", status="Idle")
        await self.say("DataTransfer", vendor_id="com.example", message_id="tilt", data={"angle": 3})
        try:
            await self.say("SignCertificate", csr="-----BEGIN CERTIFICATE REQUEST-----")
        except (NotSupportedError, OcppNotImplemented) as error:
            say(said="SignCertificate", refused=error.code)
        transaction = await self.begin(1, CONFIG["card"])
        await self.sample(transaction, 150)
        await self.sample(transaction, 150)
        self.register_wh[1] += 120
        await self.end(transaction, "EVDisconnected")

    async def report(self, request_id: int) -> None:
        for seq_no, (component, variable, value) in enumerate(VARIABLES):
            attribute = {"type": "Actual", "value": value, "mutability": "ReadWrite"}
            data = {"component": component, "variable": variable, "variable_attribute": [attribute]}
            is_last = seq_no == len(VARIABLES) - 1
            facts = {"request_id": request_id, "seq_no": seq_no, "tbc": not is_last}
            await self.say("NotifyReport", generated_at=now(), report_data=[data], **facts)

    async def charge(self, evse: int, token: str, remote_start_id: int) -> None:
        await self.sample(await self.begin(evse, token, remote_start_id), 200)

    # what it answers

    @on("RequestStartTransaction")
    def on_start(self, **request: Any) -> Any:
        return RESULT.RequestStartTransaction(status="Accepted")

    @after("RequestStartTransaction")
    def after_start(self, id_token: Any, remote_start_id: int, evse_id: int = 1, **rest: Any) -> None:
        self.later(self.charge(evse_id, id_token["id_token"], remote_start_id))

    @on("RequestStopTransaction")
    def on_stop(self, transaction_id: str, **rest: Any) -> Any:
        return RESULT.RequestStopTransaction(status="Accepted" if transaction_id in self.transactions else "Rejected")

    @after("RequestStopTransaction")
    def after_stop(self, transaction_id: str, **rest: Any) -> None:
        transaction = self.transactions.pop(transaction_id, None)
        if transaction is not None:
            self.later(self.end(transaction, "Remote"))

    @on("GetBaseReport")
    def on_base_report(self, **request: Any) -> Any:
        return RESULT.GetBaseReport(status="Accepted")

    @after("GetBaseReport")
    def after_base_report(self, request_id: int, **rest: Any) -> None:
        self.later(self.report(request_id))


async def life() -> None:
    credentials = base64.b64encode(f"{CONFIG['station']}:{CONFIG['key']}".encode()).decode()
    url = f"{CONFIG['url']}/{quote(CONFIG['station'], safe='')}"
    headers = {"Authorization": f"Basic {credentials}"}
    async with connect(url, subprotocols=[PROTOCOL], additional_headers=headers) as connection:  # type: ignore[list-item]
        say(event="open", protocol=connection.subprotocol)
        charger = Charger(connection)
        listening = asyncio.create_task(charger.start())
        await charger.boot()
        await charger.live()
        say(event="ready")
        await asyncio.to_thread(sys.stdin.readline)
        listening.cancel()


async def main() -> int:
    try:
        await life()
    except Exception as error:
        violation(repr(error))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
