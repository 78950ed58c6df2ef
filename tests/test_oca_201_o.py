"""The Open Charge Alliance's test cases of a CSMS for OCPP 2.0.1: block O, display messages.

Each test plays the charging station of the case with that number; the steps follow part 2 block O.
"""

from __future__ import annotations

from typing import Any

from oca_world import ACCEPTED, LATER, Asked, Station201, cases

from bridge.events import DetailKind

_HELLO = {"format": "UTF8", "content": "Hello"}


def show(cs: Station201, answer: Any = ACCEPTED, **params: Any) -> Asked:
    done = cs.asked("ShowMessage", {"text": "Hello", "message_id": 9} | params, answer)
    assert done.action == "SetDisplayMessage"
    return done


def shown(cs: Station201) -> dict[str, Any]:
    return cs.details(DetailKind.MESSAGE)


@cases(
    "params, fields",
    {
        "TC_O_01_CSMS": ({}, {}),
        "TC_O_13_CSMS": ({"since": LATER.isoformat()}, {"startDateTime": "2099-01-01T00:00:00Z"}),
        "TC_O_14_CSMS": ({"until": LATER.isoformat()}, {"endDateTime": "2099-01-01T00:00:00Z"}),
        "TC_O_25_CSMS": ({"state": "Charging"}, {"state": "Charging"}),
    },
)
def test_TC_set_display_message(cs201: Station201, params: dict[str, Any], fields: dict[str, Any]) -> None:
    done = show(cs201, **params)
    wanted = {"id": 9, "priority": "NormalCycle", "message": _HELLO} | fields
    assert done.payload == {"message": wanted}
    assert shown(cs201) == {"9": wanted}


@cases(
    "params, fields",
    {
        "TC_O_06_CSMS": ({}, {}),
        "TC_O_27_CSMS": ({"since": LATER.isoformat()}, {"startDateTime": "2099-01-01T00:00:00Z"}),
        "TC_O_28_CSMS": ({"until": LATER.isoformat()}, {"endDateTime": "2099-01-01T00:00:00Z"}),
    },
)
def test_TC_set_display_message_for_a_transaction(
    cs201: Station201, params: dict[str, Any], fields: dict[str, Any]
) -> None:
    going = cs201.charging()
    done = show(cs201, transaction_id=going.id, **params)
    wanted = {"id": 9, "priority": "NormalCycle", "message": _HELLO, "transactionId": going.id} | fields
    assert done.payload == {"message": wanted}
    assert shown(cs201)["9"]["transactionId"] == going.id


@cases(
    "status, params",
    {
        "TC_O_10_CSMS": ("UnknownTransaction", {"transaction_id": "none"}),
        "TC_O_17_CSMS": ("NotSupportedPriority", {"priority": "always in front"}),
        "TC_O_18_CSMS": ("NotSupportedState", {"state": "Faulted"}),
        "TC_O_19_CSMS": ("NotSupportedMessageFormat", {}),
        "TC_O_26_CSMS": ("Rejected", {}),
    },
)
def test_TC_display_message_that_is_not_taken(cs201: Station201, status: str, params: dict[str, Any]) -> None:
    done = show(cs201, {"status": status}, **params)
    assert (done.result.payload, done.is_refused) == ({"status": status}, True)
    assert shown(cs201) == {}


def test_TC_O_12_CSMS_replace_display_message(cs201: Station201) -> None:
    show(cs201)
    show(cs201, text="Good bye", priority="in front")
    assert shown(cs201)["9"]["message"]["content"] == "Good bye"
    assert len(shown(cs201)) == 1


# ask and clear


def told(cs: Station201, number: int, ids: list[int], tbc: bool = False) -> None:
    found = [{"id": id, "priority": "InFront", "message": _HELLO} for id in ids]
    assert cs.say("NotifyDisplayMessages", {"requestId": number, "messageInfo": found, "tbc": tbc}) == {}


@cases(
    "asked",
    {
        "TC_O_02_CSMS": {},
        "TC_O_07_CSMS": {"id": [1, 2, 3]},
        "TC_O_08_CSMS": {"priority": "InFront"},
        "TC_O_09_CSMS": {"state": "Charging"},
    },
)
def test_TC_get_display_messages(cs201: Station201, asked: dict[str, Any]) -> None:
    done = cs201.asked("GetDisplayMessages", {"requestId": 4} | asked)
    assert done.payload == {"requestId": 4} | asked
    told(cs201, 4, [1, 2], tbc=True)
    told(cs201, 4, [3])
    assert set(shown(cs201)) == {"1", "2", "3"}


@cases("asked", {"TC_O_03_CSMS": {}, "TC_O_11_CSMS": {"id": [99]}})
def test_TC_no_display_messages(cs201: Station201, asked: dict[str, Any]) -> None:
    done = cs201.asked("GetDisplayMessages", {"requestId": 4} | asked, {"status": "Unknown"})
    assert (done.result.payload, done.is_refused) == ({"status": "Unknown"}, True)
    assert shown(cs201) == {}


@cases("number, status", {"TC_O_04_CSMS": (9, "Accepted"), "TC_O_05_CSMS": (10, "Unknown")})
def test_TC_clear_display_message(cs201: Station201, number: int, status: str) -> None:
    show(cs201)
    done = cs201.asked("ClearMessage", {"message_id": number}, {"status": status})
    assert (done.action, done.payload, done.result.payload) == (
        "ClearDisplayMessage", {"id": number}, {"status": status},
    )  # fmt: skip
    assert set(shown(cs201)) == (set() if number == 9 else {"9"})
