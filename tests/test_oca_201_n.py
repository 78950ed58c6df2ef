"""The Open Charge Alliance's test cases of a CSMS for OCPP 2.0.1: block N, diagnostics.

Each test plays the charging station of the case with that number; the steps follow part 2 block N.
"""

from __future__ import annotations

from typing import Any

from oca_world import Asked, Station201, cases, now

from bridge.events import DetailKind, DeviceEventNotified

_EVSE = {"name": "EVSE", "evse": {"id": 1}}
_POWER = {"component": _EVSE, "variable": {"name": "Power"}}
_STATE = {"component": _EVSE, "variable": {"name": "AvailabilityState"}}


def monitors(cs: Station201) -> dict[str, Any]:
    return cs.details(DetailKind.MONITOR)


# monitors: ask


@cases(
    "asked",
    {
        "TC_N_01_CSMS": {"monitoringCriteria": ["ThresholdMonitoring", "DeltaMonitoring", "PeriodicMonitoring"]},
        "TC_N_02_CSMS": {"componentVariable": [_STATE]},
        "TC_N_03_CSMS": {"monitoringCriteria": ["DeltaMonitoring"], "componentVariable": [_STATE]},
        "TC_N_47_CSMS": {},
        "TC_N_60_CSMS": {"monitoringCriteria": ["ThresholdMonitoring"], "componentVariable": [_STATE, _POWER]},
    },
)
def test_TC_get_monitoring_report(cs201: Station201, asked: dict[str, Any]) -> None:
    done = cs201.asked("GetMonitoringReport", {"requestId": 4} | asked)
    assert done.payload == {"requestId": 4} | asked
    for seq_no, is_last in ((0, False), (1, True)):
        monitor = {"id": seq_no, "transaction": False, "value": 1, "type": "Delta", "severity": 8}
        said = {"requestId": 4, "seqNo": seq_no, "generatedAt": now(), "tbc": not is_last,
                "monitor": [_STATE | {"variableMonitoring": [monitor]}]}  # fmt: skip
        assert cs201.say("NotifyMonitoringReport", said) == {}
    assert set(monitors(cs201)) == {"0", "1"}
    assert monitors(cs201)["0"]["variable"] == "AvailabilityState"
    nothing = cs201.asked("GetMonitoringReport", {"requestId": 5} | asked, {"status": "EmptyResultSet"})
    assert nothing.is_refused


# monitors: set and clear


@cases("base", {"TC_N_05_CSMS": [["All", "FactoryDefault", "HardWiredOnly"]]})
def test_TC_set_monitoring_base(cs201: Station201, base: list[list[str]]) -> None:
    for word in base[0]:
        assert cs201.asked("SetMonitoringBase", {"monitoringBase": word}).payload == {"monitoringBase": word}


@cases("status, severity", {"TC_N_16_CSMS": ("Accepted", 4), "TC_N_17_CSMS": ("Rejected", 10)})
def test_TC_set_monitoring_level(cs201: Station201, status: str, severity: int) -> None:
    """A severity outside of 0 to 9 is the station's to refuse: the schema knows no bounds."""
    done = cs201.asked("SetMonitoringLevel", {"severity": severity}, {"status": status})
    assert (done.payload, done.result.payload) == ({"severity": severity}, {"status": status})


def set_monitors(cs: Station201, *wanted: dict[str, Any], taken: str = "Accepted") -> Asked:
    results = [
        {name: entry[name] for name in ("component", "variable", "type", "severity")} | {"status": taken, "id": number}
        for number, entry in enumerate(wanted, 1)
    ]
    done = cs.asked("SetVariableMonitoring", {"setMonitoringData": wanted}, {"setMonitoringResult": results})
    assert done.payload == {"setMonitoringData": list(wanted)}
    return done


def monitor(kind: str, place: dict[str, Any] = _POWER, value: float = 11_000.0) -> dict[str, Any]:
    return place | {"type": kind, "value": value, "severity": 4}


@cases(
    "wanted",
    {
        "TC_N_08_CSMS": [[monitor("UpperThreshold")]],
        "TC_N_09_CSMS": [[monitor("UpperThreshold"), monitor("Delta", _STATE, 1.0)]],
    },
)
def test_TC_set_variable_monitoring(cs201: Station201, wanted: list[list[dict[str, Any]]]) -> None:
    set_monitors(cs201, *wanted[0])
    known = monitors(cs201)
    assert [known[str(number)]["type"] for number in range(1, len(wanted[0]) + 1)] == [one["type"] for one in wanted[0]]
    set_monitors(cs201, monitor("LowerThreshold"), taken="Rejected")
    assert len(monitors(cs201)) == len(wanted[0])


