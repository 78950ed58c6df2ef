"""REST under ``/api/v1``: what is recorded, to read, for programs with a bearer token.

No cookie opens it: a logged-in browser is a stranger here, so no other site can make it ask. Errors are RFC 9457
problems whose ``detail`` says what to do. ``dashboard/api_schema.py`` is the document and the list of parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from flask import Blueprint, Response, g, request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from werkzeug.exceptions import HTTPException

from bridge.grades import grade, stop_of
from bridge.live import mask
from bridge.session import Session, SessionState
from bridge.stores.database import RecordsUnavailable
from bridge.stores.people import Role
from bridge.stores.records import BadCursor, Page, SessionQuery, decode_cursor, encode_cursor
from bridge.stores.shapes import ConnectorRow, StationRow
from bridge.stores.telemetry import Sample, StoreUnavailable
from dashboard import api_schema
from dashboard.alerts.lifecycle import OPEN_STATES, AlarmState
from dashboard.alerts.store import Alarm, AlarmQuery, AlarmStore
from dashboard.services import services

PREFIX = "/api/v1"
REFUSALS_PER_MINUTE = 30  # of one address, before it is told to wait
_MAX_CURSOR = 200

Answer = dict[str, Any]
S = TypeVar("S", SessionState, AlarmState)


class Problem(Exception):
    """An answer of RFC 9457; ``detail`` is for the person who programs against us."""

    def __init__(self, status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.headers = status, title, detail, headers or {}


def blueprint() -> Blueprint:
    """The routes, with a throttle of their own. Register it where CSRF does not apply."""
    api = Blueprint("api", __name__, url_prefix=PREFIX)
    throttle = MovingWindowRateLimiter(MemoryStorage())
    api.before_request(lambda: _let_in(throttle))
    for name, view in _VIEWS.items():
        id = "<path:id>" if name == "station" else "<id>"  # a station's id may hold slashes
        path = api_schema.OPERATIONS[name].path.replace("{id}", id)
        api.add_url_rule(path, name, _answered(name, view))
    api.add_url_rule("/openapi.json", "openapi", lambda: _json(api_schema.document()))
    api.add_url_rule("/<path:rest>", "nothing", _nothing, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    api.register_error_handler(Problem, _problem)
    api.register_error_handler(HTTPException, _http_problem)
    for unavailable in (RecordsUnavailable, StoreUnavailable):
        api.register_error_handler(unavailable, _unavailable)
    return api


# ---- the door


def _let_in(throttle: MovingWindowRateLimiter) -> None:
    if request.endpoint == "api.openapi":
        return
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    token = services().people.api_token(secret.strip()) if scheme.lower() == "bearer" and secret else None
    if token is None:
        raise _refusal(throttle, "invalid_token" if secret else "")
    g.api_role = token.role


def _refusal(throttle: MovingWindowRateLimiter, error: str) -> Problem:
    """A caller with a valid token never comes here, so nobody can be locked out by a neighbour's failures."""
    if not throttle.hit(RateLimitItemPerMinute(REFUSALS_PER_MINUTE), request.remote_addr or "unknown"):
        wait = {"Retry-After": "60"}
        return Problem(429, "Too many refused requests", "Wait a minute, then send a valid token.", wait)
    challenge = 'Bearer realm="chargewatch"' + (f', error="{error}"' if error else "")
    return Problem(
        401,
        "A token is needed",
        "Send 'Authorization: Bearer <token>'; 'chargewatch token add NAME --role viewer' makes one.",
        {"WWW-Authenticate": challenge},
    )


# ---- the views


def _stations(query: dict[str, str]) -> Answer:
    records, limit = services().records, _limit(query)
    after = _text_cursor(query)
    rows = [row for row in records.stations() if row.id > after]
    connectors: dict[str, list[ConnectorRow]] = {}
    for connector in records.connectors():
        connectors.setdefault(connector.station, []).append(connector)
    page = _cut(rows, limit, lambda row: encode_cursor(_EPOCH, row.id))
    return _page(page, lambda row: _station_body(row, connectors.get(row.id, [])))


