"""A small believable world for the tests of the screens: four stations, a DC session with its taper, alarms."""

from __future__ import annotations

import atexit
import math
import shutil
import tempfile
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from pydantic import SecretStr
from records_world import name_station

from bridge.events import ConnectorStatus, EnergySource
from bridge.evidence import Evidence, Start
from bridge.session import Session, SessionState
from bridge.settings import Dashboard, Settings
from bridge.settings import Records as RecordsSettings
from bridge.snapshots import Connector, Station
from bridge.stores import tables
from bridge.stores.people import People, Role
from bridge.stores.records import Records, Site
from bridge.stores.telemetry import (
    ANY_FRAME,
    Batch,
    Bucket,
    FrameFilter,
    FrameRow,
    Occurrence,
    Sample,
    StoreUnavailable,
    TotalPoint,
)

NOW = datetime(2026, 11, 23, 14, 32, 7, tzinfo=UTC)
STARTED = NOW - timedelta(minutes=74)
PASSWORD = "a calm wall at noon"
PEPPER = b"pepper of the tests"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'\u202e"

DELIVERED_WH = 60_318  # what the curve below adds up to
LIVE, ENDED, ORPHAN, SILENT, EVIL = (
    "24f118a039171c02",
    "5b0c19e0a7d24411",
    "77a1c9d02b5e6f10",
    "0d8e4f6a1b2c3d4e",
    "e9e9e9e9e9e9e9e9",
)


class World(NamedTuple):
    settings: Settings
    records: Records
    people: People
    telemetry: FakeTelemetry


