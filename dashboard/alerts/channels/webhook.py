"""Any service Apprise knows, by the URLs of ``alerts.webhook_urls``: ``json://host/path``, ``slack://...``. A plain
``http://`` or ``https://`` gets the JSON that ``json://`` sends.

Such a URL holds its own secrets, so the outbox stores a name made of its host and a digest instead.
"""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from bridge.settings import Alerts
from dashboard.alerts.channels._base import Message, send_through_apprise

_PLAIN = {"http": "json", "https": "jsons"}


def targets(settings: Alerts) -> dict[str, str]:
    return {_name(url): url for url in (secret.get_secret_value() for secret in settings.webhook_urls)}


def send(message: Message, target: str) -> None:
    scheme, separator, rest = target.partition("://")
    send_through_apprise(_PLAIN.get(scheme, scheme) + separator + rest, message)


def _name(url: str) -> str:
    digest = hashlib.blake2b(url.encode(), digest_size=4).hexdigest()
    return f"{urlsplit(url).scheme or 'webhook'}-{digest}"
