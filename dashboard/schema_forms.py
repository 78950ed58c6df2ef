"""Forms from schemas: an official OCPP schema, or the parameters of a command of ours, as one small tree of fields.

``assets/forms.js`` draws the tree and keeps the JSON beside it in step. Pure.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bridge import schemas
from bridge.compose import Composed, Kind, Parameter
from bridge.schemas import Violation

_MOST_HELP = 260
_DEEPEST = 12  # the official schemas stay below; what goes deeper is JSON in a text
_REFERENCE = re.compile(r"<<[^<>,]*,([^<>]*)>>")  # of the text that the specification was made from
_MISSING = re.compile(r'"([^"]{1,64})" is a required property')
_UNEXPECTED = re.compile(r"\('([^']{1,64})' was unexpected\)")
_KINDS = {"integer": "integer", "number": "number", "boolean": "boolean", "string": "text"}
_COMPOSED = {Kind.TEXT: "text", Kind.INTEGER: "integer", Kind.NUMBER: "number", Kind.BOOLEAN: "boolean"}
_COMPOSED |= {Kind.CHOICE: "choice", Kind.TIME: "time", Kind.JSON: "json"}


class Field(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``kind``: object, array, text, integer, number, boolean, choice, time or json. An array has its ``item``, an
    object its ``fields``; ``longest`` is of a text, ``least`` and ``most`` of an array."""

    name: str
    kind: str
    label: str = ""
    help: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    default: Any = None
    longest: int | None = None
    least: int = 0
    most: int | None = None
    fields: tuple[Field, ...] = ()
    item: Field | None = None
    secret: bool = False


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a payload: ``path`` names a field as the form does (``a.0.b``), "" the whole."""

    path: str
    detail: str


def action_form(protocol: str, action: str) -> Field:
    """Of an OCPP action. ``customData`` is left to the JSON. Raises KeyError for what is no action of that version."""
    schema = schemas.schema(protocol, action)
    return _field(action, schema, schema.get("definitions", {}), True, 0)


def composed_form(command: Composed) -> Field:
    """Of a command of ours."""
    return Field(name=command.name, kind="object", required=True, fields=tuple(map(_parameter, command.parameters)))


def faults_of(violations: Sequence[Violation]) -> list[Fault]:
    """Violations at the fields they concern: what is missing is said where it should be."""
    return [_fault(violation) for violation in violations]


def _fault(violation: Violation) -> Fault:
    path = "" if violation.path == "payload" else violation.path
    words = violation.detail.partition(": ")[2] or violation.detail
    named = _MISSING.search(words) if violation.keyword == "required" else _UNEXPECTED.search(words)
    if named is None:
        return Fault(path, words)
    word = "is needed" if violation.keyword == "required" else "is no field of this message"
    return Fault(f"{path}.{named[1]}".lstrip("."), word)


def _parameter(parameter: Parameter) -> Field:
    return Field(
        name=parameter.name,
        kind=_COMPOSED[parameter.kind],
        label=parameter.label,
        help=parameter.help,
        required=parameter.required,
        choices=parameter.choices,
        default=parameter.default,
        secret=parameter.is_secret,
    )


def _field(name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any], required: bool, depth: int) -> Field:
    said = str(schema.get("description", ""))
    if "$ref" in schema:
        schema = definitions[str(schema["$ref"]).rsplit("/", 1)[-1]]
        said = said or str(schema.get("description", ""))
    help = " ".join(filter(None, (_help(said), f"Without it: {schema['default']}." if "default" in schema else "")))
    common: dict[str, Any] = {"name": name, "help": help, "required": required}
    kind = schema.get("type", "")
    if "enum" in schema:
        return Field(kind="choice", choices=tuple(map(str, schema["enum"])), **common)
    if schema.get("format") == "date-time":
        return Field(kind="time", **common)
    if kind == "object" and "properties" in schema and depth < _DEEPEST:
        wanted = frozenset(schema.get("required", ()))
        named = ((key, of) for key, of in schema["properties"].items() if key != "customData")
        fields = [_field(key, of, definitions, key in wanted, depth + 1) for key, of in named]
        return Field(kind="object", fields=tuple(sorted(fields, key=lambda field: not field.required)), **common)
    if kind == "array" and depth < _DEEPEST:
        item = _field("", schema.get("items", {}), definitions, True, depth + 1)
        return Field(kind="array", item=item, least=schema.get("minItems", 0), most=schema.get("maxItems"), **common)
    return Field(kind=_KINDS.get(kind, "json"), longest=schema.get("maxLength"), **common)


def _help(said: str) -> str:
    """Without the names of the model that the specification was drawn in."""
    lines = [line.strip() for line in said.splitlines()]
    kept = [
        line
        for number, line in enumerate(lines)
        if line and "urn:x-" not in line and not (number + 1 < len(lines) and "urn:x-" in lines[number + 1])
    ]
    text = _REFERENCE.sub(r"\1", html.unescape(" ".join(kept)))
    return text if len(text) <= _MOST_HELP else text[: _MOST_HELP - 1].rsplit(" ", 1)[0] + " …"
