"""Composed commands about cards: the local list, reservations.

The local list is made of the drivers' tokens in the records: status, expiry and group as the door would decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from bridge.access import TokenEntry, normalise_token
from bridge.compose.remote import EVSE, TOKEN_TYPE, TOKEN_TYPES
from bridge.compose.terms import CannotCompose, Composed, Given, Kind, Parameter, Said, Target, new_id, utc_text

_FULL, _DIFFERENTIAL = "full", "differential"
_VERSION_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def next_version(now: datetime) -> int:
    """Seconds since 2020: higher than any list we have sent, with nothing to remember; 32 bits last until 2088."""
    return int((now - _VERSION_EPOCH).total_seconds())


def _send_list(to: Target, given: Given) -> Said:
    is_full = given["update"] == _FULL
    version = given["version"] or next_version(to.now)
    kind = "Full" if is_full else "Differential"
    entries = list(_everybody(to, given) if is_full else _named(to, given))
    listed: dict[str, Any] = {"localAuthorizationList": entries} if entries else {}
    return "SendLocalList", {"listVersion" if to.is_16 else "versionNumber": version, "updateType": kind} | listed


def _everybody(to: Target, given: Given) -> Iterable[dict[str, Any]]:
    if given["tokens"] is not None:
        raise CannotCompose("SendLocalList: a full list holds every card; leave 'tokens' out", "tokens")
    for entry in to.tokens.values():
        yield _entry(to, entry.token, entry, given["token_type"])


def _named(to: Target, given: Given) -> Iterable[dict[str, Any]]:
    """A card that the records no longer have leaves the list: its entry has no information."""
    for token in given.need("tokens", "for a differential update").split(","):
        if token.strip():
            yield _entry(to, token.strip(), to.tokens.get(normalise_token(token)), given["token_type"])


def _entry(to: Target, token: str, entry: TokenEntry | None, kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {"idTag": token} if to.is_16 else {"idToken": {"idToken": token, "type": kind}}
    if entry is None:
        return made
    info: dict[str, Any] = {"status": _status(entry, to.now)}
    if entry.expires_at is not None:
        info["expiryDate" if to.is_16 else "cacheExpiryDateTime"] = utc_text(entry.expires_at)
    if entry.group:
        info |= {"parentIdTag": entry.group[:20]} if to.is_16 else {"groupIdToken": _group(entry.group)}
    return made | {"idTagInfo" if to.is_16 else "idTokenInfo": info}


def _status(entry: TokenEntry, now: datetime) -> str:
    if entry.is_blocked:
        return "Blocked"
    return "Expired" if entry.expires_at is not None and entry.expires_at <= now else "Accepted"


def _group(group: str) -> dict[str, str]:
    return {"idToken": group[:36], "type": "Central"}


def _reserve(to: Target, given: Given) -> Said:
    token, until = given["token"], utc_text(given["until"])
    number = given["reservation_id"] or new_id()
    known = to.tokens.get(normalise_token(token))
    group = known.group if known is not None else ""
    if to.is_16:
        payload = {"connectorId": given["evse"] or 0, "expiryDate": until, "idTag": token, "reservationId": number}
        return "ReserveNow", payload | ({"parentIdTag": group[:20]} if group else {})
    id_token = {"idToken": token, "type": given["token_type"]}
    payload = {"id": number, "expiryDateTime": until, "idToken": id_token} | given.some(evseId="evse")
    return "ReserveNow", payload | ({"groupIdToken": _group(group)} if group else {})


def _cancel(to: Target, given: Given) -> Said:
    return "CancelReservation", {"reservationId": given["reservation_id"]}


COMMANDS = (
    Composed(
        "SendLocalList",
        "Send the list of cards",
        "The station knows these cards when it cannot reach us; a full list replaces the one it has.",
        (
            Parameter("update", "Update", Kind.CHOICE, (_FULL, _DIFFERENTIAL), _FULL),
            Parameter(
                "tokens",
                "Cards",
                help="Only for a differential update, with commas. A card we do not list is taken off.",
            ),
            TOKEN_TYPE._replace(default="ISO14443", choices=TOKEN_TYPES),
            Parameter("version", "Version of the list", Kind.INTEGER, help="The next one without it."),
        ),
        _send_list,
    ),
    Composed(
        "Reserve",
        "Reserve",
        "Only this card, or one of its group, can start there until then.",
        (
            Parameter("token", "Card or token", required=True),
            Parameter("until", "Until", Kind.TIME, required=True),
            EVSE._replace(help="Without it any that is free, where the station can do so."),
            TOKEN_TYPE,
            Parameter("reservation_id", "Number", Kind.INTEGER, help="Random without it; the same number changes one."),
        ),
        _reserve,
    ),
    Composed(
        "CancelReservation",
        "Cancel a reservation",
        "Everybody can start there again.",
        (Parameter("reservation_id", "Number", Kind.INTEGER, required=True),),
        _cancel,
    ),
)
