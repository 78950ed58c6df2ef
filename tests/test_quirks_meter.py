"""What meters and their chargers say, and the energy, power and current that are read from it all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ocpp_world import Desk, desk
from quirks_world import (
    POWER,
    at,
    energies,
    journaled,
    kept_frames,
    meter,
    register,
    sample,
    start,
    station,
    stop,
    transaction_event,
    when,
)

from bridge.events import EnergySource, MeterSampled
from bridge.ocpp import v16, v21, v201
from bridge.ocpp.versions import Version
from bridge.session import SessionState


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path, v16.VERSION) as there:
        yield there


def values(there: Desk) -> dict[str, float]:
    """Of the reading in the last frame."""
    return next((event.values for event in there.events if isinstance(event, MeterSampled)), {})


def power(there: Desk, connector: int = 1) -> float | None:
    return there.intake.book.connectors["CP", connector, 1].power_w


def test_quirk_28_numbers_for_strings_leading_spaces_and_empty_lists(old: Desk) -> None:
    payload = {"connectorId": "1", "idTag": 12345678, "meterStart": "1000", "timestamp": at(-600)}
    transaction = old.say("StartTransaction", payload)["transactionId"]
    assert old.sessions[0].token == "12345678"
    for seconds, value in ((-500, 1100), (-400, " 1200"), (-300, 1300.0), (-200, "1400.00 ")):
        assert meter(old, seconds, {"value": value}, transaction=transaction) == {}
    assert meter(old, -100, transaction=transaction) == {}, "an empty list"
    assert energies(old) == [400]


def test_quirk_29_measurand_and_unit_missing_and_kilo_units_mixed_in(old: Desk) -> None:
    transaction = start(old)
    meter(old, -500, "1500", transaction=transaction)
    assert energies(old) == [500]
    mixed = sample("2.0", unit="kWh"), sample("11", POWER, unit="kW")
    meter(old, -400, *mixed, transaction=transaction)
    assert (energies(old), power(old)) == ([1000], 11_000.0)
    meter(old, -300, sample("3000", unit="Wh"), sample("7400", POWER, unit="W"), transaction=transaction)
    assert (energies(old), power(old)) == ([2000], 7_400.0)


@pytest.mark.parametrize("phases", [("L1", "L2", "L3"), ("L1-N", "L2-N", "L3-N")])
def test_quirk_30_values_per_phase_only(old: Desk, phases: tuple[str, ...]) -> None:
    transaction = start(old, meter=3000)
    registers = [sample("1100", phase=phase) for phase in phases]
    powers = [sample("1000", POWER, phase=phase) for phase in phases]
    currents = [sample("16", "Current.Import", phase=phase) for phase in (*phases, "N")]
    meter(old, -300, *registers, *powers, *currents, transaction=transaction)
    assert (energies(old), power(old)) == ([300], 3000.0)
    assert values(old)["current_a_n"] == 16.0
    assert "current_a" not in values(old), "the sum of currents is nobody's current"


def test_quirk_31_the_total_register_tagged_l1_is_the_register(old: Desk) -> None:
    transaction = start(old)
    meter(old, -300, sample("1700", phase="L1"), transaction=transaction)
    assert energies(old) == [700]


def test_quirk_31_the_total_on_l1_beside_real_phases_is_read_once_a_person_says_so(tmp_path: Path) -> None:
    said = (sample("9000", POWER, phase="L1"), sample("3000", POWER, phase="L2"), sample("3000", POWER, phase="L3"))
    with desk(tmp_path / "before", v16.VERSION) as there:
        meter(there, 0, *said)
        assert power(there) == 15_000.0
    with station(tmp_path / "after", phase_total="l1_is_total") as there:
        meter(there, 0, *said)
        assert power(there) == 9_000.0


def test_quirk_32_zero_placeholders_for_absent_phases_change_no_total(old: Desk) -> None:
    transaction = start(old)
    of_phases = [sample(value, POWER, phase=phase) for phase, value in (("L1", "3680"), ("L2", "0"), ("L3", "0"))]
    of_voltage = [sample(value, "Voltage", phase=phase) for phase, value in (("L1-N", "230"), ("L2-N", "0"))]
    meter(old, -300, *of_phases, *of_voltage, sample("1500"), transaction=transaction)
    assert (energies(old), power(old)) == ([500], 3680.0)
    assert values(old)["voltage_v_l1"] == 230.0


def test_quirk_33_a_total_that_contradicts_its_phases_stands_unless_a_person_says_otherwise(tmp_path: Path) -> None:
    said = [sample("5000", POWER), *(sample("3000", POWER, phase=phase) for phase in ("L1", "L2", "L3"))]
    with desk(tmp_path / "before", v16.VERSION) as there:
        meter(there, 0, *said)
        assert power(there) == 5_000.0
        assert values(there)["power_w_l2"] == 3_000.0
    with station(tmp_path / "after", phase_total="sum") as there:
        meter(there, 0, *said)
        assert power(there) == 9_000.0


@pytest.mark.parametrize("is_first", [True, False])
def test_quirk_34_a_zero_at_begin_does_not_hide_the_register(old: Desk, is_first: bool) -> None:
    transaction = start(old)
    both = [sample("0", context="Transaction.Begin"), sample("1600", context="Sample.Periodic")]
    meter(old, -300, *(both if is_first else reversed(both)), transaction=transaction)
    meter(old, -200, both[0], transaction=transaction)
    assert [(s.energy_wh, s.review) for s in old.sessions] == [(600, ())]


def relative_day(there: Desk, meter_stop: int) -> None:
    """Lifetime at the edges, from 0 between them."""
    transaction = start(there, meter=4_076_000)
    for seconds, value in ((-500, 104), (-400, 228), (-300, 1_353)):
        meter(there, seconds, value, transaction=transaction)
    stop(there, transaction, meter_stop)


@pytest.mark.parametrize("meter_stop", [4_077_500, 1_500])
def test_quirk_35_a_register_that_restarts_with_the_session(tmp_path: Path, meter_stop: int) -> None:
    with desk(tmp_path / "before", v16.VERSION) as there:
        relative_day(there, meter_stop)
        (session,) = there.sessions
        assert 0 <= session.energy_wh <= 1_500
        assert session.review, "a person looks before it is billed"
    with station(tmp_path / "after", register="session") as there:
        relative_day(there, meter_stop)
        assert [(s.energy_wh, s.review) for s in there.sessions] == [(1_500, ())]
        assert there.intake.book.connectors["CP", 1, 1].register_wh == 4_077_353


def lifetime_day(there: Desk) -> None:
    """0 at the start, the lifetime afterwards."""
    transaction = start(there, meter=0)
    for seconds, value in ((-590, 939_000), (-300, 940_000)):
        meter(there, seconds, value, transaction=transaction)
    stop(there, transaction, 941_000)


def test_quirk_35_a_lifetime_is_never_booked_as_one_session(tmp_path: Path) -> None:
    with desk(tmp_path / "before", v16.VERSION) as there:
        lifetime_day(there)
        (session,) = there.sessions
        assert session.energy_wh == 2_000
        assert session.review == ("register leapt during the session",)
    with station(tmp_path / "after", meter_start="first_reading") as there:
        lifetime_day(there)
        assert [(s.energy_wh, s.review) for s in there.sessions] == [(2_000, ())]


def test_quirk_36_energy_after_the_stop_is_nobodys_and_the_next_session_is_never_negative(old: Desk) -> None:
    first = start(old, seconds=-900)
    stop(old, first, 2_000, -700)
    meter(old, -690, "2004")
    second = start(old, meter=2_000, seconds=-600)
    meter(old, -500, "2004", transaction=second)
    meter(old, -400, "2504", transaction=second)
    stop(old, second, 2_600)
    assert energies(old) == [1_000, 600]
    assert all(session.review == () for session in old.sessions)


def test_quirk_37_old_samples_are_kept_at_their_own_time_and_change_nothing_now(old: Desk) -> None:
    transaction = start(old)
    for seconds, wh, w in ((-300, 1500, 7000), (-400, 1400, 5000), (-9000, 900, 1000)):
        meter(old, seconds, sample(wh), sample(w, POWER), transaction=transaction)
    assert (energies(old), power(old)) == ([500], 7_000.0)
    assert old.sessions[0].review == ()
    times = [event.at for event in journaled(old) if isinstance(event, MeterSampled)]
    assert times == [when(-300), when(-400), when(-9000)]


def test_quirk_38_a_clock_aligned_duplicate_counts_once(old: Desk) -> None:
    transaction = start(old)
    both = [sample("1700", context="Sample.Clock"), sample("1600", context="Sample.Periodic")]
    meter(old, -300, *both, transaction=transaction)
    meter(old, -300, both[0], transaction=transaction)
    stop(old, transaction, 1_800)
    assert [(s.energy_wh, s.review) for s in old.sessions] == [(800, ())]


def test_quirk_39_signed_data_is_kept_in_the_frame_and_is_no_reading(old: Desk) -> None:
    transaction = start(old)
    signed = sample("7f5c0a", format="SignedData", context="Transaction.End")
    meter(old, -300, signed, sample("1500", format="Raw"), transaction=transaction)
    assert energies(old) == [500]
    assert values(old) == {"energy_import_wh": 1500.0}
    assert b"7f5c0a" in b"".join(kept_frames(old))


def test_quirk_40_the_stations_own_meter_is_nobodys_session(old: Desk) -> None:
    transaction = start(old)
    for seconds in (-500, -400, -300):
        meter(old, seconds, sample("880000"), sample("22000", POWER), connector=0)
    meter(old, -200, sample("1500"), transaction=transaction)
    assert [(s.energy_wh, s.power_max_w) for s in old.sessions] == [(500, 0.0)]
    assert power(old, 0) == 22_000.0


def test_quirk_41_a_flow_ends_with_its_session(old: Desk) -> None:
    transaction = start(old)
    meter(old, -300, sample("1500"), sample("11000", POWER), transaction=transaction)
    stop(old, transaction, 1_600, -100)
    meter(old, -50, sample("11000", POWER), transaction=transaction)
    assert power(old) == 0.0
    assert old.sessions[0].power_w == 0.0


def test_quirk_65_replayed_and_repeated_samples_keep_their_time(old: Desk) -> None:
    transaction = start(old)
    meter(old, -500, sample("1006"), sample("11000", POWER), transaction=transaction)
    meter(old, -500, sample("1006"), sample("11000", POWER), transaction=transaction)
    replay = register(1006, -500) + register(1018, -400)
    stop(old, transaction, 1_030, -60, transactionData=replay)
    sampled = [event for event in old.events if isinstance(event, MeterSampled)]
    assert [event.at for event in sampled] == [when(-500), when(-400)]
    assert all(event.offline and event.session_id == old.sessions[0].id for event in sampled)
    assert [(s.energy_wh, s.review) for s in old.sessions] == [(30, ())]
    assert power(old) == 0.0


def test_quirk_66_a_value_beside_its_phases_is_never_summed_with_them(old: Desk) -> None:
    phases = ("L1", "L2", "L3")
    average = sample("16", "Current.Import"), *(sample("16", "Current.Import", phase=phase) for phase in phases)
    total = sample("11040", POWER), *(sample("3680", POWER, phase=phase) for phase in phases)
    volts = [sample("230", "Voltage", phase=phase) for phase in ("L1-N", "L2")]
    meter(old, 0, *average, *total, *volts)
    found = values(old)
    assert (found["current_a"], found["power_w"]) == (16.0, 11_040.0)
    assert (found["voltage_v_l1"], found["voltage_v_l2"]) == (230.0, 230.0)


def test_quirk_68_units_that_cannot_be(tmp_path: Path) -> None:
    with desk(tmp_path / "201", v201.VERSION) as there:
        there.say("TransactionEvent", transaction_event("Started", 0, -2, evse={"id": 1}))
        said = [{"timestamp": at(0), "sampledValue": [
            {"value": 20.03, "unitOfMeasure": {"unit": "kWh"}}, {"value": 55, "measurand": "SoC"}]}]  # fmt: skip
        assert there.say("TransactionEvent", transaction_event("Ended", 1, 0, meterValue=said)) == {}
        (session,) = there.sessions
        assert session.soc_percent == 55.0
        assert session.energy_wh == 0, "a first register says nothing of what flowed"
    with desk(tmp_path / "16", v16.VERSION) as there:
        transaction = start(there, meter=1_000)
        for seconds, value in ((-500, 0), (-400, 100), (-300, 250)):
            meter(there, seconds, value, transaction=transaction)
        stop(there, transaction, 1_250)
        (session,) = there.sessions
        assert (session.energy_wh, bool(session.review)) == (250, True)


def test_quirk_69_zeros_when_idle_and_a_meter_that_restarts(old: Desk) -> None:
    transaction = start(old, meter=500)
    idle = sample("0", "Voltage"), sample("0", "SoC", unit="Percent"), sample("0", POWER)
    meter(old, -550, *idle, sample("500"), transaction=transaction)
    assert old.sessions[0].state is SessionState.PENDING
    for seconds, value in ((-500, 900), (-400, 0), (-300, 200)):
        meter(old, seconds, value, transaction=transaction)
    (session,) = old.sessions
    assert (session.energy_wh, session.energy_source) == (600, EnergySource.REGISTER)
    assert session.review == ("register fell during the session",)


def test_quirk_73_ocmf_as_a_text_in_value_is_kept_whole(old: Desk) -> None:
    transaction = start(old)
    record = 'OCMF|{"FV":"1.0","RD":[{"RV":1.6,"RU":"kWh"}]}|{"SD":"' + "ab" * 32 + '"}'
    assert meter(old, -300, sample(record, format="SignedData"), transaction=transaction) == {}
    assert values(old) == {}
    meter(old, -200, sample(record, format="SignedData"), sample("1600"), transaction=transaction)
    assert energies(old) == [600]
    assert sum(b"ab" * 32 in frame for frame in kept_frames(old)) == 2


def test_quirk_29_units_that_are_wrong_are_put_right_once_a_person_says_so(tmp_path: Path) -> None:
    with station(tmp_path / "16", energy_unit="kwh", power_unit="kw", edge_unit="kwh") as there:
        transaction = start(there, meter="1.5")
        said = "2.25", sample("11", POWER, unit="W"), sample("0.9", "Power.Factor")
        meter(there, -300, *said, transaction=transaction)
        assert (energies(there), power(there), values(there)["power_factor"]) == ([750], 11_000.0, 0.9)
        reactive = sample("2", "Energy.Reactive.Import.Register", unit="varh")
        meter(there, -200, reactive, transaction=transaction)
        assert values(there) == {"energy_reactive_import_varh": 2_000.0}
        stop(there, transaction, 3)
        assert [(s.meter_stop_wh, s.energy_wh) for s in there.sessions] == [(3_000, 1_500)]


@pytest.mark.parametrize("version", [v201.VERSION, v21.VERSION], ids=lambda version: version.protocol)
def test_quirk_29_in_2x_the_unit_is_put_right_and_the_power_of_ten_stays(tmp_path: Path, version: Version) -> None:
    with station(tmp_path, version=version, energy_unit="kwh") as there:
        said = {"unit": "Wh", "multiplier": -1}, None
        for seconds, (unit, value) in zip((-600, -300), zip(said, (15, 2.25), strict=True), strict=True):
            one = {"value": value} | ({} if unit is None else {"unitOfMeasure": unit})
            kind = "Started" if unit else "Updated"
            event = transaction_event(kind, int(unit is None), seconds, evse={"id": 1})
            there.say("TransactionEvent", event | {"meterValue": [{"timestamp": at(seconds), "sampledValue": [one]}]})
        assert [(s.meter_start_wh, s.energy_wh) for s in there.sessions] == [(1_500, 750)]