class FakeTelemetry:
    """A TelemetryStore in memory; ``is_away`` makes every read fail as a stopped server would."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.happened: list[Occurrence] = []
        self.raw: list[FrameRow] = []
        self.is_away = False

    def write(self, batch: Batch) -> None:
        self.samples += batch.samples
        self.happened += batch.occurrences
        self.raw += batch.frames

    def curve(self, station: str, evse: int, start: datetime, end: datetime) -> list[Sample]:
        self.check()
        found = [s for s in self.samples if (s.station, s.evse) == (station, evse) and start <= s.at < end]
        return sorted(found, key=lambda s: s.at)

    def occurrences(
        self, station: str, start: datetime, end: datetime, limit: int = 500, kinds: Collection[str] = ()
    ) -> list[Occurrence]:
        self.check()
        of_station = [o for o in self.happened if o.station == station and (not kinds or o.kind in kinds)]
        found = [o for o in of_station if start <= o.at < end]
        return sorted(found, key=lambda o: o.at, reverse=True)[:limit]

    def frames(
        self, station: str, start: datetime, end: datetime, limit: int = 200, only: FrameFilter = ANY_FRAME
    ) -> list[FrameRow]:
        self.check()
        found = [f for f in self.raw if f.station == station and start <= f.received_at < end]
        found = [f for f in found if only.action in ("", f.action) and only.direction in ("", f.direction)]
        found = [f for f in found if only.text.lower() in f.text.lower()]
        return sorted(found, key=lambda f: f.received_at, reverse=True)[:limit]

    def last(self, stations: Sequence[str] | None = None) -> list[Sample]:
        self.check()
        newest = {(s.station, s.evse): s for s in sorted(self.samples, key=lambda s: s.at)}
        return [s for s in newest.values() if stations is None or s.station in stations]

    def roll_up(self, start: datetime, end: datetime) -> int:
        return 0

    def buckets(self, start: datetime, end: datetime, stations: Sequence[str] | None = None) -> list[Bucket]:
        return []

    def totals(self, start: datetime, end: datetime, stations: Sequence[str] | None = None) -> list[TotalPoint]:
        return []

    def expire(self, now: datetime, raw_days: int, frame_days: int, rollup_days: int) -> None: ...

    def check(self) -> None:
        if self.is_away:
            raise StoreUnavailable("the fake is away")

    def close(self) -> None: ...


def empty_world(folder: Path) -> World:
    """Nobody, no station, no session."""
    url = f"sqlite:///{folder}/records.db"
    settings = Settings(
        data_dir=folder, records=RecordsSettings(url=SecretStr(url)), dashboard=Dashboard(secure_cookies=False)
    )
    records = Records(url)
    records.migrate()
    return World(settings, records, People(records, PEPPER), FakeTelemetry())


def seeded_world(folder: Path) -> World:
    """A copy of one world that is made once: hashing passwords takes its time."""
    shutil.copy(_template() / "records.db", folder)
    world = empty_world(folder)
    _draw(world.telemetry)
    return world


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="screens-world-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    world = empty_world(folder)
    for role in Role:
        world.people.create_user(str(role), role, NOW, PASSWORD)
    _place(world.records)
    world.records.upsert(_stations(), _connectors(), _sessions())
    _raise_alarms(world.records)
    world.records.close()
    return folder


def _place(records: Records) -> None:
    for id, name in (("airport", "Airport P4"), ("harbour", "Harbour East"), ("mill", "Mill Lane")):
        records.save_site(Site(id=id, name=name, timezone="Europe/Berlin"))
    for station, site, name in (
        ("AIR-02", "airport", "Airport P4 02"),
        ("HAR-03", "harbour", "Harbour East 03"),
        ("MILL/1", "mill", "Mill Lane 1"),
        ("evil", "mill", HOSTILE),
    ):
        records.assign_site(station, site)
        name_station(records, station, name)
    records.rate_connector("AIR-02", 1, 1, "CCS", 60_000)
    records.rate_connector("HAR-03", 1, 1, "Type 2", 22_000)


def _stations() -> list[Station]:
    common = {"bridge": "b1", "vendor": "ABB", "model": "Terra 54", "firmware": "1.8.21", "revision": 1}
    up = {"is_connected": True, "connected_at": STARTED - timedelta(hours=9), "last_seen_at": NOW}
    return [
        Station(id="AIR-02", protocol="ocpp2.0.1", clock_skew_s=0.8, **common, **up),
        Station(id="HAR-03", protocol="ocpp1.6", clock_skew_s=-2.1, **common, **up),
        Station(
            id="MILL/1", protocol="ocpp1.6", **common, disconnected_at=NOW - timedelta(minutes=6), last_seen_at=NOW
        ),
        Station(id="evil", protocol="ocpp1.6", **(common | {"vendor": HOSTILE, "model": HOSTILE}), **up),
    ]


def _connectors() -> list[Connector]:
    def at(station: str, status: ConnectorStatus, minutes: float, **more: str) -> Connector:
        moment = NOW - timedelta(minutes=minutes)
        return Connector(
            station=station, evse=1, status=status, status_at=moment, status_received_at=moment, revision=1, **more
        )

    return [
        at("AIR-02", ConnectorStatus.CHARGING, 73),
        at("HAR-03", ConnectorStatus.FAULTED, 0.7, error_code="GroundFailure", info="RCD tripped"),
        at("MILL/1", ConnectorStatus.CHARGING, 40),
        at("evil", ConnectorStatus.FAULTED, 12, error_code="OtherError", info=HOSTILE),
    ]


def _sessions() -> list[Session]:
    def make(id: str, station: str, started: datetime, **more: object) -> Session:
        known = {"evse": 1, "transaction_id": id[:6], "token": "04A2B9C17F21", "tariff": "default-1", "revision": 1}
        return Session(
            **(known | {"id": id, "station": station, "started_at": started, "start_received_at": started} | more)
        )

    return [
        make(
            LIVE,
            "AIR-02",
            STARTED,
            state=SessionState.CHARGING,
            meter_start_wh=8_214_330,
            meter_last_wh=8_214_330 + DELIVERED_WH,
            energy_wh=DELIVERED_WH,
            power_w=44_297.0,
            power_max_w=53_700.0,
            soc_start_percent=21.0,
            soc_percent=66.0,
            sample_at=NOW - timedelta(seconds=3),
            sample_received_at=NOW - timedelta(seconds=2),
            charging_s=4_400,
            cost=f"{DELIVERED_WH * 0.00049:.2f}",
            seq_no=446,
            evidence=Evidence(
                start=Start.OWN,
                has_start_register=True,
                is_token_accepted=True,
                clock_start_s=0.8,
                interval_s=10.0,
                seq_first=0,
                seq_last=446,
                signed_begin="OCMF",
            ),
        ),
        make(
            ENDED,
            "HAR-03",
            NOW - timedelta(hours=5),
            state=SessionState.ENDED,
            meter_start_wh=1_000_000,
            meter_last_wh=1_018_400,
            meter_stop_wh=1_018_400,
            energy_wh=18_400,
            power_max_w=11_040.0,
            ended_at=NOW - timedelta(hours=3, minutes=14),
            stop_received_at=NOW - timedelta(hours=3, minutes=14),
            charging_s=6_300,
            cost="9.02",
            stop_reason="EVDisconnected",
        ),
        make(
            ORPHAN,
            "MILL/1",
            NOW - timedelta(hours=20),
            state=SessionState.ORPHANED,
            energy_wh=4_100,
            cost="2.01",
            energy_source=EnergySource.POWER_INTEGRAL,
            review=("superseded: another session began on its connector",),
        ),
        make(SILENT, "MILL/1", NOW - timedelta(minutes=41), state=SessionState.PENDING, energy_wh=0),
        make(
            EVIL,
            "evil",
            NOW - timedelta(minutes=12),
            state=SessionState.CHARGING,
            energy_wh=900,
            power_w=7_000.0,
            token=HOSTILE,
            review=(HOSTILE,),
            stop_reason=HOSTILE,
            cost="0.44",
            tariff=HOSTILE,
        ),
        *(
            make(
                f"{number:016x}",
                "HAR-03",
                NOW - timedelta(days=1, hours=number),
                state=SessionState.ENDED,
                energy_wh=7_000 + 310 * number,
                cost=f"{3.4 + 0.15 * number:.2f}",
                power_max_w=11_000.0,
                ended_at=NOW - timedelta(days=1, hours=number) + timedelta(minutes=52),
                stop_reason="Local",
                charging_s=2_900,
            )
            for number in range(1, 61)
        ),
    ]


def _power_w(minutes: float) -> float:
    """A 60 kW DC charger: ramp, plateau, a hot cable for four minutes, then the battery's taper."""
    if minutes < 1:
        return 52_000 * minutes
    if 49 <= minutes < 53:
        return 21_000 + 500 * math.sin(minutes * 2)
    return 53_000 - max(0.0, minutes - 40) * 270 + 700 * math.sin(minutes * 0.86)


