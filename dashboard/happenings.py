"""What happened, in words: occurrences of the timeline as sentences, each with the raw message under it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from bridge.access import normalise_token
from bridge.live import mask
from bridge.stores.telemetry import FrameRow, Occurrence, Sample
from dashboard.formats import kw, percent, plain

Body = dict[str, Any]

_FINE = ("", "NoError")
_STATUS_WORDS = {
    "Available": "Connector is free",
    "Preparing": "Cable plugged in, waiting to begin",
    "Charging": "Energy flows",
    "SuspendedEV": "The car paused charging",
    "SuspendedEVSE": "The charger paused charging",
    "Finishing": "Charging is over, cable still in",
    "Reserved": "Connector reserved",
    "Unavailable": "Connector out of service",
    "Faulted": "Connector faulted",
}


class Happening(NamedTuple):
    """``text`` is a sentence, ``code`` the message it came by, ``raw`` that message as received ("" when not kept)."""

    at: datetime
    text: str
    code: str
    raw: str
    is_abnormal: bool


def happenings(
    occurrences: Sequence[Occurrence], frames: Iterable[FrameRow], newest: Sample | None = None
) -> list[Happening]:
    """Newest first, as ``occurrences`` are. Updates in a row that say the same are one line, at the first one's time;
    the newest meter values stand as one line at theirs."""
    received = {(row.station, row.received_at): row for row in frames if row.direction == ">"}
    told = []
    for _, run in groupby(enumerate(occurrences), _alike):
        items = [item for _, item in run]
        told.append(_tell(items, received.get((items[0].station, items[0].received_at))))
    if newest is not None and (text := _values(newest.values)):
        frame = received.get((newest.station, newest.received_at))
        line = Happening(newest.at, f"Meter value: {text}", *_raw(frame, "MeterSampled"), False)
        told.insert(next((i for i, item in enumerate(told) if item.at <= line.at), len(told)), line)
    return told


def concerns(occurrence: Occurrence, evse: int, transaction_id: str, token: str) -> bool:
    """Is it about this transaction, this EVSE or the station as a whole? A card is shown to the station, before it is
    said for which EVSE: only the session's own is its business."""
    body = _body(occurrence)
    if occurrence.kind == "TokenPresented":
        return normalise_token(str(body.get("token", ""))) == normalise_token(token)
    named = body.get("transaction_id") or ""
    return named == transaction_id if named else occurrence.evse in (0, evse)


def _alike(numbered: tuple[int, Occurrence]) -> object:
    """Equal for neighbours that make one line; what is no update stays alone."""
    number, item = numbered
    if item.kind != "TransactionUpdated":
        return number
    body = _body(item)
    return str(body.get("transaction_id")), _updated(body | {"seq_no": None})[0]


def _tell(items: Sequence[Occurrence], frame: FrameRow | None) -> Happening:
    """``items`` are alike, newest first; ``frame`` brought the newest."""
    newest, first = items[0], items[-1]
    body = _body(newest)
    if len(items) > 1:
        body["folded"], body["seq_no_first"] = len(items), _body(first).get("seq_no")
    text, is_abnormal = _WORDS.get(newest.kind, _other)(body)
    return Happening(first.at, plain(text, 300), *_raw(frame, newest.kind), is_abnormal)


def _raw(frame: FrameRow | None, kind: str) -> tuple[str, str]:
    return (plain(frame.action, 80), frame.text) if frame else (kind, "")


def _values(values: Mapping[str, float]) -> str:
    words: dict[str, Callable[[float], str]] = {
        "power_w": lambda power_w: f"{kw(power_w)} kW",
        "energy_import_wh": _wh,
        "soc_percent": lambda share: f"{percent(share)} %",
    }
    return ", ".join(say(values[name]) for name, say in words.items() if name in values)


def _body(item: Occurrence) -> Body:
    try:
        found = msgspec.json.decode(item.body)
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}


def _say(body: Body, *names: str) -> str:
    return ", ".join(str(body[name]) for name in names if body.get(name) not in (None, *_FINE))


def _wh(value: Any) -> str:
    return f"{int(value):,} Wh".replace(",", " ")


