"""Smart charging: profiles, limits from outside, what the car needs and what it plans.

Source: OCPP 1.6 sections 3.13 and 5.5, 5.7 and 5.16; 2.0.1 and 2.1 part 2 section K. A charging profile's id is unique
within its station, so that is its key; the limit of a source is one for each EVSE (0: for the whole station).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import field

from bridge.events import AnyEvent, Detail, DetailKind, PriorityChargingChanged, StationAsked
from bridge.ocpp.blocks.details import body_of, detail, gone, reported, when_accepted
from bridge.ocpp.blocks.device_model import Evse
from bridge.ocpp.blocks.progress import RequestId
from bridge.ocpp.versions import Action, Context, Payload

_PROFILE_ID = ("id", "chargingProfileId")  # 2.x, 1.6


class NotifyChargingLimit(Payload, frozen=True):
    charging_limit: dict[str, Any]
    evse_id: Evse = 0
    charging_schedule: list[dict[str, Any]] = field(default_factory=list)


class ClearedChargingLimit(Payload, frozen=True):
    charging_limit_source: str
    evse_id: Evse = 0


class NotifyEVChargingNeeds(Payload, frozen=True):
    evse_id: Evse
    charging_needs: dict[str, Any]
    max_schedule_tuples: RequestId | None = None
    timestamp: str = ""


class NotifyEVChargingSchedule(Payload, frozen=True):
    evse_id: Evse
    time_base: str
    charging_schedule: dict[str, Any]
    selected_charging_schedule_id: RequestId | None = None
    power_tolerance_acceptance: bool | None = None


class ReportChargingProfiles(Payload, frozen=True):
    request_id: RequestId
    charging_limit_source: str
    evse_id: Evse
    charging_profile: list[dict[str, Any]]
    tbc: bool = False


class NotifyPriorityCharging(Payload, frozen=True):
    transaction_id: str
    activated: bool


class PullDynamicScheduleUpdate(Payload, frozen=True):
    charging_profile_id: RequestId


def _limit_key(source: str, evse: int) -> str:
    return f"{source}@{evse}"


def _limit(request: NotifyChargingLimit, context: Context) -> list[AnyEvent]:
    key = _limit_key(str(request.charging_limit.get("chargingLimitSource", "")), request.evse_id)
    return [reported(context, DetailKind.LIMIT, [detail(key, body_of(request), request.evse_id)])]


def _limit_cleared(request: ClearedChargingLimit, context: Context) -> list[AnyEvent]:
    return [gone(context, DetailKind.LIMIT, _limit_key(request.charging_limit_source, request.evse_id))]


def _needs(request: NotifyEVChargingNeeds, context: Context) -> list[AnyEvent]:
    needed = detail(request.evse_id, body_of(request), request.evse_id)
    return [reported(context, DetailKind.NEEDS, [needed], request.timestamp)]


def _needs_reply(request: Any, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    """Section K15: Accepted would promise a profile within moments, and the station would wait for it. Nothing here
    computes one by itself; the car charges at once by the profiles that are set."""
    return {"status": "Rejected"}


def _needs_reply_21(request: Any, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    """2.1 has a word for it."""
    return {"status": "NoChargingProfile"}


def _ev_schedule(request: NotifyEVChargingSchedule, context: Context) -> list[AnyEvent]:
    planned = detail(f"ev@{request.evse_id}", body_of(request), request.evse_id)
    return [reported(context, DetailKind.SCHEDULE, [planned], request.time_base)]


def _ev_schedule_reply(request: Any, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    """Section K17: Accepted says that it was processed, not that it is agreed with."""
    return {"status": "Accepted"}


def _profiles(request: ReportChargingProfiles, context: Context) -> list[AnyEvent]:
    source = {"chargingLimitSource": request.charging_limit_source}
    found = _profile_details((profile | source for profile in request.charging_profile), request.evse_id)
    return [reported(context, DetailKind.PROFILE, found, request_id=request.request_id, more=request.tbc)]


def _profile_details(profiles: Iterable[Mapping[str, Any]], evse: int | None) -> list[Detail]:
    found = ((next((p[name] for name in _PROFILE_ID if name in p), None), p) for p in profiles)
    return [detail(id, profile, evse) for id, profile in found if id is not None]


def _priority(request: NotifyPriorityCharging, context: Context) -> list[AnyEvent]:
    at, transaction = context.received_at, request.transaction_id
    return [
        PriorityChargingChanged(
            station=context.station, at=at, received_at=at, transaction_id=transaction, is_active=request.activated
        )
    ]


def _pull(request: PullDynamicScheduleUpdate, context: Context) -> list[AnyEvent]:
    at, about = context.received_at, f"profile {request.charging_profile_id}"
    asked = StationAsked(
        station=context.station,
        at=at,
        received_at=at,
        subject="an update of a dynamic schedule",
        about=about,
        answer="Rejected",
    )
    return [asked]


def _pull_reply(request: Any, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    """Nothing here computes schedules by itself: people set them (UpdateDynamicSchedule)."""
    return {"status": "Rejected", "statusInfo": {"reasonCode": "NotFound"}}


# answers to our calls


def _profile_set_16(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    found = _profile_details([asked["csChargingProfiles"]], asked.get("connectorId"))
    return [reported(context, DetailKind.PROFILE, found)]


def _profile_set_2(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    found = _profile_details([asked["chargingProfile"]], asked.get("evseId"))
    return [reported(context, DetailKind.PROFILE, found)]


def _profile_with_start(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    """A remote start may bring the transaction's profile along."""
    profile = asked.get("chargingProfile")
    evse = asked.get("evseId", asked.get("connectorId"))
    return [reported(context, DetailKind.PROFILE, _profile_details([profile], evse))] if profile else []


