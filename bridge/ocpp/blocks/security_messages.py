"""Certificates: what stations ask us about them, and which ones they have.

Source: OCPP 1.6 security whitepaper edition 3; 2.0.1 and 2.1 part 2 sections A02, M. An OCSP responder or a contract
certificate pool is no part of this system: those are answered Failed, as the specification has it for a central system
that cannot reach them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.events import (
    AnyEvent,
    CertificateRequested,
    Detail,
    DetailKind,
    SecurityEventNotified,
    StationAsked,
)
from bridge.ocpp.blocks.details import detail, gone, reported, when_accepted
from bridge.ocpp.blocks.progress import RequestId
from bridge.ocpp.blocks.readings import moment
from bridge.ocpp.versions import Action, Context, Payload, utc_text

_STATION = "ChargingStationCertificate"


class SecurityEventNotification(Payload, frozen=True):
    type: str
    timestamp: str = ""
    tech_info: str = ""


class SignCertificate(Payload, frozen=True):
    csr: str
    certificate_type: str = _STATION
    request_id: RequestId | None = None


class Get15118EVCertificate(Payload, frozen=True):
    iso15118_schema_version: str
    action: str
    exi_request: str


class GetCertificateStatus(Payload, frozen=True):
    ocsp_request_data: dict[str, Any]


class GetCertificateChainStatus(Payload, frozen=True):
    certificate_status_requests: list[dict[str, Any]]


def _security_event(request: SecurityEventNotification, context: Context) -> list[AnyEvent]:
    return [
        SecurityEventNotified(
            station=context.station,
            at=moment(request.timestamp, context.received_at),
            received_at=context.received_at,
            kind=request.type,
            tech_info=request.tech_info,
        )
    ]


def _sign(request: SignCertificate, context: Context) -> list[AnyEvent]:
    at = context.received_at
    return [
        CertificateRequested(
            station=context.station,
            at=at,
            received_at=at,
            csr=request.csr,
            kind=request.certificate_type or _STATION,
            request_id=request.request_id,
            accepted=context.has_signer,
        )
    ]


def _sign_reply(request: Any, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    return {"status": "Accepted" if context.has_signer else "Rejected"}


def _asked(context: Context, subject: str, about: object) -> list[AnyEvent]:
    at, about = context.received_at, str(about)[:200]
    asked = StationAsked(
        station=context.station, at=at, received_at=at, subject=subject, about=about, answer="Failed"
    )
    return [asked]


def _contract(request: Get15118EVCertificate, context: Context) -> list[AnyEvent]:
    return _asked(context, "a contract certificate for a car", request.action)


def _contract_reply(request: Any, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    return {"status": "Failed", "exiResponse": ""}


def _status(request: GetCertificateStatus, context: Context) -> list[AnyEvent]:
    return _asked(context, "the status of a certificate", request.ocsp_request_data.get("serialNumber", ""))


def _status_reply(request: Any, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    return {"status": "Failed"}


def _hashes(request: GetCertificateChainStatus) -> list[dict[str, Any]]:
    found = [item for item in request.certificate_status_requests if isinstance(item.get("certificateHashData"), dict)]
    return found[:4]


def _chain(request: GetCertificateChainStatus, context: Context) -> list[AnyEvent]:
    serials = [item["certificateHashData"].get("serialNumber", "") for item in _hashes(request)]
    return _asked(context, "the status of certificates", ", ".join(map(str, serials)))


def _chain_reply(
    request: GetCertificateChainStatus, events: tuple[AnyEvent, ...], context: Context
) -> Mapping[str, Any]:
    """``nextUpdate`` is when it may ask again; it must be said even where nothing is known."""
    unknown = {"status": "Failed", "nextUpdate": utc_text(context.received_at)}
    asked = [(item["certificateHashData"], item.get("source", "OCSP")) for item in _hashes(request)]
    return {"certificateStatus": [{"certificateHashData": data, "source": source} | unknown for data, source in asked]}


# answers to our calls


def key_of(hash_data: Mapping[str, Any]) -> str:
    """A certificate's natural key where only its hashes are known."""
    return " ".join(str(hash_data[name]) for name in ("issuerNameHash", "issuerKeyHash", "serialNumber"))


def _installed_16(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    kind = asked["certificateType"]
    found = [_certificate(item, kind) for item in answer.get("certificateHashData") or []]
    return _all_of_kinds([kind], found, context)


def _installed_2(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    found = []
    for chain in answer.get("certificateHashDataChain") or []:
        kind = chain["certificateType"]
        found.append(_certificate(chain["certificateHashData"], kind))
        found += [_certificate(child, kind, True) for child in chain.get("childCertificateHashData") or []]
    return _all_of_kinds(asked.get("certificateType") or [], found, context)


def _certificate(hash_data: Mapping[str, Any], kind: str, is_child: bool = False) -> Detail:
    body = {**hash_data, "certificateType": kind} | ({"isChild": True} if is_child else {})
    return detail(key_of(hash_data), body)


def _all_of_kinds(kinds: list[str], found: list[Detail], context: Context) -> list[AnyEvent]:
    """The answer is the whole list of those kinds: what else was known of them is gone."""
    before = [gone(context, DetailKind.CERTIFICATE, certificateType=kind) for kind in kinds]
    before = before or [gone(context, DetailKind.CERTIFICATE)]
    return [*before, reported(context, DetailKind.CERTIFICATE, found)]


def _installed(reader: Any) -> Any:
    def read(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
        """NotFound: it has none of those kinds."""
        if answer.get("status") == "NotFound":
            answer = {}
        elif answer.get("status") != "Accepted":
            return []
        told: list[AnyEvent] = reader(asked, answer, context)
        return told

    return read


def _deleted(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    return [gone(context, DetailKind.CERTIFICATE, key_of(asked["certificateHashData"]))]


_ACTIONS = {
    "SecurityEventNotification": Action(SecurityEventNotification, _security_event),
    "SignCertificate": Action(SignCertificate, _sign, _sign_reply, asks=True),
}
ACTIONS_16 = _ACTIONS
ACTIONS_2 = _ACTIONS | {
    "Get15118EVCertificate": Action(Get15118EVCertificate, _contract, _contract_reply),
    "GetCertificateStatus": Action(GetCertificateStatus, _status, _status_reply),
}
ACTIONS_21 = {"GetCertificateChainStatus": Action(GetCertificateChainStatus, _chain, _chain_reply)}
ANSWERS_16 = {
    "DeleteCertificate": when_accepted(_deleted),
    "GetInstalledCertificateIds": _installed(_installed_16),
}
ANSWERS_2 = ANSWERS_16 | {"GetInstalledCertificateIds": _installed(_installed_2)}