def _station(query: dict[str, str], id: str) -> Answer:
    records = services().records
    row = records.station(id)
    if row is None:
        raise _missing("station", id)
    return _station_body(row, records.connectors(id))


def _sessions(query: dict[str, str]) -> Answer:
    asked = SessionQuery(
        station=query.get("station"),
        states=frozenset(_states(query, SessionState)),
        since=_time(query, "since"),
        until=_time(query, "until"),
        cursor=_cursor(query),
        limit=_limit(query),
    )
    return _page(services().records.sessions(asked), _session_body)


def _session(query: dict[str, str], id: str) -> Answer:
    return _session_body(_found_session(id))


def _samples(query: dict[str, str], id: str) -> Answer:
    session, found = _found_session(id), services()
    last = session.ended_at or max(found.now(), session.sample_at or session.started_at)
    cursor = _cursor(query)
    start = session.started_at if cursor is None else decode_cursor(cursor)[0] + _TICK
    samples = found.telemetry.curve(session.station, session.evse, max(start, session.started_at), last + _TICK)
    ours = [sample for sample in samples if sample.session_id in ("", session.id)]
    return _page(_cut(ours, _limit(query), lambda sample: encode_cursor(sample.at, session.id)), _sample_body)


def _alarms(query: dict[str, str]) -> Answer:
    asked = AlarmQuery(
        states=frozenset(_states(query, AlarmState)) or OPEN_STATES,
        station=query.get("station"),
        cursor=_cursor(query),
        limit=_limit(query),
    )
    return _page(AlarmStore(services().records).alarms(asked), _alarm_body)


_VIEWS: dict[str, Callable[..., Answer]] = {
    "stations": _stations,
    "station": _station,
    "sessions": _sessions,
    "samples": _samples,
    "session": _session,
    "alarms": _alarms,
}
_TICK = timedelta(microseconds=1)  # ranges are [start, end), the last reading belongs to the session
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _answered(name: str, view: Callable[..., Answer]) -> Callable[..., Response]:
    allowed = {field.name for field in api_schema.OPERATIONS[name].query}

    def answer(**path: str) -> Response:
        return _json(view(_query(allowed), **path))

    return answer


def _nothing(rest: str) -> Response:
    if request.method not in ("GET", "HEAD"):
        raise Problem(405, "This interface only reads", "Ask with GET.", {"Allow": "GET, HEAD"})
    known = ", ".join(op.path for op in api_schema.OPERATIONS.values())
    raise Problem(404, "There is nothing here", f"Try one of {known} below {PREFIX}.")


# ---- what came with the question


def _query(allowed: set[str]) -> dict[str, str]:
    unknown = sorted(set(request.args) - allowed)
    if unknown:
        known = f"Known are {', '.join(sorted(allowed))}." if allowed else "It takes none."
        raise _bad(f"Unknown parameter {', '.join(map(repr, unknown))}. {known}")
    repeated = sorted(name for name, values in request.args.lists() if len(values) > 1)
    if repeated:
        raise _bad(f"{repeated[0]} was given more than once.")
    return request.args.to_dict()


