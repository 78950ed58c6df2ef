"""OCPP-J frames: bytes to CALL, CALLRESULT, CALLERROR and back. Pure; a hostile frame is a value, never a raise.

A frame that no parser accepts is mended where its meaning is beyond doubt (field quirks 18 and 19: control
characters in strings, lone surrogates, ``"transactionId":,``); what stays unreadable is ``Unreadable``, with
the message id when the head of the frame still shows one, so that the CALLERROR finds its way.

Source: OCPP-J 1.6 section 4, OCPP 2.0.1 part 4 section 4; OCPP 2.1 part 4 section 4 for what is no call of one answer:
CALLRESULTERROR (the answer could not be taken) and SEND (a message without an answer).
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from math import isinf
from typing import Any, NamedTuple

import msgspec

MAX_ID = 255  # the specification says 36; longer ids are seen and echoed, absurd ones refused
MAX_DEPTH = 64
_MAX_INT = 2**63
UNKNOWN_ID = "-1"  # 2.0.1 part 4 section 4.2.3: when the id could not be read

_CALL, _RESULT, _ERROR, _RESULT_ERROR, _SEND = 2, 3, 4, 5, 6


class ErrorCode(StrEnum):
    """What went wrong, spelled as 2.0.1 does; ``code_of`` gives the 1.6 spelling."""

    FORMAT = "FormatViolation"
    GENERIC = "GenericError"
    INTERNAL = "InternalError"
    MESSAGE_TYPE = "MessageTypeNotSupported"
    NOT_IMPLEMENTED = "NotImplemented"
    NOT_SUPPORTED = "NotSupported"
    OCCURRENCE = "OccurrenceConstraintViolation"
    PROPERTY = "PropertyConstraintViolation"
    PROTOCOL = "ProtocolError"
    FRAMEWORK = "RpcFrameworkError"
    SECURITY = "SecurityError"
    TYPE = "TypeConstraintViolation"


NEEDED = (ErrorCode.OCCURRENCE, ErrorCode.TYPE)  # of what breaks a schema, that which we cannot do without
_OF_KEYWORD = {
    "type": ErrorCode.TYPE,
    "required": ErrorCode.OCCURRENCE,
    "minItems": ErrorCode.OCCURRENCE,
    "maxItems": ErrorCode.OCCURRENCE,
    "additionalProperties": ErrorCode.FORMAT,
}


def error_of(keyword: str) -> ErrorCode:
    """What breaking this keyword of a JSON schema is called."""
    return _OF_KEYWORD.get(keyword, ErrorCode.PROPERTY)


_CODES_16 = {
    ErrorCode.FORMAT: "FormationViolation",
    ErrorCode.FRAMEWORK: "FormationViolation",
    ErrorCode.MESSAGE_TYPE: "ProtocolError",
    ErrorCode.OCCURRENCE: "OccurenceConstraintViolation",  # 1.6 section 4.2.3 spells it with one r
}


def code_of(error: ErrorCode, protocol: str) -> str:
    """The code as that version of OCPP spells it."""
    return _CODES_16.get(error, error.value) if protocol == "ocpp1.6" else error.value


class Call(msgspec.Struct, array_like=True, tag=_CALL, frozen=True, gc=False):
    id: str | int
    action: str
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class Result(msgspec.Struct, array_like=True, tag=_RESULT, frozen=True, gc=False):
    id: str | int
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class Error(msgspec.Struct, array_like=True, tag=_ERROR, frozen=True, gc=False):
    id: str | int
    code: str = ""
    description: str = ""
    details: msgspec.Raw = msgspec.Raw(b"{}")


class ResultError(msgspec.Struct, array_like=True, tag=_RESULT_ERROR, frozen=True, gc=False):
    id: str | int
    code: str = ""
    description: str = ""
    details: msgspec.Raw = msgspec.Raw(b"{}")


class Send(msgspec.Struct, array_like=True, tag=_SEND, frozen=True, gc=False):
    id: str | int
    action: str
    payload: msgspec.Raw = msgspec.Raw(b"{}")


Frame = Call | Result | Error | ResultError | Send


class Unreadable(NamedTuple):
    """A frame that cannot be taken. ``id`` is "" when it must not be answered (it was an answer itself)."""

    id: str | int
    action: str
    error: ErrorCode
    detail: str


class Read(NamedTuple):
    """A frame as read; ``note`` says what had to be mended."""

    frame: Frame | Unreadable
    note: str = ""


_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_encode = msgspec.json.Encoder().encode
BROKEN = (msgspec.MsgspecError, ValueError, RecursionError)


def read(raw: bytes) -> Read:
    """Read one frame, mending it when nothing else helps."""
    if _NUL in raw:  # legal JSON, but no database and no screen wants it in a text
        return _read_broken(raw, "NUL")
    try:
        frame = _decoder.decode(raw)
    except BROKEN as error:
        return _read_broken(raw, str(error))
    if type(frame.id) is str and 0 < len(frame.id) <= MAX_ID:
        return Read(frame)
    return _with_odd_id(frame)


def is_deep(raw: bytes | msgspec.Raw) -> bool:
    """Is anything nested deeper than ``MAX_DEPTH``? Without recursion: the innermost pairs are taken away, again and
    again, until nothing is left or what was nested stands side by side."""
    data = bytes(raw)
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    brackets, before = _STRINGS.sub(b"", data).translate(_ONE_KIND, _NO_BRACKETS), b""
    while _TOO_DEEP not in brackets:
        before, brackets = brackets, brackets.replace(b"[]", b"")
        if len(brackets) == len(before):
            return False
    return True


def result(message_id: str | int, payload: Any) -> bytes:
    """A CALLRESULT."""
    return _encode((_RESULT, message_id, payload))


def error(message_id: str | int, code: str, description: str) -> bytes:
    """A CALLERROR; 255 characters of description are what the specification grants."""
    return _encode((_ERROR, message_id, code, description[:255], {}))


def result_error(message_id: str | int, code: str, description: str) -> bytes:
    """A CALLRESULTERROR (2.1): an answer that we could not take."""
    return _encode((_RESULT_ERROR, message_id, code, description[:255], {}))


def call(message_id: str, action: str, payload: Any) -> bytes:
    """A CALL of ours."""
    return _encode((_CALL, message_id, action, payload))


def loose(raw: bytes) -> Any:
    """Any JSON value, taken leniently: integers of any length, control characters, what a parser chokes on.
    ``None`` when it is no JSON. The caller has looked at the depth."""
    try:
        return clean(msgspec.json.decode(raw))
    except BROKEN:
        return _mended_tree(raw)


def safe_action(action: str) -> str:
    """An action fit for labels and columns; "" when it cannot be one of OCPP's."""
    return action if _ACTION.fullmatch(action) else ""


