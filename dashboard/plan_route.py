"""``/stations.csv``: sites, stations and connectors out, for operators, and in, for administrators.

A POST takes the file as its body; ``?preview=yes`` only says what it would do. Errors name their lines.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from bridge.stores import plan
from bridge.stores.database import RecordsRejected, RecordsUnavailable
from bridge.stores.people import Role
from bridge.stores.plan import CsvError
from dashboard import bodies
from dashboard.auth import audit, needs
from dashboard.security import check_csrf
from dashboard.services import services

PATH = "/stations.csv"


def blueprint() -> Blueprint:
    """Behind the gate; roles, and the CSRF token of a POST, are asked for here. Register it where CSRF's own check
    does not apply."""
    plan_routes = Blueprint("plan", __name__, url_prefix=PATH)
    plan_routes.add_url_rule("", "out", _out, methods=["GET"])
    plan_routes.add_url_rule("", "in", _in, methods=["POST"])
    return plan_routes


@needs(Role.OPERATOR)
def _out() -> ResponseReturnValue:
    try:
        text = plan.export_csv(services().records)
    except RecordsUnavailable:
        return Response("The records do not answer. Try again in a moment.\n", 503, mimetype="text/plain")
    audit("stations.export")
    named = {"Content-Disposition": 'attachment; filename="stations.csv"'}
    return Response(text, mimetype="text/csv", headers=named)


@needs(Role.ADMIN)
def _in() -> ResponseReturnValue:
    check_csrf()
    request.max_content_length = plan.MAX_BYTES
    found = services()
    try:
        with bodies.patience(request):
            text = request.get_data().decode("utf-8-sig")
        if request.args.get("preview"):
            return jsonify(is_done=False, counts=plan.check_csv(found.records, text))
        return jsonify(is_done=True, counts=plan.import_csv(found.records, text, current_user.name, found.now()))
    except UnicodeDecodeError as error:
        return jsonify(errors=[f"the file is not UTF-8 text: byte {error.start} is none"]), 422
    except (CsvError, RecordsRejected) as error:
        return jsonify(errors=str(error).split("\n")), 422
    except RecordsUnavailable:
        return jsonify(errors=["the records do not answer; nothing was changed"]), 503
