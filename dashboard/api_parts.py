"""What the REST views share: problems, what came with the question, and the shape of an answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from flask import Response, request

from bridge.stores.records import BadCursor, Page, decode_cursor
from dashboard import api_schema

PREFIX = "/api/v1"
_MAX_CURSOR = 2_000  # a detail's key may be long

Answer = dict[str, Any]
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")  # for cursors of lists that no time orders
S = TypeVar("S", bound=StrEnum)


class Problem(Exception):
    """An answer of RFC 9457; ``detail`` is for the person who programs against us."""

    def __init__(
        self, status: int, title: str, detail: str, headers: dict[str, str] | None = None, **more: str
    ) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.headers = status, title, detail, headers or {}
        self.more = more  # members beside RFC 9457's


# ---- what came with the question


def query_of(allowed: set[str]) -> dict[str, str]:
    unknown = sorted(set(request.args) - allowed)
    if unknown:
        known = f"Known are {', '.join(sorted(allowed))}." if allowed else "It takes none."
        raise bad(f"Unknown parameter {', '.join(map(repr, unknown))}. {known}")
    repeated = sorted(name for name, values in request.args.lists() if len(values) > 1)
    if repeated:
        raise bad(f"{repeated[0]} was given more than once.")
    return request.args.to_dict()


def limit_of(query: dict[str, str]) -> int:
    text = query.get("limit", str(api_schema.DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= api_schema.MAX_LIMIT):
        raise bad(f"limit is a whole number from 1 to {api_schema.MAX_LIMIT}.")
    return int(text)


def cursor_of(query: dict[str, str]) -> str | None:
    cursor = query.get("cursor")
    if cursor is not None:
        try:
            decode_cursor(cursor[: _MAX_CURSOR + 1])
        except BadCursor as error:
            raise bad("cursor is not a next_cursor that we gave. Leave it out to begin again.") from error
    return cursor


def text_cursor(query: dict[str, str]) -> str:
    cursor = cursor_of(query)
    return "" if cursor is None else str(decode_cursor(cursor)[1])


def time_of(query: dict[str, str], name: str) -> datetime | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        moment = msgspec.convert(text.replace(" ", "+"), datetime)  # a bare + in a URL arrives as a space
    except msgspec.ValidationError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise bad(f"{name} is an RFC 3339 time with its offset, such as 2025-01-31T08:00:00Z.")
    return moment


def states_of(query: dict[str, str], kind: type[S], name: str = "state") -> list[S]:
    text = query.get(name)
    names = [] if text is None else text.split(",")
    known = [str(state) for state in kind]
    if not set(names) <= set(known):
        raise bad(f"{name} is one or several, with commas, of {', '.join(known)}.")
    return [kind(word) for word in names]


# ---- what goes out


def known(value: Any) -> Any:
    """The records write unknown text as empty; here unknown is null."""
    return None if value == "" else value


def cut(rows: list[Any], limit: int, cursor_of: Callable[[Any], str]) -> Page[Any]:
    return Page(rows[:limit], cursor_of(rows[limit - 1]) if len(rows) > limit else None)


def page(page: Page[Any], body: Callable[[Any], Answer]) -> Answer:
    return {"items": [body(item) for item in page.items], "next_cursor": page.next_cursor}


def as_json(body: Answer, status: int = 200, kind: str = "application/json") -> Response:
    response = Response(msgspec.json.encode(body), status, content_type=kind)
    response.headers["Cache-Control"] = "no-store"
    return response


def bad(detail: str) -> Problem:
    return Problem(400, "A parameter is wrong", detail)


def missing(kind: str, id: str) -> Problem:
    return Problem(404, f"There is no such {kind}", f"No {kind} has the id {id[:80]!r}; list them at {PREFIX}/{kind}s.")


def problem(problem: Problem) -> Response:
    body: Answer = {"type": "about:blank", "title": problem.title, "status": problem.status, "detail": problem.detail}
    body |= problem.more
    response = as_json(body, problem.status, "application/problem+json")
    response.headers.update(problem.headers)
    return response
