"""An answer of REST held against the OpenAPI document."""

from __future__ import annotations

import re

import jsonschema_rs
from werkzeug.test import TestResponse

from dashboard import api_schema

DOCUMENT = api_schema.document()


def held_against_the_document(path: str, answer: TestResponse, method: str = "get") -> None:
    found = [op for op in api_schema.OPERATIONS.values() if op.method == method and matches(op.path, path)]
    operation = max(found, key=lambda op: len(op.path))
    described = DOCUMENT["paths"][operation.path][method]["responses"][str(answer.status_code)]
    if "$ref" in described:
        described = DOCUMENT["components"]["responses"][described["$ref"].rsplit("/", 1)[1]]
    schema = described["content"][answer.mimetype]["schema"]
    whole = {"components": DOCUMENT["components"], **schema}
    jsonschema_rs.validator_for(whole, validate_formats=True).validate(answer.json)


def matches(template: str, path: str) -> bool:
    """Only the id of a station may hold slashes."""
    id = ".+" if template.startswith("/stations") else "[^/]+"
    pattern = template.replace("{id}", id).replace("{action}", "[^/]+")
    return re.fullmatch(pattern, path) is not None