_NUL = b"\\u0000"
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TOO_DEEP = b"[" * (MAX_DEPTH + 1)
_ACTION = re.compile(r"[A-Za-z0-9]{1,64}")
_ANSWER = re.compile(rb"\s*\[\s*[3-6]\s*(?:,|$)")
_HEAD = re.compile(rb'\s*\[\s*\d{1,3}\s*,\s*(?:"([^"\\]{1,255})"|(-?\d{1,15}))(?:\s*,\s*"([A-Za-z0-9]{1,64})")?')
_SOUND = r'(?:[^":,\[{]++|"(?:[^"\\]++|\\.)*+"?|:(?!\s*[,}\]])|[\[{](?!\s*,)|,(?!\s*[,\]}]))++'
_GAPS = re.compile(f"({_SOUND})" + r"|(:)\s*(?=[,}\]])|([\[,{])\s*(?:,\s*)+|,\s*(?=[\]}])", re.DOTALL)


def _with_odd_id(frame: Frame) -> Read:
    if type(frame.id) is str:
        said = "is empty" if not frame.id else f"has {len(frame.id)} characters"
        action = frame.action if isinstance(frame, Call | Send) else ""
        detail = f"the message id {said}; send 1 to 36 characters"
        answered = UNKNOWN_ID if isinstance(frame, Call) else ""
        return Read(Unreadable(answered, safe_action(action), ErrorCode.FRAMEWORK, detail))
    return Read(frame, "message id is a number, not a string")


