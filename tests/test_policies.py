"""Policies as data: the defaults, the files, who stands before whom, and what a wrong one is told."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from quirks_world import station, with_policy

from bridge import policies
from bridge.policies import DEFAULT, QUIRKS, Policy, PolicyError, Quirks, checked, load_quirks, load_rules, version_of
from bridge.stores.provisioning import Provisioning
from bridge.stores.records import Records, Site

FILES = sorted(QUIRKS.glob("*.toml"))
PAGE = (Path(__file__).parent.parent / "docs" / "quirks.md").read_text().partition("\n## Policies\n")[2]
TABLE = PAGE.partition("\n## ")[0]
RULE = '[[rule]]\nvendor = "acme*"\nseen = "x"\npolicy = { register = "session" }\n'


def quirks(tmp_path: Path, text: str = RULE) -> Quirks:
    (tmp_path / "acme.toml").write_text(text)
    return load_quirks(tmp_path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_file_says_what_was_seen_and_changes_something(path: Path) -> None:
    assert path.read_text().startswith("# "), "a comment says what was seen"
    for rule in load_rules(path):
        assert Policy(**rule.policy) != DEFAULT
        assert not rule.fits("Unheard Of", "Nothing", "1.0"), "it is for its own model only"


@pytest.mark.parametrize(
    ("told", "key", "value"),
    [
        (("ABB", "TACW22-4", "1.8.21"), "ask_single_keys", False),
        (("United Chargers Inc", "GRIZZL-E Classic", "3.15"), "register", "session"),
        (("Growatt", "THOR 11AS-S", ""), "clock", "local"),
        (("OpenEVSE", "open_evse", "v4.2.2"), "energy_unit", "kwh"),
        (("OpenEVSE", "open_evse", "v5.0.1"), "energy_unit", "as_said"),
        (("OpenEVSE", "open_evse", ""), "energy_unit", "as_said"),
        (("openWB", "Series 2", ""), "second_connection", "displace"),
        (("Stegen", "SmartEVSE", ""), "id_tag_bytes", 6),
    ],
)
def test_a_model_that_was_seen_is_treated_as_its_file_says(told: tuple[str, str, str], key: str, value: Any) -> None:
    assert getattr(load_quirks().policy_of({}, *told), key) == value


def test_a_person_stands_before_the_model_and_the_model_before_the_default(tmp_path: Path) -> None:
    known = quirks(tmp_path)
    assert known.policy_of({}, "Other", "", "") is DEFAULT
    assert known.policy_of({}, "ACME GmbH", "", "").register == "session"
    own = {"register": "lifetime", "clock": "local"}
    policy = known.policy_of(own, "Acme", "", "")
    assert (policy.register, policy.clock) == ("lifetime", "local")
    sources = {key: found.source for key, found in known.known_of({"clock": "local"}, "Acme", "", "").items()}
    assert (sources["register"], sources["clock"], sources["pings"]) == ("acme", "station", "default")


def test_what_a_person_wrote_for_another_version_of_ours_is_passed_over() -> None:
    own = {"register": "sideways", "of_tomorrow": True, "pings": False}
    assert Quirks().policy_of(own, "", "", "") == Policy(pings=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RULE + "colour = 1\n", ["acme.toml", "colour"]),
        ("colour = 1\n" + RULE, ["acme.toml", "colour"]),
        (RULE.replace("register", "registr"), ["acme.toml", "rule 1", "registr", "known keys are no_subprotocol"]),
        (RULE.replace('"session"', '"weekly"'), ["acme.toml", "register", "weekly"]),
        (RULE.replace('seen = "x"\n', ""), ["acme.toml", "seen"]),
        (RULE.replace('"x"', '" "'), ["acme.toml", "seen"]),
        (RULE.replace('register = "session"', ""), ["acme.toml", "policy"]),
        (RULE.replace('register = "session"', 'time_zone = "Europe/Nowhere"'), ["acme.toml", "Europe/Nowhere"]),
        (RULE + 'firmware_before = "new"\n', ["acme.toml", "firmware_before"]),
        ("", ["acme.toml", "[[rule]]"]),
        ("[rule]\n", ["acme.toml", "[[rule]]"]),
        ("[[rule]\n", ["acme.toml", "TOML"]),
    ],
)
def test_a_wrong_file_is_an_error_that_names_file_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(PolicyError) as error:
        quirks(tmp_path, text)
    assert [word for word in words if word not in str(error.value)] == []


def test_a_folder_that_is_not_there_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"ocpp\.quirks: .*gone"):
        load_quirks(tmp_path / "gone")


def test_a_file_of_ones_own_replaces_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "abb.toml").write_text(RULE)
    known = load_quirks(tmp_path)
    assert known.policy_of({}, "ABB", "", "") is DEFAULT
    assert known.policy_of({}, "Acme", "", "").register == "session"


@pytest.mark.parametrize(
    ("rule", "told", "fits"),
    [
        ({"model": ["a*", "b*"]}, ("", "Box", ""), True),
        ({"model": ["a*", "b*"]}, ("", "Cox", ""), False),
        ({"firmware": "1.8.*"}, ("", "", "1.8.21"), True),
        ({"firmware_from": "1.8", "firmware_before": "1.10"}, ("", "", "v1.9.3"), True),
        ({"firmware_from": "1.8", "firmware_before": "1.10"}, ("", "", "1.10.0"), False),
        ({"firmware_from": "1.8", "firmware_before": "1.10"}, ("", "", "1.7"), False),
        ({"firmware_from": "1.8"}, ("", "", ""), False),
        ({"vendor": "a?me"}, ("  ACME ", "", ""), True),
    ],
)
def test_globs_and_versions(rule: dict[str, Any], told: tuple[str, str, str], fits: bool) -> None:
    assert policies.Rule(seen="x", policy={}, **rule).fits(*told) is fits


def test_a_version_of_a_hostile_charger_is_a_version() -> None:
    assert version_of("v1.8.21-rc1") == (1, 8, 21, 1)
    assert version_of("9" * 5_000) == (999_999_999,)
    assert load_quirks().policy_of({}, "*" * 100_000, "[" * 100_000, "9." * 100_000) is DEFAULT


@pytest.mark.parametrize(
    "values", [{"registre": "session"}, {"register": 5}, {"id_tag_bytes": 11}, {"time_zone": "X/Y"}]
)
def test_a_policy_a_person_writes_is_checked_before_it_is_kept(values: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as error:
        checked(values)
    assert next(iter(values)) in str(error.value)
    assert checked({"register": "session"}) == {"register": "session"}


def test_the_directory_brings_a_persons_word_and_the_sites_zone(tmp_path: Path) -> None:
    records = Records(f"sqlite:///{tmp_path / 'r.db'}")
    records.migrate()
    records.save_site(Site(id="s", name="S", timezone="Europe/Berlin"))
    records.approve_station("CP", True)
    records.assign_site("CP", "s")
    records.approve_station("ALONE", True)
    edit = partial(Provisioning(records).edit_station, "CP", "ann", datetime(2026, 11, 25, tzinfo=UTC))
    edit(policy={"clock": "local"})
    entries = records.directory().stations
    assert (entries["CP"].policy, entries["CP"].time_zone) == ({"clock": "local"}, "Europe/Berlin")
    assert (entries["ALONE"].policy, entries["ALONE"].time_zone) == ({}, "")
    assert (records.policy("CP"), records.policy("ALONE"), records.policy("NOBODY")) == ({"clock": "local"}, {}, {})
    with pytest.raises(PolicyError):
        edit(policy={"clock": "sundial"})
    edit(policy={})
    assert records.directory().stations["CP"].policy == {}
    records.close()
@pytest.mark.parametrize("field", msgspec.structs.fields(Policy), ids=lambda field: field.name)
def test_the_page_gives_every_policy_with_its_default(field: msgspec.structs.FieldInfo) -> None:
    default = field.default
    shown = "empty" if default == "" else str(default).lower() if isinstance(default, bool) else str(default)
    (row,) = re.findall(rf"^\| `{field.name}` \|.*\|$", TABLE, re.MULTILINE)
    assert row.split("|")[3].strip() == (shown if shown == "empty" else f"`{shown}`")


def test_a_station_without_a_policy_is_read_by_the_version_itself(tmp_path: Path) -> None:
    with station(tmp_path) as there:
        assert there.talk._spoken is there.talk.version
    assert with_policy().stations["CP"].policy == {}
