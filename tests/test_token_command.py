"""``chargewatch token`` and ``chargewatch rules`` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from servers import free_port

from bridge.access import Entry, admit, key_hmac
from bridge.events import utc_now
from bridge.settings import Unknown, load_settings
from bridge.stores.people import People, Role, pepper
from bridge.stores.provisioning import Held, Provisioning
from bridge.stores.records import Records, Site
from dashboard.cli import cli


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def records(folder: Path) -> Iterator[Records]:
    with Records(load_settings().records.url.get_secret_value()) as records:
        records.migrate()
        yield records


@pytest.fixture
def people(records: Records) -> People:
    return People(records, pepper(load_settings()))


def typed(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, list(words), input=stdin)


def told(*words: str, stdin: str | None = None) -> Any:
    result = typed(*words, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def key_opens(records: Records, station: str, key: str) -> bool:
    secret = pepper(load_settings())
    return admit(records.directory(), Unknown.REJECT, secret, station, key.encode()).entry is Entry.ACCEPTED


@pytest.mark.parametrize("role", list(Role))
def test_an_api_token_is_printed_alone_and_works_and_is_kept_only_as_a_hash(
    people: People, folder: Path, role: Role
) -> None:
    result = typed("token", "add", "grafana", "--role", str(role))
    assert result.exit_code == 0, result.output
    secret = result.stdout.strip()
    found = people.api_token(secret)
    assert found is not None
    assert (found.name, found.role) == ("grafana", role)
    kept = b"".join(path.read_bytes() for path in folder.rglob("*.db*"))
    assert secret.encode() not in kept
    assert secret not in typed("token", "list").output
    assert [entry.action for entry in people.audit()] == ["token.add"]


def test_a_name_is_taken_once_and_a_revoked_token_opens_no_more(people: People) -> None:
    made = told("token", "add", "grafana", "--role", "viewer")
    again = typed("token", "add", "grafana", "--role", "viewer")
    assert again.exit_code == 1
    assert again.stderr.startswith("Error: ")
    assert "grafana" in again.stderr
    assert told("token", "revoke", "grafana") == {"name": "grafana", "role": "api", "revoked": True}
    assert people.api_token(made["token"]) is None
    assert typed("token", "revoke", "grafana").exit_code == 1


def test_a_station_is_registered_with_a_key_that_opens_and_after_revoking_opens_no_more(records: Records) -> None:
    records.save_site(Site(id="north", name="North"))
    made = told("token", "add", "CP1", "--role", "station", "--site", "north")
    assert key_opens(records, "CP1", made["key"])
    assert not key_opens(records, "CP1", "another-key-of-16")
    found = records.station("CP1")
    assert found is not None
    assert (found.site_id, found.is_approved) == ("north", True)
    told("token", "revoke", "CP1", "--role", "station")
    assert not key_opens(records, "CP1", made["key"])


def test_a_station_s_own_key_is_taken_from_standard_input_and_not_repeated(records: Records) -> None:
    result = typed("token", "add", "CP1", "--role", "station", "--key-stdin", stdin="0123456789abcdef\n")
    assert result.exit_code == 0
    assert "0123456789abcdef" not in result.output
    assert key_opens(records, "CP1", "0123456789abcdef")


@pytest.mark.parametrize("key", ["short", "x" * 41, "sixteen-chars-\u00e9\u00e9", ""])
def test_a_key_no_charger_takes_is_refused_and_nothing_is_registered(records: Records, key: str) -> None:
    result = typed("token", "add", "CP1", "--role", "station", "--key-stdin", stdin=key + "\n")
    assert result.exit_code == 1
    assert "16 to 40" in result.stderr
    assert records.station("CP1") is None


def test_a_site_that_is_not_there_is_named_and_nothing_is_registered(records: Records) -> None:
    result = typed("token", "add", "CP1", "--role", "station", "--site", "moon")
    assert result.exit_code == 1
    assert "moon" in result.stderr
    assert records.station("CP1") is None


def test_a_driver_s_card_opens_until_it_is_blocked(people: People) -> None:
    words = ("--role", "driver", "--label", "Ann", "--group", "fleet", "--expires", "2030-01-01")
    made = told("token", "add", " 04aabb ", *words)
    assert (made["token"], made["label"], made["group"]) == ("04AABB", "Ann", "fleet")
    assert made["expires_at"] == "2030-01-01T00:00:00Z"
    told("token", "revoke", "04aabb", "--role", "driver")
    (card,) = people.driver_tokens()
    assert card.is_blocked
    assert card.label == "Ann"


@pytest.mark.parametrize(
    "words",
    [("--role", "admin", "--site", "north"), ("--role", "station", "--label", "Ann"), ("--role", "owner"), ()],
)
def test_an_option_of_another_role_is_a_mistake_in_usage(words: tuple[str, ...]) -> None:
    assert typed("token", "add", "x", *words).exit_code == 2


def test_the_list_names_everybody_and_no_secret(people: People) -> None:
    secret = told("token", "add", "grafana", "--role", "viewer")["token"]
    key = told("token", "add", "CP1", "--role", "station")["key"]
    told("token", "add", "04AABB", "--role", "driver")
    listed = told("token", "list")
    assert [t["name"] for t in listed["api"]] == ["grafana"]
    assert [t["token"] for t in listed["drivers"]] == ["04AABB"]
    assert listed["stations"] == [{"station": "CP1", "site": None, "is_approved": True, "has_key": True}]
    assert secret not in json.dumps(listed)
    assert key not in json.dumps(listed)


# ---- the inbox


def wait_at_the_door(records: Records, station: str, key: bytes | None) -> None:
    hmac = None if key is None else key_hmac(pepper(load_settings()), key)
    now = utc_now()
    held = Held(station=station, offered_key_hmac=hmac, vendor="=HYPERLINK", first_seen_at=now, last_seen_at=now)
    Provisioning(records).take_held([held])


def test_who_waits_is_listed_and_let_in_with_the_key_it_showed(records: Records, people: People) -> None:
    wait_at_the_door(records, "CP1", b"0123456789abcdef")
    (held,) = told("token", "inbox")
    assert (held["station"], held["has_key"]) == ("CP1", True)
    assert "offered_key_hmac" not in held
    assert "'CP1'" in typed("token", "inbox").output
    assert typed("token", "approve", "CP1", "--key-id", "0" * 16).exit_code == 1
    assert told("token", "approve", "CP1", "--key-id", held["key_id"], "--name", "Left")["approved"]
    assert key_opens(records, "CP1", "0123456789abcdef")
    assert told("token", "inbox") == []
    assert [(entry.action, entry.actor) for entry in people.audit()] == [("station.approve", "command line")]


def test_who_showed_no_key_is_let_in_only_by_a_lower_profile(records: Records) -> None:
    wait_at_the_door(records, "CP1", None)
    refused = typed("token", "approve", "CP1")
    assert refused.exit_code == 1
    assert "profile 0" in refused.stderr
    told("token", "approve", "CP1", "--profile", "0")
    assert records.directory().stations["CP1"].security_profile == 0


def test_who_is_refused_stays_out_until_approved_or_given_a_key(records: Records) -> None:
    wait_at_the_door(records, "CP1", b"0123456789abcdef")
    told("token", "refuse", "CP1")
    assert not key_opens(records, "CP1", "0123456789abcdef")
    made = told("token", "add", "CP1", "--role", "station")
    assert key_opens(records, "CP1", made["key"])


def test_a_new_key_without_a_broker_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARGEWATCH_MQTT__PORT", str(free_port()))
    result = typed("token", "rotate", "CP1")
    assert result.exit_code == 1
    assert "no MQTT broker" in result.stderr


# ---- the plan


def test_the_plan_goes_out_and_in_again_and_a_wrong_line_changes_nothing(records: Records, people: People) -> None:
    records.save_site(Site(id="north", name="=North"))
    records.assign_site("CP1", "north")
    plan = typed("stations", "export").stdout
    assert "'=North" in plan
    assert told("stations", "import", "-", stdin=plan) == {"site": 1, "station": 1, "connector": 0}
    wrong = typed("stations", "import", "-", stdin=plan + "planet,,,,,,,,,,,,,,\r\n")
    assert wrong.exit_code == 1
    assert "line 4: record is site" in wrong.stderr
    assert [entry.action for entry in people.audit()] == ["stations.import"]
    assert typed("stations", "export").stdout == plan


# ---- rules


def test_the_rules_are_listed_most_urgent_first() -> None:
    rules = told("rules", "list")
    assert [rule["priority"] for rule in rules[:2]] == [1, 1]
    assert {"station_offline", "session_completed"} <= {rule["name"] for rule in rules}
    assert "P3      station_offline" in typed("rules", "list").output


def test_a_wrong_rule_file_is_reported_with_its_key(folder: Path) -> None:
    (folder / "mine.yaml").write_text("title: x\ncolour: red\n")
    result = typed("rules", "check", "mine.yaml")
    assert result.exit_code == 1
    assert "mine.yaml" in result.output
    assert "colour" in result.output


def test_a_wrong_folder_of_rules_stops_the_alarm_process_with_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARGEWATCH_ALERTS__RULES", str(folder / "nowhere"))
    result = typed("alerts")
    assert result.exit_code == 1
    assert "nowhere is not a folder" in result.stderr


def test_a_rule_says_what_it_would_find_now(records: Records) -> None:
    from alarm_world import offline, write

    assert told("rules", "test", "station_offline") == []
    write(records, offline("CP9", utc_now()))
    (found,) = told("rules", "test", "station_offline")
    assert found["title"].startswith("CP9 is offline since")
    assert typed("rules", "test", "nothing").exit_code == 1