def _draw(store: FakeTelemetry) -> None:
    energy = 0.0
    for number in range(0, 74 * 6):
        minutes = number / 6
        at = STARTED + timedelta(minutes=minutes)
        energy += _power_w(minutes) / 360
        if 12.9 < minutes < 15.1:
            continue  # the connection was away
        values = {
            "power_w": _power_w(minutes),
            "power_offered_w": 22_000.0 if 49 <= minutes < 53 else 60_000.0,
            "energy_import_wh": float(8_214_330 + round(energy)),
            "soc_percent": float(round(21 + energy / 1_343)),
        }
        late = 20 < minutes < 20.7
        store.samples.append(Sample("AIR-02", 1, at, at + timedelta(seconds=41 if late else 0.3), late, LIVE, values))
    _tell(store)


def _tell(store: FakeTelemetry) -> None:
    def note(minutes: float, kind: str, action: str, station: str = "AIR-02", **body: object) -> None:
        at = STARTED + timedelta(minutes=minutes)
        text = msgspec.json.encode(body).decode()
        store.happened.append(Occurrence(station, 1, at, at, kind, "", text))
        store.raw.append(FrameRow(station, at, ">", "ocpp2.0.1", action, f'[2,"{minutes}","{action}",{text}]'))

    known = {"transaction_id": LIVE[:6]}
    note(-0.6, "StatusChanged", "StatusNotification", status="Preparing")
    note(
        -0.4, "TokenPresented", "Authorize", token="04A2B9C17F21", accepted=True, cause="on the list, group Fleet North"
    )
    note(0, "TransactionStarted", "TransactionEvent", meter_start_wh=8_214_330, **known)
    note(0.5, "TransactionUpdated", "TransactionEvent", charging_state="Charging", seq_no=1, **known)
    note(
        49,
        "DeviceEventNotified",
        "NotifyEvent",
        component="ConnectorCable",
        variable="Temperature",
        value="78",
        trigger="Alerting",
        tech_info="cable derates to 22 kW",
    )
    note(
        53,
        "DeviceEventNotified",
        "NotifyEvent",
        component="ConnectorCable",
        variable="Temperature",
        value="61",
        cleared=True,
    )
    note(66, "StatusChanged", "StatusNotification", station="evil", status="Faulted", error_code=HOSTILE, info=HOSTILE)
    note(67, "DataTransferred", HOSTILE, station="evil", vendor_id=HOSTILE, data=HOSTILE * 40)


def _raise_alarms(records: Records) -> None:
    rows = [
        (
            "connector_faulted",
            "HAR-03/1",
            "HAR-03",
            1,
            "unacknowledged",
            "Harbour East 03: ground failure",
            "The connector is locked out; the driver cannot start again.",
            "Send a technician; move the driver to bay 5.",
            0.7,
        ),
        (
            "station_offline",
            "MILL/1",
            "MILL/1",
            2,
            "unacknowledged",
            "Mill Lane 1 is offline",
            "Sessions go on unseen; values arrive when it is back.",
            "Check the site's link and the station's modem.",
            6.0,
        ),
        ("connector_faulted", "evil/1", "evil", 3, "acknowledged", HOSTILE, HOSTILE, HOSTILE, 12.0),
        (
            "session_interrupted",
            "HAR-03/1",
            "HAR-03",
            3,
            "normal",
            "Harbour East 03: session interrupted",
            "The driver left with less energy than asked for.",
            "Call the driver.",
            300.0,
        ),
    ]
    with records.writing() as connection:
        for rule, subject, station, priority, state, title, consequence, action, minutes in rows:
            connection.execute(
                sa.insert(tables.alarms).values(
                    rule=rule,
                    subject=subject,
                    station=station,
                    evse=1,
                    priority=priority,
                    state=state,
                    title=title,
                    consequence=consequence,
                    action=action,
                    raised_at=NOW - timedelta(minutes=minutes),
                    acknowledged_by="operator" if state == "acknowledged" else "",
                    acknowledged_at=NOW - timedelta(minutes=8) if state == "acknowledged" else None,
                    cleared_at=NOW - timedelta(minutes=250) if state == "normal" else None,
                )
            )
