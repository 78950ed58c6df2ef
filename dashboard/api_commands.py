"""REST views that send commands to a station, and that tell what it has.

A command is carried out by the bridge that holds the station's socket; what it says becomes a status: 200 for a
CALLRESULT, 502 for a CALLERROR, 422 for what is not in the station's version, 409 where it cannot hear, 504 for
silence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from flask import g, request

from bridge.command_bus import Answer as BusAnswer
from bridge.command_bus import CommandOutcome
from bridge.compose import Composed, needed_role, veiled
from bridge.events import DetailKind
from bridge.live import mask
from bridge.stores.details import DetailRow, Details
from bridge.stores.people import Role
from bridge.stores.records import encode_cursor
from bridge.stores.shapes import StationRow
from dashboard import orders
from dashboard.api_parts import (
    EPOCH,
    Answer,
    Problem,
    bad,
    cut,
    known,
    limit_of,
    missing,
    page,
    states_of,
    text_cursor,
)
from dashboard.api_schema import MAX_TIMEOUT_S
from dashboard.services import services

_MAX_DEPTH = 64  # as of a station's frames
_TOKEN_FIELDS = frozenset({"idToken", "idTag", "parentIdTag", "groupIdToken", "token"})


def command(query: dict[str, str], id: str, action: str) -> Answer:
    station, timeout_s = station_of(id), timeout_of(query)
    payload = json_body()
    with ordering(station):
        answer = orders.order(
            station, action, payload, role=g.api_role, actor=f"token {g.api_name}", timeout_s=timeout_s
        )
    return answered(answer)


@contextmanager
def ordering(station: StationRow) -> Iterator[None]:
    """While a command is given: why it cannot be becomes a problem."""
    if reason := orders.why_not(station):
        raise Problem(409, "This station takes no commands", reason)
    try:
        yield
    except orders.NotAllowed as error:
        detail = f"This command with this payload needs a token of the role {error.needed}."
        raise Problem(403, "The token's role is too low", detail) from error
    except orders.NoWay as error:
        raise Problem(503, "Commands do not get through", str(error), {"Retry-After": "5"}) from error


def answered(answer: BusAnswer) -> Answer:
    """What the station answered; raises the problem of every other outcome."""
    if answer.outcome is not CommandOutcome.ANSWERED:
        raise _PROBLEMS[answer.outcome](answer)
    return {"outcome": str(answer.outcome), "payload": answer.payload}


def commands(query: dict[str, str], id: str) -> Answer:
    station = station_of(id)
    return {
        "station": station.id,
        "protocol": known(station.protocol),
        "reason": known(orders.why_not(station)),
        "commands": [_composed(found) for found in orders.offered(station)],
        "actions": [
            {"name": name, "title": title, "role": needed_role(name, {})}
            for name, title in orders.actions(station).items()
        ],
    }


def details(query: dict[str, str], id: str) -> Answer:
    station, limit = station_of(id), limit_of(query)
    kinds = states_of(query, DetailKind, "kind") or list(DetailKind)
    if g.api_role == Role.VIEWER:  # what a station stores about a person
        kinds = [kind for kind in kinds if kind is not DetailKind.CUSTOMER]
    kind, _, key = text_cursor(query).partition("\n")
    rows = Details(services().records).page(station.id, kinds, (kind, key), limit + 1)
    return page(cut(rows, limit, lambda row: encode_cursor(EPOCH, f"{row.kind}\n{row.key}")), _detail)


def station_of(id: str) -> StationRow:
    station: StationRow | None = services().records.station(id)
    if station is None:
        raise missing("station", id)
    return station


def timeout_of(query: dict[str, str]) -> float | None:
    text = query.get("timeout")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_TIMEOUT_S:
        raise bad(f"timeout is a number of seconds above 0, at most {MAX_TIMEOUT_S}.")
    return seconds


def json_body() -> dict[str, Any]:
    """The payload; nothing at all is an empty one."""
    data = request.get_data()
    if not data:
        return {}
    if not request.is_json:
        raise Problem(415, "The body is no JSON", "Send a JSON object with 'Content-Type: application/json'.")
    try:
        body = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Problem(400, "The body is no JSON object", f"Send one JSON object: {error}"[:300]) from error
    if _is_deep(body):
        raise Problem(400, "The body is nested too deep", f"Send JSON of at most {_MAX_DEPTH} levels.")
    return body


def _is_deep(body: Any) -> bool:
    """Without recursion: what walks through it later would break off at some depth of its own."""
    level = [body]
    for _ in range(_MAX_DEPTH):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        level = [inner for inner in level if isinstance(inner, dict | list)]
    return bool(level)


# ---- what goes out


def _refused(answer: BusAnswer) -> Problem:
    description = answer.detail.removeprefix(f"{answer.code}: ")
    detail = f"The station answered with the error {answer.code}{': ' if description else ''}{description}"
    return Problem(502, "The station refused the command", detail, code=answer.code, description=description)


def _invalid(answer: BusAnswer) -> Problem:
    return Problem(422, "The command is wrong for this station", answer.detail, path=answer.path)


def _cannot_hear(answer: BusAnswer) -> Problem:
    title = "The station waits for approval" if answer.outcome is CommandOutcome.HELD else "The station is offline"
    return Problem(409, title, answer.detail)


def _silent(answer: BusAnswer) -> Problem:
    return Problem(504, "The station did not answer", answer.detail)


_PROBLEMS: dict[CommandOutcome, Callable[[BusAnswer], Problem]] = {
    CommandOutcome.REFUSED: _refused,
    CommandOutcome.INVALID: _invalid,
    CommandOutcome.OFFLINE: _cannot_hear,
    CommandOutcome.HELD: _cannot_hear,
    CommandOutcome.TIMEOUT: _silent,
}


def _composed(found: Composed) -> Answer:
    parameters = [{**p._asdict(), "kind": str(p.kind), "help": known(p.help)} for p in found.parameters]
    return {
        "name": found.name,
        "title": found.title,
        "consequence": found.consequence,
        "role": found.role,
        "parameters": parameters,
    }


def _detail(row: DetailRow) -> Answer:
    body = veiled("", row.body)
    if g.api_role == Role.VIEWER:
        body = _without_tokens(body)
    made = {"kind": str(row.kind), "key": row.key, "evse": row.evse, "body": body}
    return made | {"at": row.at, "received_at": row.received_at}


def _without_tokens(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_tokens(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        field: mask(item) if field in _TOKEN_FIELDS and isinstance(item, str) else _without_tokens(item)
        for field, item in value.items()
    }
