"""Firmware and logs: what was asked of a station, and how far it is.

Source: OCPP 1.6 sections 4.5, 5.6 and 5.19, security whitepaper edition 3 sections 4 and 5; 2.0.1 part 2 sections L and
N01. The answer to each of these notifications is empty. Each kind of thing has one record of the progress
("status") and one of what was asked ("asked"), so that neither hides the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import field

from bridge.compose import veiled
from bridge.events import AnyEvent, DetailKind
from bridge.ocpp.blocks.details import body_of, detail, gone, reported, when_accepted
from bridge.ocpp.versions import Action, AnswerEvents, Context, Payload

RequestId = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]


class Progress(Payload, frozen=True):
    status: str
    request_id: RequestId | None = None
    location: list[str] = field(default_factory=list)
    status_info: dict[str, Any] | None = None


def progress(kind: DetailKind, key: str = "status") -> Action:
    """A notification of progress, recorded under ``key``."""

    def events(request: Progress, context: Context) -> list[AnyEvent]:
        return [reported(context, kind, [detail(key, body_of(request))], request_id=request.request_id)]

    return Action(Progress, events)


def asked(kind: DetailKind, key: str = "asked") -> AnswerEvents:
    """Our request, and what the station said to it: the name of the file, or that an older one was stopped."""

    def read(request: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
        said = {name: value for name, value in answer.items() if value not in (None, "")}
        body = veiled("", request, with_addresses=True) | said  # an address may be the leave to write there
        request_id = request.get("requestId")
        return [reported(context, kind, [detail(key, body)], request_id=request_id)]

    return read


def _asked_when_taken(kind: DetailKind, key: str = "asked") -> AnswerEvents:
    read = asked(kind, key)

    def when_taken(request: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
        is_taken = answer.get("status") in ("Accepted", "AcceptedCanceled")
        return read(request, answer, context) if is_taken else []

    return when_taken


def _unpublished(request: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    if answer.get("status") not in ("Unpublished", "NoFirmware"):
        return []
    return [gone(context, DetailKind.FIRMWARE, "publish status", "publish asked")]


ACTIONS_16 = {
    "DiagnosticsStatusNotification": progress(DetailKind.LOG, "diagnostics status"),
    "FirmwareStatusNotification": progress(DetailKind.FIRMWARE),
    "LogStatusNotification": progress(DetailKind.LOG),
    "SignedFirmwareStatusNotification": progress(DetailKind.FIRMWARE),
}
ACTIONS_2 = {
    "FirmwareStatusNotification": progress(DetailKind.FIRMWARE),
    "LogStatusNotification": progress(DetailKind.LOG),
    "PublishFirmwareStatusNotification": progress(DetailKind.FIRMWARE, "publish status"),
}
ANSWERS_16 = {
    "GetDiagnostics": asked(DetailKind.LOG, "diagnostics asked"),  # section 6.26: no status; no name, no file
    "GetLog": _asked_when_taken(DetailKind.LOG),
    "SignedUpdateFirmware": _asked_when_taken(DetailKind.FIRMWARE),
    "UpdateFirmware": asked(DetailKind.FIRMWARE),  # section 6.56: an empty answer is consent
}
ANSWERS_2 = {
    "GetLog": _asked_when_taken(DetailKind.LOG),
    "PublishFirmware": when_accepted(asked(DetailKind.FIRMWARE, "publish asked")),
    "UnpublishFirmware": _unpublished,
    "UpdateFirmware": _asked_when_taken(DetailKind.FIRMWARE),
}
