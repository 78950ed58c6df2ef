"""Every shipped rule finds what it is for and nothing else; a wrong rule file is refused by name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import yaml
from alarm_world import NOW, ago

from dashboard.alerts.catalogue import SHIPPED, Rule, RuleError, load_rules, read_rule
from dashboard.alerts.conditions import CONDITIONS
from dashboard.alerts.engine import Decision, DecisionKind, evaluate
from dashboard.alerts.facts import CertificateFact, EndFact, Facts, FaultFact, StationFact
from dashboard.alerts.lifecycle import AlarmState
from dashboard.alerts.texts import fill, placeholders, plain

NAMES = sorted(path.stem for path in SHIPPED.glob("*.yaml"))
RULES = load_rules(SHIPPED)

UP = StationFact(id="CP1", name="North 1", site_id="n", site_name="North", protocol="ocpp1.6", last_seen_at=NOW)
DOWN = msgspec.structs.replace(UP, is_connected=False, disconnected_at=ago(hours=2), last_seen_at=ago(hours=2))
END = EndFact(
    id="s1",
    station="CP1",
    evse=1,
    ended_at=NOW,
    stop_received_at=NOW,
    energy_wh=12_340,
    charging_s=3_000,
    duration_s=3_600,
    cost="6.05",
    currency="EUR",
    stop_reason="Local",
)


def fault(code: str) -> Facts:
    return Facts(stations=(UP,), faults=(FaultFact(station="CP1", evse=1, error_code=code),))


def end(reason: str, **change: object) -> Facts:
    return Facts(stations=(UP,), ends=(msgspec.structs.replace(END, stop_reason=reason, **change),))


def expiring(days: int) -> Facts:
    found = CertificateFact(
        fingerprint="ab" * 32, station="CP1", kind="station", serial="1", subject="CN=CP1", not_after=ago(days=-days)
    )
    return Facts(stations=(UP,), certificates=(found,))


# rule -> facts that raise it (after its delay), facts near by that do not
CASES: dict[str, tuple[Facts, Facts]] = {
    "station_offline": (Facts(stations=(DOWN,)), Facts(stations=(UP,))),
    "site_down": (
        Facts(stations=(DOWN, msgspec.structs.replace(DOWN, id="CP2"), UP)),
        Facts(stations=(DOWN, UP)),
    ),
    "ground_failure": (fault("GroundFailure"), fault("OverCurrentFailure")),
    "high_temperature": (fault("HighTemperature"), fault("InternalError")),
    "over_current": (fault("OverCurrentFailure"), fault("GroundFailure")),
    "power_switch": (fault("PowerSwitchFailure"), fault("InternalError")),
    "power_meter": (fault("PowerMeterFailure"), fault("InternalError")),
    "connector_lock": (fault("ConnectorLockFailure"), fault("InternalError")),
    "reader_failure": (fault("ReaderFailure"), fault("InternalError")),
    "connector_fault": (fault("SomethingOfTheVendor"), fault("GroundFailure")),
    "session_interrupted": (end("PowerLoss"), end("Local")),
    "driver_interrupted": (end("EmergencyStop"), end("EVDisconnected", duration_s=30, energy_wh=0)),
    "session_completed": (end("Local"), end("PowerLoss")),
    "certificate_expiring": (expiring(29), expiring(31)),
    "certificate_at_its_end": (expiring(6), expiring(8)),
}


def test_a_certificate_is_told_by_one_rule_at_a_time_and_still_when_it_is_over() -> None:
    for days, names in ((40, []), (20, ["certificate_expiring"]), (3, ["certificate_at_its_end"])):
        assert [name for name in RULES if findings(RULES[name], expiring(days))] == names
    assert findings(RULES["certificate_at_its_end"], expiring(-1))


def findings(rule: Rule, facts: Facts) -> list[Decision]:
    """What the rule decides after its on-delay has passed."""
    first = evaluate({rule.name: rule}, facts, {}, {}, ago(days=1))
    since = {(d.rule, d.subject): d.since or NOW for d in first if d.kind is DecisionKind.WAIT}
    return [d for d in evaluate({rule.name: rule}, facts, {}, since, NOW) if d.kind is not DecisionKind.WAIT]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_rule_finds_what_it_is_for_and_fills_its_texts(name: str) -> None:
    rule, (raising, quiet) = RULES[name], CASES[name]
    (decision,) = findings(rule, raising)
    assert decision.finding is not None
    title = fill(rule.title, decision.finding.texts)
    assert placeholders(rule.title) <= set(decision.finding.texts)
    assert placeholders(rule.detail) <= set(decision.finding.texts)
    assert title
    assert "{" not in title
    assert findings(rule, quiet) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_rule_says_cause_consequence_and_action_in_sentences(name: str) -> None:
    rule = RULES[name]
    assert all(text.endswith(".") and len(text) > 20 for text in (rule.cause, rule.consequence, rule.action))
    assert rule.notify


@pytest.mark.parametrize("condition", sorted(CONDITIONS))
def test_every_condition_gives_the_texts_it_promises(condition: str) -> None:
    rule = next(rule for rule in RULES.values() if rule.condition == condition)
    (decision,) = findings(rule, CASES[rule.name][0])
    assert decision.finding is not None
    assert set(decision.finding.texts) == CONDITIONS[condition].texts


def test_every_error_code_of_the_first_ocpp_raises_exactly_one_alarm() -> None:
    codes = ["NoError", "ConnectorLockFailure", "EVCommunicationError", "GroundFailure", "HighTemperature"]
    codes += ["InternalError", "LocalListConflict", "OtherError", "OverCurrentFailure", "OverVoltage"]
    codes += ["PowerMeterFailure", "PowerSwitchFailure", "ReaderFailure", "ResetFailure", "UnderVoltage", "WeakSignal"]
    for code in codes:
        raised = [name for name, rule in RULES.items() if findings(rule, fault(code))]
        assert len(raised) == 1, code


def test_a_short_session_with_little_energy_counts_as_interrupted() -> None:
    assert findings(RULES["session_interrupted"], end("Local", duration_s=60, energy_wh=20))
    assert not findings(RULES["session_interrupted"], end("Local", duration_s=60, energy_wh=2_000))


def test_a_silent_ocpp_station_is_offline_though_its_socket_is_open_and_a_silent_mqtt_one_is_not() -> None:
    silent = msgspec.structs.replace(UP, last_seen_at=ago(hours=1))
    (decision,) = findings(RULES["station_offline"], Facts(stations=(silent,)))
    assert decision.since == ago(hours=1) + timedelta(seconds=630)
    assert not findings(
        RULES["station_offline"], Facts(stations=(msgspec.structs.replace(silent, protocol="mqtt/goe"),))
    )


# ---- the engine


OFFLINE = {"station_offline": RULES["station_offline"]}


def test_an_on_delay_waits_and_is_forgotten_when_the_condition_goes() -> None:
    gone = Facts(stations=(msgspec.structs.replace(DOWN, disconnected_at=ago(seconds=10)),))
    (wait,) = evaluate(OFFLINE, gone, {}, {}, NOW)
    assert wait.kind is DecisionKind.WAIT
    assert wait.since == ago(seconds=10)
    running = {(wait.rule, wait.subject): ago(seconds=10)}
    assert evaluate(OFFLINE, gone, {}, running, NOW) == []
    (raised,) = evaluate(OFFLINE, gone, {}, running, NOW + timedelta(seconds=290))
    assert raised.kind is DecisionKind.RAISE
    (forget,) = evaluate(OFFLINE, Facts(stations=(UP,)), {}, running, NOW)
    assert forget.kind is DecisionKind.FORGET


def test_a_condition_that_stays_decides_nothing_and_one_that_goes_clears() -> None:
    key = ("station_offline", "CP1")
    assert evaluate(OFFLINE, Facts(stations=(DOWN,)), {key: AlarmState.ACKNOWLEDGED}, {}, NOW) == []
    (clear,) = evaluate(OFFLINE, Facts(stations=(UP,)), {key: AlarmState.ACKNOWLEDGED}, {}, NOW)
    assert clear.kind is DecisionKind.CLEAR
    assert evaluate(OFFLINE, Facts(stations=(UP,)), {key: AlarmState.RETURNED}, {}, NOW) == []
    (again,) = evaluate(OFFLINE, Facts(stations=(DOWN,)), {key: AlarmState.RETURNED}, {}, NOW)
    assert again.kind is DecisionKind.RAISE


def test_a_site_that_is_down_holds_its_stations_alarms_back_until_it_is_up() -> None:
    rules = {name: RULES[name] for name in ("station_offline", "site_down")}
    two = (DOWN, msgspec.structs.replace(DOWN, id="CP2"))
    kinds = {(d.rule, d.kind) for d in evaluate(rules, Facts(stations=two), {}, {}, NOW)}
    assert kinds == {("site_down", DecisionKind.RAISE), ("station_offline", DecisionKind.WAIT)}
    up = {("site_down", "site:n"): AlarmState.UNACKNOWLEDGED}
    since = {("station_offline", s.id): ago(hours=2) for s in two}
    assert evaluate(rules, Facts(stations=two), up, since, NOW) == []
    half = Facts(stations=(DOWN, msgspec.structs.replace(UP, id="CP2")))
    kinds = {(d.rule, d.subject, d.kind) for d in evaluate(rules, half, up, since, NOW)}
    assert kinds == {
        ("site_down", "site:n", DecisionKind.CLEAR),
        ("station_offline", "CP1", DecisionKind.RAISE),
        ("station_offline", "CP2", DecisionKind.FORGET),
    }


def test_a_site_is_down_since_the_last_station_needed_for_it_went() -> None:
    later = msgspec.structs.replace(DOWN, id="CP2", disconnected_at=ago(seconds=30))
    (wait,) = evaluate({"site_down": RULES["site_down"]}, Facts(stations=(DOWN, later)), {}, {}, NOW)
    assert (wait.kind, wait.since) == (DecisionKind.WAIT, ago(seconds=30))


def test_what_a_removed_rule_left_behind_is_cleared() -> None:
    (clear,) = evaluate({}, Facts(), {("gone", "CP1"): AlarmState.UNACKNOWLEDGED}, {}, NOW)
    assert clear.kind is DecisionKind.CLEAR


def test_an_end_learnt_of_long_after_is_not_fresh() -> None:
    late = end("PowerLoss", ended_at=ago(hours=5))
    (decision,) = findings(RULES["session_interrupted"], late)
    assert decision.kind is DecisionKind.NOTE
    assert not decision.is_fresh


# ---- rule files


GOOD = yaml.safe_load((SHIPPED / "station_offline.yaml").read_text())
WRONG = {
    "unknown key": ({"colour": "red"}, "colour"),
    "unknown condition": ({"condition": "moon_full"}, "condition"),
    "unknown parameter": ({"parameters": {"silent": 5}}, "silent"),
    "parameter of a wrong kind": ({"parameters": {"silent_s": "long"}}, "silent_s"),
    "priority out of range": ({"priority": 5}, "priority"),
    "priority of a wrong kind": ({"priority": "high"}, "priority"),
    "negative delay": ({"for_s": -1}, "for_s"),
    "unknown channel": ({"notify": ["pigeon"]}, "notify"),
    "unknown placeholder": ({"title": "{colour}"}, "title"),
    "expression in a title": ({"title": "{station.__class__}"}, "title"),
    "title missing": ({"title": None}, "title"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_rule_is_refused_with_its_file_and_key(case: str, tmp_path: Path) -> None:
    change, key = WRONG[case]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(GOOD | change))
    with pytest.raises(RuleError) as error:
        read_rule(path)
    assert str(path) in str(error.value)
    assert key in str(error.value)


@pytest.mark.parametrize("text", ["{", "- a", "title: !!python/object/apply:os.system ['true']", "\xff"])
def test_a_file_that_is_no_rule_is_refused_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(RuleError, match=r"mine\.yaml"):
        load_rules(SHIPPED, tmp_path)


def test_a_folder_of_ones_own_replaces_a_rule_and_switches_one_off(tmp_path: Path) -> None:
    (tmp_path / "station_offline.yaml").write_text(yaml.safe_dump(GOOD | {"for_s": 60}))
    done = yaml.safe_load((SHIPPED / "session_completed.yaml").read_text())
    (tmp_path / "session_completed.yaml").write_text(yaml.safe_dump(done | {"is_enabled": False}))
    rules = load_rules(SHIPPED, tmp_path)
    assert rules["station_offline"].for_s == 60
    assert "session_completed" not in rules
    assert set(NAMES) - set(rules) == {"session_completed"}


def test_suppressing_a_rule_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(GOOD | {"suppresses": ["nothing"]}))
    with pytest.raises(RuleError, match="suppresses"):
        load_rules(SHIPPED, tmp_path)


# ---- words from chargers


def test_hostile_words_become_one_harmless_line() -> None:
    hostile = "CP\r\nBcc: all@example.org\x00\x1b[31m\u202egnp.exe\u2028 https://evil.example/{since}"
    assert plain(hostile) == "CP Bcc: all@example.org [31m gnp.exe https[:]//evil.example/{since}"
    assert fill("{station} x", {"station": hostile}).endswith("{since} x")
    assert len(plain("é" * 10_000)) == 120