def _read_broken(raw: bytes, why: str) -> Read:
    head = head_of(raw)
    if not raw.strip():
        return Read(Unreadable(UNKNOWN_ID, "", ErrorCode.FRAMEWORK, "the frame is empty; send a JSON array"))
    if is_deep(raw):
        detail = f"nested deeper than {MAX_DEPTH} levels"
        return Read(head._replace(error=ErrorCode.FORMAT if head.action else ErrorCode.FRAMEWORK, detail=detail))
    tree = _mended_tree(raw)
    if tree is None:
        return Read(head._replace(detail=f"not valid JSON: {why}"))
    try:
        frame = _decoder.decode(_encode(tree))
    except BROKEN:
        return Read(_misshapen(tree, head))
    if type(frame.id) is str and not 0 < len(frame.id) <= MAX_ID:
        return _with_odd_id(frame)
    return Read(frame, "broken JSON, mended")


def head_of(raw: bytes) -> Unreadable:
    """What the first bytes say about id and action, for an answer to a frame that cannot be read in full."""
    if _ANSWER.match(raw[:1000]):
        return Unreadable("", "", ErrorCode.FRAMEWORK, "")
    found = _HEAD.match(raw[:1000])
    if found is None:
        return Unreadable(UNKNOWN_ID, "", ErrorCode.FRAMEWORK, "")
    text, number, action = found.groups()
    message_id: str | int = text.decode(errors="replace") if text is not None else int(number)
    return Unreadable(message_id, (action or b"").decode(), ErrorCode.FORMAT, "")


def _mended_tree(raw: bytes) -> Any:
    """The frame as a tree, or ``None``. Python's parser takes control characters and lone surrogates."""
    text = raw.decode(errors="replace").strip("\x00\ufeff \t\r\n")
    try:
        return _lenient(text)
    except (ValueError, RecursionError):
        closed = _GAPS.sub(_close_gap, text)
    try:
        return None if closed == text else _lenient(closed)
    except (ValueError, RecursionError):
        return None


def _lenient(text: str) -> Any:
    return clean(json.loads(text, strict=False, parse_int=_number, parse_constant=lambda name: None))


def _close_gap(match: re.Match[str]) -> str:
    sound, colon, opening = match.groups()
    if sound is not None:
        return sound
    return ":null" if colon else (opening or "")


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < 19 else float(digits[:400])


def clean(tree: Any) -> Any:
    """A tree that every store can take: no NUL, no half of a surrogate pair, no integer above 64 bits."""
    if isinstance(tree, str):
        return tree.replace("\x00", "").encode(errors="replace").decode() if not tree.isprintable() else tree
    if isinstance(tree, list):
        return [clean(item) for item in tree]
    if isinstance(tree, dict):
        return {clean(key): clean(value) for key, value in tree.items()}
    if isinstance(tree, int) and not -_MAX_INT <= tree < _MAX_INT:
        tree = float(tree) if tree.bit_length() < 1000 else None
    return None if isinstance(tree, float) and isinf(tree) else tree


def _misshapen(tree: Any, head: Unreadable) -> Unreadable:
    """Valid JSON that is no OCPP frame: say which part."""
    if not isinstance(tree, list) or not tree:
        return head._replace(error=ErrorCode.FRAMEWORK, detail="a frame is a JSON array: [2, id, action, payload]")
    if type(tree[0]) is int and _CALL < tree[0] <= _SEND:
        return Unreadable("", "", ErrorCode.FRAMEWORK, "an answer or SEND without a readable message id")
    if type(tree[0]) is not int or tree[0] != _CALL:
        detail = "the first element is the message type: 2 to 6"
        return head._replace(error=ErrorCode.MESSAGE_TYPE, detail=detail)
    if len(tree) < 2 or not isinstance(tree[1], str | int) or isinstance(tree[1], bool):
        return head._replace(error=ErrorCode.FRAMEWORK, detail="the message id must be a string of 1 to 36 characters")
    return head._replace(error=ErrorCode.FRAMEWORK, detail="the action must be a string")
