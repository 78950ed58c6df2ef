"""The web process under gunicorn: one worker with many threads, because every open browser holds a stream.

One worker, so that one hub feeds all browsers. More capacity is more processes on other ports behind a proxy.

A thread is never a slow client's for long: gunicorn's own worker waits for ever for the rest of a head or a body, and
as many half requests as there are threads would take the wall down.
"""

from __future__ import annotations

from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.workers.gthread import _DEFER, ThreadWorker  # type: ignore[import-untyped]

from bridge.settings import Settings
from dashboard import bodies

_ANSWER_S = 60.0  # for one piece of an answer to be taken
_FIRST_BYTE_S = 0.05  # then it waits without a thread


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads, with a bound on what a client may keep one waiting."""

    def handle(self, conn: Any) -> Any:
        if not conn.initialized and not conn.wait_for_data(_FIRST_BYTE_S):
            return _DEFER
        conn.deadline = bodies.Deadline(conn.sock, bodies.ASK_S)
        try:
            return super().handle(conn)
        finally:
            conn.deadline.end()

    def handle_request(self, req: Any, conn: Any) -> Any:
        conn.deadline.end()
        conn.sock.settimeout(_ANSWER_S)
        try:
            return super().handle_request(req, conn)
        except TimeoutError as error:
            raise StopIteration from error  # which gunicorn takes for a client that is gone


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

        app = create_app(self._settings)
        app.wsgi_app = bodies.in_time(app.wsgi_app)  # type: ignore[method-assign]
        return app


def options(settings: Settings, host: str, port: int) -> dict[str, Any]:
    """gunicorn's settings, by its own names."""
    return {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": 1,
        "worker_class": Worker,
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
