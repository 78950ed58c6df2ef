"""A detail's new word beside the one that is known: most replace it, some complete it. Pure.

A variable is told in full by a report (value, mutability, unit, limits) and in part by the answer to a setting (the
value): what the newer word leaves out stands. Customer information comes as text in parts, to be had whole.
"""

from __future__ import annotations

from typing import Any

from bridge.events import DetailKind

Body = dict[str, Any]

JOINED = frozenset((DetailKind.VARIABLE, DetailKind.STREAM, DetailKind.DER, DetailKind.CUSTOMER))
_PASSING = frozenset(("rebootRequired",))  # of one answer only
_MAX_TEXT = 500_000  # characters of one report: no customer has more to be told
_MAX_PARTS = 5_000


def part(text: Any, seq_no: int, more: bool) -> Body:
    """One part of a text, as a body of its own."""
    return _text({str(max(0, seq_no)): str(text)}, None if more else max(0, seq_no))


def joined(kind: DetailKind, known: Body | None, new: Body) -> Body:
    """The body to keep when ``new`` comes after ``known``."""
    if known is None or kind not in JOINED:
        return new
    if kind is DetailKind.CUSTOMER:
        return _with_part(known, new)
    return {name: value for name, value in known.items() if name not in _PASSING} | new


def _with_part(known: Body, new: Body) -> Body:
    """A part of the same report goes to its place; after a whole report, or where a part says something else now,
    another report has begun under the same number."""
    before, added = known.get("parts"), new.get("parts")
    if not before or not added:
        return new
    is_another = any(before.get(seq_no, text) != text for seq_no, text in added.items())
    if is_another:
        return new
    parts = before | added
    if len(parts) > _MAX_PARTS or sum(map(len, parts.values())) > _MAX_TEXT:
        return known | {"isCut": True}
    last = new.get("last") if new.get("last") is not None else known.get("last")
    return _text(parts, last)


def _text(parts: dict[str, str], last: int | None) -> Body:
    """In their order; ``parts`` and ``last`` go when nothing is missing."""
    text = "".join(parts[seq_no] for seq_no in sorted(parts, key=int))
    if last is not None and all(str(seq_no) in parts for seq_no in range(min(last, _MAX_PARTS) + 1)):
        return {"text": text, "isComplete": True}
    return {"text": text, "isComplete": False, "parts": parts, "last": last}
