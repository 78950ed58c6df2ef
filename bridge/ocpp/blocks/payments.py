"""Prices and payments at the station, of OCPP 2.1: tariffs, settlements, VAT numbers.

Source: OCPP 2.1 part 2 sections C (payments) and I (tariff and cost). No bank and no register of companies is asked
here: a settlement is recorded, a VAT number stays unconfirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.events import AnyEvent, DetailKind, StationAsked
from bridge.ocpp.blocks.details import body_of, detail, gone, reported, when_accepted
from bridge.ocpp.blocks.device_model import Evse
from bridge.ocpp.versions import Action, Context, Payload


class NotifySettlement(Payload, frozen=True):
    psp_ref: str
    status: str
    settlement_amount: float
    settlement_time: str
    transaction_id: str = ""
    status_info: str = ""
    receipt_id: str = ""
    receipt_url: str = ""
    vat_company: dict[str, Any] | None = None
    vat_number: str = ""


class VatNumberValidation(Payload, frozen=True):
    vat_number: str
    evse_id: Evse | None = None


def _settled(request: NotifySettlement, context: Context) -> list[AnyEvent]:
    settled = detail(request.psp_ref, body_of(request))
    return [reported(context, DetailKind.SETTLEMENT, [settled], request.settlement_time)]


def _vat_asked(request: VatNumberValidation, context: Context) -> list[AnyEvent]:
    at = context.received_at
    return [
        StationAsked(
            station=context.station,
            at=at,
            received_at=at,
            subject="the check of a VAT number",
            about=request.vat_number,
            answer="Rejected",
            evse=request.evse_id,
        )
    ]


def _vat_reply(request: VatNumberValidation, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    unknown = {"reasonCode": "UnsupportedRequest", "additionalInfo": "no register of VAT numbers is asked here"}
    reply = {"status": "Rejected", "vatNumber": request.vat_number[:20], "statusInfo": unknown}
    return reply if request.evse_id is None else reply | {"evseId": request.evse_id}


def _default_set(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    tariff, evse = asked["tariff"], asked.get("evseId")
    body = {**tariff, "tariffKind": "DefaultTariff"}
    return [reported(context, DetailKind.TARIFF, [detail(tariff["tariffId"], body, evse)])]


def _told(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    found = [item for item in answer.get("tariffAssignments") or [] if isinstance(item, dict) and "tariffId" in item]
    evse = asked.get("evseId") or None
    return [reported(context, DetailKind.TARIFF, [detail(item["tariffId"], item, evse) for item in found])]


def _cleared(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    """Section I10: one result a tariff; those that were not there are gone as well."""
    results = [item for item in answer.get("clearTariffsResult") or [] if isinstance(item, dict)]
    ids = [item["tariffId"] for item in results if item.get("tariffId") and item.get("status") != "Rejected"]
    return [gone(context, DetailKind.TARIFF, *ids)] if ids else []


ACTIONS_21 = {
    "NotifySettlement": Action(NotifySettlement, _settled),
    "VatNumberValidation": Action(VatNumberValidation, _vat_asked, _vat_reply),
}
ANSWERS_21 = {
    "ChangeTransactionTariff": when_accepted(
        lambda asked, answer, context: [
            reported(context, DetailKind.TARIFF, [detail(asked["tariff"]["tariffId"], asked["tariff"])])
        ]
    ),
    "ClearTariffs": _cleared,
    "GetTariffs": when_accepted(_told),
    "SetDefaultTariff": when_accepted(_default_set),
}
