"""More of the screens' world, for the pages about stations: a day's states, settings, details, traits, messages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from screens_world import HOSTILE, NOW, World

from bridge.command_bus import Answer, CommandOutcome
from bridge.events import ConnectorStatus, Detail, DetailKind, DetailsReported
from bridge.snapshots import Connector, Station
from bridge.stores.details import Details
from bridge.stores.plan import COLUMNS
from bridge.stores.provisioning import Held, Provisioning
from bridge.stores.records import ConnectorRow
from bridge.stores.telemetry import FrameRow, Occurrence

ODD = "a/b c+d*e#%41?ü"  # an id that has to be quoted
_DAY = (  # hours ago, evse, status
    (30, 1, "Available"),
    (21, 1, "Preparing"),
    (20.8, 1, "Charging"),
    (17.5, 1, "SuspendedEV"),
    (15, 1, "Available"),
    (9, 1, "Reserved"),
    (8, 1, "Preparing"),
    (7.9, 1, "Charging"),
    (5.2, 1, "Finishing"),
    (4.9, 1, "Available"),
    (2.2, 1, "Preparing"),
    (2.1, 1, "Charging"),
    (0.6, 1, "Faulted"),
    (28, 2, "Unavailable"),
    (12, 2, "Available"),
    (6, 2, "Preparing"),
    (5.8, 2, "Charging"),
    (1.2, 2, "SuspendedEVSE"),
)


def furnish(world: World) -> None:
    """Fill the world's stations with what the pages about them show."""
    world.records.assign_site("HAR-03", "harbour")
    world.records.upsert(
        [Station(id=ODD, protocol="ocpp2.0.1", is_connected=True, connected_at=NOW, last_seen_at=NOW, revision=1)]
    )
    second = Connector(
        station="HAR-03",
        evse=2,
        status=ConnectorStatus.SUSPENDED_EVSE,
        status_at=NOW - timedelta(hours=1.2),
        revision=1,
    )
    world.records.upsert(connectors=[second])
    world.records.rate_connector("HAR-03", 2, 1, "Type 2", 22_000)
    for hours, evse, status in _DAY:
        error = "GroundFailure" if status == "Faulted" else "NoError"
        happen(world, hours, "StatusChanged", evse, status=status, connector=1, error_code=error)
    happen(world, 14, "StationDisconnected", 0, reason="ping timeout")
    happen(world, 12.6, "StationConnected", 0, protocol="ocpp1.6", address="10.3.0.7")
    happen(world, 3, "SecurityEventNotified", 0, kind="TamperDetectionActivated", tech_info="lid open")
    _tell(world)
    _speak(world)
    _knock(world)


def happen(world: World, hours: float, kind: str, /, evse: int = 1, station: str = "HAR-03", **body: Any) -> None:
    at = NOW - timedelta(hours=hours)
    world.telemetry.happened.append(Occurrence(station, evse, at, at, kind, "", msgspec.json.encode(body).decode()))


def tell(world: World, kind: DetailKind, key: str, /, station: str = "HAR-03", **body: Any) -> None:
    at = NOW - timedelta(minutes=41)
    told = DetailsReported(station=station, at=at, received_at=at, kind=kind, details=(Detail(key=key, body=body),))
    Details(world.records).take([told])


def _tell(world: World) -> None:
    for key, value, mutability in (
        ("AuthorizationKey", "0123456789abcdef", "ReadWrite"),
        ("HeartbeatInterval", "300", "ReadWrite"),
        ("MeterValueSampleInterval", "10", "ReadWrite"),
        ("NumberOfConnectors", "2", "ReadOnly"),
        ("SupportedFeatureProfiles", "Core,FirmwareManagement,SmartCharging", "ReadOnly"),
    ):
        tell(world, DetailKind.VARIABLE, key, variable=key, value=value, mutability=mutability)
    for number in range(40):
        variable = {"variable": f"Variable{number}", "attribute": "Actual", "value": str(number)}
        key = f"Module/{number} Variable{number} Actual"
        tell(
            world,
            DetailKind.VARIABLE,
            key,
            "AIR-02",
            component=f"Module/{number}",
            mutability="ReadWrite",
            **variable,
        )
    evil = {"component": HOSTILE, "variable": HOSTILE, "value": HOSTILE, "mutability": "ReadWrite"}
    tell(world, DetailKind.VARIABLE, HOSTILE, "evil", attribute="Actual", **evil)
    tell(world, DetailKind.FIRMWARE, "3", status="Downloading")
    tell(world, DetailKind.LIST, "04A2B9C17F21", status="Accepted", id_tag="04A2B9C17F21")
    tell(world, DetailKind.PROFILE, "12", stackLevel=0, chargingProfilePurpose="TxDefaultProfile")
    tell(world, DetailKind.MESSAGE, "1", "evil", text=HOSTILE)
    said = "the register restarts with the session: meterStart 8214330 Wh, last reading 1200 Wh, meterStop 1300 Wh"
    tell(world, DetailKind.TRAIT, "register", said=said, policy={"register": "session"})
    tell(world, DetailKind.TRAIT, "deaf", said="let 3 calls in a row time out", policy={})
    tell(world, DetailKind.TRAIT, HOSTILE, "evil", said=HOSTILE, policy={"register": HOSTILE, "x": HOSTILE})


