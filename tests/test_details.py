"""What stations have is kept by kind and key: the newest word stands, a replay changes nothing, what is gone goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.events import Detail, DetailKind, DetailsReported
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
