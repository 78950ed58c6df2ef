"""Meter values of OCPP 1.6 and 2.x -> fields of ``measurands``. Pure.

One message may hold several instants; each becomes one reading at its own time. Signed values are kept in the
raw frame and not read here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from math import isfinite
from typing import Any, NamedTuple, Protocol

from bridge.measurands import PHASE_SUFFIX, resolve

MAX_MAGNITUDE = 1e12  # beyond a terawatt-hour nothing is a reading
_BEGIN, _END = "Transaction.Begin", "Transaction.End"
_REGISTER = "energy_import_wh"

# of two readings of one field at one instant the lower rank stands; the register at begin is often a
# placeholder 0 (field quirk 34), clock-aligned values duplicate the periodic ones (field quirk 38)
_RANKS = {_END: 0, "": 1, "Sample.Periodic": 1, "Sample.Clock": 2, "Trigger": 2, _BEGIN: 9}
_OTHER_CONTEXT = 3
_OTHER_PLACE = 4
_USUAL_PLACES = frozenset(("", "Outlet", "EV"))

# only these may be summed over phases: the mean of a current or voltage is nobody's reading (field quirk 66)
_SUMMED = tuple(
    (total, tuple(total + suffix for suffix in ("_l1", "_l2", "_l3")))
    for total in (_REGISTER, "energy_export_wh", "power_w", "power_export_w")
)


class Sampled(Protocol):
    """One value as either version says it."""

    @property
    def value(self) -> str | int | float | None: ...
    @property
    def measurand(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def context(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def scale(self) -> float: ...


class Instant(Protocol):
    @property
    def timestamp(self) -> str: ...
    @property
    def sampled_value(self) -> Iterable[Any]: ...


class Reading(NamedTuple):
    """All values of one instant. ``unknown`` names what has no column or no sane number."""

    at: datetime
    context: str
    values: dict[str, float]
    unknown: tuple[str, ...]


def readings(instants: Iterable[Instant], received_at: datetime, keep_zero_begin: bool = False) -> list[Reading]:
    """Every instant that holds anything, oldest first. ``keep_zero_begin``: believe a register of 0 at
    Transaction.Begin (it is the start itself); elsewhere it is a placeholder."""
    by_time: dict[datetime, _Instant] = {}
    for instant in instants:
        at = moment(instant.timestamp, received_at)
        known = by_time.get(at)
        if known is None:
            known = by_time[at] = _Instant()
        for sample in instant.sampled_value:
            known.add(sample, keep_zero_begin)
    if len(by_time) > 1:
        by_time = dict(sorted(by_time.items()))
    return [found for at, known in by_time.items() if (found := known.reading(at)).values or found.unknown]


def register_wh(found: list[Reading], context: str) -> int | None:
    """The register at a transaction's edge: that of ``context`` (Transaction.Begin or .End) when one says so,
    else the first for Begin and the last for End."""
    having = [reading for reading in found if _REGISTER in reading.values]
    if not having:
        return None
    tagged = [reading for reading in having if reading.context == context]
    chosen = (tagged or having)[0 if context == _BEGIN else -1]
    return round(chosen.values[_REGISTER])


def moment(text: str, received_at: datetime) -> datetime:
    """A device's time in UTC. Without a zone it is taken as UTC, absent or broken as the time of receipt."""
    if not text:
        return received_at
    try:
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return received_at


def number(value: str | int | float | None) -> float | None:
    """A finite number of sane size, or ``None``."""
    if value is None:
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) and abs(found) < MAX_MAGNITUDE else None


def whole_wh(value: str | int | float | None) -> int | None:
    """A register in whole Wh, or ``None`` when it is no number."""
    found = number(value)
    return None if found is None else round(found)


class _Instant:
    """Gathers the values of one instant."""

    __slots__ = ("context", "ranks", "unknown", "values")

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.ranks: dict[str, int] = {}
        self.unknown: list[str] = []
        self.context = ""

    def add(self, sample: Sampled, keep_zero_begin: bool) -> None:
        if sample.format == "SignedData":
            return
        column = _column(sample)
        value = number(sample.value)
        if column is None or value is None:
            self.unknown.append((sample.measurand or "value")[:60])
            return
        field, factor, offset = column
        context = sample.context
        value = value * sample.scale * factor + offset
        if value == 0.0 and context == _BEGIN and field == _REGISTER and not keep_zero_begin:
            return
        rank = _RANKS.get(context, _OTHER_CONTEXT)
        if sample.location not in _USUAL_PLACES:
            rank += _OTHER_PLACE
        if field not in self.ranks or rank < self.ranks[field]:
            self.values[field], self.ranks[field] = value, rank
        if context and (not self.context or context in (_BEGIN, _END)):
            self.context = context

    def reading(self, at: datetime) -> Reading:
        values = self.values
        for total, phases in _SUMMED:
            if total not in values:
                found = [values[phase] for phase in phases if phase in values]
                if found:
                    values[total] = sum(found)
        return Reading(at, self.context, values, tuple(self.unknown[:20]))


def _column(sample: Sampled) -> tuple[str, float, float] | None:
    if sample.phase not in PHASE_SUFFIX or len(sample.measurand) > 60 or len(sample.unit) > 20:
        return None  # never into the cache of resolve
    return resolve(sample.measurand, sample.unit, sample.phase)