def _limit(query: dict[str, str]) -> int:
    text = query.get("limit", str(api_schema.DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= api_schema.MAX_LIMIT):
        raise _bad(f"limit is a whole number from 1 to {api_schema.MAX_LIMIT}.")
    return int(text)


def _cursor(query: dict[str, str]) -> str | None:
    cursor = query.get("cursor")
    if cursor is not None:
        try:
            decode_cursor(cursor[: _MAX_CURSOR + 1])
        except BadCursor as error:
            raise _bad("cursor is not a next_cursor that we gave. Leave it out to begin again.") from error
    return cursor


def _text_cursor(query: dict[str, str]) -> str:
    cursor = _cursor(query)
    return "" if cursor is None else str(decode_cursor(cursor)[1])


def _time(query: dict[str, str], name: str) -> datetime | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        moment = msgspec.convert(text.replace(" ", "+"), datetime)  # a bare + in a URL arrives as a space
    except msgspec.ValidationError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _bad(f"{name} is an RFC 3339 time with its offset, such as 2025-01-31T08:00:00Z.")
    return moment


def _states(query: dict[str, str], kind: type[S]) -> list[S]:
    text = query.get("state")
    names = [] if text is None else text.split(",")
    known = [str(state) for state in kind]
    if not set(names) <= set(known):
        raise _bad(f"state is one or several, with commas, of {', '.join(known)}.")
    return [kind(name) for name in names]


def _found_session(id: str) -> Session:
    session: Session | None = services().records.session(id)
    if session is None:
        raise _missing("session", id)
    return session


# ---- what goes out


def _station_body(row: StationRow, connectors: Iterable[ConnectorRow]) -> Answer:
    made = {"site": row.site_id, "connectors": [_connector_body(c) for c in connectors]}
    names = [field.name for field in api_schema.STATION]
    return {name: made[name] if name in made else _known(getattr(row, name)) for name in names}


def _connector_body(row: ConnectorRow) -> Answer:
    return {field.name: _known(getattr(row, field.name)) for field in api_schema.CONNECTOR}


def _session_body(session: Session) -> Answer:
    body = {field.name: _known(getattr(session, field.name)) for field in api_schema.SESSION}
    body |= {"transaction_id": session.transaction_id, "evidence": _evidence_body(session)}
    if session.token and g.api_role == Role.VIEWER:
        body["token"] = mask(session.token)
    return body


def _evidence_body(session: Session) -> Answer:
    seen, verdict = session.evidence, grade(session)
    gaps = [gap.seconds for gap in seen.gaps_that_matter]
    made = {
        "grade": verdict.grade,
        "reasons": verdict.reasons,
        "stop": stop_of(session),
        "has_stop_register": session.meter_stop_wh is not None,
        "gaps": len(gaps),
        "longest_gap_s": max(gaps, default=None),
    }
    names = [field.name for field in api_schema.EVIDENCE]
    return {name: made[name] if name in made else _known(getattr(seen, name)) for name in names}


def _sample_body(sample: Sample) -> Answer:
    return {field.name: getattr(sample, field.name) for field in api_schema.SAMPLE}


def _alarm_body(alarm: Alarm) -> Answer:
    body = {field.name: _known(getattr(alarm, field.name)) for field in api_schema.ALARM}
    return {**body, "consequence": alarm.consequence, "action": alarm.action, "title": alarm.title}


def _known(value: Any) -> Any:
    """The records write unknown text as empty; here unknown is null."""
    return None if value == "" else value


def _cut(rows: list[Any], limit: int, cursor_of: Callable[[Any], str]) -> Page[Any]:
    return Page(rows[:limit], cursor_of(rows[limit - 1]) if len(rows) > limit else None)


def _page(page: Page[Any], body: Callable[[Any], Answer]) -> Answer:
    return {"items": [body(item) for item in page.items], "next_cursor": page.next_cursor}


def _json(body: Answer, status: int = 200, kind: str = "application/json") -> Response:
    response = Response(msgspec.json.encode(body), status, content_type=kind)
    response.headers["Cache-Control"] = "no-store"
    return response


def _bad(detail: str) -> Problem:
    return Problem(400, "A parameter is wrong", detail)


def _missing(kind: str, id: str) -> Problem:
    return Problem(404, f"There is no such {kind}", f"No {kind} has the id {id[:80]!r}; list them at {PREFIX}/{kind}s.")


def _problem(problem: Problem) -> Response:
    body = {"type": "about:blank", "title": problem.title, "status": problem.status, "detail": problem.detail}
    response = _json(body, problem.status, "application/problem+json")
    response.headers.update(problem.headers)
    return response


def _http_problem(error: HTTPException) -> Response:
    return _problem(Problem(error.code or 500, error.name, error.description or error.name))


def _unavailable(error: Exception) -> Response:
    wait = {"Retry-After": "5"}
    return _problem(Problem(503, "The stores do not answer", "Nothing is lost; ask again in some seconds.", wait))
