"""The fields of every answer of the REST interface: one row a field. ``dashboard/api_schema.py`` makes the document."""

from __future__ import annotations

from typing import Any, NamedTuple

from bridge.command_bus import CommandOutcome
from bridge.compose import ADMIN, OPERATOR, Kind
from bridge.events import DetailKind
from bridge.evidence import Start
from bridge.grades import Grade, Stop
from bridge.session import SessionState
from dashboard.alerts.lifecycle import AlarmState

MOMENT = {"type": "string", "format": "date-time"}
TIME = {**MOMENT, "pattern": "Z$"}
TEXT = {"type": "string"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
BOOLEAN = {"type": "boolean"}
MONEY = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


class Field(NamedTuple):
    name: str
    schema: dict[str, Any]
    description: str


SESSION = (
    Field("id", TEXT, "Ours; never changes."),
    Field("station", TEXT, "Id of the station."),
    Field("evse", INTEGER, "Number of the EVSE, from 1."),
    Field("connector", INTEGER, "Number of the connector on the EVSE, from 1."),
    Field("transaction_id", TEXT, "As the station and we call it over OCPP."),
    Field("token", or_null(TEXT), "What started it; for the role viewer only its last four characters."),
    Field("state", {"type": "string", "enum": [str(s) for s in SessionState]}, "Where it is in its life."),
    Field("started_at", TIME, "By the station's clock."),
    Field("ended_at", or_null(TIME), "By the station's clock; null while it runs."),
    Field("meter_start_wh", or_null(INTEGER), "Register at the start."),
    Field("meter_stop_wh", or_null(INTEGER), "Register at the end."),
    Field("energy_wh", INTEGER, "Delivered so far."),
    Field("energy_source", TEXT, "What energy_wh rests on: register, session_counter or power_integral."),
    Field("power_w", or_null(NUMBER), "Newest reading; 0 once ended."),
    Field("power_max_w", NUMBER, "Highest reading."),
    Field("soc_percent", or_null(NUMBER), "The battery's newest state of charge."),
    Field("soc_start_percent", or_null(NUMBER), "The battery's first state of charge."),
    Field("sample_at", or_null(TIME), "When the newest reading was taken, by the station's clock."),
    Field("charging_s", INTEGER, "Time with energy flowing."),
    Field("cost", MONEY, "Gross, so far or final."),
    Field("currency", TEXT, "ISO 4217."),
    Field("tariff", or_null(TEXT), "Version of the tariff it started with."),
    Field("stop_reason", or_null(TEXT), "As the station said; null while it runs or where it said none."),
    Field("review", {"type": "array", "items": TEXT}, "Why a person should look before it is billed."),
    Field("evidence", {"$ref": "#/components/schemas/Evidence"}, "What its bill rests on."),
)

EVIDENCE = (
    Field("grade", {"type": "string", "enum": [str(g) for g in Grade]}, "How far it can be billed upon."),
    Field("reasons", {"type": "array", "items": TEXT}, "Why the grade is no better, in sentences."),
    Field("start", {"type": "string", "enum": [str(s) for s in Start]}, "How the start was seen."),
    Field("has_start_register", BOOLEAN, "Whether the start itself said the register."),
    Field("stop", {"type": "string", "enum": [str(s) for s in Stop]}, "How the stop was seen."),
    Field("has_stop_register", BOOLEAN, "Whether the stop itself said the register."),
    Field("is_token_accepted", or_null(BOOLEAN), "Null without a card."),
    Field("clock_start_s", or_null(NUMBER), "The station's clock minus ours at the start; null if untold."),
    Field("clock_stop_s", or_null(NUMBER), "The same at the stop."),
    Field("is_start_late", BOOLEAN, "The start came by a queue."),
    Field("is_stop_late", BOOLEAN, "The stop came by a queue."),
    Field("interval_s", or_null(NUMBER), "Usual time between readings."),
    Field("gaps", INTEGER, "Times that energy flowed without a reading for much longer than usual."),
    Field("longest_gap_s", or_null(NUMBER), "The longest of them."),
    Field("late_readings", INTEGER, "Readings that came by a queue."),
    Field("seq_first", or_null(INTEGER), "First number of the transaction's messages seen; OCPP 2.x."),
    Field("seq_last", or_null(INTEGER), "Highest number seen."),
    Field("seq_missing", INTEGER, "How many in between are missing."),
    Field("register_jumps", INTEGER, "How often the register fell or leapt."),
    Field("signed_begin", or_null(TEXT), "Format of the signed value of the start, OCMF for one; null without one."),
    Field("signed_end", or_null(TEXT), "The same for the end."),
)

CONNECTOR = (
    Field("evse", INTEGER, "0 is the station itself."),
    Field("connector", INTEGER, "Number of the connector on the EVSE."),
    Field("status", or_null(TEXT), "OCPP 1.6 status; null when never reported."),
    Field("error_code", or_null(TEXT), "As the station said."),
    Field("info", or_null(TEXT), "As the station said."),
    Field("vendor_error_code", or_null(TEXT), "As the station said."),
    Field("status_at", or_null(TIME), "By the station's clock."),
    Field("kind", or_null(TEXT), "Type of plug where known."),
    Field("rated_power_w", or_null(INTEGER), "Where known."),
    Field("session_id", or_null(TEXT), "The session that runs here."),
)

STATION = (
    Field("id", TEXT, "As in the OCPP path, or <mapping>-<device> for MQTT."),
    Field("name", or_null(TEXT), "As people call it."),
    Field("site", or_null(TEXT), "Id of its site."),
    Field("site_name", or_null(TEXT), "Name of its site."),
    Field("is_approved", or_null(BOOLEAN), "A person's word; null while nobody has decided."),
    Field("protocol", or_null(TEXT), "ocpp1.6, ocpp2.0.1, ocpp2.1, mqtt/goe ..."),
    Field("vendor", or_null(TEXT), "As the station said."),
    Field("model", or_null(TEXT), "As the station said."),
    Field("serial", or_null(TEXT), "As the station said."),
    Field("firmware", or_null(TEXT), "As the station said."),
    Field("is_connected", BOOLEAN, "Whether its connection is open."),
    Field("connected_at", or_null(TIME), "By our clock."),
    Field("disconnected_at", or_null(TIME), "By our clock."),
    Field("last_seen_at", or_null(TIME), "By our clock."),
    Field("clock_skew_s", or_null(NUMBER), "Its clock minus ours."),
    Field("connectors", {"type": "array", "items": {"$ref": "#/components/schemas/Connector"}}, "Its connectors."),
)

SAMPLE = (
    Field("at", TIME, "By the station's clock."),
    Field("received_at", TIME, "By our clock."),
    Field("is_late", BOOLEAN, "Came by a queue; was not live when it came."),
    Field(
        "values",
        {"type": "object", "additionalProperties": NUMBER},
        "Readings by field; the unit is the end of the name: power_w, energy_import_wh, voltage_v_l1.",
    ),
)

ALARM = (
    Field("id", INTEGER, "Number of the alarm."),
    Field("rule", TEXT, "Name of the rule that raised it."),
    Field("priority", {"type": "integer", "minimum": 1, "maximum": 4}, "1 is the highest."),
    Field("state", {"type": "string", "enum": [str(s) for s in AlarmState]}, "ISA-18.2."),
    Field("station", or_null(TEXT), "Null where it concerns a whole site."),
    Field("evse", or_null(INTEGER), "Where it concerns one."),
    Field("session_id", or_null(TEXT), "Where it concerns one."),
    Field("title", TEXT, "What happened."),
    Field("detail", or_null(TEXT), "What is known besides."),
    Field("consequence", TEXT, "What follows from it."),
    Field("action", TEXT, "What to do."),
    Field("raised_at", TIME, "By our clock."),
    Field("acknowledged_at", or_null(TIME), "By our clock."),
    Field("acknowledged_by", or_null(TEXT), "Who has seen it."),
    Field("cleared_at", or_null(TIME), "When the condition went."),
)

DETAIL = (
    Field("kind", {"type": "string", "enum": [str(kind) for kind in DetailKind]}, "What it is about."),
    Field("key", TEXT, "Its name within the station and kind."),
    Field("evse", or_null(INTEGER), "Where it belongs to one."),
    Field("body", {"type": "object", "additionalProperties": True}, "In the words of the station's protocol."),
    Field("at", TIME, "By the station's clock."),
    Field("received_at", TIME, "By our clock."),
)

UPLOAD = (
    Field("id", INTEGER, "Number of the upload."),
    Field("station", TEXT, "Whose file it is."),
    Field("kind", TEXT, "What was asked for: diagnostics or security."),
    Field("created_at", TIME, "When its address was made."),
    Field("created_by", TEXT, "Who asked."),
    Field("expires_at", TIME, "Until when the address works."),
    Field("received_at", or_null(TIME), "When the file had come whole; null while it has not."),
    Field("name", or_null(TEXT), "As the station called it, made harmless."),
    Field("size_bytes", or_null(INTEGER), "Its size."),
    Field("sha256", or_null(TEXT), "Its SHA-256 in hex."),
    Field("address", or_null(TEXT), "From where it came."),
)

IMAGE = (
    Field("id", INTEGER, "Number of the image."),
    Field("name", TEXT, "Name of the file."),
    Field("version", or_null(TEXT), "As who added it said."),
    Field("vendor", or_null(TEXT), "As who added it said."),
    Field("model", or_null(TEXT), "As who added it said."),
    Field("size_bytes", INTEGER, "Its size."),
    Field("sha256", TEXT, "Its SHA-256 in hex."),
    Field("is_signed", BOOLEAN, "Whether it is sent with its maker's signature."),
    Field("created_at", TIME, "When it was added."),
    Field("created_by", TEXT, "Who added it."),
)

FILE_ORDER = (
    Field("outcome", {"type": "string", "const": str(CommandOutcome.ANSWERED)}, "The station answered."),
    Field("payload", {"type": "object", "additionalProperties": True}, "Of its CALLRESULT; a status may say no."),
    Field("upload", or_null(INTEGER), "Number of the upload that will hold the log; null where none will come."),
)

PARAMETER = (
    Field("name", TEXT, "As in the body of the request."),
    Field("label", TEXT, "As people read it."),
    Field("kind", {"type": "string", "enum": [str(kind) for kind in Kind]}, "time is RFC 3339 with an offset."),
    Field("choices", {"type": "array", "items": TEXT}, "For the kind choice."),
    Field("default", {}, "What is taken when it is left out; null for nothing."),
    Field("required", BOOLEAN, "Whether it must be given."),
    Field("help", or_null(TEXT), "What to know about it."),
    Field("is_secret", BOOLEAN, "Never shown again once sent."),
)

_ROLE = {"type": "string", "enum": [OPERATOR, ADMIN]}

COMPOSED_COMMAND = (
    Field("name", TEXT, "Goes into the path."),
    Field("title", TEXT, "What it does, in short."),
    Field("consequence", TEXT, "What follows from it."),
    Field("role", _ROLE, "The least role that may give it; settings that hold keys need admin in any command."),
    Field("parameters", {"type": "array", "items": {"$ref": "#/components/schemas/Parameter"}}, "Its parameters."),
)

OCPP_ACTION = (
    Field("name", TEXT, "Goes into the path."),
    Field("title", TEXT, "Title of its official JSON schema."),
    Field("role", _ROLE, "The least role that may give it; settings that hold keys need admin in any command."),
)

COMMANDS = (
    Field("station", TEXT, "Id of the station."),
    Field("protocol", or_null(TEXT), "What it speaks; null while that is not known."),
    Field("reason", or_null(TEXT), "Why nothing can be sent; null where something can."),
    Field(
        "commands",
        {"type": "array", "items": {"$ref": "#/components/schemas/ComposedCommand"}},
        "Commands of ours, the same for every version.",
    ),
    Field(
        "actions",
        {"type": "array", "items": {"$ref": "#/components/schemas/OcppAction"}},
        "Actions of the station's version of OCPP, with its payloads.",
    ),
)

COMMAND_ANSWER = (
    Field("outcome", {"type": "string", "const": str(CommandOutcome.ANSWERED)}, "The station answered."),
    Field("payload", {"type": "object", "additionalProperties": True}, "Of its CALLRESULT; a status may say no."),
)
