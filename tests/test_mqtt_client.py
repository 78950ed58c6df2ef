"""MQTT chargers over a real broker: what arrives, what is acknowledged, what survives."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
import servers
from mqtt_world import KeptBroker, Spy, World, on_loop, publisher, send, until

from bridge.access import Directory, StationEntry
from bridge.events import ConnectorStatus, MeterSampled, decode
from bridge.journal import Journal
from bridge.session import SessionState
from bridge.snapshots import Connector

SAMPLES = Path(__file__).parent / "mqtt_samples"
_FULL_POWER = "[230,230,230,0,16,16,16,3680,3680,3680,0,11040,100,100,100,0]"


@on_loop
async def test_go_e_session_from_plug_to_unplug(mosquitto: servers.Mosquitto, tmp_path: Path) -> None:
    world = World(tmp_path, mosquitto.port, ("goe",))
    base = "go-eCharger/e2e001"
    async with world.running() as chargers:
        with publisher(mosquitto.port) as charger:
            for topic, payload in [("car", "1"), ("eto", "100000"), ("wh", "0"), ("err", "0"), ("fwv", '"056.2"')]:
                await send(charger, f"{base}/{topic}", payload)
            await send(charger, f"{base}/car", "3")
            await send(charger, f"{base}/car", "2")
            await send(charger, f"{base}/nrg", _FULL_POWER)
            await send(charger, f"{base}/eto", "104200")
            await send(charger, f"{base}/car", "4")
            await send(charger, f"{base}/car", "1")
            await until(lambda: chargers.messages == 11)
            world.wait(6)
        assert chargers.stations == ["goe-e2e001"]
    (session,) = world.book.sessions["goe-e2e001"].values()
    assert session.state is SessionState.ENDED
    assert (session.meter_start_wh, session.meter_stop_wh, session.energy_wh) == (100_000, 104_200, 4_200)
    assert session.power_max_w == 11_040
    assert session.review == ()
    station = world.book.stations["goe-e2e001"]
    assert (station.is_connected, station.vendor, station.firmware) == (True, "go-e", "056.2")
    assert world.book.connectors["goe-e2e001", 1, 1].status is ConnectorStatus.AVAILABLE
    assert station.protocol == "mqtt/goe"


# vendor -> station, evse, what the connector must show, fields sampled, topics that are not kept
_EXPECTED: dict[str, tuple[str, int, dict[str, Any], set[str], set[str]]] = {
    "goe": (
        "goe-000001",
        1,
        {"status": "Available", "register_wh": 333_661, "power_w": 0.0},
        {"voltage_v_l1", "power_w", "energy_import_wh", "session_energy_wh", "current_offered_a", "temperature_c"},
        {"alw", "cbl", "fhz", "modelStatus", "utc", "rbt"},
    ),
    "openwb2": (
        "openwb2-1",
        3,
        {"status": "Available", "register_wh": 0, "power_w": 0.0, "info": ""},
        {"power_w", "energy_import_wh", "current_a_l1", "current_a_l3"},
        {"state_str"},
    ),
    "everest": (
        "everest-1",
        1,
        {"status": "Available", "register_wh": 4612, "power_w": 10807.64453125},
        {"power_w", "energy_import_wh", "voltage_v_l3", "current_residual_a", "temperature_c", "current_offered_a"},
        {"connectors", "datetime", "connection_status", "set_limit_amps_phases"},
    ),
    "evcc": (
        "evcc-1",
        1,
        {"status": "Preparing", "power_w": 0.3},
        {"power_w", "soc_percent"},
        {"vehicleName", "gridPower", "power", "set"},
    ),
}


@pytest.mark.parametrize("vendor", _EXPECTED)
@on_loop
async def test_messages_seen_in_the_field_arrive(mosquitto: servers.Mosquitto, tmp_path: Path, vendor: str) -> None:
    station, evse, shows, fields, noise = _EXPECTED[vendor]
    samples = [json.loads(line) for line in (SAMPLES / f"{vendor}.jsonl").read_text().splitlines()]
    world = World(tmp_path, mosquitto.port, (vendor,))
    async with world.running() as chargers:
        with publisher(mosquitto.port) as charger:
            for sample in samples:
                await send(charger, sample["topic"], sample["payload"], sample["qos"])
            kept = [s for s in samples if s["topic"].rsplit("/", 1)[1] not in noise or s["topic"].count("/get/power")]
            await until(lambda: world.journal.committed >= len(kept))
        assert chargers.stations == [station]
    entries = [entry for _, entry in world.journal.read(0, 1000)]
    assert [(e.action, e.frame.decode()) for e in entries] == [(s["topic"], s["payload"]) for s in kept]
    connector = world.book.connectors[station, evse, 1]
    assert {name: getattr(connector, name) for name in shows} == shows
    sampled = [e for entry in entries for e in decode(entry.events) if isinstance(e, MeterSampled) and e.evse == evse]
    assert {name for event in sampled for name in event.values} >= fields


@on_loop
async def test_retained_session_is_found_under_way(mosquitto: servers.Mosquitto, tmp_path: Path) -> None:
    base = "go-eCharger/kept1"
    retained = [("car", "2"), ("eto", "70000"), ("wh", "2500"), ("nrg", _FULL_POWER)]
    with publisher(mosquitto.port) as charger:
        for topic, payload in retained:
            await send(charger, f"{base}/{topic}", payload, retain=True)
        world = World(tmp_path, mosquitto.port, ("goe",))
        async with world.running() as chargers:
            await until(lambda: len([t for t, _ in world.topics() if "kept1" in t]) == len(retained))
            assert chargers.stations == []
            world.wait(3)
        for topic, _ in retained:
            await send(charger, f"{base}/{topic}", b"", retain=True)
    (session,) = world.book.sessions["goe-kept1"].values()
    assert (session.energy_wh, session.meter_start_wh) == (2_500, 67_500)
    assert session.review == ("start not seen: already charging when first heard of",)
    assert world.book.connectors["goe-kept1", 1, 1].power_w is None


class HeldJournal(Journal):
    """Its disk is slow for as long as the test wants."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, commit_every_s=0)
        self.may_commit = threading.Event()

    def _commit(self, database: sqlite3.Connection) -> None:
        self.may_commit.wait(30)
        super()._commit(database)


