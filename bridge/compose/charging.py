"""Composed commands about power: a limit as a charging profile, and its end.

Source: OCPP 1.6 sections 3.13 and 5.16; 2.0.1 part 2 block K.
"""

from __future__ import annotations

from typing import Any

from bridge.compose.remote import EVSE
from bridge.compose.terms import CannotCompose, Composed, Given, Kind, Parameter, Said, Target, utc_text

_STATION, _EVSE, _SESSION = "station", "evse", "session"
_SCOPES = (_STATION, _EVSE, _SESSION)
_PURPOSES = {_STATION: "ChargingStationMaxProfile", _EVSE: "TxDefaultProfile", _SESSION: "TxProfile"}
_PURPOSES_16 = _PURPOSES | {_STATION: "ChargePointMaxProfile"}
_SCOPE = Parameter(
    "scope",
    "Where",
    Kind.CHOICE,
    _SCOPES,
    _STATION,
    help="station: all together; evse: each session there that has no limit of its own; session: one session.",
)
_PLACE = EVSE._replace(help="For evse (0: each one) and session.")


def profile_id(scope: str, evse: int) -> int:
    """The same place has the same number, so a new limit takes the place of the old one."""
    return 1 + 1000 * _SCOPES.index(scope) + evse


def _limit(to: Target, given: Given) -> Said:
    scope, evse = given["scope"], _evse(given)
    profile: dict[str, Any] = {
        "chargingProfileId" if to.is_16 else "id": profile_id(scope, evse),
        "stackLevel": given["stack_level"],
        "chargingProfilePurpose": (_PURPOSES_16 if to.is_16 else _PURPOSES)[scope],
        "chargingProfileKind": "Absolute",
    }
    if scope == _SESSION:
        profile["transactionId"] = _transaction(to, given)
    schedule = _schedule(to, given)
    if to.is_16:
        profile["chargingSchedule"] = schedule
        return "SetChargingProfile", {"connectorId": evse, "csChargingProfiles": profile}
    profile["chargingSchedule"] = [{"id": profile["id"]} | schedule]
    return "SetChargingProfile", {"evseId": evse, "chargingProfile": profile}


def _schedule(to: Target, given: Given) -> dict[str, Any]:
    limit = given["limit"]
    if limit < 0:
        raise CannotCompose("LimitPower: 'limit' is 0 or more", "limit")
    period = {"startPeriod": 0, "limit": round(limit, 1)} | given.some(numberPhases="phases")
    return {
        "chargingRateUnit": given["unit"],
        "startSchedule": utc_text(to.now),
        "chargingSchedulePeriod": [period],
    } | given.some(duration="duration_s")


def _evse(given: Given) -> int:
    if given["scope"] == _STATION:
        return 0
    evse = int(given.need("evse", f"when 'scope' is {given['scope']}"))
    if given["scope"] == _SESSION and evse == 0:
        raise CannotCompose("'evse' is from 1 when 'scope' is session", "evse")
    return evse


def _transaction(to: Target, given: Given) -> str | int:
    transaction = str(given.need("transaction_id", "when 'scope' is session"))
    if not to.is_16:
        return transaction
    if not transaction.isdecimal():
        raise CannotCompose("LimitPower: 'transaction_id' is a whole number in OCPP 1.6", "transaction_id")
    return int(transaction)


def _clear(to: Target, given: Given) -> Said:
    scope, evse = given["scope"], _evse(given)
    purpose = (_PURPOSES_16 if to.is_16 else _PURPOSES)[scope]
    if to.is_16:
        return "ClearChargingProfile", {"connectorId": evse, "chargingProfilePurpose": purpose}
    criteria = {"evseId": evse, "chargingProfilePurpose": purpose}
    return "ClearChargingProfile", {"chargingProfileCriteria": criteria}


COMMANDS = (
    Composed(
        "LimitPower",
        "Limit the power",
        "Cars there charge no faster than this until the time is over or the limit is cleared.",
        (
            Parameter("limit", "Limit", Kind.NUMBER, required=True, help="0 pauses."),
            Parameter("unit", "Unit", Kind.CHOICE, ("W", "A"), "W", help="A is for each phase."),
            _SCOPE,
            _PLACE,
            Parameter("transaction_id", "Transaction", help="For a session."),
            Parameter("duration_s", "Duration in seconds", Kind.INTEGER, help="Until it is cleared without it."),
            Parameter("phases", "Phases", Kind.INTEGER, help="How many the limit is for; 3 without it."),
            Parameter("stack_level", "Stack level", Kind.INTEGER, default=0, help="A higher one prevails."),
        ),
        _limit,
    ),
    Composed(
        "ClearLimit",
        "Clear the limit",
        "Cars there charge as fast as they and the station can; limits set by others of the same kind end too.",
        (_SCOPE, _PLACE),
        _clear,
    ),
)
