"""REST under ``/api/v1`` for programs with a bearer token: what is recorded, and commands to stations.

No cookie opens it: a logged-in browser is a stranger here, so no other site can make it ask. Errors are RFC 9457
problems whose ``detail`` says what to do. ``dashboard/api_schema.py`` is the document and the list of parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

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
from bridge.stores.records import SessionQuery, decode_cursor, encode_cursor
from bridge.stores.shapes import ConnectorRow, StationRow
from bridge.stores.telemetry import Sample, StoreUnavailable
from dashboard import api_commands, api_fields, api_files, api_schema
from dashboard.alerts.lifecycle import OPEN_STATES, AlarmState
from dashboard.alerts.store import Alarm, AlarmQuery, AlarmStore
from dashboard.api_parts import (
    EPOCH,
    PREFIX,
    Answer,
    Problem,
    as_json,
    cursor_of,
    cut,
    known,
    limit_of,
    missing,
    page,
    problem,
    query_of,
    states_of,
    text_cursor,
    time_of,
)
from dashboard.services import services

REFUSALS_PER_MINUTE = 30  # of one address, before it is told to wait


def blueprint() -> Blueprint:
    """The routes, with a throttle of their own. Register it where CSRF does not apply."""
    api = Blueprint("api", __name__, url_prefix=PREFIX)
    throttle = MovingWindowRateLimiter(MemoryStorage())
    api.before_request(lambda: _let_in(throttle))
    for name, view in _VIEWS.items():
        operation = api_schema.OPERATIONS[name]
        id = "<path:id>" if operation.path.startswith("/stations") else "<id>"  # a station's id may hold slashes
        path = operation.path.replace("{id}", id).replace("{action}", "<action>")
        api.add_url_rule(path, name, _answered(name, view), methods=[operation.method])
    api.add_url_rule("/openapi.json", "openapi", lambda: as_json(api_schema.document()))
    api.add_url_rule("/<path:rest>", "nothing", _nothing, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    api.register_error_handler(Problem, problem)
    api.register_error_handler(HTTPException, _http_problem)
    api_files.install(api)
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
    g.api_role, g.api_name = token.role, token.name


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
    records, limit = services().records, limit_of(query)
    after = text_cursor(query)
    rows = [row for row in records.stations() if row.id > after]
    connectors: dict[str, list[ConnectorRow]] = {}
    for connector in records.connectors():
        connectors.setdefault(connector.station, []).append(connector)
    first = cut(rows, limit, lambda row: encode_cursor(EPOCH, row.id))
    return page(first, lambda row: _station_body(row, connectors.get(row.id, [])))


def _station(query: dict[str, str], id: str) -> Answer:
    records = services().records
    row = records.station(id)
    if row is None:
        raise missing("station", id)
    return _station_body(row, records.connectors(id))


def _sessions(query: dict[str, str]) -> Answer:
    asked = SessionQuery(
        station=query.get("station"),
        states=frozenset(states_of(query, SessionState)),
        since=time_of(query, "since"),
        until=time_of(query, "until"),
        cursor=cursor_of(query),
        limit=limit_of(query),
    )
    return page(services().records.sessions(asked), _session_body)


def _session(query: dict[str, str], id: str) -> Answer:
    return _session_body(_found_session(id))


def _samples(query: dict[str, str], id: str) -> Answer:
    session, found = _found_session(id), services()
    last = session.ended_at or max(found.now(), session.sample_at or session.started_at)
    cursor = cursor_of(query)
    start = session.started_at if cursor is None else decode_cursor(cursor)[0] + _TICK
    samples = found.telemetry.curve(session.station, session.evse, max(start, session.started_at), last + _TICK)
    ours = [sample for sample in samples if sample.session_id in ("", session.id)]
    return page(cut(ours, limit_of(query), lambda sample: encode_cursor(sample.at, session.id)), _sample_body)


def _alarms(query: dict[str, str]) -> Answer:
    asked = AlarmQuery(
        states=frozenset(states_of(query, AlarmState)) or OPEN_STATES,
        station=query.get("station"),
        cursor=cursor_of(query),
        limit=limit_of(query),
    )
    return page(AlarmStore(services().records).alarms(asked), _alarm_body)


_VIEWS: dict[str, Callable[..., Answer | Response]] = {
    "stations": _stations,
    "station": _station,
    "sessions": _sessions,
    "samples": _samples,
    "session": _session,
    "alarms": _alarms,
    "details": api_commands.details,
    "commands": api_commands.commands,
    "command": api_commands.command,
    "uploads": api_files.uploads,
    "logs": api_files.logs,
    "upload": api_files.upload,
    "images": api_files.images,
    "image_add": api_files.image_add,
    "image_delete": api_files.image_delete,
    "firmware": api_files.firmware,
}
_TICK = timedelta(microseconds=1)  # ranges are [start, end), the last reading belongs to the session


def _answered(name: str, view: Callable[..., Answer | Response]) -> Callable[..., Response]:
    allowed = {field.name for field in api_schema.OPERATIONS[name].query}

    def answer(**path: str) -> Response:
        made = view(query_of(allowed), **path)
        return made if isinstance(made, Response) else as_json(made)

    return answer


def _nothing(rest: str) -> Response:
    if request.method not in ("GET", "HEAD"):
        raise Problem(405, "Here is only something to read", "Ask with GET.", {"Allow": "GET, HEAD"})
    known = ", ".join(op.path for op in api_schema.OPERATIONS.values())
    raise Problem(404, "There is nothing here", f"Try one of {known} below {PREFIX}.")


def _found_session(id: str) -> Session:
    session: Session | None = services().records.session(id)
    if session is None:
        raise missing("session", id)
    return session


# ---- what goes out


def _station_body(row: StationRow, connectors: Iterable[ConnectorRow]) -> Answer:
    made = {"site": row.site_id, "connectors": [_connector_body(c) for c in connectors]}
    names = [field.name for field in api_fields.STATION]
    return {name: made[name] if name in made else known(getattr(row, name)) for name in names}


def _connector_body(row: ConnectorRow) -> Answer:
    return {field.name: known(getattr(row, field.name)) for field in api_fields.CONNECTOR}


def _session_body(session: Session) -> Answer:
    body = {field.name: known(getattr(session, field.name)) for field in api_fields.SESSION}
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
    names = [field.name for field in api_fields.EVIDENCE]
    return {name: made[name] if name in made else known(getattr(seen, name)) for name in names}


def _sample_body(sample: Sample) -> Answer:
    return {field.name: getattr(sample, field.name) for field in api_fields.SAMPLE}


def _alarm_body(alarm: Alarm) -> Answer:
    body = {field.name: known(getattr(alarm, field.name)) for field in api_fields.ALARM}
    return {**body, "consequence": alarm.consequence, "action": alarm.action, "title": alarm.title}


def _http_problem(error: HTTPException) -> Response:
    return problem(Problem(error.code or 500, error.name, error.description or error.name))


def _unavailable(error: Exception) -> Response:
    wait = {"Retry-After": "5"}
    return problem(Problem(503, "The stores do not answer", "Nothing is lost; ask again in some seconds.", wait))
