"""The Open Charge Alliance's test cases of a CSMS for OCPP 2.0.1: blocks C, authorisation, and D, the local list.

Each test plays the charging station of the case with that number; the steps follow part 2 blocks C and D.
"""

from __future__ import annotations

from typing import Any

from oca_world import ACCEPTED, LATER, Station201, cases

from bridge.access import Directory
from bridge.events import DetailKind, StationAsked, TokenPresented
from bridge.session import SessionState

FLEET = {"idToken": "FLEET", "type": "Central"}
MASTERS = {"idToken": "MASTERS", "type": "Central"}


# cards that are not accepted, the cache


@cases(
    "token, status",
    {
        "TC_C_02_CSMS": ("NOBODY", "Unknown"),
        "TC_C_06_CSMS": ("BLOCKED", "Blocked"),
        "TC_C_07_CSMS": ("EXPIRED", "Expired"),
    },
)
def test_TC_start_with_a_card_that_is_not_accepted(cs201: Station201, token: str, status: str) -> None:
    cs201.status("Occupied")
    assert cs201.authorize(token)["status"] == status
    presented = cs201.told(TokenPresented)[0]
    assert (presented.token, presented.token_type, presented.accepted) == (token, "ISO14443", False)
    assert cs201.there.sessions("CP") == []


def test_TC_C_08_CSMS_authorization_cache_accepted(cs201: Station201) -> None:
    """The station lets the card in by its cache; the first it says of it is the transaction."""
    assert cs201.authorize("UNTIL2099") == ACCEPTED | {"cacheExpiryDateTime": "2099-01-01T00:00:00.000Z"}
    cs201.status("Occupied")
    going = cs201.transaction()
    answer = going.event("Started", "Authorized", "EVConnected", "UNTIL2099")
    assert answer["idTokenInfo"]["status"] == "Accepted"
    going.event("Updated", "ChargingStateChanged", "Charging")
    assert (going.session.token, going.session.state) == ("UNTIL2099", SessionState.CHARGING)


def test_TC_C_20_CSMS_authorization_cache_invalid(cs201: Station201) -> None:
    """It was cached, and is blocked since: the answer to the transaction says so, and the station ends it."""
    cs201.status("Occupied")
    going = cs201.transaction()
    answer = going.event("Started", "Authorized", "EVConnected", "BLOCKED")
    assert answer["idTokenInfo"]["status"] == "Blocked"
    going.event("Ended", "Deauthorized", "EVConnected", reason="DeAuthorized")
    assert (going.session.state, going.session.stop_reason) == (SessionState.ENDED, "DeAuthorized")


@cases("status", {"TC_C_37_CSMS": "Accepted", "TC_C_38_CSMS": "Rejected"})
def test_TC_clear_cache(cs201: Station201, status: str) -> None:
    done = cs201.asked("ClearCache", {}, {"status": status})
    assert (done.action, done.payload, done.result.payload) == ("ClearCache", {}, {"status": status})
    assert done.is_refused is (status == "Rejected")


# groups


def test_TC_C_39_CSMS_authorization_by_group(cs201: Station201) -> None:
    """Another card of the same group stops what the first one started: it is told by the same group."""
    going = cs201.charging("CARD1")
    assert cs201.authorize("CARD1")["groupIdToken"] == FLEET
    assert cs201.authorize("CARD2") == {"status": "Accepted", "groupIdToken": FLEET}
    answer = going.event("Ended", "StopAuthorized", "EVConnected", "CARD2", reason="Local", wh=3000)
    assert answer["idTokenInfo"] == {"status": "Accepted", "groupIdToken": FLEET}
    assert (going.session.token, going.session.energy_wh) == ("CARD1", 2000)


def test_TC_C_40_CSMS_authorization_by_group_with_local_list(cs201: Station201) -> None:
    listed = sent_list(cs201, "full")
    assert listed["CARD1"]["groupIdToken"] == listed["CARD2"]["groupIdToken"] == FLEET
    going = cs201.charging("CARD1")
    answer = going.event("Ended", "StopAuthorized", "EVConnected", "CARD2", reason="Local")
    assert answer["idTokenInfo"]["groupIdToken"] == FLEET


def test_TC_C_43_CSMS_authorization_by_group_invalid_with_local_list(cs201: Station201) -> None:
    """Of the group, and not let in all the same: the list and the answer agree."""
    listed = sent_list(cs201, "full")
    assert listed["BLOCKED"] == {"status": "Blocked", "groupIdToken": FLEET}
    assert cs201.authorize("BLOCKED") == listed["BLOCKED"]


# master pass


def test_TC_C_47_CSMS_master_pass_ends_all_transactions(cs201: Station201) -> None:
    both = [cs201.transaction("tx-1", 1), cs201.transaction("tx-2", 2)]
    for going, token in zip(both, ("CARD1", "STRANGER"), strict=True):
        going.event("Started", "Authorized", "Charging", token)
    assert cs201.authorize("MASTER") == {"status": "Accepted", "groupIdToken": MASTERS}
    for going in both:
        answer = going.event("Ended", "StopAuthorized", "EVConnected", "MASTER", reason="MasterPass")
        assert answer["idTokenInfo"] == {"status": "Accepted", "groupIdToken": MASTERS}
    assert [(s.session.state, s.session.stop_reason) for s in both] == [(SessionState.ENDED, "MasterPass")] * 2
    assert [s.session.token for s in both] == ["CARD1", "STRANGER"], "who stopped does not pay"