@on_loop
async def test_acknowledgement_comes_after_the_commit(mosquitto: servers.Mosquitto, tmp_path: Path) -> None:
    journal = HeldJournal(tmp_path / "journal.db")
    spy = Spy(mosquitto.port)
    world = World(tmp_path, spy.port, ("goe",), journal)
    async with spy.running(), world.running() as chargers:
        with publisher(mosquitto.port) as charger:
            for number in range(5):
                await send(charger, "go-eCharger/ack1/eto", str(number))
            await send(charger, "go-eCharger/ack1/fwv", '"1"', qos=0)
            await until(lambda: chargers.messages == 6)
            await asyncio.sleep(0.3)
            assert spy.acks == 0
            journal.may_commit.set()
            await until(lambda: spy.acks == 5)
    assert journal.committed == 6


@on_loop
async def test_message_sent_again_is_acknowledged_and_changes_nothing(
    mosquitto: servers.Mosquitto, tmp_path: Path
) -> None:
    spy = Spy(mosquitto.port)
    says = [("car", "1"), ("eto", "1000"), ("car", "2"), ("eto", "1600"), ("car", "1"), ("eto", "1600")]
    spy.keeps_acks = True
    async with spy.running():
        world = World(tmp_path, spy.port, ("goe",))
        async with world.running() as chargers:
            with publisher(mosquitto.port) as charger:
                for topic, payload in says:
                    await send(charger, f"go-eCharger/dup1/{topic}", payload)
            await until(lambda: spy.acks == len(says))
            spy.cut()  # the same bridge gets them again ...
            await until(lambda: chargers.messages == 2 * len(says))
            world.wait(10)
            await until(lambda: spy.acks == 2 * len(says))
        again = World(tmp_path, spy.port, ("goe",))
        spy.keeps_acks = False
        async with again.running() as chargers:  # ... and so does the one that comes after it
            await until(lambda: chargers.messages == len(says))
            await until(lambda: spy.acks == 3 * len(says))
            again.wait(10)
            assert [frame.decode() for _, frame in again.topics()] == [payload for _, payload in says] + [""]
    (session,) = again.book.sessions["goe-dup1"].values()
    assert (session.state, session.energy_wh) == (SessionState.ENDED, 600)


