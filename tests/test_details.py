"""What stations have is kept by kind and key: the newest word stands, a replay changes nothing, what is gone goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.events import Detail, DetailKind, DetailsReported
from bridge.stores import details as details_module
from bridge.stores.database import RecordsRejected
from bridge.stores.details import Details
from bridge.stores.records import Records

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def report(key: str, value: Any, minutes: int = 0, station: str = "CP", **more: Any) -> DetailsReported:
    at = NOW + timedelta(minutes=minutes)
    details = (Detail(key=key, body={"value": value}),)
    kind = more.pop("kind", DetailKind.VARIABLE)
    return DetailsReported(station=station, at=at, received_at=at, kind=kind, details=details, **more)


def values(details: Details, station: str = "CP", *kinds: DetailKind) -> dict[str, Any]:
    return {row.key: row.body["value"] for row in details.of_station(station, *kinds)}


def test_the_newest_word_on_a_key_stands_whatever_the_order(records: Records) -> None:
    details = Details(records)
    details.take([report("A", 1), report("B", 1), report("A", 2, minutes=1)])
    details.take([report("A", 0)])
    assert values(details) == {"A": 2, "B": 1}


def test_kinds_and_stations_do_not_touch_each_other(records: Records) -> None:
    details = Details(records)
    details.take([report("A", 1), report("A", 2, kind=DetailKind.PROFILE), report("A", 3, station="X")])
    assert values(details, "CP", DetailKind.PROFILE) == {"A": 2}
    assert [row.station for row in details.of_kind(DetailKind.VARIABLE, "A")] == ["CP", "X"]


def test_what_is_gone_goes_and_an_older_word_that_it_went_does_not_count(records: Records) -> None:
    details = Details(records)
    details.take([report("A", 1, minutes=5), report("B", 1)])
    details.take([report("A", None, is_gone=True), report("B", None, minutes=1, is_gone=True)])
    assert values(details) == {"A": 1}
    details.take([report("A", None, minutes=6, is_gone=True), report("A", 7, minutes=7)])
    assert values(details) == {"A": 7}


def test_what_can_never_be_stored_does_not_keep_the_rest_out(records: Records) -> None:
    details = Details(records)
    with pytest.raises(RecordsRejected, match="CP variable BAD"):
        details.take([report("A", 1), replace(report("BAD", 1), at=NOW.replace(tzinfo=None)), report("C", 1)])
    assert values(details) == {"A": 1, "C": 1}


def test_an_endless_key_is_cut(records: Records) -> None:
    details = Details(records)
    details.take([report("K" * 100_000, 1)])
    assert [len(row.key) for row in details.of_station("CP")] == [1_000]


def told(body: dict[str, Any], key: str = "K", minutes: int = 0, **more: Any) -> DetailsReported:
    evse = more.pop("evse", None)
    return replace(report(key, None, minutes, **more), details=(Detail(key=key, body=body, evse=evse),))


def bodies(details: Details, kind: DetailKind) -> dict[str, Any]:
    return {row.key: row.body for row in details.of_station("CP", kind)}


def everything_gone(minutes: int, kind: DetailKind, evse: int | None = None, **matching: Any) -> DetailsReported:
    return told(matching, Detail.ANY, minutes, kind=kind, is_gone=True, evse=evse)


def test_all_that_match_are_gone_and_what_came_later_stays(records: Records) -> None:
    details, kind = Details(records), DetailKind.PROFILE
    purpose = "chargingProfilePurpose"
    details.take([
        told({purpose: "Tx", "stackLevel": 1}, "1", kind=kind, evse=1),
        told({purpose: "Tx", "stackLevel": 2}, "2", kind=kind, evse=1),
        told({purpose: "Max"}, "3", kind=kind, evse=1),
        told({purpose: "Tx"}, "4", kind=kind, evse=2),
        told({purpose: "Tx"}, "5", minutes=9, kind=kind, evse=1),
    ])  # fmt: skip
    details.take([everything_gone(5, kind, 1, chargingProfilePurpose="Tx", stackLevel=1)])
    assert set(bodies(details, kind)) == {"2", "3", "4", "5"}
    details.take([everything_gone(5, kind, 1, chargingProfilePurpose="Tx")])
    assert set(bodies(details, kind)) == {"3", "4", "5"}
    details.take([everything_gone(6, kind)])
    assert set(bodies(details, kind)) == {"5"}


@pytest.mark.parametrize("is_together", [True, False])
def test_the_answer_to_a_setting_leaves_the_rest_of_a_variable_as_it_was(records: Records, is_together: bool) -> None:
    details, kind = Details(records), DetailKind.VARIABLE
    reports = [
        told({"value": "1", "unit": "s", "mutability": "ReadWrite"}),
        told({"value": "2", "rebootRequired": True}, minutes=1),
        told({"value": "3"}, minutes=2),
    ]
    for some in [reports] if is_together else [[one] for one in reports]:
        details.take(some)
    details.take(reports)
    assert bodies(details, kind) == {"K": {"value": "3", "unit": "s", "mutability": "ReadWrite"}}


def customer(text: str, seq_no: int, more: bool, minutes: int) -> DetailsReported:
    return told({"text": text}, "7", minutes, kind=DetailKind.CUSTOMER, seq_no=seq_no, more=more, request_id=7)


@pytest.mark.parametrize("is_together", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1)])
def test_customer_information_is_had_whole(records: Records, is_together: bool, order: tuple[int, ...]) -> None:
    details, texts = Details(records), ["The ", "whole ", "text"]
    parts = [customer(texts[seq_no], seq_no, seq_no < 2, minutes) for minutes, seq_no in enumerate(order)]
    for some in [parts] if is_together else [[one] for one in parts]:
        details.take(some)
    details.take(parts)  # a replay
    assert bodies(details, DetailKind.CUSTOMER) == {"7": {"text": "The whole text", "isComplete": True}}


def test_another_report_under_the_same_number_begins_anew(records: Records) -> None:
    details = Details(records)
    details.take([customer("old ", 0, True, 0), customer("lost", 1, True, 1), customer("new", 0, True, 2)])
    assert bodies(details, DetailKind.CUSTOMER)["7"]["text"] == "new"
    details.take([customer(" one", 1, False, 3), customer("newest", 0, False, 4)])
    assert bodies(details, DetailKind.CUSTOMER)["7"] == {"text": "newest", "isComplete": True}


def test_a_report_without_end_is_cut(records: Records) -> None:
    details = Details(records)
    details.take([customer("x" * 100_000, seq_no, True, seq_no) for seq_no in range(8)])
    body = bodies(details, DetailKind.CUSTOMER)["7"]
    assert (len(body["text"]), body["isCut"]) == (500_000, True)


def variable(component: str, name: str, value: str = "", **more: Any) -> DetailsReported:
    body = {"component": component, "variable": name, "attribute": "Actual", "value": value} | more
    return told(body, f"{component} {name}")


def known(records: Records) -> dict[tuple[int, int], tuple[str, int | None]]:
    return {(row.evse, row.connector): (row.kind, row.rated_power_w) for row in records.connectors("CP")}


def test_a_device_model_fills_in_what_nobody_has_said(records: Records) -> None:
    records.rate_connector("CP", 1, 1, "CHAdeMO", None)
    Details(records).take([
        variable("Connector@1:1", "ConnectorType", "cCCS2"),
        variable("Connector@1:2", "ConnectorType", "cCCS2"),
        variable("EVSE@1", "Power", "0", maxLimit=150, unit="kW"),
        variable("EVSE@2", "AvailabilityState", "Available"),
        variable("Connector@3:1", "ConnectorType", "Undetermined"),
        variable("ClockCtrlr", "DateTime", "now"),
    ])  # fmt: skip
    assert known(records) == {
        (1, 1): ("CHAdeMO", 150_000), (1, 2): ("CCS2", 150_000), (2, 1): ("", None), (3, 1): ("", None),
    }  # fmt: skip


def test_a_person_s_word_stands_over_what_is_learned_again(records: Records) -> None:
    records.rate_connector("CP", 1, 1, "Type2", 11_000)
    Details(records).take([variable("EVSE@1", "Power", maxLimit=22_000, unit="W")])
    Details(records).take([variable("Connector@1:1", "ConnectorType", "sType3")])
    assert known(records) == {(1, 1): ("Type2", 11_000)}


def test_the_number_of_connectors_of_16_makes_them_known(records: Records) -> None:
    Details(records).take([told({"variable": "NumberOfConnectors", "value": "2"}, "NumberOfConnectors")])
    assert set(known(records)) == {(1, 1), (2, 1)}


@pytest.mark.parametrize("value", ["", "many", "-1", "1e3", "100000", "101", None, [], {"a": 1}, 5, True])
def test_a_number_of_connectors_that_cannot_be_teaches_nothing(records: Records, value: Any) -> None:
    Details(records).take([told({"variable": "NumberOfConnectors", "value": value}, "NumberOfConnectors")])
    assert known(records) == {}


@pytest.mark.parametrize("component", ["EVSE@0", "EVSE@999", "EVSE@1:99", "EVSE", "EVSE@x", "@1", "Connector@-1:1", ""])
def test_a_place_that_cannot_be_teaches_nothing(records: Records, component: str) -> None:
    Details(records).take([variable(component, "Power", maxLimit=5, unit="W")])
    assert known(records) == {}


@pytest.mark.parametrize(
    "more", [{"maxLimit": "x"}, {"maxLimit": -5}, {"maxLimit": 1e300}, {"maxLimit": 5, "unit": "A"}, {"maxLimit": True}]
)
def test_a_power_that_cannot_be_is_not_learned(records: Records, more: dict[str, Any]) -> None:
    Details(records).take([variable("EVSE@1", "Power", **({"unit": "W"} | more))])
    assert known(records) == {(1, 1): ("", None)}


def test_a_station_that_tells_without_end_keeps_what_it_told_last_and_others_keep_theirs(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(details_module._MAX_ROWS, DetailKind.VARIABLE, 10)
    details = Details(records)
    details.take([report("A", 1, station="X"), report("A", 1, kind=DetailKind.PROFILE)])
    details.take([report(f"K{number:02}", number, minutes=number) for number in range(25)])
    assert list(values(details, "CP", DetailKind.VARIABLE)) == [f"K{number}" for number in range(15, 25)]
    assert values(details, "CP", DetailKind.PROFILE) == {"A": 1}
    assert values(details, "X") == {"A": 1}


def test_a_body_without_end_is_not_kept(records: Records) -> None:
    details = Details(records)
    details.take([told({"value": "x" * 900_000}), told({"value": "x" * 2_500}, key="FINE")])
    assert bodies(details, DetailKind.VARIABLE) == {"K": {"isCut": True}, "FINE": {"value": "x" * 2_500}}
