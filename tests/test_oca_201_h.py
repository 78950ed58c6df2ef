"""The Open Charge Alliance's test cases of a CSMS for OCPP 2.0.1: block H, reservation.

Each test plays the charging station of the case with that number; the steps follow part 2 block H.
"""

from __future__ import annotations

from typing import Any

import pytest
from oca_world import ACCEPTED, LATER, REJECTED, Asked, Station201, cases

from bridge.events import ConnectorStatus, DetailKind
from bridge.session import SessionState

LATER_TEXT = "2099-01-01T00:00:00Z"


def reserve(cs: Station201, evse: int | None = 1, answer: Any = ACCEPTED, number: int = 5) -> Asked:
    params = {"token": "CARD1", "token_type": "ISO14443", "until": LATER.isoformat(), "reservation_id": number}
    done = cs.asked("Reserve", params | ({"evse": evse} if evse else {}), answer)
    wanted = {
        "id": number, "expiryDateTime": LATER_TEXT, "idToken": {"idToken": "CARD1", "type": "ISO14443"},
        "groupIdToken": {"idToken": "FLEET", "type": "Central"},
    }  # fmt: skip
    assert (done.action, done.payload) == ("ReserveNow", wanted | ({"evseId": evse} if evse else {}))
    return done


def use(cs: Station201, token: str, number: int = 5) -> None:
    """The card, or one of its group, charges: that ends the reservation."""
    info = cs.authorize(token)
    assert info == {"status": "Accepted", "groupIdToken": {"idToken": "FLEET", "type": "Central"}}
    cs.status("Occupied")
    going = cs.transaction()
    assert going.event("Started", "Authorized", "EVConnected", token, reservationId=number)["idTokenInfo"] == info
    going.event("Updated", "ChargingStateChanged", "Charging")
    assert (going.session.state, going.session.token) == (SessionState.CHARGING, token)
    assert str(number) not in cs.details(DetailKind.RESERVATION)


def known(cs: Station201) -> set[str]:
    return set(cs.details(DetailKind.RESERVATION))


@cases("evse, token", {
    "TC_H_01_CSMS": (1, "CARD1"), "TC_H_08_CSMS": (None, "CARD1"), "TC_H_19_CSMS": (1, "CARD2"),
})  # fmt: skip
def test_TC_reservation_that_is_used(cs201: Station201, evse: int | None, token: str) -> None:
    """01 on one EVSE, 08 on any, 19 by another card of the group that was reserved for."""
    reserve(cs201, evse)
    if evse:
        cs201.status("Reserved")
        assert cs201.connector().status is ConnectorStatus.RESERVED
    assert known(cs201) == {"5"}
    use(cs201, token)


@cases("why", {"TC_H_07_CSMS": "Expired", "TC_H_20_CSMS": "Removed"})
def test_TC_reservation_that_the_station_ends(cs201: Station201, why: str) -> None:
    """Nobody came, or it broke."""
    reserve(cs201)
    cs201.status("Reserved")
    said = {"reservationId": 5, "reservationUpdateStatus": why}
    if why == "Removed":
        cs201.status("Faulted")
    assert cs201.say("ReservationStatusUpdate", said) == {}
    if why == "Expired":
        cs201.status("Available")
    assert known(cs201) == set()
    assert cs201.there.sessions("CP") == []


def test_TC_H_14_CSMS_as_many_reservations_as_evses(cs201: Station201) -> None:
    """With the last free EVSE reserved, all of them are told as reserved."""
    for number in (5, 6):
        reserve(cs201, None, number=number)
    for evse in (1, 2):
        cs201.status("Reserved", evse)
        assert cs201.connector(evse).status is ConnectorStatus.RESERVED
    assert known(cs201) == {"5", "6"}
    assert reserve(cs201, None, {"status": "Occupied"}, 7).is_refused


def test_TC_H_15_CSMS_reserve_a_kind_of_connector(cs201: Station201) -> None:
    asked = {"id": 5, "expiryDateTime": LATER_TEXT, "connectorType": "cType2",
             "idToken": {"idToken": "CARD1", "type": "ISO14443"}}  # fmt: skip
    assert cs201.asked("ReserveNow", asked).payload == asked
    assert cs201.details(DetailKind.RESERVATION)["5"]["connectorType"] == "cType2"
    use(cs201, "CARD1")


def test_TC_H_17_CSMS_cancel_reservation(cs201: Station201) -> None:
    reserve(cs201)
    assert cs201.asked("CancelReservation", {"reservation_id": 6}, REJECTED).is_refused
    assert known(cs201) == {"5"}
    done = cs201.asked("CancelReservation", {"reservation_id": 5})
    assert (done.action, done.payload) == ("CancelReservation", {"reservationId": 5})
    assert known(cs201) == set()


@pytest.mark.parametrize("status", ["Rejected", "Occupied", "Faulted", "Unavailable"])
def test_TC_H_22_CSMS_reservation_that_is_not_taken(cs201: Station201, status: str) -> None:
    done = reserve(cs201, 1, {"status": status})
    assert done.result.payload == {"status": status}
    assert done.is_refused
    assert known(cs201) == set()
