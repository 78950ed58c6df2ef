"""A list that is longer than a station takes at once goes out in portions, and comes back as one answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from oca_world import Station16

from bridge.command_bus import CommandOutcome
from bridge.events import Detail
from bridge.ocpp.commands import CallOutcome, in_portions
from bridge.portions import merged, split, told

CARDS = [{"idTag": str(number)} for number in range(5)]


@pytest.mark.parametrize(
    ("key", "action"),
    [
        ("DeviceDataCtrlr ItemsPerMessage/SetVariables Actual", "SetVariables"),
        ("LocalAuthListCtrlr ItemsPerMessage Actual", "SendLocalList"),
        ("SendLocalListMaxLength", "SendLocalList"),
        ("GetConfigurationMaxKeys", "GetConfiguration"),
    ],
)
def test_what_a_station_says_about_its_lists_is_known(key: str, action: str) -> None:
    assert told([Detail(key=key, body={"value": "7"}), Detail(key="Other", body={"value": "9"})]) == {action: 7}


@pytest.mark.parametrize("value", ["", "0", "-3", "many", "1e9", "99999999", None, "²"])
def test_a_limit_that_is_none_is_not_one(value: Any) -> None:
    assert told([Detail(key="GetConfigurationMaxKeys", body={"value": value})]) == {}


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("GetConfiguration", {"key": ["A"]}),
        ("Reset", {"type": "Soft"}),
        ("GetVariables", {}),
        ("GetVariables", {"getVariableData": []}),
        ("GetVariables", {"getVariableData": 7}),
    ],
)
def test_a_short_list_another_action_and_an_odd_payload_stay_as_they_are(action: str, payload: Any) -> None:
    assert split(action, payload, {"GetConfiguration": 3, "GetVariables": 1}) == [payload]


def test_a_full_list_of_cards_goes_on_as_a_differential_one_with_rising_versions() -> None:
    payload = {"listVersion": 10, "updateType": "Full", "localAuthorizationList": CARDS}
    parts = split("SendLocalList", payload, {"SendLocalList": 2})
    assert [(part["listVersion"], part["updateType"]) for part in parts] == [
        (10, "Full"), (11, "Differential"), (12, "Differential"),
    ]  # fmt: skip
    assert [card for part in parts for card in part["localAuthorizationList"]] == CARDS


def test_a_station_that_takes_one_at_a_time_is_not_asked_thousands_of_times() -> None:
    parts = split("GetConfiguration", {"key": [str(n) for n in range(5000)]}, {"GetConfiguration": 1})
    assert len(parts) == 100
    assert sum(len(part["key"]) for part in parts) == 5000


def test_lists_are_joined_and_of_the_rest_the_last_word_stands() -> None:
    answers = [{"configurationKey": [1], "unknownKey": ["x"], "a": 1}, {"configurationKey": [2], "a": 2}]
    assert merged("GetConfiguration", answers) == {"configurationKey": [1, 2], "unknownKey": ["x"], "a": 2}
    assert merged("SendLocalList", [{"status": "Accepted"}, {"status": "Failed"}]) == {"status": "Failed"}


@pytest.mark.parametrize(
    "last",
    [
        CallOutcome(CommandOutcome.TIMEOUT, detail="no answer"),
        CallOutcome(CommandOutcome.REFUSED, code="InternalError", detail="InternalError: no"),
        CallOutcome(CommandOutcome.ANSWERED, {"status": "Failed"}),
    ],
)
def test_the_first_portion_that_is_not_taken_is_the_outcome_and_the_last_that_is_sent(last: CallOutcome) -> None:
    sent = []

    async def call(portion: dict[str, Any]) -> CallOutcome:
        sent.append(portion)
        return CallOutcome(CommandOutcome.ANSWERED, {"status": "Accepted"}) if len(sent) == 1 else last

    done = asyncio.run(in_portions("SendLocalList", [{"n": n} for n in range(4)], call))
    assert len(sent) == 2
    assert (done.outcome, done.code) == (last.outcome, last.code)
    assert done.detail.startswith("1 of 4 portions were taken")


def test_a_limit_is_remembered_over_a_new_connection_and_not_over_new_firmware(cp16: Station16) -> None:
    keys = [{"key": "GetConfigurationMaxKeys", "readonly": True, "value": "1"}]
    cp16.asked("GetConfiguration", {}, {"configurationKey": keys})
    cp16.again()
    cp16.boot()
    answers = [{"configurationKey": [{"key": key, "readonly": True, "value": "1"}]} for key in "AB"]
    done = cp16.asked_often("GetConfiguration", {"keys": "A,B"}, answers)
    assert [one.payload for one in done] == [{"key": ["A"]}, {"key": ["B"]}]
    assert [key["key"] for key in done[0].result.payload["configurationKey"]] == ["A", "B"]
    new = {"chargePointVendor": "Acme", "chargePointModel": "Box", "firmwareVersion": "2"}
    assert cp16.say("BootNotification", new)["status"] == "Accepted"
    unlimited = {"configurationKey": [{"key": "A", "readonly": True, "value": "1"}]}
    assert cp16.asked("GetConfiguration", {"keys": "A,B"}, unlimited).payload == {"key": ["A", "B"]}