def _speak(world: World) -> None:
    def say(seconds: float, direction: str, action: str, text: str, station: str = "HAR-03") -> None:
        world.telemetry.raw.append(
            FrameRow(station, NOW - timedelta(seconds=seconds), direction, "ocpp1.6", action, text)
        )

    for number in range(90):
        at = 40 + 30 * number
        say(at, ">", "Heartbeat", f'[2,"h{number}","Heartbeat",{{}}]')
        say(at, "<", "Heartbeat", f'[3,"h{number}",{{"currentTime":"2026-11-23T14:30:00Z"}}]')
    say(35, "<", "TriggerMessage", '[2,"t1","TriggerMessage",{"requestedMessage":"StatusNotification"}]')
    say(34.6, ">", "TriggerMessage", '[3,"t1",{"status":"Accepted"}]')
    say(30, ">", "Authorize", '[2,"a1","Authorize",{"idTag":"04A2B9C17F21"}]')
    say(30, "<", "Authorize", '[3,"a1",{"idTagInfo":{"status":"Accepted","parentIdTag":"04AAAAAAAA99"}}]')
    say(25, "<", "Reset", '[2,"r1","Reset",{"type":"Soft"}]')
    say(24, ">", "Reset", '[4,"r1","InternalError","busy",{}]')
    values = '{"connectorId":1,"meterValue":[{"timestamp":"2026-11-23T13:50:00Z","sampledValue":[{"value":"1"}]}]}'
    say(20, ">", "MeterValues", f'[2,"m1","MeterValues",{values}]')
    say(20, "<", "MeterValues", '[3,"m1",{}]')
    say(15, ">", "DataTransfer", '[2,"d1","DataTransfer",{"vendorId":"x","data":"' + HOSTILE.replace('"', "'") + '"}]')
    say(10, ">", HOSTILE, HOSTILE, "evil")


def _knock(world: World) -> None:
    """Three wait at the door: one with its key, one without, one that is hostile and comes with many keys."""

    def held(minutes: float, station: str, **more: Any) -> Held:
        at = NOW - timedelta(minutes=minutes)
        known = {"protocol": "ocpp1.6", "security": "none", "bridge": "b1", "first_seen_at": at, "last_seen_at": NOW}
        return Held(station=station, **(known | more))

    said = {"vendor": "Alfen", "model": "NG910", "serial": "ACE0384921", "firmware": "6.4.1", "address": "10.3.0.41"}
    Provisioning(world.records).take_held(
        [
            held(190, "ALF-0384921", security="basic", offered_key_hmac=b"\x5a" * 32, **said),
            held(12, "new one/7", vendor="go-e", model="Gemini", address="192.0.2.7"),
            held(
                3,
                HOSTILE[:40],
                vendor=HOSTILE,
                model=HOSTILE,
                serial=HOSTILE,
                address="198.51.100.9",
                offered_key_hmac=b"x" * 32,
                other_keys=4,
            ),
        ]
    )


class FakeCommands:
    """Answers every command and remembers it."""

    is_connected = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.answer = Answer(id="1", outcome=CommandOutcome.ANSWERED, payload={"status": "Accepted"})

    def request(self, station: str, action: str, payload: dict[str, Any], timeout_s: float = 30.0) -> Answer:
        self.asked.append((station, action, payload))
        return self.answer


def outlet(status: ConnectorStatus | None = None, hours: float = 100, evse: int = 1) -> ConnectorRow:
    at = NOW - timedelta(hours=hours)
    return ConnectorRow(
        station="X", evse=evse, connector=1, status=status, error_code="NoError", info="", vendor_error_code="",
        status_at=at, status_received_at=at, kind="", rated_power_w=None, session_id=None, revision=1,
    )  # fmt: skip


def line(**cells: str) -> str:
    return ",".join(cells.get(name, "") for name in COLUMNS)


def plan(*lines: str) -> str:
    return "\r\n".join([",".join(COLUMNS), *lines, ""])
