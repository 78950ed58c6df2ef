"""``/healthz``, ``/readyz`` and ``/metrics`` of a process without a web server of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

Check = Callable[[], None]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Probes every few seconds are no news."""


class HealthServer:
    """A running server; ``port`` is the one it was given by the system when 0 was asked for."""

    def __init__(self, server: WSGIServer) -> None:
        self._server = server
        self.port: int = server.server_port
        self._thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def serve_health(host: str, port: int, checks: Mapping[str, Check]) -> HealthServer:
    """Serve until closed. ``checks``: name -> callable that raises when that part is not ready; its message is
    what ``/readyz`` says. Raises OSError when the port is taken."""
    metrics = make_wsgi_app()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            body: Iterable[bytes] = metrics(environ, start_response)
            return body
        if path == "/healthz":
            return _json(start_response, "200 OK", {"status": "ok"})
        if path == "/readyz":
            parts = {name: _result(check) for name, check in checks.items()}
            is_ready = all(result == "ok" for result in parts.values())
            status = "200 OK" if is_ready else "503 Service Unavailable"
            return _json(start_response, status, {"status": "ok" if is_ready else "not ready", "parts": parts})
        return _json(start_response, "404 Not Found", {"status": "try /healthz, /readyz or /metrics"})

    return HealthServer(make_server(host, port, answer, server_class=_Server, handler_class=_QuietHandler))


def _result(check: Check) -> str:
    try:
        check()
    except Exception as error:
        return str(error) or type(error).__name__
    return "ok"


def _json(start_response: Callable[..., Any], status: str, body: dict[str, Any]) -> list[bytes]:
    start_response(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [json.dumps(body).encode()]
