"""The OpenAPI 3.1 document of the REST interface, built from tables: one row a field, one row a parameter.

``dashboard/api.py`` takes routes and query parameters from ``OPERATIONS``: what is documented is what is accepted.
A test holds every route and every answer against the document.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bridge.evidence import Start
from bridge.grades import Grade, Stop
from bridge.session import SessionState
from dashboard.alerts.lifecycle import AlarmState

MAX_LIMIT = 500
DEFAULT_LIMIT = 50

_MOMENT = {"type": "string", "format": "date-time"}
_TIME = {**_MOMENT, "pattern": "Z$"}
_TEXT = {"type": "string"}
_INTEGER = {"type": "integer"}
_NUMBER = {"type": "number"}
_BOOLEAN = {"type": "boolean"}
_MONEY = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


class Field(NamedTuple):
    name: str
    schema: dict[str, Any]
    description: str


SESSION = (
    Field("id", _TEXT, "Ours; never changes."),
    Field("station", _TEXT, "Id of the station."),
    Field("evse", _INTEGER, "Number of the EVSE, from 1."),
    Field("connector", _INTEGER, "Number of the connector on the EVSE, from 1."),
    Field("transaction_id", _TEXT, "As the station and we call it over OCPP."),
    Field("token", _or_null(_TEXT), "What started it; for the role viewer only its last four characters."),
    Field("state", {"type": "string", "enum": [str(s) for s in SessionState]}, "Where it is in its life."),
    Field("started_at", _TIME, "By the station's clock."),
    Field("ended_at", _or_null(_TIME), "By the station's clock; null while it runs."),
    Field("meter_start_wh", _or_null(_INTEGER), "Register at the start."),
    Field("meter_stop_wh", _or_null(_INTEGER), "Register at the end."),
    Field("energy_wh", _INTEGER, "Delivered so far."),
    Field("energy_source", _TEXT, "What energy_wh rests on: register, session_counter or power_integral."),
    Field("power_w", _or_null(_NUMBER), "Newest reading; 0 once ended."),
    Field("power_max_w", _NUMBER, "Highest reading."),
    Field("soc_percent", _or_null(_NUMBER), "The battery's newest state of charge."),
    Field("soc_start_percent", _or_null(_NUMBER), "The battery's first state of charge."),
    Field("sample_at", _or_null(_TIME), "When the newest reading was taken, by the station's clock."),
    Field("charging_s", _INTEGER, "Time with energy flowing."),
    Field("cost", _MONEY, "Gross, so far or final."),
    Field("currency", _TEXT, "ISO 4217."),
    Field("tariff", _or_null(_TEXT), "Version of the tariff it started with."),
    Field("stop_reason", _or_null(_TEXT), "As the station said; null while it runs or where it said none."),
    Field("review", {"type": "array", "items": _TEXT}, "Why a person should look before it is billed."),
    Field("evidence", {"$ref": "#/components/schemas/Evidence"}, "What its bill rests on."),
)

EVIDENCE = (
    Field("grade", {"type": "string", "enum": [str(g) for g in Grade]}, "How far it can be billed upon."),
    Field("reasons", {"type": "array", "items": _TEXT}, "Why the grade is no better, in sentences."),
    Field("start", {"type": "string", "enum": [str(s) for s in Start]}, "How the start was seen."),
    Field("has_start_register", _BOOLEAN, "Whether the start itself said the register."),
    Field("stop", {"type": "string", "enum": [str(s) for s in Stop]}, "How the stop was seen."),
    Field("has_stop_register", _BOOLEAN, "Whether the stop itself said the register."),
    Field("is_token_accepted", _or_null(_BOOLEAN), "Null without a card."),
    Field("clock_start_s", _or_null(_NUMBER), "The station's clock minus ours at the start; null if untold."),
    Field("clock_stop_s", _or_null(_NUMBER), "The same at the stop."),
    Field("is_start_late", _BOOLEAN, "The start came by a queue."),
    Field("is_stop_late", _BOOLEAN, "The stop came by a queue."),
    Field("interval_s", _or_null(_NUMBER), "Usual time between readings."),
    Field("gaps", _INTEGER, "Times that energy flowed without a reading for much longer than usual."),
    Field("longest_gap_s", _or_null(_NUMBER), "The longest of them."),
    Field("late_readings", _INTEGER, "Readings that came by a queue."),
    Field("seq_first", _or_null(_INTEGER), "First number of the transaction's messages seen; OCPP 2.x."),
    Field("seq_last", _or_null(_INTEGER), "Highest number seen."),
    Field("seq_missing", _INTEGER, "How many in between are missing."),
    Field("register_jumps", _INTEGER, "How often the register fell or leapt."),
    Field("signed_begin", _or_null(_TEXT), "Format of the signed value of the start, OCMF for one; null without one."),
    Field("signed_end", _or_null(_TEXT), "The same for the end."),
)

CONNECTOR = (
    Field("evse", _INTEGER, "0 is the station itself."),
    Field("connector", _INTEGER, "Number of the connector on the EVSE."),
    Field("status", _or_null(_TEXT), "OCPP 1.6 status; null when never reported."),
    Field("error_code", _or_null(_TEXT), "As the station said."),
    Field("info", _or_null(_TEXT), "As the station said."),
    Field("vendor_error_code", _or_null(_TEXT), "As the station said."),
    Field("status_at", _or_null(_TIME), "By the station's clock."),
    Field("kind", _or_null(_TEXT), "Type of plug where known."),
    Field("rated_power_w", _or_null(_INTEGER), "Where known."),
    Field("session_id", _or_null(_TEXT), "The session that runs here."),
)

STATION = (
    Field("id", _TEXT, "As in the OCPP path, or <mapping>-<device> for MQTT."),
    Field("name", _or_null(_TEXT), "As people call it."),
    Field("site", _or_null(_TEXT), "Id of its site."),
    Field("site_name", _or_null(_TEXT), "Name of its site."),
    Field("is_approved", _or_null(_BOOLEAN), "A person's word; null while nobody has decided."),
    Field("protocol", _or_null(_TEXT), "ocpp1.6, ocpp2.0.1, ocpp2.1, mqtt/goe ..."),
    Field("vendor", _or_null(_TEXT), "As the station said."),
    Field("model", _or_null(_TEXT), "As the station said."),
    Field("serial", _or_null(_TEXT), "As the station said."),
    Field("firmware", _or_null(_TEXT), "As the station said."),
    Field("is_connected", _BOOLEAN, "Whether its connection is open."),
    Field("connected_at", _or_null(_TIME), "By our clock."),
    Field("disconnected_at", _or_null(_TIME), "By our clock."),
    Field("last_seen_at", _or_null(_TIME), "By our clock."),
    Field("clock_skew_s", _or_null(_NUMBER), "Its clock minus ours."),
    Field("connectors", {"type": "array", "items": {"$ref": "#/components/schemas/Connector"}}, "Its connectors."),
)

SAMPLE = (
    Field("at", _TIME, "By the station's clock."),
    Field("received_at", _TIME, "By our clock."),
    Field("is_late", _BOOLEAN, "Came by a queue; was not live when it came."),
    Field(
        "values",
        {"type": "object", "additionalProperties": _NUMBER},
        "Readings by field; the unit is the end of the name: power_w, energy_import_wh, voltage_v_l1.",
    ),
)

ALARM = (
    Field("id", _INTEGER, "Number of the alarm."),
    Field("rule", _TEXT, "Name of the rule that raised it."),
    Field("priority", {"type": "integer", "minimum": 1, "maximum": 4}, "1 is the highest."),
    Field("state", {"type": "string", "enum": [str(s) for s in AlarmState]}, "ISA-18.2."),
    Field("station", _or_null(_TEXT), "Null where it concerns a whole site."),
    Field("evse", _or_null(_INTEGER), "Where it concerns one."),
    Field("session_id", _or_null(_TEXT), "Where it concerns one."),
    Field("title", _TEXT, "What happened."),
    Field("detail", _or_null(_TEXT), "What is known besides."),
    Field("consequence", _TEXT, "What follows from it."),
    Field("action", _TEXT, "What to do."),
    Field("raised_at", _TIME, "By our clock."),
    Field("acknowledged_at", _or_null(_TIME), "By our clock."),
    Field("acknowledged_by", _or_null(_TEXT), "Who has seen it."),
    Field("cleared_at", _or_null(_TIME), "When the condition went."),
)

_LIMIT = Field(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "How many items a page has at most.",
)
_CURSOR = Field("cursor", _TEXT, "next_cursor of the page before.")
_STATION = Field("station", _TEXT, "Only of this station.")


def _state(states: type[SessionState] | type[AlarmState], default: str) -> Field:
    names = [str(s) for s in states]
    pattern = f"^({'|'.join(names)})(,({'|'.join(names)}))*$"
    return Field("state", {"type": "string", "pattern": pattern}, f"One or several, with commas. {default}")


class Operation(NamedTuple):
    """A GET. ``item`` names the schema of an answer, or of an item of a list."""

    path: str
    summary: str
    item: str
    is_list: bool
    query: tuple[Field, ...] = ()


OPERATIONS: dict[str, Operation] = {
    "stations": Operation(
        "/stations", "All stations with their connectors, by id.", "Station", True, (_LIMIT, _CURSOR)
    ),
    "station": Operation("/stations/{id}", "One station with its connectors.", "Station", False),
    "sessions": Operation(
        "/sessions",
        "Sessions, newest first.",
        "Session",
        True,
        (
            _STATION,
            _state(SessionState, "All without it."),
            Field("since", _MOMENT, "Started at or after this time (RFC 3339 with an offset)."),
            Field("until", _MOMENT, "Started before this time (RFC 3339 with an offset)."),
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
    "Session": SESSION,
    "Evidence": EVIDENCE,
    "Station": STATION,
    "Connector": CONNECTOR,
    "Sample": SAMPLE,
    "Alarm": ALARM,
}

_PROBLEMS = {
    "400": "A parameter is unknown or wrong; detail names it.",
    "401": "No valid token came with the request.",
    "404": "There is nothing with this id.",
    "429": "Too many requests without a valid token; wait as Retry-After says.",
    "503": "The stores do not answer; try again later.",
}


def document() -> dict[str, Any]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "chargewatch",
            "version": "1",
            "summary": "Stations, sessions, readings and alarms, to read.",
            "description": "Times are RFC 3339 in UTC, money is a decimal string, null is unknown.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "paths": {op.path: {"get": _operation(name, op)} for name, op in OPERATIONS.items()} | _self(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "chargewatch token add"}},
            "schemas": {name: _object(fields) for name, fields in SCHEMAS.items()} | {"Problem": _PROBLEM},
            "responses": {code: _problem_response(text) for code, text in _PROBLEMS.items()},
        },
    }


def _operation(name: str, op: Operation) -> dict[str, Any]:
    answer = {"$ref": f"#/components/schemas/{op.item}"}
    return {
        "operationId": name,
        "summary": op.summary,
        "parameters": [*_path_parameters(op), *map(_query_parameter, op.query)],
        "responses": {"200": _response(_page(answer) if op.is_list else answer)}
        | {code: {"$ref": f"#/components/responses/{code}"} for code in _PROBLEMS},
    }


def _path_parameters(op: Operation) -> list[dict[str, Any]]:
    return [{"name": "id", "in": "path", "required": True, "schema": _TEXT}] if "{id}" in op.path else []


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


def _problem_response(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


def _page(item: dict[str, Any]) -> dict[str, Any]:
    properties = {"items": {"type": "array", "items": item}, "next_cursor": _or_null(_TEXT)}
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


_PROBLEM = {
    **_closed({"type": _TEXT, "title": _TEXT, "status": _INTEGER, "detail": _TEXT}),
    "description": "RFC 9457; detail says what to do.",
}