@on_loop
async def test_broker_killed_in_mid_session_loses_nothing_it_has_acknowledged(tmp_path: Path) -> None:
    broker = KeptBroker(tmp_path)
    broker.start()
    said: list[tuple[str, str]] = []

    async def says(*messages: tuple[str, str]) -> None:
        with publisher(broker.port) as charger:
            for topic, payload in messages:
                await send(charger, f"go-eCharger/kill1/{topic}", payload)
                said.append((f"go-eCharger/kill1/{topic}", payload))

    def has_all(world: World) -> bool:
        return [(topic, frame.decode()) for topic, frame in world.topics() if frame] == said

    try:
        world = World(tmp_path, broker.port, ("goe",))
        async with world.running():
            await says(("car", "1"), ("eto", "1000"), ("car", "2"), ("eto", "1100"))
            await until(lambda: has_all(world))
        await says(("eto", "1200"), ("eto", "1300"))  # the bridge is away
        await asyncio.sleep(0.5)  # mosquitto acknowledges before it saves: what follows is our part
        broker.kill()
        broker.start()
        world = World(tmp_path, broker.port, ("goe",))
        async with world.running() as chargers:
            await until(lambda: has_all(world))
            broker.kill()
            await until(lambda: not chargers.is_up)
            broker.start()
            await until(lambda: chargers.is_up)  # it comes back by itself
            await says(("eto", "1400"), ("car", "1"))
            await until(lambda: has_all(world))
            world.wait(6)
            await asyncio.sleep(0.2)
            assert has_all(world)
    finally:
        broker.kill()
    (session,) = world.book.sessions["goe-kill1"].values()
    assert (session.state, session.energy_wh, session.review) == (SessionState.ENDED, 400, ())


@pytest.mark.parametrize("version_5", ["is refused", "is hung up on", "is not understood"])
@on_loop
async def test_broker_that_knows_only_3_1_1_is_spoken_to_in_3_1_1(
    mosquitto: servers.Mosquitto, tmp_path: Path, version_5: str
) -> None:
    spy = Spy(mosquitto.port, version_5)
    world = World(tmp_path, spy.port, ("goe",))
    async with spy.running(), world.running() as chargers:
        with publisher(mosquitto.port) as charger:
            await send(charger, "go-eCharger/old1/eto", "7")
        await until(lambda: spy.acks == 1)
        assert chargers.messages == 1
        await chargers.stop()
        await until(lambda: spy.sent[-1][0] == 0xE0)  # it says good-bye
    versions = [packet[8] for packet in spy.sent if packet[0] == 0x10]
    assert versions == [5, 4]


_NONSENSE = [b"\xff\xfe", b"NaN", b"1e400", b"[" * 100_000, b"{}", b"9" * 5000, b"null", b"", b"true", b"\x00"]


@on_loop
async def test_nonsense_of_one_station_is_kept_and_touches_no_other(
    mosquitto: servers.Mosquitto, tmp_path: Path
) -> None:
    world = World(tmp_path, mosquitto.port)
    topics = ["go-eCharger/mad1/nrg", "go-eCharger/mad1/car", "evcc/loadpoints/1/connected"]
    async with world.running() as chargers:
        with publisher(mosquitto.port) as charger:
            await send(charger, "go-eCharger/sane1/car", "1")
            for topic in topics:
                for payload in _NONSENSE:
                    await send(charger, topic, payload)
            await send(charger, "go-eCharger/mad1/eto", b"1" * 10_000_000)
            await send(charger, "go-eCharger/" + "x" * 200 + "/car", "1")
            await send(charger, "go-eCharger/sane1/car", "2")
            await until(lambda: chargers.messages == 2 + len(topics) * len(_NONSENSE) + 2)
            await send(charger, "go-eCharger/sane1/eto", "5")
            await until(lambda: world.book.connectors["goe-sane1", 1, 1].register_wh == 5)
    assert world.book.connectors["goe-sane1", 1, 1].status is ConnectorStatus.CHARGING
    assert world.book.stations["goe-sane1"].refused_frames == 0
    assert world.book.stations["goe-mad1"].refused_frames > 5
    assert world.book.connectors.get(("goe-mad1", 1, 1), Connector(station="", evse=1)).register_wh is None
    assert max(len(frame) for _, frame in world.topics()) == 65_536
    assert set(world.book.stations) == {"goe-sane1", "goe-mad1", "evcc-1"}


