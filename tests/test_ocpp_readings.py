"""Meter values of both versions -> fields."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.ocpp import v16, v201
from bridge.ocpp.blocks.readings import Reading, moment, readings, register_wh, signed_format, whole_wh

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
POWER, REGISTER = "Power.Active.Import", "Energy.Active.Import.Register"


def read(*samples: dict[str, object], timestamp: str = "", keep_zero_begin: bool = False) -> Reading:
    values = msgspec.convert({"timestamp": timestamp, "sampledValue": list(samples)}, v16.MeterValue)
    found = readings([values], NOW, keep_zero_begin)
    return found[0] if found else Reading(NOW, "", {}, ())


def read_2(*samples: dict[str, object]) -> dict[str, float]:
    values = msgspec.convert({"timestamp": "2026-05-04T12:00:00Z", "sampledValue": list(samples)}, v201.MeterValue)
    return readings([values], NOW)[0].values


@pytest.mark.parametrize("value", [5, 5.0, "5", " 5", "5.00 ", "5e0"])
def test_quirk_28_a_number_however_it_is_written(value: object) -> None:
    assert read({"value": value, "measurand": POWER}).values == {"power_w": 5.0}


@pytest.mark.parametrize("value", ["", "NaN", "inf", "-Infinity", "1e300", "five", None])
def test_what_is_no_sane_number_is_named_and_not_stored(value: object) -> None:
    found = read({"value": value, "measurand": POWER})
    assert (found.values, found.unknown) == ({}, (POWER,))


def test_quirk_28_an_empty_sample_list_is_no_reading() -> None:
    assert readings([v16.MeterValue(sampled_value=[], timestamp="")], NOW) == []


def test_quirk_29_measurand_and_unit_missing_is_the_register_in_wh() -> None:
    assert read({"value": "1500"}).values == {"energy_import_wh": 1500.0}


def test_quirk_29_kilo_units_are_told_apart() -> None:
    found = read(
        {"value": "1.5", "unit": "kWh"}, {"value": "11", "unit": "kW", "measurand": POWER}, {"value": "7", "unit": "W"}
    )
    assert found.values == {"energy_import_wh": 1500.0, "power_w": 11000.0}


@pytest.mark.parametrize("phases", [("L1", "L2", "L3"), ("L1-N", "L2-N", "L3-N")])
def test_quirk_30_power_by_phases_alone_is_summed(phases: tuple[str, ...]) -> None:
    values = read(*({"value": "1000", "measurand": POWER, "phase": phase} for phase in phases)).values
    assert values["power_w"] == 3000.0
    assert values["power_w_l2"] == 1000.0


def test_quirk_30_current_on_n_has_its_own_column_and_no_current_is_summed() -> None:
    samples = [{"value": "16", "measurand": "Current.Import", "phase": phase} for phase in ("L1", "L2", "L3", "N")]
    assert "current_a" not in read(*samples).values
    assert read(*samples).values["current_a_n"] == 16.0


def test_quirk_31_the_total_register_tagged_l1_is_the_register() -> None:
    assert read({"value": "9000", "phase": "L1"}).values["energy_import_wh"] == 9000.0


def test_quirk_33_a_total_that_contradicts_its_phases_stands() -> None:
    samples = [{"value": "5", "measurand": POWER, "phase": phase} for phase in ("L1", "L2")]
    assert read({"value": "9", "measurand": POWER}, *samples).values["power_w"] == 9.0


@pytest.mark.parametrize("is_first", [True, False])
def test_quirk_34_a_zero_at_begin_does_not_hide_the_register(is_first: bool) -> None:
    samples = [{"value": "0", "context": "Transaction.Begin"}, {"value": "5000", "context": "Sample.Periodic"}]
    assert read(*(samples if is_first else reversed(samples))).values == {"energy_import_wh": 5000.0}
    assert read(samples[0]).values == {}


def test_a_zero_at_begin_is_believed_where_it_is_the_start() -> None:
    found = read({"value": "0", "context": "Transaction.Begin"}, keep_zero_begin=True)
    assert found.values == {"energy_import_wh": 0.0}


def test_quirk_38_the_periodic_value_stands_before_the_clock_aligned_one() -> None:
    samples = [
        {"value": "7", "measurand": POWER, "context": "Sample.Clock"},
        {"value": "8", "measurand": POWER, "context": "Sample.Periodic"},
    ]
    assert read(*samples).values == {"power_w": 8.0}


def test_quirks_39_and_73_signed_data_is_left_to_the_raw_frame_and_noticed() -> None:
    found = read({"value": "OCMF|{}|{}", "format": "SignedData"}, {"value": "3", "format": "Raw"})
    assert (found.values, found.unknown, found.signed) == ({"energy_import_wh": 3.0}, (), "OCMF")


def test_a_signed_value_alone_is_a_reading_of_its_edge() -> None:
    found = read({"value": "OCMF|{}|{}", "format": "SignedData", "context": "Transaction.End"})
    assert (found.values, found.context, found.signed) == ({}, "Transaction.End", "OCMF")


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("OCMF|{}|{}", "OCMF"),
        ('{"signedMeterData": "T0NNRg==", "encodingMethod": "OCMF"}', "OCMF"),
        ('{"signedMeterData": "OCMF|{}|{}", "encodingMethod": ""}', "OCMF"),
        ('{"value": "AP;0;3;AAAA"}', "ALFEN"),
        ("<?xml version='1.0'?>", "XML"),
        ({"encodingMethod": "EDL", "signedMeterData": "x" * 3000}, "EDL"),
        ({"encodingMethod": "<script>" * 40}, "signed"),
        ("{" * 5000, "signed"),
        ("a" * 30_000, "signed"),
        ("tab\there", "signed"),
        ("", "signed"),
        (None, "signed"),
        (17, "signed"),
        (["OCMF|"], "signed"),
    ],
)
def test_the_format_of_a_signed_value_is_named_in_few_characters(said: object, name: str) -> None:
    assert signed_format(said) == name


@pytest.mark.parametrize("signed", [{"encodingMethod": "OCMF", "signedMeterData": "x"}, "OCMF|{}|{}"])
def test_a_signed_value_of_2_travels_beside_the_plain_one(signed: object) -> None:
    sample = {"value": 3, "signedMeterValue": signed, "context": "Transaction.Begin"}
    values = msgspec.convert({"timestamp": "2026-05-04T12:00:00Z", "sampledValue": [sample]}, v201.MeterValue)
    (found,) = readings([values], NOW)
    assert (found.values, found.context, found.signed) == ({"energy_import_wh": 3.0}, "Transaction.Begin", "OCMF")


def test_the_outlet_stands_before_the_inlet() -> None:
    samples = [{"value": "7", "measurand": POWER, "location": place} for place in ("Inlet", "Outlet")]
    samples[1]["value"] = "6"
    assert read(*samples).values == {"power_w": 6.0}


def test_quirk_25_an_unknown_measurand_is_named_and_the_rest_is_taken() -> None:
    found = read({"value": "1", "measurand": "X-Cable.Length"}, {"value": "2"})
    assert (found.values, found.unknown) == ({"energy_import_wh": 2.0}, ("X-Cable.Length",))


def test_quirk_68_a_state_of_charge_in_wh_is_per_cent() -> None:
    assert read({"value": "55", "measurand": "SoC", "unit": "Wh"}).values == {"soc_percent": 55.0}


def test_a_multiplier_scales_the_value() -> None:
    unit = {"unit": "Wh", "multiplier": 3}
    assert read_2({"value": 1.5, "unitOfMeasure": unit}) == {"energy_import_wh": 1500.0}
    assert read_2({"value": 20.03, "unitOfMeasure": {"unit": "kWh"}}) == {"energy_import_wh": pytest.approx(20030.0)}


def test_instants_come_in_the_order_of_their_time_each_once() -> None:
    values = [
        v16.MeterValue(timestamp=f"2026-05-04T11:0{minute}:00Z", sampled_value=[v16.SampledValue(value=str(minute))])
        for minute in (3, 1, 2, 1)
    ]
    assert [reading.values["energy_import_wh"] for reading in readings(values, NOW)] == [1.0, 2.0, 3.0]


def test_the_register_at_an_edge_is_the_tagged_one_else_the_outermost() -> None:
    def at(minute: int, context: str, wh: float) -> Reading:
        return Reading(NOW + timedelta(minutes=minute), context, {"energy_import_wh": wh}, ())

    plain = [at(0, "", 10.0), at(1, "", 20.0)]
    assert (register_wh(plain, "Transaction.Begin"), register_wh(plain, "Transaction.End")) == (10, 20)
    tagged = [at(0, "Transaction.End", 30.0), *plain]
    assert register_wh(tagged, "Transaction.End") == 30
    assert register_wh([], "Transaction.End") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-04T11:00:00Z", datetime(2026, 5, 4, 11, tzinfo=UTC)),
        ("2026-05-04T13:00:00+02:00", datetime(2026, 5, 4, 11, tzinfo=UTC)),
        (" 2026-05-04T11:00:00.250Z ", datetime(2026, 5, 4, 11, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-05-04T11:00:00", datetime(2026, 5, 4, 11, tzinfo=UTC)),
        ("", NOW),
        ("yesterday", NOW),
        ("0001-01-01T00:00:00+14:00", NOW),
        ("9999-12-31T23:59:59-14:00", NOW),
    ],
)
def test_quirk_56_times_without_a_zone_are_utc_and_broken_ones_are_ours(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected
    assert moment(text, NOW).utcoffset() == timedelta(0)


@pytest.mark.parametrize(("value", "wh"), [(5, 5), ("1000.6", 1001), (None, None), ("x", None), (2**63, None)])
def test_a_register_is_whole_wh_or_nothing(value: object, wh: int | None) -> None:
    assert whole_wh(value) == wh


_word = st.text(max_size=12) | st.sampled_from([POWER, "SoC", "L1", "kWh", "Transaction.Begin", "SignedData", ""])


@given(st.lists(st.fixed_dictionaries({}, optional={
    "value": st.one_of(st.none(), st.text(max_size=8), st.floats(), st.integers()),
    **dict.fromkeys(("measurand", "unit", "phase", "context", "location", "format"), _word),
}), max_size=6))
def test_no_sample_raises_and_every_value_is_finite(samples: list[dict[str, object]]) -> None:
    found = readings([v16.MeterValue(sampled_value=[v16.SampledValue(**sample) for sample in samples])], NOW)
    assert all(abs(value) <= 3e12 for reading in found for value in reading.values.values())
