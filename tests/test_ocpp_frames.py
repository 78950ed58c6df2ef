"""Frames: bytes to values and back, whatever the bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.ocpp import frames
from bridge.ocpp.frames import Call, Error, ErrorCode, Result, Unreadable


def test_the_three_kinds_of_frame_are_read() -> None:
    call = frames.read(b'[2,"1","Heartbeat",{}]').frame
    assert isinstance(call, Call)
    assert (call.id, call.action, bytes(call.payload)) == ("1", "Heartbeat", b"{}")
    assert isinstance(frames.read(b'[3,"1",{"status":"Accepted"}]').frame, Result)
    error = frames.read(b'[4,"1","NotSupported","no",{}]').frame
    assert isinstance(error, Error)
    assert (error.code, error.description) == ("NotSupported", "no")


def test_what_is_written_is_read_back() -> None:
    assert json.loads(frames.result("a", {"status": "Accepted"})) == [3, "a", {"status": "Accepted"}]
    assert json.loads(frames.call("a", "Reset", {"type": "Soft"})) == [2, "a", "Reset", {"type": "Soft"}]
    assert json.loads(frames.error("a", "GenericError", "x" * 300)) == [4, "a", "GenericError", "x" * 255, {}]


@pytest.mark.parametrize(
    ("raw", "error", "message_id"),
    [
        (b"", ErrorCode.FRAMEWORK, "-1"),
        (b"  ", ErrorCode.FRAMEWORK, "-1"),
        (b"null", ErrorCode.FRAMEWORK, "-1"),
        (b'{"a":1}', ErrorCode.FRAMEWORK, "-1"),
        (b"[]", ErrorCode.FRAMEWORK, "-1"),
        (b"not json", ErrorCode.FRAMEWORK, "-1"),
        (b'[2,null,"Heartbeat",{}]', ErrorCode.FRAMEWORK, "-1"),
        (b'[2,"","Heartbeat",{}]', ErrorCode.FRAMEWORK, "-1"),
        (b'[2,["a"],"Heartbeat",{}]', ErrorCode.FRAMEWORK, "-1"),
        (b'[2,"' + b"x" * 100_000 + b'","Heartbeat",{}]', ErrorCode.FRAMEWORK, "-1"),
        (b'[2,"a"]', ErrorCode.FRAMEWORK, "a"),
        (b'[2,"a",["Heartbeat"],{}]', ErrorCode.FRAMEWORK, "a"),
        (b'[7,"a","Heartbeat",{}]', ErrorCode.MESSAGE_TYPE, "a"),
        (b'["2","a","Heartbeat",{}]', ErrorCode.MESSAGE_TYPE, "-1"),
        (b'[2,"a","Heartbeat",{"x":', ErrorCode.FORMAT, "a"),
        (b'[2,"a","DataTransfer",' + b"[" * 100_000, ErrorCode.FORMAT, "a"),
        (b'[2,"a","DataTransfer",' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"]", ErrorCode.FORMAT, "a"),
        (b"\xff\xfe\x00", ErrorCode.FRAMEWORK, "-1"),
    ],
)
def test_an_unreadable_frame_says_why_and_keeps_its_id_where_it_can(
    raw: bytes, error: ErrorCode, message_id: str
) -> None:
    frame = frames.read(raw).frame
    assert isinstance(frame, Unreadable)
    assert (frame.error, frame.id) == (error, message_id)
    assert frame.detail


@pytest.mark.parametrize("raw", [b'[3,null,{}]', b'[4,"x', b'[3,["a"],{}]', b'[4,"' + b"x" * 9999 + b'","c","d",{}]'])
def test_an_unreadable_answer_is_never_answered(raw: bytes) -> None:
    frame = frames.read(raw).frame
    assert isinstance(frame, Unreadable)
    assert frame.id == ""


@pytest.mark.parametrize(
    ("raw", "payload"),
    [
        (rb'[2,"a","StopTransaction",{"transactionId":,"meterStop":5}]', {"transactionId": None, "meterStop": 5}),
        (rb'[2,"a","MeterValues",{"meterValue":[,{"a":1}]}]', {"meterValue": [{"a": 1}]}),
        (rb'[2,"a","X",{"a":[1,2,],}]', {"a": [1, 2]}),
        (rb'[2,"a","X",{"a":"b\u0000c"}]', {"a": "bc"}),
        (b'[2,"a","X",{"a":"b\x00c"}]', {"a": "bc"}),
        (rb'[2,"a","X",{"a":"\ud800"}]', {"a": "?"}),
        (b'[2,"a","X",{"a":"\xe9"}]', {"a": "\ufffd"}),
        (b'[2,"a","X",{"a":NaN}]', {"a": None}),
        (b'\x00[2,"a","X",{"a":1}]\x00', {"a": 1}),
    ],
)
def test_quirks_18_and_19_what_is_beyond_doubt_is_mended(raw: bytes, payload: object) -> None:
    frame = frames.read(raw).frame
    assert isinstance(frame, Call)
    assert frames.loose(bytes(frame.payload)) == payload


def test_mending_touches_no_text() -> None:
    frame, _ = frames.read(rb'[2,"a","X",{"a":"[,] :, {,","b":,}]')
    assert isinstance(frame, Call)
    assert json.loads(bytes(frame.payload)) == {"a": "[,] :, {,", "b": None}


def test_quirk_27_a_number_as_message_id_is_echoed_as_a_number() -> None:
    frame, note = frames.read(b'[2,17,"Heartbeat",{}]')
    assert isinstance(frame, Call)
    assert frame.id == 17
    assert "number" in note
    assert frames.result(frame.id, {}) == b"[3,17,{}]"


def test_an_integer_of_5000_digits_is_read_loosely() -> None:
    assert frames.loose(b'{"a":' + b"9" * 5000 + b"}") == {"a": None}
    assert frames.loose(b'{"a":' + b"9" * 30 + b"}") == {"a": float("9" * 30)}


def test_depth_is_counted_outside_of_texts() -> None:
    assert not frames.is_deep(b'{"a":"' + b"[" * 1000 + b'"}')
    assert not frames.is_deep(b"[" + b"[],{}," * 1000 + b"[]]")
    assert frames.is_deep(b"[" * 65)
    assert not frames.is_deep((b"[" * 64 + b"]" * 64) * 3)
    assert frames.is_deep(b'{"a":[' * 32 + b"[]" + b"]}" * 32)
    assert frames.is_deep(b"[[],[" * 65), "what stands beside does not hide it"


def test_codes_are_spelled_as_each_version_does() -> None:
    assert frames.code_of(ErrorCode.OCCURRENCE, "ocpp1.6") == "OccurenceConstraintViolation"
    assert frames.code_of(ErrorCode.OCCURRENCE, "ocpp2.0.1") == "OccurrenceConstraintViolation"
    assert frames.code_of(ErrorCode.FORMAT, "ocpp1.6") == "FormationViolation"
    assert frames.code_of(ErrorCode.FRAMEWORK, "ocpp2.0.1") == "RpcFrameworkError"
    assert frames.code_of(ErrorCode.MESSAGE_TYPE, "ocpp1.6") == "ProtocolError"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_value(raw: bytes) -> None:
    assert frames.read(raw).frame is not None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(_json, max_size=6))
def test_any_json_array_is_a_value_and_any_frame_of_ours_is_json(tree: list[object]) -> None:
    frame = frames.read(json.dumps(tree).encode()).frame
    if isinstance(frame, Unreadable):
        assert json.loads(frames.error(frame.id, frame.error, frame.detail))[0] == 4


@given(st.text(max_size=80))
def test_an_action_becomes_a_label_only_when_it_looks_like_one(action: str) -> None:
    assert frames.safe_action(action) in ("", action)
    assert frames.safe_action(action).isalnum() or frames.safe_action(action) == ""