@pytest.mark.parametrize("policy", ["reject", "hold"])
@on_loop
async def test_unknown_station_is_kept_and_counted_but_not_shown(
    mosquitto: servers.Mosquitto, tmp_path: Path, policy: str
) -> None:
    world = World(tmp_path, mosquitto.port, ("goe",), stations={"unknown": policy})
    world.intake.directory = Directory(
        stations={"goe-in": StationEntry(id="goe-in"), "goe-key": StationEntry(id="goe-key", key_hmac=b"x")}
    )
    async with world.running() as chargers:
        with publisher(mosquitto.port) as charger:
            for device in ("in", "out", "key"):
                await send(charger, f"go-eCharger/{device}/car", "1")
            await until(lambda: chargers.messages == 3)
            assert set(world.book.stations) == {"goe-in"}
            assert chargers.refused_messages == 2
            somebody_registers_it = Directory(stations={"goe-out": StationEntry(id="goe-out")})
            world.intake.directory = somebody_registers_it
            await send(charger, "go-eCharger/out/car", "1")
            await until(lambda: "goe-out" in world.book.stations)
        await until(lambda: len(world.topics()) == 4)


@on_loop
async def test_keep_alives_are_published_to_every_known_device(mosquitto: servers.Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "quiet.toml").write_text("""
[source]
label = "Quiet"
base = ["quiet/{device}"]
[[map]]
topic = "power"
measurand = "Power.Active.Import"
[[publish]]
topic = "wake/{device}/now"
payload = "please"
on = "connect"
[[publish]]
topic = "wake/{device}/again"
every = 30
""")
    chargers = {"vendors": ("quiet",), "mappings": tmp_path}
    world = World(tmp_path, mosquitto.port, chargers=chargers)
    world.intake.directory = Directory(stations={"quiet-r1": StationEntry(id="quiet-r1")})
    heard: list[tuple[str, bytes]] = []
    with publisher(mosquitto.port) as device:
        device.on_message = lambda _client, _data, message: heard.append((message.topic, message.payload))
        device.subscribe("wake/#", 1)
        await asyncio.sleep(0.2)
        async with world.running():
            await until(lambda: ("wake/r1/now", b"please") in heard)
            world.wait(31)
            world.wait(31)
            await until(lambda: heard.count(("wake/r1/again", b"")) >= 2)


@on_loop
async def test_without_vendors_no_broker_is_asked(tmp_path: Path) -> None:
    world = World(tmp_path, 1, ())
    await world.chargers.start()
    world.chargers.flush(0)
    assert (world.chargers.stations, world.chargers.messages, world.chargers.is_up) == ([], 0, False)
    await world.chargers.stop()
    world.journal.close()


@on_loop
async def test_broker_that_stays_away_makes_the_stations_unreachable(tmp_path: Path) -> None:
    broker = KeptBroker(tmp_path)
    broker.start()
    try:
        world = World(tmp_path, broker.port, ("evcc",))
        async with world.running() as chargers:
            with publisher(broker.port) as charger:
                await send(charger, "evcc/status", "online", retain=True)
            await until(lambda: chargers.stations == ["evcc-1"])
            broker.kill()
            await until(lambda: not chargers.is_up)
            world.wait(20)
            assert chargers.stations == ["evcc-1"]
            world.wait(20)
            assert chargers.stations == []
            broker.start()
            await until(lambda: chargers.stations == ["evcc-1"])
    finally:
        broker.kill()
