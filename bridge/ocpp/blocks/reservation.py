"""Reservations and the local list of cards.

Source: OCPP 1.6 sections 5.2, 5.13, 5.10 and 5.15; 2.0.1 part 2 sections H and D. Of the local list the version and
the size are recorded; the cards themselves are in the records of this system already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.events import AnyEvent, Detail, DetailKind
from bridge.ocpp.blocks.details import detail, gone, reported, when_accepted
from bridge.ocpp.blocks.progress import RequestId
from bridge.ocpp.versions import Action, Context, Payload


class ReservationStatusUpdate(Payload, frozen=True):
    reservation_id: RequestId
    reservation_update_status: str


def _status_update(request: ReservationStatusUpdate, context: Context) -> list[AnyEvent]:
    """Expired, removed or (2.1) used for nothing: it is over in each case."""
    over = Detail(key=str(request.reservation_id), body={"status": request.reservation_update_status[:50]})
    return [reported(context, DetailKind.RESERVATION, [over], is_gone=True)]


def used(reservation_id: int | None, context: Context) -> list[AnyEvent]:
    """A transaction that began on a reservation ends it."""
    return [] if reservation_id is None else [gone(context, DetailKind.RESERVATION, reservation_id)]


def _reserved_16(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    return [reported(context, DetailKind.RESERVATION, [detail(asked["reservationId"], asked, asked["connectorId"])])]


def _reserved_2(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    return [reported(context, DetailKind.RESERVATION, [detail(asked["id"], asked, asked.get("evseId"))])]


def _cancelled(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    return [gone(context, DetailKind.RESERVATION, asked["reservationId"])]


def _list_version(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    said = answer.get("listVersion", answer.get("versionNumber"))
    return [_version(int(said), context)] if said is not None else []


def _version(number: int, context: Context) -> AnyEvent:
    return reported(context, DetailKind.LIST, [detail("version", {"version": number})])


def _list_sent(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    version = int(asked.get("listVersion", asked.get("versionNumber")))
    entries = len(asked.get("localAuthorizationList") or [])
    sent = detail("sent", {"version": version, "updateType": asked.get("updateType"), "entries": entries})
    return [_version(version, context), reported(context, DetailKind.LIST, [sent])]


ACTIONS_2 = {"ReservationStatusUpdate": Action(ReservationStatusUpdate, _status_update)}
_ANSWERS = {
    "CancelReservation": when_accepted(_cancelled),
    "GetLocalListVersion": _list_version,
    "SendLocalList": when_accepted(_list_sent),
}
ANSWERS_16 = _ANSWERS | {"ReserveNow": when_accepted(_reserved_16)}
ANSWERS_2 = _ANSWERS | {"ReserveNow": when_accepted(_reserved_2)}
