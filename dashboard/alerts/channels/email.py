"""E-mail over SMTP, to the addresses of ``alerts.email_to`` by the server of ``alerts.smtp``. Plain text only."""

from __future__ import annotations

from typing import Any

from bridge.settings import Alerts, Smtp
from dashboard.alerts.channels._base import Message, send_through_apprise

_MODES = {"none": "insecure", "starttls": "starttls", "tls": "ssl"}


def targets(settings: Alerts) -> dict[str, Any]:
    smtp = settings.smtp
    if not smtp.host:
        return {}
    server = {
        "schema": "mailto" if smtp.security == "none" else "mailtos",
        "secure": smtp.security != "none",
        "secure_mode": _MODES[smtp.security],
        "host": smtp.host,
        "smtp_host": smtp.host,
        "port": smtp.port,
        "user": smtp.username or None,
        "password": smtp.password.get_secret_value() or None,
        "from_addr": smtp.sender or _sender(smtp),
        "format": "text",
    }
    return {address: {**server, "targets": [address]} for address in settings.email_to}


def send(message: Message, target: dict[str, Any]) -> None:
    send_through_apprise(dict(target), message)


def _sender(smtp: Smtp) -> str:
    """A server given by its number or a bare name is no domain of an address."""
    if "@" in smtp.username:
        return smtp.username
    is_domain = "." in smtp.host and any(letter.isalpha() for letter in smtp.host)
    return f"chargewatch@{smtp.host if is_domain else 'localhost'}"
