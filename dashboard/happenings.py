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


_KIND_WORDS = {
    "variable": "Device model",
    "monitor": "Monitor",
    "profile": "Charging profile",
    "limit": "Charging limit from outside",
    "needs": "The car's charging needs",
    "schedule": "Charging schedule",
    "message": "Display message",
    "reservation": "Reservation",
    "list": "Local list of cards",
    "firmware": "Firmware update",
    "log": "Log upload",
    "certificate": "Installed certificate",
    "customer": "Customer information",
    "tariff": "Tariff",
    "der": "Grid support (DER)",
    "stream": "Event stream",
    "battery": "Battery swap",
    "settlement": "Payment",
    "trait": "Habit of the station",
}
_BAD_WORDS = ("fail", "invalid", "revoked", "denied", "badmessage", "rejected", "fault")


def _detailed(body: Body) -> tuple[str, bool]:
    """What a report says at a glance: its status where it is about one thing with a status, else what and how many."""
    details = [item for item in _list(body.get("details")) if isinstance(item, dict)]
    words = _KIND_WORDS.get(str(body.get("kind")), "Report")
    if len(details) != 1:
        words = f"{words}: {len(details)} entries" if details else f"{words}: nothing"
        return words + (" gone" if body.get("is_gone") else ""), False
    said = details[0].get("body")
    said = said if isinstance(said, dict) else {}
    status = str(said.get("status") or said.get("value") or "")
    text = f"{words}: {status or details[0].get('key', '')}"
    if body.get("is_gone"):
        return f"{words} gone: {details[0].get('key', '')}{f', {status}' if status else ''}", False
    is_progress = str(body.get("kind")) in ("firmware", "log", "settlement", "der")
    return text, is_progress and any(bad in status.lower() for bad in _BAD_WORDS)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _certificate_requested(body: Body) -> tuple[str, bool]:
    said = "it will be signed" if body.get("accepted") else "refused, there is no authority here"
    return f"Station asks for a {body.get('kind') or 'certificate'}: {said}", not body.get("accepted")


def _asked(body: Body) -> tuple[str, bool]:
    asked = _with(f"Station asked for {body.get('subject', 'something')}", _say(body, "about"))
    return f"{asked}, answered {body.get('answer', '')}", False


def _priority(body: Body) -> tuple[str, bool]:
    return f"Priority charging {'began' if body.get('is_active') else 'ended'}", False


def _cost(body: Body) -> tuple[str, bool]:
    total = f"{body.get('total')} {body.get('currency', '')}" if body.get("total") else "not known"
    return f"Cost by the station's own account: {total}", not body.get("total")


def _stream(body: Body) -> tuple[str, bool]:
    return f"Event stream {body.get('stream_id', '')}: {len(_list(body.get('values')))} values", False


def _answer_refused(body: Body) -> tuple[str, bool]:
    return _with("Station could not take our answer", _say(body, "code", "detail")), True


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


def _file_received(body: Body) -> tuple[str, bool]:
    return _with("File received from the station", _say(body, "name", "size")), False


def _firmware_fetched(body: Body) -> tuple[str, bool]:
    return _with("The station fetches firmware", _say(body, "name", "version")), False


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
    "DetailsReported": _detailed,
    "CertificateRequested": _certificate_requested,
    "StationAsked": _asked,
    "PriorityChargingChanged": _priority,
    "CostReported": _cost,
    "StreamReported": _stream,
    "DataTransferred": _transferred,
    "FrameRefused": _refused,
    "AnswerRefused": _answer_refused,
    "FrameMended": _mended,
    "CommandAnswered": _answered,
    "FileReceived": _file_received,
    "FirmwareFetched": _firmware_fetched,
}
KINDS = tuple(_WORDS)
