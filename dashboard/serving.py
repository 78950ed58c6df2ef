"""The web process under gunicorn: one worker with many threads, because every open browser holds a stream.

One worker, so that one hub feeds all browsers. More capacity is more processes on other ports behind a proxy.
"""

from __future__ import annotations

from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from bridge.settings import Settings


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with our options; the app is built in the worker, where its threads must live."""

    def __init__(self, settings: Settings, options: dict[str, Any]) -> None:
        self._settings = settings
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for key, value in self._options.items():
            self.cfg.set(key, value)

    def load(self) -> Flask:
        from dashboard.app import create_app

        return create_app(self._settings)


def options(settings: Settings, host: str, port: int) -> dict[str, Any]:
    """gunicorn's settings, by its own names."""
    return {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": 1,
        "worker_class": "gthread",
        "threads": settings.dashboard.threads,
        "graceful_timeout": 3,  # streams never end by themselves
        "timeout": 60,
        "keepalive": 75,
        "limit_request_line": 8190,
        "forwarded_allow_ips": "",  # whom to believe is ours to decide: dashboard.trusted_proxies
        "proc_name": "chargewatch-dashboard",
        "loglevel": settings.log.level.lower(),
        "errorlog": "-",
        "control_socket_disable": True,
    }


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until stopped."""
    Server(settings, options(settings, host, port)).run()
