"""``/healthz``, ``/readyz`` and ``/metrics`` of the web process."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Blueprint, Flask, Response, abort, g, jsonify, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter
from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from bridge.stores.database import RecordsUnavailable
from bridge.stores.telemetry import StoreUnavailable
from dashboard.security import is_direct_loopback
from dashboard.services import services


def _try(check: Callable[[], object]) -> str:
    """``ok`` or one word of what is wrong: details stay in the log, this page is open to strangers."""
    try:
        check()
    except (StoreUnavailable, RecordsUnavailable):
        return "unavailable"
    return "ok"


def _healthz() -> ResponseReturnValue:
    return jsonify(status="ok")


def _readyz() -> ResponseReturnValue:
    found = services()
    parts = {"records": _try(found.records.check), "telemetry": _try(found.telemetry.check)}
    if found.hub is not None:
        parts["broker"] = "ok" if found.hub.is_connected else "unavailable"
    is_ready = all(part == "ok" for part in parts.values())
    return jsonify(status="ok" if is_ready else "unavailable", parts=parts), 200 if is_ready else 503


def _may_scrape() -> bool:
    if is_direct_loopback():
        return True
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and services().people.api_token(token.strip()) is not None


def install(server: Flask, limiter: Limiter) -> None:
    """Add the three routes and count every request."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    requests = Counter("dashboard_requests", "Answered requests.", ["endpoint", "status"], registry=registry)
    seconds = Histogram("dashboard_request_seconds", "Time to the first byte.", ["endpoint"], registry=registry)

    def metrics() -> ResponseReturnValue:
        if not _may_scrape():
            abort(401)
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    def begin() -> None:
        g.began = time.monotonic()

    def count(response: Response) -> Response:
        endpoint = request.endpoint or "none"
        requests.labels(endpoint, response.status_code).inc()
        seconds.labels(endpoint).observe(time.monotonic() - g.get("began", time.monotonic()))
        return response

    routes = Blueprint("health", __name__)
    routes.add_url_rule("/healthz", "healthz", _healthz)
    routes.add_url_rule("/readyz", "readyz", _readyz)
    routes.add_url_rule("/metrics", "metrics", limiter.exempt(metrics))
    server.register_blueprint(routes)
    server.before_request(begin)
    server.after_request(count)