def _cleared_16(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    """Section 5.5: the id, else all that match; without either all of them."""
    if asked.get("id") is not None:
        return [gone(context, DetailKind.PROFILE, asked["id"])]
    named = {name: asked[name] for name in ("chargingProfilePurpose", "stackLevel") if name in asked}
    return [gone(context, DetailKind.PROFILE, evse=asked.get("connectorId"), **named)]


def _cleared_2(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    if asked.get("chargingProfileId") is not None:
        return [gone(context, DetailKind.PROFILE, asked["chargingProfileId"])]
    criteria = dict(asked.get("chargingProfileCriteria") or {})
    return [gone(context, DetailKind.PROFILE, evse=criteria.pop("evseId", None), **_without_custom(criteria))]


def _without_custom(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "customData"}


def _composite_16(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    evse = asked["connectorId"]
    body = {name: answer[name] for name in ("scheduleStart", "chargingSchedule") if name in answer}
    return [reported(context, DetailKind.SCHEDULE, [detail(f"composite@{evse}", body, evse)])] if body else []


def _composite_2(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    evse, schedule = asked["evseId"], answer.get("schedule")
    if not isinstance(schedule, dict):
        return []
    return [reported(context, DetailKind.SCHEDULE, [detail(f"composite@{evse}", schedule, evse)])]


def _dynamic(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    updated = detail(f"dynamic {asked['chargingProfileId']}", asked["scheduleUpdate"])
    return [reported(context, DetailKind.SCHEDULE, [updated])]


ACTIONS_2 = {
    "ClearedChargingLimit": Action(ClearedChargingLimit, _limit_cleared),
    "NotifyChargingLimit": Action(NotifyChargingLimit, _limit),
    "NotifyEVChargingNeeds": Action(NotifyEVChargingNeeds, _needs, _needs_reply),
    "NotifyEVChargingSchedule": Action(NotifyEVChargingSchedule, _ev_schedule, _ev_schedule_reply),
    "ReportChargingProfiles": Action(ReportChargingProfiles, _profiles),
}
ACTIONS_21 = {
    "NotifyEVChargingNeeds": Action(NotifyEVChargingNeeds, _needs, _needs_reply_21),
    "NotifyPriorityCharging": Action(NotifyPriorityCharging, _priority),
    "PullDynamicScheduleUpdate": Action(PullDynamicScheduleUpdate, _pull, _pull_reply),
}
ANSWERS_16 = {
    "ClearChargingProfile": when_accepted(_cleared_16),
    "GetCompositeSchedule": when_accepted(_composite_16),
    "RemoteStartTransaction": when_accepted(_profile_with_start),
    "SetChargingProfile": when_accepted(_profile_set_16),
}
ANSWERS_2 = {
    "ClearChargingProfile": when_accepted(_cleared_2),
    "GetCompositeSchedule": when_accepted(_composite_2),
    "RequestStartTransaction": when_accepted(_profile_with_start),
    "SetChargingProfile": when_accepted(_profile_set_2),
}
ANSWERS_21 = {"UpdateDynamicSchedule": when_accepted(_dynamic)}