def _with(text: str, more: str) -> str:
    return f"{text}: {more}" if more else text


def _connected(body: Body) -> tuple[str, bool]:
    return _with("Station connected", _say(body, "protocol", "address")), False


def _disconnected(body: Body) -> tuple[str, bool]:
    return _with("Connection to the station ended", _say(body, "reason")), True


def _booted(body: Body) -> tuple[str, bool]:
    return _with("Station started up", _say(body, "vendor", "model", "firmware", "reason")), False


def _status(body: Body) -> tuple[str, bool]:
    status = str(body.get("status", ""))
    more = _say(body, "error_code", "vendor_error_code", "info")
    is_abnormal = status == "Faulted" or body.get("error_code", "") not in _FINE
    words = f"Station reports {status}" if body.get("evse") == 0 else _STATUS_WORDS.get(status, f"Status {status}")
    return _with(words, more), is_abnormal


def _token(body: Body) -> tuple[str, bool]:
    word = "Authorised" if body.get("accepted") else "Card refused"
    cause = f", {body['cause']}" if body.get("cause") else ""
    return f"{word}: {mask(str(body.get('token', '')))}{cause}", not body.get("accepted")


def _started(body: Body) -> tuple[str, bool]:
    text = f"Session started, transaction {body.get('transaction_id', '')}"
    if body.get("meter_start_wh") is not None:
        text += f", meter at {_wh(body['meter_start_wh'])}"
    if body.get("offline"):
        text += "; sent later, from the charger's queue"
    return text, body.get("accepted") is False


def _updated(body: Body) -> tuple[str, bool]:
    state = str(body.get("charging_state") or "")
    text = _STATUS_WORDS.get(state) or _with("Transaction update", _say(body, "trigger"))
    if body.get("folded"):
        text += f", {body['folded']} updates"
    first, last = body.get("seq_no_first"), body.get("seq_no")
    if last is None:
        return text, False
    return text + (f", message {last}" if first is None else f", messages {first} to {last}"), False


def _ended(body: Body) -> tuple[str, bool]:
    text = _with("Session ended", _say(body, "stop_reason"))
    if body.get("meter_stop_wh") is not None:
        text += f", meter at {_wh(body['meter_stop_wh'])}"
    return text, False


def _device_event(body: Body) -> tuple[str, bool]:
    what = f"{body.get('component', '')} {body.get('variable', '')} = {body.get('value', '')}"
    if body.get("cleared"):
        return f"Over: {what}", False
    return _with(what, _say(body, "tech_code", "tech_info")), str(body.get("trigger")) == "Alerting"


def _security(body: Body) -> tuple[str, bool]:
    return _with(f"Security event {body.get('kind', '')}", _say(body, "tech_info")), True


def _transferred(body: Body) -> tuple[str, bool]:
    return _with("Vendor's own message", _say(body, "vendor_id", "message_id", "data")), False


def _refused(body: Body) -> tuple[str, bool]:
    return f"A message was refused: {_say(body, 'action', 'code', 'detail')}", True


def _mended(body: Body) -> tuple[str, bool]:
    notes = body.get("notes")
    words = ", ".join(map(str, notes)) if isinstance(notes, list) else ""
    detail = ": ".join(filter(None, (_say(body, "action"), words)))
    return _with("A message outside its schema was understood", detail), False


def _answered(body: Body) -> tuple[str, bool]:
    return _with(f"Answer to {body.get('action', 'a command')}", _say(body, "status", "detail")), False


def _other(body: Body) -> tuple[str, bool]:
    return _with("Message", _say(body, "action", "type")), False


_WORDS: dict[str, Callable[[Body], tuple[str, bool]]] = {
    "StationConnected": _connected,
    "StationDisconnected": _disconnected,
    "StationBooted": _booted,
    "StatusChanged": _status,
    "TokenPresented": _token,
    "TransactionStarted": _started,
    "TransactionUpdated": _updated,
    "TransactionEnded": _ended,
    "DeviceEventNotified": _device_event,
    "SecurityEventNotified": _security,
    "DataTransferred": _transferred,
    "FrameRefused": _refused,
    "FrameMended": _mended,
    "CommandAnswered": _answered,
}
