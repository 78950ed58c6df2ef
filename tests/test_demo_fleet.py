"""The demo's fleet file, its MQTT chargers as the bridge's mappings read them, and the past it writes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from bridge.billing.price import Tariff
from bridge.demo.bay import Bay
from bridge.demo.day import KINDS, REFUSED_CARDS, TROUBLES
from bridge.demo.fleet import (
    FILE,
    PROTOCOLS,
    Fleet,
    MqttPlan,
    Scene,
    SitePlan,
    load_fleet,
    load_stations,
    make_bays,
    make_trouble,
    seed_plan,
)
from bridge.demo.history import simulate_past, write_past
from bridge.demo.mqtt_chargers import last_will, live, messages
from bridge.demo.run import share_of
from bridge.events import ConnectorStatus, from_us
from bridge.mqtt.mapping import Kind, Reading, load_mappings
from bridge.settings import Chargers
from bridge.stores.people import People
from bridge.stores.records import Records, SessionQuery
from bridge.stores.sqlite import SqliteTelemetry
from bridge.stores.telemetry import Sample

NOW = datetime(2026, 3, 5, 13, 20, tzinfo=UTC)
T0 = NOW.timestamp()
TARIFF = Tariff(
    id="demo-1",
    currency="EUR",
    energy_per_kwh=Decimal("0.49"),
    time_per_minute=Decimal(0),
    flat=Decimal(0),
    vat_percent=Decimal(19),
)
FLEET = load_fleet()
MQTT = [plan for site in FLEET.sites for plan in site.mqtt]


def test_the_fleet_is_24_ocpp_stations_and_4_mqtt_chargers_with_60_to_90_connectors() -> None:
    stations = [station for site in FLEET.sites for station in site.stations]
    assert (len(stations), len(MQTT)) == (24, 4)
    assert 60 <= sum(len(list(site.outlets())) for site in FLEET.sites) <= 90
    assert {station.protocol for station in stations} == set(PROTOCOLS)
    assert len({id for site in FLEET.sites for id in site.station_ids}) == 28


@pytest.mark.parametrize("site", FLEET.sites, ids=lambda site: site.id)
def test_a_site_has_a_place_a_zone_a_kind_and_a_limit_that_its_largest_bay_fits(site: SitePlan) -> None:
    assert site.kind in KINDS
    assert NOW.astimezone(ZoneInfo(site.timezone)).utcoffset() is not None
    assert 36 < site.latitude < 62
    assert -10 < site.longitude < 20
    assert site.grid_limit_w >= max(outlet.rated_power_w for _, _, outlet in site.outlets())


@pytest.mark.parametrize("scene", FLEET.scenes, ids=lambda scene: f"{scene.after_s:.0f}s-{scene.what}")
def test_a_scene_names_a_station_of_the_fleet_and_a_fault_that_exists(scene: Scene) -> None:
    assert scene.station in {station.id for site in FLEET.sites for station in site.stations}
    assert scene.what in ("fault", "offline", "pause", "refused")
    if scene.what == "fault":
        assert make_trouble(scene, TROUBLES).lasts_s == scene.lasts_s


def test_a_station_alone_is_offline_from_the_start() -> None:
    assert FLEET.never_online == {"TM-14"}


def test_load_management_keeps_a_site_below_its_limit() -> None:
    assert share_of(50_000, 100_000) == 1.0
    assert share_of(200_000, 100_000) * 200_000 < 100_000


@pytest.mark.parametrize(("protocol", "spoken"), [("1.6", {"ocpp1.6"}), ("mix", set(PROTOCOLS))])
def test_load_stations_have_distinct_ids_and_speak_what_was_asked(protocol: str, spoken: set[str]) -> None:
    stations = load_stations(
        50, 3, protocol, meter_interval_s=10, busy=0.5, now=T0, seed="SIM", speed=1
    )
    assert len({station.plan.id for station in stations}) == 50
    assert {station.subprotocol for station in stations} == spoken
    assert {len(station.bays) for station in stations} == {3}


# ---- MQTT


def _charging(plan: MqttPlan) -> Bay:
    bay = Bay(plan.outlet, KINDS["home"], Random(1), T0)
    assert bay.remote_start(T0, "04AABBCC")
    for second in range(1, 121):
        live(bay, T0 + second)
    assert bay.status is ConnectorStatus.CHARGING
    return bay


def _read(plan: MqttPlan, bay: Bay, at: float) -> list[Reading]:
    mapping = load_mappings(Chargers(vendors=(plan.vendor,)))[plan.vendor]
    received = from_us(int(at * 1e6))
    return [
        reading
        for message in messages(plan, bay, at)
        for reading in mapping.read(message.topic, message.payload.encode(), False, received)
    ]


@pytest.mark.parametrize("plan", MQTT, ids=lambda plan: plan.vendor)
def test_the_bridges_mapping_reads_what_a_virtual_mqtt_charger_says(plan: MqttPlan) -> None:
    bay = _charging(plan)
    at = T0 + 120
    values = {reading.name: reading.value for reading in _read(plan, bay, at) if reading.kind is Kind.MEASURE}
    meter = bay.reading(at)
    assert values["energy_import_wh"] == pytest.approx(meter.register_wh, abs=1)
    assert values["power_w"] == pytest.approx(meter.power_w, rel=0.02)
    assert values["current_a_l1"] == pytest.approx(meter.currents_a[0], abs=0.1)


@pytest.mark.parametrize("plan", MQTT, ids=lambda plan: plan.vendor)
def test_a_virtual_mqtt_charger_is_the_station_the_plan_names(plan: MqttPlan) -> None:
    readings = _read(plan, _charging(plan), T0 + 120)
    assert {f"{plan.vendor}-{reading.device}" for reading in readings} == {plan.id}
    assert {reading.evse for reading in readings if reading.kind is Kind.MEASURE} == {plan.connector}


def test_only_evcc_leaves_a_last_will() -> None:
    assert [plan.vendor for plan in MQTT if last_will(plan) is not None] == ["evcc"]


# ---- the past


@pytest.fixture
def records(tmp_path: Path) -> Records:
    records = Records(f"sqlite:///{tmp_path / 'records.db'}")
    records.migrate()
    return records


def test_seeding_writes_sites_places_connectors_and_the_blocked_cards(records: Records) -> None:
    people = People(records, b"pepper")
    for _ in range(2):  # a second start changes nothing
        seed_plan(records, people, FLEET)
    assert len(records.sites()) == len(FLEET.sites)
    assert {station.site_id for station in records.stations()} == {site.id for site in FLEET.sites}
    assert all(connector.rated_power_w for connector in records.connectors())
    assert {token.token for token in people.driver_tokens() if token.is_blocked} == set(REFUSED_CARDS)


def _small_fleet() -> Fleet:
    return Fleet(sites=tuple(site for site in FLEET.sites if site.id in ("heath-services", "turfmarkt")))


def test_the_past_in_the_stores_adds_up(records: Records, tmp_path: Path) -> None:
    telemetry = SqliteTelemetry(tmp_path / "telemetry.db")
    bays = make_bays(_small_fleet(), "test", T0 - 2 * 86_400)
    rows = simulate_past(bays, dict.fromkeys(bays, NOW), TARIFF)
    count = write_past(rows, records, telemetry)
    start = NOW - timedelta(days=4)
    sessions = records.sessions(SessionQuery(since=start, limit=500)).items
    assert count == len(sessions) > 50
    for session in sessions:
        assert session.energy_wh == (session.meter_stop_wh or 0) - (session.meter_start_wh or 0)
        assert Decimal(session.cost) == round(Decimal(session.energy_wh) * Decimal("0.00049") + Decimal("1e-9"), 2)
    flowing = [session for session in sessions if session.energy_wh > 0 and session.duration_s(NOW) > 0]
    assert len(flowing) > 40
    for session in flowing:
        assert 0 < session.charging_s <= session.duration_s(NOW)
        assert session.energy_wh * 3600 / session.charging_s <= session.power_max_w
    rolled = sum(bucket.energy_wh for bucket in telemetry.buckets(start, NOW + timedelta(hours=1)))
    running: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if isinstance(row, Sample) and not row.session_id:
            running.setdefault((row.station, row.evse), []).append(row.values["energy_import_wh"])
    still_running_wh = sum(register[-1] - register[0] for register in running.values())
    assert rolled == pytest.approx(sum(session.energy_wh for session in sessions) + still_running_wh, rel=0.001)
    telemetry.close()


def test_the_live_bays_go_on_where_the_past_ends() -> None:
    bays = make_bays(_small_fleet(), "test", T0 - 2 * 86_400)
    rows = simulate_past(bays, dict.fromkeys(bays, NOW), TARIFF)
    for (station, evse), bay in bays.items():
        known = [
            row.values["energy_import_wh"]
            for row in rows
            if hasattr(row, "values") and (row.station, row.evse) == (station, evse)
        ]
        assert bay.reading(T0).register_wh >= max(known, default=0)
        assert bay.due() > T0


def test_nothing_of_the_past_lies_in_the_future_or_was_received() -> None:
    bays = make_bays(_small_fleet(), "test", T0 - 2 * 86_400)
    rows = simulate_past(bays, dict.fromkeys(bays, NOW), TARIFF)
    kinds = Counter(type(row).__name__ for row in rows)
    assert set(kinds) == {"Session", "Sample", "Occurrence"}
    for row in rows:
        assert (getattr(row, "ended_at", None) or getattr(row, "at", NOW)) <= NOW
        assert getattr(row, "stop_received_at", None) is None


def test_writing_the_past_can_be_called_off(records: Records, tmp_path: Path) -> None:
    telemetry = SqliteTelemetry(tmp_path / "telemetry.db")
    bays = make_bays(_small_fleet(), "test", T0 - 86_400)
    assert write_past(simulate_past(bays, dict.fromkeys(bays, NOW), TARIFF), records, telemetry, lambda: False) == 0
    telemetry.close()


def test_the_fleet_file_is_shipped_with_the_package() -> None:
    assert FILE.parent.name == "demo"
    assert FILE.is_file()
