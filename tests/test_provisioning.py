"""Who waits, who is let in and how, new keys, and the plan as a file: on both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from records_world import name_station

from bridge.access import Entry, admit, key_hmac
from bridge.ocpp.security import admit_with_key
from bridge.settings import Unknown
from bridge.stores.people import People
from bridge.stores.plan import COLUMNS, CsvError, export_csv, import_csv
from bridge.stores.provisioning import KEY_GRACE, Held, Provisioning, ProvisioningError
from bridge.stores.records import Records, Site

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
PEPPER = b"pepper"
KEY = b"0123456789abcdef"


def held(station: str = "CP", **known: Any) -> Held:
    times = {"first_seen_at": NOW, "last_seen_at": NOW}
    return Held(station=station, **{"offered_key_hmac": key_hmac(PEPPER, KEY), "bridge": "b"} | times | known)


def opens(records: Records, station: str, key: bytes | None) -> Entry:
    return admit_with_key(records.directory(), Unknown.HOLD, PEPPER, station, key).entry


@pytest.fixture
def house(records: Records) -> Provisioning:
    return Provisioning(records)


def actions(records: Records) -> list[str]:
    return [entry.action for entry in People(records, PEPPER).audit()]


# the inbox


def test_the_inbox_shows_who_waits_and_what_it_said_the_longest_first(house: Provisioning) -> None:
    first = held("OLD", first_seen_at=NOW - timedelta(hours=1), vendor="Acme", model="Box", address="192.0.2.1")
    house.take_held([held("NEW"), first])
    assert house.inbox() == [first, held("NEW")]


def test_the_inbox_is_bounded_and_who_was_not_seen_longest_goes(house: Provisioning) -> None:
    of_yesterday = [held(f"S{n}", last_seen_at=NOW - timedelta(minutes=n), is_connected=False) for n in range(1, 9)]
    house.take_held([*of_yesterday, held("LIVE", last_seen_at=NOW - timedelta(days=1))], limit=4)
    assert {one.station for one in house.inbox()} == {"LIVE", "S1", "S2", "S3"}


def test_who_was_decided_about_is_not_put_back_into_the_inbox(house: Provisioning) -> None:
    house.take_held([held("IN"), held("OUT")])
    house.approve("IN", "ann", NOW)
    house.refuse("OUT", "ann", NOW)
    house.take_held([held("IN"), held("OUT")])
    assert house.inbox() == []


def test_a_bridge_that_starts_holds_nobody_who_waits(house: Provisioning) -> None:
    house.take_held([held("A"), held("B", bridge="other")])
    house.none_is_connected("b")
    assert {one.station: one.is_connected for one in house.inbox()} == {"A": False, "B": True}


# letting in and shutting out


def test_approving_pins_the_key_that_was_shown(records: Records, house: Provisioning) -> None:
    house.save_site(Site(id="north", name="North"), "ann", NOW)
    house.take_held([held()])
    house.approve("CP", "ann", NOW, site="north", name="By the gate")
    assert opens(records, "CP", KEY) is Entry.ACCEPTED
    assert opens(records, "CP", KEY.hex().encode()) is Entry.ACCEPTED, "in either spelling"
    assert opens(records, "CP", b"another-key-of-16") is Entry.REFUSED
    assert opens(records, "CP", None) is Entry.REFUSED
    found = records.station("CP")
    assert found is not None
    assert (found.name, found.site_id, found.has_key) == ("By the gate", "north", True)
    assert house.inbox() == []
    assert actions(records) == ["station.approve", "site.save"]


def test_a_key_that_changed_since_the_person_looked_is_not_pinned(records: Records, house: Provisioning) -> None:
    house.take_held([held()])
    seen = house.inbox()[0].key_id
    house.take_held([held(offered_key_hmac=key_hmac(PEPPER, b"of somebody else"), other_keys=1)])
    with pytest.raises(ProvisioningError, match="another key since"):
        house.approve("CP", "ann", NOW, key_id=seen)
    assert opens(records, "CP", b"of somebody else") is Entry.HELD
    house.approve("CP", "ann", NOW, key_id=house.inbox()[0].key_id)
    assert opens(records, "CP", b"of somebody else") is Entry.ACCEPTED


def test_a_station_without_a_key_is_let_in_only_where_its_profile_allows(records: Records, house: Provisioning) -> None:
    house.take_held([held(offered_key_hmac=None)])
    with pytest.raises(ProvisioningError, match="security profile 2 wants one"):
        house.approve("CP", "ann", NOW)
    assert [one.station for one in house.inbox()] == ["CP"], "nothing has changed"
    assert actions(records) == []
    house.approve("CP", "ann", NOW, security_profile=0)
    assert opens(records, "CP", None) is Entry.ACCEPTED
    assert records.directory().stations["CP"].security_profile == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p.approve("WHO", "ann", NOW), "no station WHO waits"),
        (lambda p: p.approve("CP", "ann", NOW, site="moon"), "no site with the id moon"),
        (lambda p: p.approve("CP", "ann", NOW, security_profile=4), "0 to 3"),
        (lambda p: p.reconsider("CP", "ann", NOW), "not refused"),
        (lambda p: p.edit_station("WHO", "ann", NOW, name="x"), "no station WHO"),
        (lambda p: p.edit_station("CP", "ann", NOW), "nothing to change"),
        (lambda p: p.save_site(Site(id="s", name="S", timezone="Mars/Base"), "ann", NOW), "time zone"),
        (lambda p: p.save_site(Site(id="s", name=" "), "ann", NOW), "name"),
        (lambda p: p.save_site(Site(id="s", name="S", latitude=91), "ann", NOW), "latitude"),
        (lambda p: p.rate_connector("CP", 1, 1, "CCS2", 0, "ann", NOW), "above 0"),
        (lambda p: p.offer_key("WHO", b"x", "ann", NOW), "no station WHO"),
    ],
)
def test_what_cannot_be_is_refused_with_words_and_changes_nothing(
    records: Records, house: Provisioning, change: Callable[[Provisioning], None], says: str
) -> None:
    house.take_held([held()])
    with pytest.raises(ProvisioningError, match=says):
        change(house)
    assert actions(records) == []


def test_a_refused_station_is_shut_out_until_a_person_thinks_again(records: Records, house: Provisioning) -> None:
    house.take_held([held()])
    house.refuse("CP", "ann", NOW)
    assert opens(records, "CP", KEY) is Entry.REFUSED
    house.reconsider("CP", "ann", NOW)
    assert opens(records, "CP", KEY) is Entry.HELD, "it may knock again"
    assert actions(records) == ["station.reconsider", "station.refuse"]


def test_refusing_a_registered_station_keeps_its_key_for_another_day(records: Records, house: Provisioning) -> None:
    People(records, PEPPER).set_station_key("CP", KEY.decode())
    house.refuse("CP", "ann", NOW)
    assert opens(records, "CP", KEY) is Entry.REFUSED
    house.approve("CP", "ann", NOW)
    assert opens(records, "CP", KEY) is Entry.ACCEPTED


def test_people_change_a_station_a_site_and_a_connector(records: Records, house: Provisioning) -> None:
    house.take_held([held()])
    house.approve("CP", "ann", NOW)
    house.save_site(Site(id="s", name="South", grid_limit_w=40_000), "ann", NOW)
    house.edit_station("CP", "ann", NOW, name="Left", site="s", security_profile=1, policy={"clock": "local"})
    house.rate_connector("CP", 1, 1, "CCS2", 150_000, "ann", NOW)
    entry = records.directory().stations["CP"]
    assert (entry.site_id, entry.security_profile, entry.policy) == ("s", 1, {"clock": "local"})
    house.edit_station("CP", "ann", NOW, site=None, security_profile=None)
    entry = records.directory().stations["CP"]
    assert (entry.site_id, entry.security_profile, entry.policy) == ("", None, {"clock": "local"})
    (connector,) = records.connectors("CP")
    assert (connector.kind, connector.rated_power_w) == ("CCS2", 150_000)
    expected = ["station.approve", "site.save", "station.edit", "connector.edit", "station.edit"]
    assert actions(records) == expected[::-1]


# a new key


def test_both_keys_open_until_the_station_has_come_with_the_new_one(records: Records, house: Provisioning) -> None:
    People(records, PEPPER).set_station_key("CP", KEY.decode())
    new = b"fedcba9876543210"
    house.offer_key("CP", key_hmac(PEPPER, new), "ann", NOW)
    assert opens(records, "CP", KEY) is Entry.ACCEPTED
    admission = admit(records.directory(), Unknown.HOLD, PEPPER, "CP", new)
    assert (admission.entry, admission.is_next_key) == (Entry.ACCEPTED, True)
    house.promote_key("CP", key_hmac(PEPPER, new), NOW)
    assert opens(records, "CP", KEY) is Entry.REFUSED
    assert not admit(records.directory(), Unknown.HOLD, PEPPER, "CP", new).is_next_key
    house.promote_key("CP", key_hmac(PEPPER, new), NOW)
    assert actions(records) == ["station.key.rotate", "station.key.offer"]


def test_a_key_that_was_not_taken_or_never_seen_opens_no_more(records: Records, house: Provisioning) -> None:
    People(records, PEPPER).set_station_key("CP", KEY.decode())
    new = key_hmac(PEPPER, b"fedcba9876543210")
    house.offer_key("CP", new, "ann", NOW)
    house.withdraw_key("CP", new, NOW)
    assert opens(records, "CP", b"fedcba9876543210") is Entry.REFUSED
    house.offer_key("CP", new, "ann", NOW)
    house.drop_stale_keys(NOW + KEY_GRACE)
    assert opens(records, "CP", b"fedcba9876543210") is Entry.ACCEPTED
    house.drop_stale_keys(NOW + KEY_GRACE + timedelta(seconds=1))
    assert opens(records, "CP", b"fedcba9876543210") is Entry.REFUSED
    assert opens(records, "CP", KEY) is Entry.ACCEPTED


def test_a_second_new_key_waits_for_the_first_to_be_seen(records: Records, house: Provisioning) -> None:
    """The answer to the first may be lost on its way: the station then has it, and comes with nothing else."""
    People(records, PEPPER).set_station_key("CP", KEY.decode())
    first, second = key_hmac(PEPPER, b"fedcba9876543210"), key_hmac(PEPPER, b"0000000000000000")
    house.offer_key("CP", first, "ann", NOW)
    with pytest.raises(ProvisioningError, match="has not come with it yet"):
        house.offer_key("CP", second, "ann", NOW + timedelta(minutes=1))
    assert opens(records, "CP", b"fedcba9876543210") is Entry.ACCEPTED
    house.promote_key("CP", first, NOW + timedelta(minutes=2))
    house.offer_key("CP", second, "ann", NOW + timedelta(minutes=3))
    assert opens(records, "CP", b"0000000000000000") is Entry.ACCEPTED


# the plan as a file


def csv(*lines: str) -> str:
    return "\r\n".join([",".join(COLUMNS), *lines, ""])


PLAN = csv(
    "site,north,,,,North,Main St 1,52.5,-13.4,Europe/Berlin,40000,,,,",
    "station,north,CP,,,Left,,,,,,2,yes,,",
    "station,,CP2,,,,,,,,,,,,",
    "connector,,CP,1,1,,,,,,,,,CCS2,150000",
)


def test_a_plan_goes_in_and_comes_out_as_it_was(records: Records, house: Provisioning) -> None:
    assert import_csv(records, PLAN, "ann", NOW) == {"site": 1, "station": 2, "connector": 1}
    assert export_csv(records) == PLAN
    assert import_csv(records, PLAN, "ann", NOW)["station"] == 2
    assert export_csv(records) == PLAN
    assert actions(records) == ["stations.import", "stations.import"]


def test_a_plan_holds_no_secret_and_leaves_keys_and_decisions_alone(records: Records, house: Provisioning) -> None:
    house.take_held([held()])
    house.approve("CP", "ann", NOW)
    import_csv(records, csv("station,,CP,,,Left,,,,,,,,,"), "ann", NOW)
    assert opens(records, "CP", KEY) is Entry.ACCEPTED
    assert key_hmac(PEPPER, KEY).hex() not in export_csv(records)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "'=x", "'"])
def test_a_text_that_would_be_a_formula_is_none_in_a_spreadsheet(records: Records, text: str) -> None:
    name_station(records, "CP", text)
    lines = export_csv(records).splitlines()
    cell = lines[1].split(",")[5].strip('"')
    assert cell == "'" + text
    if text.isprintable():
        import_csv(records, export_csv(records), "ann", NOW)
        found = records.station("CP")
        assert found is not None
        assert found.name == text


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["planet,,,,,,,,,,,,,,"], "line 2: record is site, station or connector, not 'planet'"),
        (["site,a,,,,A,,x,,,,,,,"], "line 2: latitude is a number"),
        (["site,a,,,,A,,,,Mars/Base,,,,,"], "line 2: 'Mars/Base' is no time zone"),
        (["site,a,,,,A,,,,,,,,,", "station,moon,CP,,,,,,,,,,,,"], "line 3: there is no site 'moon'"),
        (["station,,CP,,,,,,,,,4,,,"], "line 2: a security profile is 0 to 3"),
        (["station,,CP,,,,,,,,,,maybe,,"], "line 2: approved is yes, no or blank"),
        (["station,,CP,,,,,,,,,,,CCS2,"], "line 2: a station has no kind"),
        (["station,,,,,,,,,,,,,,"], "line 2: a station's id"),
        (["connector,,CP,1,,,,,,,,,,CCS2,"], "line 2: a connector needs station, evse and connector"),
        (["connector,,CP,1,1,,,,,,,,,CCS2,-5"], "line 2: a rated power"),
        (["station,,CP,,,,,,,,,,,,", "station,,CP,,,,,,,,,,,,"], "line 3: the same as line 2"),
        (["station,,CP"], "line 2: 3 cells instead of 15"),
        (['station,,"CP'], "line 2: unexpected end of data"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_taken(records: Records, lines: list[str], says: str) -> None:
    with pytest.raises(CsvError, match=says):
        import_csv(records, csv(*lines), "ann", NOW)
    assert records.stations() == []
    assert records.sites() == []


def test_every_wrong_line_is_named_and_a_right_one_beside_them_is_not_taken(records: Records) -> None:
    lines = "station,,GOOD,,,,,,,,,,,,", "planet,,,,,,,,,,,,,,", "station,,,,,,,,,,,,,,"
    with pytest.raises(CsvError) as caught:
        import_csv(records, csv(*lines), "ann", NOW)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["line 3", "line 4"]
    assert records.stations() == []


@pytest.mark.parametrize("text", ["", "a,b\r\n", csv().replace("record", "type")])
def test_other_columns_are_refused_with_ours(records: Records, text: str) -> None:
    with pytest.raises(CsvError, match="line 1: the columns must be record,site,station"):
        import_csv(records, text, "ann", NOW)


def test_a_huge_file_is_refused(records: Records) -> None:
    with pytest.raises(CsvError, match="longer than"):
        import_csv(records, csv("x" * 6_000_000), "ann", NOW)
