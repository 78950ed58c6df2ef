"""A station's file for a person who is logged in: always as an attachment, never shown by the browser."""

from __future__ import annotations

from flask import Blueprint, Response, abort

from bridge.stores.people import Role
from dashboard.api_files import handed_out
from dashboard.api_parts import Problem
from dashboard.auth import require
from dashboard.services import services

PATH = "/download/uploads"


def blueprint() -> Blueprint:
    """Behind the gate like every page; the role is asked for again here."""
    downloads = Blueprint("downloads", __name__, url_prefix=PATH)
    downloads.add_url_rule("/<id>", "upload", _upload, methods=["GET"])
    return downloads


def _upload(id: str) -> Response:
    require(Role.OPERATOR)
    found = services().files.upload(int(id)) if id.isascii() and id.isdigit() and len(id) < 10 else None
    if found is None:
        abort(404)
    try:
        return handed_out(found)
    except Problem:
        abort(404)
