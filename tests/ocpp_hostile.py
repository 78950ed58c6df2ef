"""Malformed OCPP from a seeded generator: frames that no charger should send, as the bytes that go over the wire.

``KINDS`` is the table. A kind makes the payload of a message; how it is carried (text, binary, fragments with pings
between them) is drawn apart, so that each meets each. No kind breaks the WebSocket protocol itself: a station that
sends these must stay connected.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from bridge import schemas
from bridge.ocpp import v16, v21, v201

TEXT, BINARY, CONTINUATION, PING = 0x1, 0x2, 0x0, 0x9
PROTOCOLS = ("ocpp1.6", "ocpp2.0.1")
SOMETIME = "2026-05-04T12:00:00Z"
ACTIONS = sorted({*v16.ACTIONS, *v201.ACTIONS, *v21.ACTIONS, "Reset", "Nonsense", ""})
OURS = {version.PROTOCOL: sorted(version.ACTIONS) for version in (v16, v201, v21)}

Dice = random.Random


# ---- values


def scalar(dice: Dice) -> object:
    return dice.choice(
        [None, True, -1, 0, 2**31, 2**63, 2**64, 10**400, 1.5, -1e308, "", "x" * 3000, "\x00", "\ud800", "2026-13-45",
         "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z", "NaN", [], {}, [[]], {"a": {"b": []}}, "Available"]
    )  # fmt: skip


def twisted(dice: Dice, tree: object) -> object:
    """The same shape with some leaves, keys and branches gone wrong."""
    if dice.random() < 0.12:
        return scalar(dice)
    if isinstance(tree, dict):
        kept = {key: twisted(dice, value) for key, value in tree.items() if dice.random() > 0.08}
        return kept | ({dice.choice(["customData", "connectorId", "x"]): scalar(dice)} if dice.random() < 0.1 else {})
    if isinstance(tree, list):
        return [twisted(dice, item) for item in tree] * dice.choice([1, 1, 1, 2])
    return tree


SHAPES: tuple[dict[str, object], ...] = (
    {"connectorId": 1, "idTag": "CARD", "meterStart": 5, "timestamp": SOMETIME},
    {"transactionId": 1, "meterStop": 5, "timestamp": SOMETIME, "reason": "Local", "transactionData": []},
    {"connectorId": 1, "transactionId": 1, "meterValue": [{"timestamp": SOMETIME, "sampledValue": [
        {"value": "5", "measurand": "Power.Active.Import", "unit": "W", "phase": "L1", "context": "Trigger"}]}]},
    {"evseId": 1, "connectorId": 1, "connectorStatus": "Occupied", "timestamp": SOMETIME},
    {"eventType": "Updated", "timestamp": SOMETIME, "triggerReason": "Trigger", "seqNo": 1,
     "transactionInfo": {"transactionId": "T", "chargingState": "Charging"}, "evse": {"id": 1},
     "idToken": {"idToken": "X", "type": "eMAID"},
     "meterValue": [{"timestamp": "", "sampledValue": [
        {"value": 5, "unitOfMeasure": {"unit": "Wh", "multiplier": 3}}]}]},
    {"chargePointVendor": "a", "chargePointModel": "b", "chargingStation": {"model": "a", "vendorName": "b"}},
    {"requestId": 1, "seqNo": 0, "generatedAt": "", "reportData": [
        {"component": {"name": "a"}, "variable": {"name": "b"}, "variableAttribute": [{"value": "1"}]}]},
)  # fmt: skip


# ---- payloads by the official schemas, and one field of them gone wrong


class Shape:
    """Draws payloads that the schema of an action accepts, and such payloads with one field spoilt."""

    def __init__(self, dice: Dice, protocol: str, action: str) -> None:
        self._dice = dice
        self._root = schemas.schema(protocol, action)

    def valid(self) -> Any:
        return self._value(self._root, 0)

    def spoilt(self) -> Any:
        return self._spoil(self._root, self.valid())

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        reference = schema.get("$ref")
        return schema if reference is None else self._root["definitions"][reference.rpartition("/")[2]]

    def _value(self, schema: Mapping[str, Any], depth: int) -> Any:
        schema, dice = self._resolved(schema), self._dice
        if "enum" in schema:
            return dice.choice(schema["enum"])
        kind = schema.get("type")
        if kind == "object":
            needed, share = schema.get("required", []), 0.4 if depth < 3 else 0.0
            parts = schema.get("properties", {}).items()
            return {key: self._value(part, depth + 1) for key, part in parts if key in needed or dice.random() < share}
        if kind == "array":
            return [self._value(schema["items"], depth + 1) for _ in range(max(1, schema.get("minItems", 1)))]
        if kind == "string":
            return SOMETIME if schema.get("format") == "date-time" else "abcde"[: schema.get("maxLength", 5)]
        return {"integer": dice.randrange(10), "number": 1.5, "boolean": True}.get(str(kind))

    def _spoil(self, schema: Mapping[str, Any], value: Any) -> Any:
        schema, dice = self._resolved(schema), self._dice
        if isinstance(value, dict) and value and dice.random() < 0.9:
            key = dice.choice(list(value))
            return value | {key: self._spoil(schema.get("properties", {}).get(key, {}), value[key])}
        if isinstance(value, list) and value and dice.random() < 0.9:
            return [self._spoil(schema.get("items", {}), value[0]), *value[1:]]
        return dice.choice(self._breaches(schema, value))

    def _breaches(self, schema: Mapping[str, Any], value: Any) -> list[Any]:
        others = [wrong for wrong in (5, -0.5, "text", True, None, [], {}, [[{}]]) if type(wrong) is not type(value)]
        if isinstance(value, dict):
            return [*others, {}, value | {"nobodyKnows": value}]
        if isinstance(value, list):
            return [*others, [], value * 200]
        if isinstance(value, str):
            too_long = "x" * (schema.get("maxLength", 100) + 1)
            return [*others, "", too_long, "x" * 20_000, value.lower(), "2026-02-30T25:61:00"]
        return [*others, 2**31, -(2**63), 2**64, 10**400, -1, 1e308]


# ---- kinds of frames


def call(message_id: object, action: object, payload: object) -> bytes:
    return json.dumps([2, message_id, action, payload], ensure_ascii=False).encode("utf-8", "surrogatepass")


def _ordinary(dice: Dice) -> bytes:
    """A good frame, to be spoilt afterwards."""
    protocol = dice.choice(PROTOCOLS)
    action = dice.choice(OURS[protocol])
    return call(f"m{dice.randrange(10**6)}", action, Shape(dice, protocol, action).valid())


def _truncated(dice: Dice, cap: int) -> bytes:
    raw = _ordinary(dice)
    return raw[: dice.randrange(1, len(raw))] + dice.choice([b"", b"}", b"]", b"\x00", b'"'])


def _bytes_changed(dice: Dice, cap: int) -> bytes:
    raw = bytearray(_ordinary(dice))
    for _ in range(dice.randrange(1, 6)):
        raw[dice.randrange(len(raw))] = dice.randrange(256)
    return bytes(raw)


def _deep(dice: Dice, cap: int) -> bytes:
    depth = dice.choice([65, 1_000, cap // 4])
    opening, closing = dice.choice([(b"[", b"]"), (b'{"a":', b"}"), (b"[[],", b"]")])
    depth = min(depth, cap // (2 * len(opening)))
    raw = opening * depth + dice.choice([b"", b"0" + closing * depth])
    return dice.choice([raw, b'[2,"deep","MeterValues",' + raw + b"]"])


def _long_number(dice: Dice, cap: int) -> bytes:
    digits = dice.choice([b"", b"-"]) + b"9" * 5_000
    return dice.choice([
        b'[2,"n","StopTransaction",{"transactionId":' + digits + b',"meterStop":1,"timestamp":"now"}]',
        b'[2,"n","StartTransaction",{"connectorId":' + digits + b',"idTag":"x","meterStart":' + digits + b"}]",
        b"[2," + digits + b',"Heartbeat",{}]',
        b"[" + digits + b',"n","Heartbeat",{}]',
        b'[2,"n","Heartbeat",{"a":1e' + digits.strip(b"-") + b"}]",
    ])  # fmt: skip


def _surrogates(dice: Dice, cap: int) -> bytes:
    half = dice.choice([rb"\ud800", rb"\udfff", "\ud800".encode("utf-8", "surrogatepass")])
    return dice.choice([
        b'[2,"s","Authorize",{"idTag":"' + half + b'"}]',
        b'[2,"' + half + b'","Authorize",{"idTag":"x"}]',
        b'[2,"s","' + half + b'",{}]',
        b'[2,"s","DataTransfer",{"vendorId":"v","' + half + b'":"' + half * 9 + b'"}]',
    ])  # fmt: skip


def _nul(dice: Dice, cap: int) -> bytes:
    nul = dice.choice([b"\x00", rb"\u0000"])
    return dice.choice([
        b'[2,"z","Authorize",{"idTag":"' + nul + b'"}]',
        b'[2,"z' + nul + b'","Heartbeat",{}]',
        b'[2,"z","Heart' + nul + b'beat",{}]',
        b'[2,"z","StatusNotification",{"connectorId":1,"status":"Faulted","errorCode":"a' + nul + b'"}]',
        nul * 40,
    ])  # fmt: skip


def _wrong_types(dice: Dice, cap: int) -> bytes:
    frame: list[object] = [2, "t", dice.choice(ACTIONS), dice.choice(SHAPES)]
    for _ in range(dice.randrange(1, 4)):
        frame[dice.randrange(4)] = scalar(dice)
    frame = frame[: dice.randrange(5)] if dice.random() < 0.2 else frame
    return json.dumps(dice.choice([frame, frame, frame, {"2": frame}, [frame]])).encode()


def _huge_id(dice: Dice, cap: int) -> bytes:
    return call("i" * dice.choice([37, 255, 256, 5_000, cap // 2]), dice.choice(ACTIONS), {})


def _odd_action(dice: Dice, cap: int) -> bytes:
    action = dice.choice([["Heartbeat"], {"Heartbeat": 1}, [[]], "", " ", "A" * 30_000, "heartbeat", "../../etc",
                          "=1+1", "<script>", "Reset", "Nonsense", "Ж" * 50])  # fmt: skip
    return call("u", action, {})


def _empty(dice: Dice, cap: int) -> bytes:
    return dice.choice([b"", b" ", b"\n\n", b"null", b"[]", b"{}", b'""', b"0", b"[2]", b"[3]", b"\xef\xbb\xbf"])


def _no_utf8(dice: Dice, cap: int) -> bytes:
    bad = dice.choice([b"\xff\xfe\xfd", b"\xc3\x28", b"\xf0\x28\x8c\x28", b"\x80" * 200, b"\xc0\xaf"])
    return dice.choice([bad, b'[2,"b","Authorize",{"idTag":"' + bad + b'"}]', b'[2,"' + bad + b'","Heartbeat",{}]'])


def _same_id(dice: Dice, cap: int) -> bytes:
    return call("always the same", "Heartbeat", {})


def _uncalled_answer(dice: Dice, cap: int) -> bytes:
    id = dice.choice(["a", "", "i" * 5_000, 7, None, ["a"]])
    said = twisted(dice, dice.choice(SHAPES))
    answer = dice.choice([[3, id, {}], [3, id], [3, id, said], [4, id, "x", "y", said], [4, id, "GenericError"],
                          [4, id, 5, [], None], [5, id, "a", {}], [6, id, "a", {}]])  # fmt: skip
    return json.dumps(answer).encode()


def _twisted(dice: Dice, cap: int) -> bytes:
    return call("w", dice.choice(ACTIONS), twisted(dice, dice.choice(SHAPES)))


def _spoilt_by_schema(dice: Dice, cap: int) -> bytes:
    protocol = dice.choice(PROTOCOLS)
    action = dice.choice(OURS[protocol])
    return call("f", action, Shape(dice, protocol, action).spoilt())


def _about_the_cap(dice: Dice, cap: int) -> bytes:
    size = cap + dice.choice([-1, 0, 1, cap])
    data = b'[2,"big","DataTransfer",{"vendorId":"v","data":"', b'"}]'
    head, tail = dice.choice([data, (b"[2,", b""), (b'"', b"")])
    return head + dice.choice([b"x", b"[", b'"', b"\\"]) * (size - len(head) - len(tail)) + tail


Kind = Callable[[Dice, int], bytes]

KINDS: Mapping[str, Kind] = {
    "truncated": _truncated,
    "bytes changed": _bytes_changed,
    "deep": _deep,
    "a number of 5,000 digits": _long_number,
    "half a surrogate pair": _surrogates,
    "NUL": _nul,
    "wrong types": _wrong_types,
    "a huge id": _huge_id,
    "an odd action": _odd_action,
    "empty": _empty,
    "no UTF-8": _no_utf8,
    "the same id": _same_id,
    "an answer to nothing": _uncalled_answer,
    "twisted": _twisted,
    "a field spoilt by its schema": _spoilt_by_schema,
    "about the cap": _about_the_cap,
}


def hostile(dice: Dice, cap: int, kind: str | None = None) -> bytes:
    """The payload of one message. ``cap`` is the size that the server takes as a frame; none is above 8 times that."""
    return KINDS[kind or dice.choice(tuple(KINDS))](dice, cap)


# ---- on the wire


def wire(opcode: int, payload: bytes, is_last: bool = True, mask: bytes = b"\0\0\0\0") -> bytes:
    """A client's WebSocket frame (RFC 6455 section 5.2); an empty mask makes one without, which is forbidden."""
    first, masked, size = bytes([opcode | (0x80 if is_last else 0)]), 0x80 if mask else 0, len(payload)
    if size < 126:
        length = bytes([masked | size])
    elif size < 2**16:
        length = bytes([masked | 126]) + size.to_bytes(2)
    else:
        length = bytes([masked | 127]) + size.to_bytes(8)
    return first + length + mask + payload


def carried(dice: Dice, payload: bytes) -> bytes:
    """A message as text, as binary, or in fragments, empty ones and pings among them."""
    opcode = dice.choice([TEXT, TEXT, TEXT, BINARY])
    if dice.random() < 0.8:
        return wire(opcode, payload)
    cuts = sorted(dice.randrange(len(payload) + 1) for _ in range(dice.choice([1, 3, 40])))
    parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    frames = []
    for number, part in enumerate(parts):
        frames.append(wire(CONTINUATION if number else opcode, part, is_last=number == len(parts) - 1))
        frames += [wire(PING, b"still there?")] if dice.random() < 0.1 else []
    return b"".join(frames)
