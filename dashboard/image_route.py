"""``POST /images``: an administrator adds a firmware image from the browser, streamed as the REST interface does it."""

from __future__ import annotations

from flask import Blueprint, Response
from flask_login import current_user

from bridge.stores.database import RecordsUnavailable
from bridge.stores.people import Role
from dashboard import api_files
from dashboard.api_parts import Problem, as_json, problem
from dashboard.auth import require
from dashboard.security import check_csrf

PATH = "/images"


def blueprint() -> Blueprint:
    """Behind the gate; the role and the CSRF token are asked for here. Register it where CSRF's own check does not
    apply."""
    images = Blueprint("images", __name__, url_prefix=PATH)
    images.add_url_rule("", "add", _add, methods=["POST"])
    images.register_error_handler(Problem, api_files.hung_up)
    images.register_error_handler(RecordsUnavailable, _away)
    api_files.install(images)
    return images


def _add() -> Response:
    require(Role.ADMIN)
    check_csrf()
    return as_json(api_files.take_image(current_user.name), 201)


def _away(_error: RecordsUnavailable) -> Response:
    return problem(Problem(503, "The records do not answer", "Nothing was added. Try again in a moment."))