def clear(cs: Station201, results: dict[int, str]) -> Asked:
    answer = {"clearMonitoringResult": [{"id": id, "status": status} for id, status in results.items()]}
    done = cs.asked("ClearVariableMonitoring", {"id": list(results)}, answer)
    assert done.payload == {"id": list(results)}
    return done


def test_TC_N_18_CSMS_clear_no_more_monitors_than_it_takes(cs201: Station201) -> None:
    cs201.takes("MonitoringCtrlr", "ClearVariableMonitoring", 1)
    set_monitors(cs201, monitor("UpperThreshold"), monitor("Delta"))
    answers = [{"clearMonitoringResult": [{"id": id, "status": "Accepted"}]} for id in (1, 2)]
    done = cs201.asked_often("ClearVariableMonitoring", {"id": [1, 2]}, answers)
    assert [one.payload for one in done] == [{"id": [1]}, {"id": [2]}]
    assert [one["id"] for one in done[0].result.payload["clearMonitoringResult"]] == [1, 2]
    assert monitors(cs201) == {}


def test_TC_N_44_CSMS_clear_monitoring_rejected(cs201: Station201) -> None:
    set_monitors(cs201, monitor("UpperThreshold"), monitor("Delta"))
    clear(cs201, {1: "Rejected", 2: "Accepted", 9: "NotFound"})
    assert set(monitors(cs201)) == {"1"}


# what a monitor tells


def alert(cs: Station201, value: str, trigger: str = "Alerting", kind: str = "CustomMonitor", **more: Any) -> None:
    entry = _POWER | {"actualValue": value, "trigger": trigger, "eventNotificationType": kind} | more
    cs.notified(entry)
    event = cs.told(DeviceEventNotified)[0]
    assert (event.component, event.variable, event.value) == ("EVSE@1", "Power", value)
    assert (event.trigger, event.cleared, event.evse) == (trigger, more.get("cleared", False), 1)


def test_TC_N_21_CSMS_alert_of_a_hard_wired_monitor(cs201: Station201) -> None:
    alert(cs201, "99000", kind="HardWiredMonitor")


def test_TC_N_24_CSMS_periodic_event(cs201: Station201) -> None:
    set_monitors(cs201, monitor("Periodic", value=60.0))
    for value in ("7000", "7100"):
        alert(cs201, value, "Periodic", variableMonitoringId=1)


def test_TC_N_48_CSMS_alert_of_a_variable_that_can_only_be_written(cs201: Station201) -> None:
    """The station tells that it changed and not to what: the value is empty, whatever we know."""
    set_monitors(cs201, monitor("Delta", value=1.0))
    alert(cs201, "", "Delta", variableMonitoringId=1)


def test_TC_N_49_CSMS_alert_that_is_over_after_a_reboot(cs201: Station201) -> None:
    for kind in ("UpperThreshold", "LowerThreshold"):
        set_monitors(cs201, monitor(kind))
        alert(cs201, "99000", variableMonitoringId=1)
        cs201.again()
        assert cs201.boot("RemoteReset")["status"] == "Accepted"
        alert(cs201, "0", variableMonitoringId=1, cleared=True)


def test_TC_N_50_CSMS_periodic_event_that_is_triggered(cs201: Station201) -> None:
    set_monitors(cs201, monitor("PeriodicClockAligned", value=900.0))
    alert(cs201, "7000", "Periodic", variableMonitoringId=1)


# logs


def fetch(cs: Station201, kind: str, answer: Any, number: int = 1) -> Asked:
    asked = {"kind": kind, "location": "https://up.example/1", "request_id": number}
    done = cs.asked("FetchLogs", asked, answer)
    words = {"diagnostics": "DiagnosticsLog", "security": "SecurityLog"}
    assert (done.action, done.payload["logType"], done.payload["requestId"]) == ("GetLog", words[kind], number)
    assert done.payload["log"]["remoteLocation"] == "https://up.example/1"
    return done


