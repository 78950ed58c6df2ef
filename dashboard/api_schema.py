"""The OpenAPI 3.1 document of the REST interface, built from tables: one row a field, one row a parameter.

``dashboard/api.py`` takes routes and query parameters from ``OPERATIONS``: what is documented is what is accepted.
A test holds every route and every answer against the document.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from bridge.events import DetailKind
from bridge.session import SessionState
from dashboard.alerts.lifecycle import AlarmState
from dashboard.api_fields import (
    ALARM,
    COMMAND_ANSWER,
    COMMANDS,
    COMPOSED_COMMAND,
    CONNECTOR,
    DETAIL,
    EVIDENCE,
    FILE_ORDER,
    IMAGE,
    INTEGER,
    MOMENT,
    OCPP_ACTION,
    PARAMETER,
    SAMPLE,
    SESSION,
    STATION,
    TEXT,
    UPLOAD,
    Field,
    or_null,
)

MAX_LIMIT = 500
DEFAULT_LIMIT = 50
MAX_TIMEOUT_S = 300

_LIMIT = Field(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "How many items a page has at most.",
)
_CURSOR = Field("cursor", TEXT, "next_cursor of the page before.")
_STATION = Field("station", TEXT, "Only of this station.")


def _state(states: type[SessionState] | type[AlarmState], default: str) -> Field:
    names = [str(s) for s in states]
    pattern = f"^({'|'.join(names)})(,({'|'.join(names)}))*$"
    return Field("state", {"type": "string", "pattern": pattern}, f"One or several, with commas. {default}")


_KINDS = "|".join(DetailKind)
_KIND = Field("kind", {"type": "string", "pattern": f"^({_KINDS})(,({_KINDS}))*$"}, "One or several, with commas.")
_TIMEOUT = Field(
    "timeout",
    {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TIMEOUT_S},
    "Seconds to wait for the station; no longer than the setting ocpp.call_timeout_s, which is taken without it.",
)


class Operation(NamedTuple):
    """``item`` names the schema of an answer, or of an item of a list; without one the answer is a file. A POST has a
    body of any fields, or a form, and ``problems`` of its own."""

    path: str
    summary: str
    item: str
    is_list: bool
    query: tuple[Field, ...] = ()
    method: str = "get"
    problems: tuple[str, ...] = ()
    body: str = "application/json"


_ORDER_PROBLEMS = ("403", "409", "413", "415", "422", "502", "504")

OPERATIONS: dict[str, Operation] = {
    "stations": Operation(
        "/stations", "All stations with their connectors, by id.", "Station", True, (_LIMIT, _CURSOR)
    ),
    "station": Operation("/stations/{id}", "One station with its connectors.", "Station", False),
    "details": Operation(
        "/stations/{id}/details",
        "What a station has: device model or configuration, profiles, reservations, messages, progress ...",
        "Detail",
        True,
        (_KIND, _LIMIT, _CURSOR),
    ),
    "commands": Operation("/stations/{id}/commands", "What can be sent to a station.", "Commands", False),
    "command": Operation(
        "/stations/{id}/commands/{action}",
        "Send a command: one of ours with its parameters, or an OCPP action with its payload. It is audited.",
        "CommandAnswer",
        False,
        (_TIMEOUT,),
        method="post",
        problems=_ORDER_PROBLEMS,
    ),
    "uploads": Operation(
        "/stations/{id}/uploads", "Logs and diagnostics of a station, newest first.", "Upload", True, (_LIMIT, _CURSOR)
    ),
    "logs": Operation(
        "/stations/{id}/logs",
        "Ask a station to upload a log: kind is diagnostics or security; since, until and retries as it takes them.",
        "FileOrder",
        False,
        (_TIMEOUT,),
        method="post",
        problems=_ORDER_PROBLEMS,
    ),
    "upload": Operation("/uploads/{id}", "The file that came, as an attachment.", "", False, problems=("403",)),
    "images": Operation("/firmware", "Firmware images, newest first.", "Image", True),
    "image_add": Operation(
        "/firmware",
        "Add an image: a form with a file, and version, vendor, model, signature and signing_certificate.",
        "Image",
        False,
        method="post",
        problems=("403", "409", "413", "415", "507"),
        body="multipart/form-data",
    ),
    "image_delete": Operation(
        "/firmware/{id}", "Delete an image; its addresses end with it.", "Image", False, (), "delete", ("403",)
    ),
    "firmware": Operation(
        "/stations/{id}/firmware",
        "Ask a station to install an image: image is its number; retrieve_at, install_at and retries as it takes them.",
        "FileOrder",
        False,
        (_TIMEOUT,),
        method="post",
        problems=_ORDER_PROBLEMS,
    ),
    "sessions": Operation(
        "/sessions",
        "Sessions, newest first.",
        "Session",
        True,
        (
            _STATION,
            _state(SessionState, "All without it."),
            Field("since", MOMENT, "Started at or after this time (RFC 3339 with an offset)."),
            Field("until", MOMENT, "Started before this time (RFC 3339 with an offset)."),
            _LIMIT,
            _CURSOR,
        ),
    ),
    "session": Operation("/sessions/{id}", "One session.", "Session", False),
    "samples": Operation(
        "/sessions/{id}/samples", "The readings of a session, oldest first.", "Sample", True, (_LIMIT, _CURSOR)
    ),
    "alarms": Operation(
        "/alarms",
        "Alarms, newest first.",
        "Alarm",
        True,
        (_state(AlarmState, "All that are not normal without it."), _STATION, _LIMIT, _CURSOR),
    ),
}
SCHEMAS = {
    "Alarm": ALARM,
    "CommandAnswer": COMMAND_ANSWER,
    "Commands": COMMANDS,
    "ComposedCommand": COMPOSED_COMMAND,
    "Connector": CONNECTOR,
    "Detail": DETAIL,
    "Evidence": EVIDENCE,
    "FileOrder": FILE_ORDER,
    "Image": IMAGE,
    "OcppAction": OCPP_ACTION,
    "Parameter": PARAMETER,
    "Sample": SAMPLE,
    "Session": SESSION,
    "Station": STATION,
    "Upload": UPLOAD,
}

_PROBLEMS = {
    "400": "A parameter is unknown or wrong; detail names it.",
    "401": "No valid token came with the request.",
    "404": "There is nothing with this id.",
    "429": "Too many requests without a valid token; wait as Retry-After says.",
    "503": "The stores or the broker do not answer; try again later.",
}
_SPECIAL_PROBLEMS = {
    "403": "The token's role is too low; detail names the one that is needed.",
    "409": "The station is not connected, waits for approval, or takes no commands; the image is here already.",
    "413": "The body is too large.",
    "415": "The body is not of the kind that is asked for.",
    "422": "No such command in the station's version, or a wrong payload; path says where.",
    "502": "The station refused: code and description are those of its CALLERROR.",
    "504": "No answer in time; detail says whether the command was sent.",
    "507": "The disk is nearly full.",
}


def document() -> dict[str, Any]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "chargewatch",
            "version": "1",
            "summary": "Stations, sessions, readings and alarms to read, and commands to stations.",
            "description": "Times are RFC 3339 in UTC, money is a decimal string, null is unknown.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "paths": _paths() | _self(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "chargewatch token add"}},
            "schemas": {name: _object(fields) for name, fields in SCHEMAS.items()} | {"Problem": _PROBLEM},
            "responses": {code: _problem_response(text) for code, text in (_PROBLEMS | _SPECIAL_PROBLEMS).items()},
        },
    }


def _paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for name, op in OPERATIONS.items():
        paths.setdefault(op.path, {})[op.method] = _operation(name, op)
    return paths


def _operation(name: str, op: Operation) -> dict[str, Any]:
    answer = {"$ref": f"#/components/schemas/{op.item}"}
    success = _response(_page(answer) if op.is_list else answer) if op.item else _FILE
    made = {
        "operationId": name,
        "summary": op.summary,
        "parameters": [*_path_parameters(op), *map(_query_parameter, op.query)],
        "responses": {"200": success}
        | {code: {"$ref": f"#/components/responses/{code}"} for code in sorted((*_PROBLEMS, *op.problems))},
    }
    if op.method == "post":
        body = {"type": "object", "additionalProperties": True}
        made["requestBody"] = {"required": False, "content": {op.body: {"schema": body}}}
    return made


def _path_parameters(op: Operation) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", op.path)
    return [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in names]


def _query_parameter(field: Field) -> dict[str, Any]:
    return {"name": field.name, "in": "query", "description": field.description, "schema": field.schema}


def _self() -> dict[str, Any]:
    answer = {"type": "object", "additionalProperties": True}
    return {
        "/openapi.json": {
            "get": {
                "operationId": "openapi",
                "summary": "This document; it needs no token.",
                "security": [],
                "responses": {"200": _response(answer)},
            }
        }
    }


def _response(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "As asked.", "content": {"application/json": {"schema": schema}}}


_FILE = {"description": "The file.", "content": {"application/octet-stream": {}}}


def _problem_response(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


def _page(item: dict[str, Any]) -> dict[str, Any]:
    properties = {"items": {"type": "array", "items": item}, "next_cursor": or_null(TEXT)}
    return _closed(properties)


def _object(fields: tuple[Field, ...]) -> dict[str, Any]:
    return _closed({f.name: {**f.schema, "description": f.description} for f in fields})


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_PROBLEM_FIELDS = {"type": TEXT, "title": TEXT, "status": INTEGER, "detail": TEXT}
_PROBLEM = {
    **_closed(_PROBLEM_FIELDS),
    "properties": _PROBLEM_FIELDS | {"path": TEXT, "code": TEXT, "description": TEXT},  # the last three: of commands
    "description": "RFC 9457; detail says what to do.",
}
