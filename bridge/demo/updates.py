"""Files that come and go: a virtual station uploads its log and updates its firmware, step by step.

The steps are jobs on the station's agenda; the bytes are moved by whoever holds its connection (``Transfer``).
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from bridge.demo.words import rfc3339

if TYPE_CHECKING:
    from bridge.demo.station import Station

_TIMEOUT_S = 20.0
_MOST_BYTES = 200_000_000
_STEP_S = 4.0
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_SCHEMES = ("http", "https")


class Transfer(NamedTuple):
    """One file: ``body`` goes to ``url``, or with None comes from there. ``done(at, is_good)`` is told."""

    url: str
    body: bytes | None
    name: str
    done: Callable[[float, bool], None]


def carry_out(transfer: Transfer) -> bool:
    """Move the bytes, blocking. PUT for an upload; POST where that is not taken."""
    if urlsplit(transfer.url).scheme not in _SCHEMES:
        return False
    if transfer.body is None:
        return _fetched(transfer.url)
    return _sent(transfer, "PUT") or _sent(transfer, "POST")


def _fetched(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the scheme is checked above
            size = 0
            while chunk := answer.read(65_536):
                size += len(chunk)
                if size > _MOST_BYTES:
                    return False
            return size > 0
    except (OSError, ValueError):
        return False


def _sent(transfer: Transfer, method: str) -> bool:
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{transfer.name}"',
    }
    request = urllib.request.Request(transfer.url, transfer.body, headers, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            return 200 <= int(answer.status) < 300
    except (OSError, ValueError):
        return False


def upload_log(station: Station, url: str, kind: str, request_id: int | None, at: float) -> str:
    """Begin an upload; returns the name of the file. ``request_id`` None: OCPP 1.6 diagnostics."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", station.plan.id)
    name = f"{safe}-{kind.lower()}-{int(at)}.log"

    def tell(status: str) -> None:
        station.log_status = (status, request_id)
        station.put(station.log_status_call(status, request_id))

    def done(when: float, is_good: bool) -> None:
        tell("Uploaded" if is_good else "UploadFailure")

    def begin(when: float) -> None:
        tell("Uploading")
        station.transfers.append(Transfer(url, log_text(station, kind, when).encode(), name, done))

    station.later(at + 1.0, begin)
    return name


def log_text(station: Station, kind: str, at: float) -> str:
    """What the station remembers, as text."""
    plan = station.plan
    lines = [f"{plan.vendor} {plan.model} {plan.id} firmware {station.firmware} {kind}"]
    lines += [f"{rfc3339(when)} {text}" for when, text in station.diary]
    for evse, bay in station.bays.items():
        lines.append(
            f"{rfc3339(at)} EVSE {evse} {bay.status.value} {bay.meter.power_w:.0f} W {bay.meter.register_wh:.0f} Wh"
        )
    return "\n".join(lines) + "\n"


def update_firmware(
    station: Station,
    url: str,
    retrieve_at: float,
    install_at: float,
    request_id: int | None,
    is_signed: bool,
    at: float,
) -> None:
    """Download, install and restart as the new version. ``request_id`` None: an unsigned update of OCPP 1.6."""

    def tell(status: str) -> None:
        station.firmware_status = (status, request_id)
        station.put(station.firmware_status_call(status, request_id))

    def download(when: float) -> None:
        tell("Downloading")
        station.transfers.append(Transfer(url, None, "", downloaded))

    def downloaded(when: float, is_good: bool) -> None:
        if not is_good:
            tell("DownloadFailed")
            return
        tell("Downloaded")
        if is_signed:
            station.later(when + _STEP_S, lambda _: tell("SignatureVerified"))
        station.later(max(when + 2 * _STEP_S, install_at), install)

    def install(when: float) -> None:
        tell("Installing")
        station.later(when + 2 * _STEP_S, restart)

    def restart(when: float) -> None:
        station.after_boot.append(lambda booted: tell("Installed"))
        station.renew(_next_version(url, station.firmware))
        station.reset(when, "Reboot")

    station.later(max(at + 1.0, retrieve_at), download)


def _next_version(url: str, version: str) -> str:
    """What the file's name says, else the last number of the present one raised by one."""
    named = _VERSION.findall(urlsplit(url).path.rsplit("/", 1)[-1])
    if named and named[0] != version:
        return str(named[0])
    head, dot, last = version.rpartition(".")
    return f"{head}{dot}{int(last) + 1}" if last.isdecimal() else f"{version}.1"
