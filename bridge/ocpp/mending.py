"""A call that is outside its schema: what can be understood of it, and what stands in the way. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from bridge import schemas
from bridge.ocpp import frames, masking
from bridge.ocpp.frames import BROKEN, ErrorCode
from bridge.ocpp.versions import Action


class Wrong(Exception):
    """A call we cannot take, to be answered with a CALLERROR."""

    def __init__(self, error: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.error = error
        self.detail = detail


def tree_of(payload: msgspec.Raw) -> Any:
    """The payload as an object. Raises Wrong."""
    if frames.is_deep(payload):
        raise Wrong(ErrorCode.FORMAT, f"nested deeper than {frames.MAX_DEPTH} levels")
    tree = frames.loose(bytes(payload))
    if tree is None:
        return {}  # a null payload says as much as an empty one (field quirk 20)
    if not isinstance(tree, dict):
        raise Wrong(ErrorCode.FORMAT, "the payload must be a JSON object")
    return tree


def mended(protocol: str, name: str, action: Action, tree: dict[str, Any]) -> tuple[Any, list[str]]:
    """The typed request and what was forgiven. Raises Wrong."""
    found = schemas.violations(protocol, name, masking.shown(name, tree))
    try:
        request = msgspec.convert(schemas.mended(protocol, name, tree), action.request, strict=False)
    except BROKEN as error:
        if found:
            raise _most_telling(found) from error
        raise Wrong(ErrorCode.PROPERTY, str(error)) from error
    return request, [violation.detail for violation in found]


def _most_telling(found: list[schemas.Violation]) -> Wrong:
    """What is missing or of the wrong type stands in our way; the rest we would have taken."""
    told = next((violation for violation in found if frames.error_of(violation.keyword) in frames.NEEDED), found[0])
    return Wrong(frames.error_of(told.keyword), told.detail)