def uploads(cs: Station201, *steps: str, number: int = 1) -> None:
    for status in steps:
        assert cs.say("LogStatusNotification", {"status": status, "requestId": number}) == {}
        assert cs.details(DetailKind.LOG)["status"] == {"status": status, "requestId": number}


@cases("kind", {"TC_N_25_CSMS": "diagnostics", "TC_N_35_CSMS": "security"})
def test_TC_retrieve_log(cs201: Station201, kind: str) -> None:
    fetch(cs201, kind, {"status": "Accepted", "filename": "log.zip"})
    assert cs201.details(DetailKind.LOG)["asked"]["filename"] == "log.zip"
    uploads(cs201, "Uploading", "Uploaded")


def test_TC_N_34_CSMS_retrieve_log_rejected(cs201: Station201) -> None:
    assert fetch(cs201, "diagnostics", {"status": "Rejected"}).is_refused
    assert cs201.details(DetailKind.LOG) == {}


def test_TC_N_36_CSMS_a_second_request_cancels_the_first(cs201: Station201) -> None:
    fetch(cs201, "diagnostics", {"status": "Accepted", "filename": "1.zip"})
    uploads(cs201, "Uploading")
    fetch(cs201, "diagnostics", {"status": "AcceptedCanceled", "filename": "2.zip"}, 2)
    uploads(cs201, "AcceptedCanceled")
    uploads(cs201, "Uploading", "Uploaded", number=2)
    asked = cs201.details(DetailKind.LOG)["asked"]
    assert (asked["requestId"], asked["filename"]) == (2, "2.zip")


# what a station knows about a customer

_CARD = {"idToken": {"idToken": "CARD1", "type": "ISO14443"}}
_CERTIFICATE = {"customerCertificate": {
    "hashAlgorithm": "SHA256", "issuerNameHash": "aa", "issuerKeyHash": "bb", "serialNumber": "1"}}  # fmt: skip


def customer(cs: Station201, who: dict[str, Any], report: bool, clear: bool, status: str = "Accepted") -> Asked:
    asked = {"requestId": 6, "report": report, "clear": clear} | who
    done = cs.asked("CustomerInformation", asked, {"status": status})
    assert (done.payload, done.result.payload) == (asked, {"status": status})
    return done


def tells(cs: Station201, *parts: str) -> None:
    for seq_no, data in enumerate(parts):
        is_last = seq_no == len(parts) - 1
        said = {"requestId": 6, "seqNo": seq_no, "generatedAt": now(), "data": data, "tbc": not is_last}
        assert cs.say("NotifyCustomerInformation", said) == {}
    told = cs.details(DetailKind.CUSTOMER)["6"]
    assert (told["text"], told["isComplete"]) == ("".join(parts), True)


@cases(
    "who, clear, parts",
    {
        "TC_N_27_CSMS": (_CARD, False, ("CARD1 charged ", "three times")),
        "TC_N_28_CSMS": (_CARD, False, ("",)),
        "TC_N_30_CSMS": (_CARD, True, ("CARD1 charged ", "three times")),
        "TC_N_31_CSMS": (_CARD, True, ("",)),
        "TC_N_62_CSMS": ({"customerIdentifier": "Ann"}, True, ("Ann",)),
        "TC_N_63_CSMS": (_CERTIFICATE, True, ("Ann",)),
    },
)
def test_TC_customer_information(cs201: Station201, who: dict[str, Any], clear: bool, parts: tuple[str, ...]) -> None:
    customer(cs201, who, True, clear)
    tells(cs201, *parts)


def test_TC_N_29_CSMS_customer_information_not_accepted(cs201: Station201) -> None:
    assert customer(cs201, _CARD, True, False, "Rejected").is_refused
    assert cs201.details(DetailKind.CUSTOMER) == {}


def test_TC_N_32_CSMS_clear_customer_information_without_a_report(cs201: Station201) -> None:
    assert customer(cs201, _CARD, False, True).told == ()


def test_TC_N_46_CSMS_clear_customer_information_and_the_list(cs201: Station201) -> None:
    """Who is to be forgotten leaves the local list too."""
    customer(cs201, {"idToken": {"idToken": "LEFT", "type": "ISO14443"}}, False, True)
    sent = cs201.asked("SendLocalList", {"update": "differential", "tokens": "LEFT"}).payload
    assert sent["localAuthorizationList"] == [{"idToken": {"idToken": "LEFT", "type": "ISO14443"}}]
