"""The door of the web process: one gate that refuses by default, headers, CSRF and throttling.

Everything needs a login except the endpoints in ``OPEN``. A browser that navigates is sent to ``/login``; scripts,
streams and Dash's own calls get 401 as JSON, so an expired page notices instead of showing old data for ever.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlsplit

from flask import Flask, Response, jsonify, redirect, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter
from flask_login import current_user
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf, validate_csrf
from werkzeug.middleware.proxy_fix import ProxyFix

from bridge.settings import Settings

# endpoint -> why nobody needs to be logged in for it
OPEN: dict[str, str] = {
    "auth.login": "the door itself",
    "auth.link": "a one-time link is the credential",
    "auth.logout": "leaving is always allowed; it does nothing for a stranger",
    "_dash_assets.static": "style, fonts and scripts without data",
    "health.healthz": "says only that the process lives",
    "health.readyz": "says only which parts answer",
    "health.metrics": "has a check of its own: loopback or a bearer token",
}
OPEN_BLUEPRINTS: dict[str, str] = {
    "api": "REST checks a bearer token of its own on every route",
    "files": "the one-time token in the address is the credential: stations have no login",
}

CSRF_COOKIE = "_csrf_token"  # Dash's renderer looks for this one and repeats it in the header
CSRF_HEADER = "X-CSRFToken"

_POLICY = {
    "default-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",  # Plotly and AG Grid write style attributes
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "worker-src": "'self'",
    "frame-ancestors": "'none'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def policy(script_hashes: Sequence[str]) -> str:
    """The Content-Security-Policy with the hashes of Dash's own inline scripts."""
    scripts = "script-src " + " ".join(["'self'", *script_hashes])
    return "; ".join([scripts, *(f"{key} {value}" for key, value in _POLICY.items())])


def is_navigation() -> bool:
    """True when a person's browser asks for a page, False for scripts, streams and tools."""
    if request.method not in ("GET", "HEAD"):
        return False
    mode = request.headers.get("Sec-Fetch-Mode")
    return mode == "navigate" if mode else "text/html" in request.headers.get("Accept", "")


def safe_next(target: str | None) -> str:
    """``target`` when it is a path of ours, else ``/``. Refuses hosts, schemes, backslashes and control characters."""
    if not target or not target.startswith("/") or target.startswith("//"):
        return "/"
    if "\\" in target or any(ord(character) < 33 for character in target):
        return "/"
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc else target


def is_direct_loopback() -> bool:
    """The peer is this machine itself, and no proxy speaks for somebody else."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _gate() -> ResponseReturnValue | None:
    if request.endpoint in OPEN or request.blueprint in OPEN_BLUEPRINTS:
        return None
    if current_user.is_authenticated:
        return None
    if is_navigation():
        asked = request.full_path.rstrip("?")
        return redirect("/login" if asked == "/" else f"/login?next={quote(asked, safe='/')}")
    return jsonify(error="login", message="Log in first."), 401


def _refuse_forged(error: CSRFError) -> ResponseReturnValue:
    return jsonify(error="csrf", message=f"{error.description} Reload the page and try again."), 400


def _dress(settings: Settings, hashes: Callable[[], Sequence[str]]) -> Callable[[Response], Response]:
    def dress(response: Response) -> Response:
        for key, value in _HEADERS.items():
            response.headers.setdefault(key, value)
        if settings.dashboard.secure_cookies:
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        response.headers.setdefault("Content-Security-Policy", policy(hashes()))
        response.headers.setdefault("Cache-Control", "no-store")  # styles, fonts and scripts say otherwise themselves
        if response.mimetype == "text/html":
            response.headers["Cache-Control"] = "no-store"
            # readable by our script, which repeats it in a header: another site cannot read it
            response.set_cookie(
                CSRF_COOKIE, generate_csrf(), samesite="Lax", secure=settings.dashboard.secure_cookies, path="/"
            )
        return response

    return dress


def check_csrf() -> None:
    """For a route that takes large bodies and is exempt from the usual check, which looks for the token in the form
    first and so reads the whole body before anybody knows whether it is wanted. Raises CSRFError."""
    try:
        validate_csrf(request.headers.get(CSRF_HEADER))
    except ValueError as error:  # of wtforms, a ValidationError
        raise CSRFError(str(error)) from error


def caller_address() -> str:
    return request.remote_addr or "unknown"


def install(server: Flask, settings: Settings, hashes: Callable[[], Sequence[str]]) -> tuple[CSRFProtect, Limiter]:
    """Put the gate, the headers, CSRF and the limiter on ``server``, before any other ``before_request``.

    ``hashes`` gives the CSP hashes of inline scripts when a response is made: Dash adds some at the first request.
    """
    if settings.dashboard.trusted_proxies:
        hops = settings.dashboard.trusted_proxies
        server.wsgi_app = ProxyFix(server.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    server.config.update(
        WTF_CSRF_TIME_LIMIT=None,  # as long as the login
        WTF_CSRF_HEADERS=[CSRF_HEADER],
        RATELIMIT_HEADERS_ENABLED=False,
        MAX_CONTENT_LENGTH=1_000_000,
    )
    server.before_request(_gate)
    server.after_request(_dress(settings, hashes))
    server.register_error_handler(CSRFError, _refuse_forged)
    csrf = CSRFProtect(server)
    return csrf, Limiter(caller_address, app=server, storage_uri="memory://", strategy="moving-window")