def test_TC_C_48_CSMS_master_pass_ends_one_transaction(cs201: Station201) -> None:
    first, second = cs201.transaction("tx-1", 1), cs201.transaction("tx-2", 2)
    for going in (first, second):
        going.event("Started", "Authorized", "Charging", "CARD1")
    assert cs201.authorize("MASTER")["groupIdToken"] == MASTERS
    first.event("Ended", "StopAuthorized", "EVConnected", "MASTER", reason="MasterPass")
    assert (first.session.is_open, second.session.is_open) == (False, True)


def test_TC_C_49_CSMS_master_pass_without_a_screen(cs201: Station201) -> None:
    """It starts nothing, it only stops."""
    assert cs201.variable_set("AuthCtrlr.MasterPassGroupId", "MASTERS").result.payload
    going = cs201.charging("CARD1")
    assert cs201.authorize("MASTER")["groupIdToken"] == MASTERS
    answer = going.event("Ended", "StopAuthorized", "EVConnected", "MASTER", reason="MasterPass")
    assert answer["idTokenInfo"]["status"] == "Accepted"
    assert len(cs201.there.sessions("CP")) == 1


# contracts: what cannot be checked here is not let in

_HASHES = {"hashAlgorithm": "SHA256", "issuerNameHash": "ab", "issuerKeyHash": "cd", "serialNumber": "1",
           "responderURL": "http://ocsp.example/"}  # fmt: skip



def test_TC_C_51_CSMS_contract_certificate_rejected(cs201: Station201) -> None:
    """The card's number alone is in the records: it would be let in, the contract nobody vouches for is not."""
    assert cs201.authorize("CARD1", "eMAID")["status"] == "Accepted"
    for contract in ({"iso15118CertificateHashData": [_HASHES]}, {"certificate": "PEM"}):
        answer = cs201.say("Authorize", {"idToken": {"idToken": "CARD1", "type": "eMAID"}} | contract)
        assert answer["idTokenInfo"]["status"] == "Invalid"
        assert answer["certificateStatus"] == "NoCertificateAvailable"
        assert cs201.told(StationAsked)[0].about == "CARD1"
        assert cs201.told(TokenPresented) == []


# local list


def sent_list(cs: Station201, update: str, **params: Any) -> dict[str, Any]:
    """A list goes out and is taken; its cards with what is said of them (None: to be taken off)."""
    done = cs.asked("SendLocalList", {"update": update} | params)
    assert (done.action, done.payload["updateType"].lower()) == ("SendLocalList", update)
    assert cs.details(DetailKind.LIST)["version"] == {"version": done.payload["versionNumber"]}
    entries = done.payload.get("localAuthorizationList", [])
    assert all(entry["idToken"]["type"] == "ISO14443" for entry in entries)
    return {entry["idToken"]["idToken"]: entry.get("idTokenInfo") for entry in entries}


def test_TC_D_01_CSMS_send_local_list_full(cs201: Station201) -> None:
    listed = sent_list(cs201, "full")
    assert set(listed) == {entry.token for entry in cs201.there.intake.directory.tokens.values()}
    assert listed["EXPIRED"]["status"] == "Expired"
    assert listed["UNTIL2099"]["cacheExpiryDateTime"].startswith(f"{LATER:%Y-%m-%d}")


def test_TC_D_02_CSMS_send_local_list_differential_update(cs201: Station201) -> None:
    assert sent_list(cs201, "full", version=3)
    assert sent_list(cs201, "differential", tokens="CARD1", version=4) == {
        "CARD1": {"status": "Accepted", "groupIdToken": FLEET}
    }


def test_TC_D_03_CSMS_send_local_list_differential_remove(cs201: Station201) -> None:
    assert sent_list(cs201, "full", version=3)
    assert sent_list(cs201, "differential", tokens="GONE", version=4) == {"GONE": None}


def test_TC_D_04_CSMS_send_local_list_full_and_empty(cs201: Station201) -> None:
    cs201.there.intake.directory = Directory()
    done = cs201.asked("SendLocalList", {"update": "full"})
    assert "localAuthorizationList" not in done.payload
    assert cs201.details(DetailKind.LIST)["sent"]["entries"] == 0


@cases("number", {"TC_D_08_CSMS": 12, "TC_D_09_CSMS": 0})
def test_TC_list_version(cs201: Station201, number: int) -> None:
    done = cs201.asked("GetLocalListVersion", {}, {"versionNumber": number})
    assert (done.action, done.payload, done.result.payload) == ("GetLocalListVersion", {}, {"versionNumber": number})
    assert cs201.details(DetailKind.LIST)["version"] == {"version": number}


def test_TC_D_CSMS_a_list_that_is_refused_changes_nothing(cs201: Station201) -> None:
    for refusal in ({"status": "Failed"}, {"status": "VersionMismatch"}, "NotSupported"):
        assert cs201.asked("SendLocalList", {"update": "full"}, refusal).is_refused
    assert cs201.details(DetailKind.LIST) == {}
