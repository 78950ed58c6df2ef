"""Who is at the screen: login page, one-time links, roles. Passwords are Argon2id and known to nobody by default."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from flask import Blueprint, Flask, abort, g, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter, RateLimitExceeded
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user

from bridge.settings import Settings
from bridge.stores.people import Role, User
from dashboard.security import caller_address, safe_next
from dashboard.services import services

PER_ADDRESS = "20 per minute; 200 per hour"
PER_NAME = "10 per 15 minutes"
_LOGIN_AT = "login_at"
_BROWSER = "browser"
RANK = {Role.VIEWER: 1, Role.OPERATOR: 2, Role.ADMIN: 3}  # each includes the ones below it

P = ParamSpec("P")
R = TypeVar("R")


class Account(UserMixin):  # type: ignore[misc]
    """The logged-in person. Its id carries the epoch, so raising the epoch ends every login of theirs."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.name = user.name

    @property
    def is_active(self) -> bool:
        return self.user.is_active

    def get_id(self) -> str:
        return f"{self.user.id}:{self.user.session_epoch}"


_argon_places = threading.BoundedSemaphore(2)  # 64 MiB each: a flood of logins must not fill the memory


def audit(action: str, subject: str = "", detail: str = "", actor: str | None = None) -> None:
    """One line of the audit: who did what to what, from where."""
    name = actor if actor is not None else getattr(current_user, "name", "") or "anonymous"
    found = services()
    found.people.write_audit(found.now(), name, action, subject, detail, caller_address())


def has_role(role: Role) -> bool:
    """Whether the person of this request may do what ``role`` may."""
    return bool(current_user.is_authenticated) and RANK[current_user.user.role] >= RANK[role]


def require(role: Role) -> None:
    """Abort with 401 for a stranger and 403 for a person whose role is below ``role``."""
    if not current_user.is_authenticated:
        abort(401)
    if not has_role(role):
        abort(403)


def needs(role: Role) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Authorise inside the callback itself: the gate in front of it is not the only lock."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            require(role)
            return function(*args, **kwargs)

        guarded.needed_role = role  # type: ignore[attr-defined]
        return guarded

    return decorate


def _load(user_id: str) -> Account | None:
    number, _, epoch = user_id.partition(":")
    if not number.isdecimal():
        return None
    user = services().people.user(int(number))
    if user is None or not user.is_active or str(user.session_epoch) != epoch:
        return None
    return None if _is_too_old() or session.get(_BROWSER) != _browser() else Account(user)


def _browser() -> str:
    """What a stolen cookie does not bring along. Flask-Login's own protection spares permanent sessions."""
    said = f"{caller_address()}\n{request.headers.get('User-Agent', '')}"
    return hashlib.sha256(said.encode()).hexdigest()


def _is_too_old() -> bool:
    found = services()
    began = session.get(_LOGIN_AT)
    if not isinstance(began, int | float):
        return True
    since = datetime.fromtimestamp(began, UTC)
    return found.now() - since > timedelta(hours=found.settings.dashboard.session_hours)


def _enter(user: User, how: str) -> None:
    session.clear()  # nothing fixed before the login survives it
    g.pop("csrf_token", None)
    session.permanent = True
    session[_LOGIN_AT] = services().now().timestamp()
    session[_BROWSER] = _browser()
    login_user(Account(user))
    audit(how, actor=user.name)


def _typed_name() -> str:
    return request.form.get("name", "").strip()[:100]


def _page(status: int, error: str = "", name: str = "") -> ResponseReturnValue:
    found = services()
    page = render_template(
        "login.html",
        title=found.settings.dashboard.title,
        error=error,
        name=name,
        next=safe_next(request.values.get("next")),
        has_users=bool(found.people.users()),
    )
    return make_response(page, status)


def _log_in() -> ResponseReturnValue:
    name, password = _typed_name(), request.form.get("password", "")
    with _argon_places:
        user = services().people.log_in(name, password)
    if user is None:
        audit("login_failed", subject=name, actor="anonymous")
        return _page(401, "wrong", name)
    _enter(user, "login")
    return redirect(safe_next(request.form.get("next")), code=303)


def _login() -> ResponseReturnValue:
    if request.method == "POST":
        return _log_in()
    if current_user.is_authenticated:
        return redirect(safe_next(request.args.get("next")))
    return _page(200)


def _link(token: str) -> ResponseReturnValue:
    # HEAD and prefetch come from previews and address bars, not from the person
    if request.method == "HEAD" or "prefetch" in request.headers.get("Sec-Purpose", ""):
        return "", 204
    found = services()
    user = found.people.redeem_login_link(token, found.now())
    if user is None:
        audit("login_link_refused", actor="anonymous")
        return _page(410, "link")
    _enter(user, "login_by_link")
    return redirect("/", code=303)


def _logout() -> ResponseReturnValue:
    if current_user.is_authenticated:
        audit("logout")
    logout_user()
    session.clear()
    return redirect(url_for("auth.login"), code=303)


def _refuse_often(error: RateLimitExceeded) -> ResponseReturnValue:
    audit("login_throttled", subject=_typed_name(), actor="anonymous")
    response = make_response(_page(429, "often", _typed_name()))
    response.headers["Retry-After"] = str(error.limit.limit.get_expiry())
    return response


def _failed(response: Any) -> bool:
    return bool(response.status_code in (401, 410))


def _name_key() -> str:
    return "name:" + _typed_name().casefold()


def install(server: Flask, settings: Settings, limiter: Limiter) -> None:
    """Login manager and the routes ``/login``, ``/login/link/<token>`` and ``/logout``."""
    server.config.update(
        SESSION_COOKIE_NAME="__Host-chargewatch" if settings.dashboard.secure_cookies else "chargewatch",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.dashboard.secure_cookies,
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=settings.dashboard.session_hours),
    )
    manager = LoginManager(server)
    manager.session_protection = "strong"
    manager.user_loader(_load)
    by_address = limiter.limit(PER_ADDRESS, methods=["POST"])
    by_name = limiter.limit(PER_NAME, key_func=_name_key, methods=["POST"], deduct_when=_failed)
    by_address_links = limiter.limit(PER_ADDRESS, deduct_when=_failed)
    pages = Blueprint("auth", __name__)
    pages.add_url_rule("/login", "login", by_address(by_name(_login)), methods=["GET", "POST"])
    pages.add_url_rule("/login/link/<token>", "link", by_address_links(_link), methods=["GET"])
    pages.add_url_rule("/logout", "logout", _logout, methods=["POST"])
    server.register_blueprint(pages)
    server.register_error_handler(RateLimitExceeded, _refuse_often)
