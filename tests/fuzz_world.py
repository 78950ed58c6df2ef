"""Frames that no charger should send, by chance."""

from __future__ import annotations

import json
import random

from ocpp_hostile import ACTIONS, SHAPES, scalar, twisted

ENDINGS = (b"", b"}", b"]", b"\x00", b'"')


WORST = (
    b"",
    b"null",
    b"[]",
    b"\xff\xfe\xfd",
    b'[2,null,"Heartbeat",{}]',
    b'[2,17,"Heartbeat",null]',
    b'[2,"' + b"i" * 100_000 + b'","Heartbeat",{}]',
    b'[2,"a",["Heartbeat"],{}]',
    b'[2,"a",{"Heartbeat":1},{}]',
    b'[2,"a","' + b"A" * 50_000 + b'",{}]',
    b"[" * 100_000,
    b'[2,"a","MeterValues",' + b"[" * 50_000 + b"]" * 50_000 + b"]",
    b'[2,"a","StopTransaction",{"transactionId":' + b"9" * 5_000 + b"}]",
    b'[2,"a","StartTransaction",{"connectorId":1,"idTag":"x","meterStart":' + b"9" * 30 + b',"timestamp":"now"}]',
    rb'[2,"a","Authorize",{"idTag":"\ud800"}]',
    rb'[2,"\ud800","Authorize",{"idTag":"x"}]',
    b'[2,"a","Authorize",{"idTag":"\x00"}]',
    b'[2,"a","MeterValues",{"connectorId":1,"meterValue":[{"sampledValue":[{"value":"NaN"},{"value":"1e999"}]}]}]',
    b'[2,"a","StatusNotification",{"connectorId":1e9,"status":"","errorCode":""}]',
    b'[3,"a",{}]',
    b'[4,"a","x","y",{}]',
    b"[3]",
    b'[5,"a","b",{}]',
    b'[2,"a","TransactionEvent",{"eventType":"Ended","transactionInfo":{"transactionId":""},"seqNo":-9999999999999}]',
)


def hostile(dice: random.Random) -> bytes:
    if dice.random() < 0.05:
        return dice.choice(WORST)
    kind = 6 if dice.random() < 0.02 else 2
    frame = [kind, f"m{dice.randrange(100)}", dice.choice(ACTIONS), twisted(dice, dice.choice(SHAPES))]
    if dice.random() < 0.1:
        frame[dice.randrange(3)] = scalar(dice)  # type: ignore[call-overload]
    raw = json.dumps(frame, ensure_ascii=dice.random() < 0.9).encode("utf-8", "surrogatepass")
    if dice.random() < 0.15:
        at = dice.randrange(len(raw))
        raw = raw[:at] + dice.choice([b"", b"\x00", b",", b"\xff", bytes([dice.randrange(256)])]) + raw[at + 1 :]
    if dice.random() < 0.05:
        raw = raw[: dice.randrange(len(raw))] + dice.choice(ENDINGS)
    return raw
