"""Sessions, statuses and samples out of what chargers say, told as little scenes. No broker, no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge.book import Book
from bridge.events import (
    AnyEvent,
    ConnectorStatus,
    EnergySource,
    MeterSampled,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StatusChanged,
    TokenPresented,
    TransactionEnded,
    TransactionStarted,
)
from bridge.evidence import Start
from bridge.mqtt.derive import Tracker
from bridge.mqtt.mapping import VENDORS, Mapping, load_mapping, parse_mapping
from bridge.session import Session, SessionState

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
GOE, OPENWB, EVEREST, EVCC = (load_mapping(VENDORS / f"{name}.toml") for name in ("goe", "openwb2", "everest", "evcc"))


class Scene:
    """A station seen from noon on; ``says`` at a second, then time passes by ``wait``."""

    def __init__(self, mapping: Mapping, base: str, book: Book | None = None) -> None:
        self.mapping = mapping
        self.base = base
        self.book = book or Book("test")
        self.station = f"{mapping.vendor}-{mapping.device(base + self._any_topic())}"
        self.tracker = Tracker.restored(self.station, mapping, "broker", self.book)
        self.events: list[AnyEvent] = []
        self.second = 0.0

    def _any_topic(self) -> str:
        return {"goe": "/car", "openwb2": "/plug_state", "everest": "/limits", "evcc": "/status", "own": "/session"}[
            self.mapping.vendor
        ]

    def says(self, second: float, topic: str, payload: str, retained: bool = False) -> list[AnyEvent]:
        self.wait(second)
        at = NOON + timedelta(seconds=second)
        return self._apply(
            self.tracker.take(self.mapping.read(f"{self.base}/{topic}", payload.encode(), retained, at))
        )

    def retained(self, second: float, **topics: str) -> None:
        for topic, payload in topics.items():
            self.says(second, topic, payload, retained=True)

    def wait(self, until_second: float) -> list[AnyEvent]:
        """Tick every half second, as the bridge does every second."""
        events: list[AnyEvent] = []
        while self.second < until_second:
            self.second = min(self.second + 0.5, until_second)
            events += self._apply(self.tracker.tick(NOON + timedelta(seconds=self.second)))
        return events

    def restart(self) -> Scene:
        """The bridge dies and comes back with what the book has."""
        again = Scene(self.mapping, self.base, self.book)
        again.second = self.second
        return again

    def _apply(self, events: list[AnyEvent]) -> list[AnyEvent]:
        for event in events:
            self.book.apply(event)
        self.events += events
        return events

    @property
    def sessions(self) -> list[Session]:
        return list(self.book.sessions.get(self.station, {}).values())

    def of(self, kind: type) -> list[AnyEvent]:
        return [event for event in self.events if isinstance(event, kind)]


def at(second: float) -> datetime:
    return NOON + timedelta(seconds=second)


def goe() -> Scene:
    """A go-e that is idle and known."""
    scene = Scene(GOE, "go-eCharger/1")
    for topic, payload in (("car", "1"), ("eto", "50000"), ("wh", "0")):
        scene.says(0, topic, payload)
    return scene


def openwb() -> Scene:
    scene = Scene(OPENWB, "openWB/chargepoint/4/get")
    for topic, payload in (("plug_state", "false"), ("charge_state", "false"), ("imported", "7000")):
        scene.says(0, topic, payload)
    return scene


def test_plug_charge_pause_unplug_is_one_session_with_the_registers_energy() -> None:
    scene = goe()
    scene.says(10, "car", "3")
    scene.says(20, "car", "2")
    scene.says(30, "eto", "51000")
    scene.says(40, "car", "3")
    scene.says(50, "car", "2")
    scene.says(60, "eto", "52500")
    scene.says(70, "car", "4")
    scene.says(80, "car", "1")
    scene.wait(90)
    (session,) = scene.sessions
    assert (session.started_at, session.ended_at) == (at(10), at(80))
    assert (session.meter_start_wh, session.meter_stop_wh, session.energy_wh) == (50_000, 52_500, 2_500)
    assert session.charging_s == (40 - 20) + (70 - 50)
    assert (session.evidence.start, session.evidence.has_start_register) == (Start.DERIVED, True)
    assert (session.state, session.review) == (SessionState.ENDED, ())
    assert session.stop_reason == "EVDisconnected"


def test_end_is_the_first_off_and_waits_for_the_hold() -> None:
    scene = goe()
    scene.says(10, "car", "2")
    scene.says(100, "car", "1")
    assert scene.wait(104.5) == []
    (ended,) = scene.wait(106)
    assert isinstance(ended, TransactionEnded)
    assert (ended.at, ended.received_at) == (at(100), at(105))


def test_flapping_plug_leaves_one_session() -> None:
    scene = openwb()
    for second in range(10, 40, 4):
        scene.says(second, "plug_state", "true")
        scene.says(second + 2, "plug_state", "false")
    scene.wait(60)
    (session,) = scene.sessions
    assert (session.started_at, session.ended_at) == (at(10), at(40))


def test_register_that_comes_after_the_unplug_still_counts() -> None:
    scene = goe()
    scene.says(10, "car", "2")
    scene.says(20, "eto", "50900")
    scene.says(30, "car", "1")
    scene.says(31, "eto", "51000")
    scene.wait(60)
    assert scene.sessions[0].energy_wh == 1_000


def test_second_car_makes_a_second_session_from_its_own_register() -> None:
    scene = goe()
    for start, register in ((10, "50500"), (60, "50800")):
        scene.says(start, "car", "2")
        scene.says(start + 10, "eto", register)
        scene.says(start + 20, "car", "1")
        scene.wait(start + 40)
    assert [s.energy_wh for s in scene.sessions] == [500, 300]
    assert len({s.transaction_id for s in scene.sessions}) == 2


def test_energy_by_the_chargers_counter_where_there_is_no_register() -> None:
    scene = Scene(GOE, "go-eCharger/1")
    scene.says(0, "car", "1")
    scene.says(10, "car", "2")
    scene.says(20, "wh", "700.4")
    scene.says(30, "wh", "1500.2")
    scene.says(40, "car", "1")
    scene.says(41, "wh", "0")
    scene.wait(60)
    (session,) = scene.sessions
    assert (session.energy_wh, session.energy_source) == (1_500, EnergySource.SESSION_COUNTER)


def test_energy_by_power_over_time_where_there_is_nothing_else() -> None:
    scene = Scene(OPENWB, "openWB/chargepoint/4/get")
    scene.says(0, "plug_state", "false")
    scene.says(10, "plug_state", "true")
    for second in range(20, 3_621, 10):
        scene.says(second, "power", "7200")
    scene.says(3_630, "plug_state", "false")
    scene.wait(3_650)
    (session,) = scene.sessions
    assert (session.energy_wh, session.energy_source) == (7_200, EnergySource.POWER_INTEGRAL)


def test_hub_that_says_zero_before_it_has_read_its_meter_costs_nobody_anything() -> None:
    scene = openwb()
    scene.says(10, "plug_state", "true")
    scene.says(20, "imported", "7500")
    scene.says(30, "imported", "0")
    scene.says(40, "imported", "8000")
    scene.says(50, "plug_state", "false")
    scene.wait(60)
    assert scene.sessions[0].energy_wh == 1_000


# found under way


def test_session_found_under_way_has_an_unknown_start_and_all_its_energy() -> None:
    scene = Scene(GOE, "go-eCharger/1")
    scene.retained(0, eto="90000", car="2", nrg="[230,230,230,0,16,16,16,1,1,1,0,11040]", wh="4000.4")
    assert scene.sessions == []
    scene.says(1, "wh", "4000.4")
    scene.wait(3)
    (session,) = scene.sessions
    assert session.state is SessionState.CHARGING
    assert session.review == ("start not seen: already charging when first heard of",)
    scene.says(10, "eto", "90500")
    scene.says(20, "car", "1")
    scene.wait(30)
    (session,) = scene.sessions
    assert (session.meter_start_wh, session.energy_wh) == (86_000, 4_500)


def test_first_word_that_a_car_is_there_is_no_known_start_even_when_live() -> None:
    scene = Scene(OPENWB, "openWB/chargepoint/4/get")
    scene.says(0, "plug_state", "true")
    scene.wait(5)
    (started,) = scene.of(TransactionStarted)
    assert isinstance(started, TransactionStarted)
    assert started.start_unknown
    assert [session.evidence.start for session in scene.sessions] == [Start.UNSEEN]


def test_car_that_came_while_we_were_away_pays_for_nothing_that_flowed_unseen() -> None:
    scene = openwb()
    scene = scene.restart()
    scene.retained(600, imported="9000", plug_state="true", charge_state="true")
    scene.wait(605)
    (session,) = scene.sessions
    assert (session.meter_start_wh, session.energy_wh) == (9_000, 0)
    assert session.review


def test_retained_state_does_not_look_live() -> None:
    scene = Scene(GOE, "go-eCharger/1")
    scene.retained(0, car="1", eto="90000", nrg="[230,230,230,0,16,16,16,1,1,1,0,11040]")
    samples = [event for event in scene.of(MeterSampled) if isinstance(event, MeterSampled)]
    assert all(sample.offline for sample in samples)
    assert not [sample for sample in samples if "power_w" in sample.values]
    assert scene.of(StationConnected) == []
    assert [type(e) for e in scene.says(5, "amp", "16")] == [StationConnected, MeterSampled]


# restarts


def test_restart_in_mid_session_goes_on_with_the_same_session() -> None:
    scene = goe()
    scene.says(10, "car", "2")
    scene.says(20, "eto", "51000")
    scene = scene.restart()
    scene.retained(30, car="2", eto="51200", wh="1200")
    scene.wait(40)
    scene.says(50, "eto", "52000")
    scene.says(60, "car", "1")
    scene.wait(70)
    (session,) = scene.sessions
    assert (session.started_at, session.ended_at, session.energy_wh) == (at(10), at(60), 2_000)
    assert session.review == ()
    assert scene.of(TransactionStarted) == []


def test_session_that_ended_while_we_were_away_ends_when_it_was_last_heard_of() -> None:
    scene = goe()
    scene.says(10, "car", "2")
    scene.says(20, "eto", "51000")
    scene = scene.restart()
    scene.retained(3_600, car="1", eto="52000")
    scene.wait(3_610)
    (session,) = scene.sessions
    assert (session.ended_at, session.energy_wh) == (at(20), 2_000)


def test_end_that_waited_to_be_believed_survives_a_restart() -> None:
    scene = goe()
    scene.says(10, "car", "2")
    scene.says(20, "eto", "51000")
    scene.says(30, "car", "1")
    scene.wait(32)
    scene = scene.restart()
    scene.wait(40)
    (session,) = scene.sessions
    assert (session.ended_at, session.energy_wh, session.state) == (at(30), 1_000, SessionState.ENDED)


def test_restart_does_not_repeat_what_is_shown() -> None:
    scene = openwb()
    scene.says(10, "plug_state", "true")
    scene.says(11, "charge_state", "true")
    scene = scene.restart()
    scene.retained(20, plug_state="true", imported="7100", charge_state="true")
    assert scene.of(StatusChanged) == []
    scene.says(30, "charge_state", "false")
    assert len(scene.of(StatusChanged)) == 1


@pytest.mark.parametrize("topics", [["car", "eto"], ["eto", "car"]])
def test_retained_state_said_again_changes_nothing(topics: list[str]) -> None:
    scene = goe()
    scene.says(10, "car", "2")
    scene.says(20, "eto", "51000")
    scene = scene.restart()
    for second in (30, 40):
        for topic in topics:
            scene.says(second, topic, {"car": "2", "eto": "51000"}[topic], retained=True)
    scene.wait(60)
    (session,) = scene.sessions
    assert (session.energy_wh, session.is_open) == (1_000, True)


# statuses


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"connected": "false"}, "Available"),
        ({"connected": "true"}, "Preparing"),
        ({"connected": "true", "charging": "true"}, "Charging"),
        ({"connected": "true", "enabled": "false"}, "SuspendedEVSE"),
        ({"connected": "false", "charging": "true"}, "Available"),
        ({"charging": "true"}, None),
        ({"connected": ""}, None),
    ],
)
def test_booleans_make_a_status(said: dict[str, str], shown: str | None) -> None:
    scene = Scene(EVCC, "evcc")
    for key, value in said.items():
        scene.says(0, f"loadpoints/1/{key}", value)
    connector = scene.book.connectors.get(("evcc-1", 1, 1))
    assert (connector.status if connector else None) == shown


def test_pause_after_charging_is_the_cars() -> None:
    scene = openwb()
    scene.says(10, "plug_state", "true")
    scene.says(20, "charge_state", "true")
    scene.says(30, "charge_state", "false")
    assert scene.book.connectors["openwb2-1", 4, 1].status is ConnectorStatus.SUSPENDED_EV
    assert scene.sessions[0].state is SessionState.SUSPENDED


def test_fault_shows_and_ends_no_session() -> None:
    scene = openwb()
    scene.says(10, "plug_state", "true")
    scene.says(15, "fault_str", '"Der Ladepunkt antwortet nicht."')
    scene.says(20, "fault_state", "2")
    connector = scene.book.connectors["openwb2-1", 4, 1]
    assert (connector.status, connector.error_code) == (ConnectorStatus.FAULTED, "OtherError")
    assert connector.info == "Der Ladepunkt antwortet nicht."
    scene.says(30, "fault_state", "0")
    scene.wait(60)
    assert scene.book.connectors["openwb2-1", 4, 1].status is ConnectorStatus.PREPARING
    assert len(scene.sessions) == 1
    assert scene.sessions[0].is_open


def test_permanent_fault_of_everest_stands_above_its_state_and_ends_no_session() -> None:
    scene = Scene(EVEREST, "everest_api/evse_manager/var")
    scene.says(0, "session_info", '{"state": "Unplugged", "permanent_fault": false}')
    scene.says(10, "session_info", '{"state": "Charging", "permanent_fault": false}')
    scene.says(20, "session_info", '{"state": "Unplugged", "permanent_fault": true}')
    scene.wait(30)
    connector = scene.book.connectors["everest-1", 1, 1]
    assert (connector.status, connector.error_code) == (ConnectorStatus.FAULTED, "OtherError")
    assert scene.sessions[0].is_open


def test_error_code_of_a_status_vendor_is_kept_beside_its_status() -> None:
    scene = goe()
    scene.says(10, "err", "3")
    scene.says(11, "err", "13")
    changed = [event for event in scene.of(StatusChanged) if isinstance(event, StatusChanged)]
    assert [(c.status, c.error_code) for c in changed] == [
        (ConnectorStatus.AVAILABLE, "NoError"),
        (ConnectorStatus.AVAILABLE, "OtherError"),
        (ConnectorStatus.AVAILABLE, "HighTemperature"),
    ]


def test_evcc_that_empties_its_topics_and_comes_back_keeps_the_session() -> None:
    scene = Scene(EVCC, "evcc")
    scene.says(0, "status", "online")
    scene.says(0, "loadpoints/1/connected", "false")
    scene.says(10, "loadpoints/1/connected", "true")
    scene.says(20, "loadpoints/1/chargeTotalImport", "100.0")
    for key in ("connected", "charging", "chargePower", "chargeTotalImport"):
        scene.says(30, f"loadpoints/1/{key}", "")
    scene.says(31, "status", "offline")
    scene.wait(90)
    assert not scene.tracker.is_connected
    scene.says(91, "loadpoints/1/chargeTotalImport", "101.5")
    scene.says(92, "loadpoints/1/connected", "true")
    scene.says(93, "status", "online")
    scene.says(100, "loadpoints/1/connected", "false")
    scene.wait(110)
    (session,) = scene.sessions
    assert (session.started_at, session.ended_at, session.energy_wh) == (at(10), at(100), 1_500)


# stations


def test_silence_disconnects_and_the_next_word_connects() -> None:
    scene = Scene(EVEREST, "everest_api/evse_manager/var")
    scene.says(0, "limits", '{"max_current": 16}')
    (gone,) = scene.wait(31)
    assert isinstance(gone, StationDisconnected)
    assert gone.reason == "silent for 30 s"
    assert scene.wait(90) == []
    scene.says(90, "limits", '{"max_current": 16}')
    assert len(scene.of(StationConnected)) == 2


def test_last_will_connects_by_retained_state_and_disconnects() -> None:
    scene = Scene(EVCC, "evcc")
    scene.retained(0, status="online")
    assert scene.tracker.is_connected
    scene.wait(100_000)
    assert scene.tracker.is_connected
    scene.says(100_001, "status", "offline")
    scene.says(100_002, "loadpoints/1/chargePower", "10")
    assert not scene.tracker.is_connected
    assert len(scene.of(StationDisconnected)) == 1


def test_identity_is_told_once() -> None:
    scene = Scene(GOE, "go-eCharger/1")
    for second in (1, 2, 3):
        scene.says(second, "fwv", '"056.2"')
    again = scene.restart()
    again.says(10, "fwv", '"056.2"')
    again.says(11, "fwv", '"057.0"')
    told = [(e.vendor, e.firmware) for e in scene.events + again.events if isinstance(e, StationBooted)]
    assert told == [("go-e", "056.2"), ("go-e", "057.0")]


# samples


def test_burst_of_topics_becomes_one_row() -> None:
    scene = openwb()
    scene.says(10.0, "power", "11000")
    scene.says(10.1, "currents", "[16,16,16]")
    scene.says(10.2, "voltages", "[230,231,232]")
    scene.says(11.5, "power", "10000")
    rows: dict[datetime, dict[str, float]] = {}
    for event in scene.of(MeterSampled):
        assert isinstance(event, MeterSampled)
        rows[event.at] = event.values  # as the store's upsert does
    assert list(rows) == [at(0), at(10), at(11.5)]
    assert set(rows[at(10)]) == {
        "power_w", "current_a_l1", "current_a_l2", "current_a_l3", "voltage_v_l1", "voltage_v_l2", "voltage_v_l3",
    }  # fmt: skip


def test_device_time_is_kept_where_there_is_one() -> None:
    scene = Scene(EVEREST, "everest_api/evse_manager/var")
    scene.says(5, "powermeter", '{"timestamp": "2026-05-01T12:00:03.5Z", "power_W": {"total": 10}}')
    (sample,) = scene.of(MeterSampled)
    assert (sample.at, sample.received_at) == (at(3.5), at(5))


def test_card_named_after_the_plug_in_reaches_the_session() -> None:
    scene = goe()
    scene.says(10, "car", "3")
    scene.says(12, "trx", "3")
    scene.says(13, "trx", "3")
    (shown,) = scene.of(TokenPresented)
    assert isinstance(shown, TokenPresented)
    assert shown.token == scene.sessions[0].token == "goe-1-card-3"


OWN = parse_mapping(
    "own",
    """
[source]
label = "Own"
base = ["own/{device}"]
decode = "json"
[[map]]
topic = "session"
time = "at"
fields = [
  { path = "event", kind = "session_event", name = "id", values = { begun = "start", over = "end" } },
  { path = "wh", measurand = "Energy.Active.Import.Register", unit = "Wh" },
]
[session]
mode = "events"
""",
)


def test_charger_that_announces_its_sessions_is_believed() -> None:
    scene = Scene(OWN, "own/7")
    scene.says(1, "session", '{"event": "begun", "id": "a-b-c", "wh": 100, "at": "2026-05-01T12:00:00.5Z"}')
    scene.says(2, "session", '{"event": "begun", "id": "a-b-c", "wh": 100, "at": "2026-05-01T12:00:00.5Z"}')
    scene.says(60, "session", '{"event": "paused", "wh": 300}')
    scene.says(90, "session", '{"event": "over", "id": "a-b-c", "wh": 400, "at": "2026-05-01T12:01:29Z"}')
    (session,) = scene.sessions
    assert (session.transaction_id, session.energy_wh) == ("a-b-c", 300)
    assert (session.started_at, session.ended_at) == (at(0.5), at(89))
    assert session.evidence.start is Start.OWN
