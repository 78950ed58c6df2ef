"""What every channel shares: the message, the one error, and the way through Apprise.

A channel is one file beside this one; its file name is what a rule's ``notify`` says. It has

``targets(settings) -> dict[str, object]``  recipient's name as stored and shown -> how to reach it
``send(message, target) -> None``           succeeds silently or raises DeliveryError

Retries are not a channel's business: the outbox has them all.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

ID_HEADER = "X-Chargewatch-Notice"  # the same at every attempt, so that a receiver can drop a second copy

_HTTP_STATUS = re.compile(r"error=(\d{3})")
_SMTP_RECIPIENT = re.compile(r"\((5\d\d), b'")  # smtplib's {recipient: (code, text)} inside the exception
_TRY_AGAIN = {"408", "421", "425", "429"}
_TYPES = {1: NotifyType.FAILURE, 2: NotifyType.FAILURE, 3: NotifyType.WARNING}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A notice on its way: plain text, already made harmless; ``subject`` is one line."""

    id: str
    subject: str
    body: str
    priority: int


class DeliveryError(Exception):
    """A message was not taken. ``permanent``: it never will be, to this target."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


def send_through_apprise(service: str | dict[str, Any], message: Message) -> None:
    """Send by an Apprise URL or its parts. Raises DeliveryError."""
    asset = AppriseAsset(app_id="chargewatch", app_desc="chargewatch", app_url="", secure_logging=True)
    plugin = Apprise.instantiate(service, asset=asset)
    if plugin is None:
        raise DeliveryError("Apprise cannot use this address: see its list of services", permanent=True)
    headers = getattr(plugin, "headers", None)  # e-mail and plain HTTP have them, chat services do not
    if isinstance(headers, dict):
        headers[ID_HEADER] = message.id
    door = Apprise(asset=asset)
    door.add(plugin)
    with _overheard() as log:
        is_taken = door.notify(
            title=message.subject,
            body=message.body,
            notify_type=_TYPES.get(message.priority, NotifyType.INFO),
            body_format=NotifyFormat.TEXT,
        )
    if not is_taken:
        raise _why(log)


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Apprise says only yes or no; its log has the server's words, in lines too chatty to be kept."""
    logger, listener = logging.getLogger("apprise"), _Listener()
    before = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(listener)
    try:
        yield listener.lines
    finally:
        logger.removeHandler(listener)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _why(log: list[str]) -> DeliveryError:
    told = [line for line in log if _HTTP_STATUS.search(line) or "xception:" in line]
    reason = " ".join((told or log or ["no reason given"])[-1].split())[:300]
    status = _HTTP_STATUS.search(reason)
    if status:
        return DeliveryError(reason, permanent=status[1][0] == "4" and status[1] not in _TRY_AGAIN)
    is_refused = reason.startswith("Socket Exception: {") and _SMTP_RECIPIENT.search(reason) is not None
    return DeliveryError(reason, permanent=is_refused)
