"""Ask a station for its logs, or to take a firmware image: the address is made, the command sent, its outcome told.

Pages and the REST interface ask here. A station that does not take the command has no use for the address: it is
withdrawn at once.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from bridge.command_bus import Answer, CommandOutcome
from bridge.settings import Settings
from bridge.stores.files import Image, Upload
from bridge.stores.people import Role
from bridge.stores.shapes import StationRow
from dashboard.files import PREFIX
from dashboard.orders import order
from dashboard.services import services

LOG_KINDS = ("diagnostics", "security")
_MAY_COME = frozenset({CommandOutcome.ANSWERED, CommandOutcome.TIMEOUT})


class NoAddress(Exception):
    """No address can be given to a station; the message names the setting."""


class Ordered(NamedTuple):
    """``upload`` is where the logs will come, ``None`` when the station did not take the command."""

    answer: Answer
    upload: Upload | None = None


def public_base(settings: Settings) -> str:
    """The dashboard's address as stations reach it, without a slash at the end. Raises NoAddress."""
    base = settings.files.public_url
    if not base:
        if not _is_loopback(settings.dashboard.host):
            raise NoAddress("Set files.public_url to the https address under which stations reach the dashboard.")
        host = f"[{settings.dashboard.host}]" if ":" in settings.dashboard.host else settings.dashboard.host
        base = f"http://{host}:{settings.dashboard.port}"
    parts = urlsplit(base)
    if parts.scheme != "https" and not settings.files.allow_http and not _is_loopback(parts.hostname or ""):
        raise NoAddress("files.public_url must be an https address; files.allow_http would allow plain HTTP.")
    return base


def fetch_logs(
    station: StationRow, kind: str, *, role: Role, actor: str, timeout_s: float | None = None, **more: Any
) -> Ordered:
    """``kind`` of ``LOG_KINDS``; ``more`` as FetchLogs takes it (since, until, retries). Raises NoAddress and what
    ``orders.order`` raises."""
    found = services()
    base, hours = public_base(found.settings), timedelta(hours=found.settings.files.link_hours)
    now, most = found.now(), found.settings.files.max_upload_mb * 1_000_000
    link = found.files.open_upload(station.id, kind, actor, now, hours, most)
    payload = {"kind": kind, "location": f"{base}{PREFIX}/upload/{link.token}"} | more
    answer = None
    try:
        answer = order(station, "FetchLogs", payload, role=role, actor=actor, timeout_s=timeout_s)
    finally:
        if answer is None or not _is_taken(answer):
            found.files.delete_upload(link.id)
    return Ordered(answer, found.files.upload(link.id))


def update_firmware(
    station: StationRow, image: Image, *, role: Role, actor: str, timeout_s: float | None = None, **more: Any
) -> Ordered:
    """``more`` as UpdateFirmware takes it (retrieve_at, install_at, retries). A signed image is sent with its
    signature. Raises NoAddress and what ``orders.order`` raises."""
    found = services()
    base, hours = public_base(found.settings), timedelta(hours=found.settings.files.link_hours)
    link = found.files.open_download(image, station.id, actor, found.now(), hours)
    payload = {"location": f"{base}{PREFIX}/firmware/{link.token}/{quote(image.name)}"} | more
    if image.signature and image.signing_certificate:
        payload |= {"signature": image.signature, "signing_certificate": image.signing_certificate}
    answer = None
    try:
        answer = order(station, "UpdateFirmware", payload, role=role, actor=actor, timeout_s=timeout_s)
    finally:
        if answer is None or not _is_taken(answer):
            found.files.close_download(link.token)
    return Ordered(answer)


def _is_taken(answer: Answer) -> bool:
    return answer.outcome in _MAY_COME and answer.payload.get("status") != "Rejected"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
