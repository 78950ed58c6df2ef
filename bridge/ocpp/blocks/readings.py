"""Meter values of OCPP 1.6 and 2.x -> fields of ``measurands``. Pure.

One message may hold several instants; each becomes one reading at its own time. Signed values are noticed (their
format is named) and stay in the raw frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from math import isfinite, nan
from typing import Any, NamedTuple, Protocol

import msgspec

from bridge.measurands import PHASE_SUFFIX, resolve

MAX_MAGNITUDE = 1e12  # beyond a terawatt-hour nothing is a reading
_BEGIN, _END = "Transaction.Begin", "Transaction.End"
_EDGES = (_BEGIN, _END)
_REGISTER = "energy_import_wh"

# of two readings of one field at one instant the lower rank stands; the register at begin is often a
# placeholder 0 (field quirk 34), clock-aligned values duplicate the periodic ones (field quirk 38)
_RANKS = {_END: 0, "": 1, "Sample.Periodic": 1, "Sample.Clock": 2, "Trigger": 2, _BEGIN: 9}
_OTHER_CONTEXT = 3
_OTHER_PLACE = 4
_USUAL_PLACES = frozenset(("", "Outlet", "EV"))

# only these may be summed over phases: the mean of a current or voltage is nobody's reading (field quirk 66)
_PHASES_OF = {
    total: tuple(total + suffix for suffix in ("_l1", "_l2", "_l3"))
    for total in (_REGISTER, "energy_export_wh", "power_w", "power_export_w")
}
_TOTAL_OF = {phase: total for total, phases in _PHASES_OF.items() for phase in phases}


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
    @property
    def signed_meter_value(self) -> Any: ...  # 2.x: beside the plain value


class Instant(Protocol):
    @property
    def timestamp(self) -> str: ...
    @property
    def sampled_value(self) -> Iterable[Any]: ...


class Reading(NamedTuple):
    """All values of one instant. ``unknown`` names what has no column or no sane number; ``signed`` is the format
    of a signed value among them."""

    at: datetime
    context: str
    values: dict[str, float]
    unknown: tuple[str, ...]
    signed: str = ""


def readings(instants: Iterable[Instant], received_at: datetime, keep_zero_begin: bool = False) -> list[Reading]:
    """Every instant that holds anything, oldest first. ``keep_zero_begin``: believe a register of 0 at
    Transaction.Begin (it is the start itself); elsewhere it is a placeholder."""
    by_time: dict[datetime, _Instant] = {}
    for instant in instants:
        at = moment(instant.timestamp, received_at)
        known = by_time.get(at)
        if known is None:
            known = by_time[at] = _Instant()
        known.add(instant.sampled_value, keep_zero_begin)
    if len(by_time) > 1:
        by_time = dict(sorted(by_time.items()))
    return [known.reading(at) for at, known in by_time.items() if known.values or known.unknown or known.signed]


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


def signed_format(said: Any) -> str:
    """The format of a signed value, in at most 20 characters; "signed" when it does not say. 2.x and some of 1.6 send
    a SignedMeterValueType, others of 1.6 the bare text (field quirk 73)."""
    if isinstance(said, str) and said.lstrip().startswith("{"):
        with suppress(msgspec.MsgspecError, ValueError, RecursionError):
            said = msgspec.json.decode(said)
    if isinstance(said, dict):
        named = said.get("encodingMethod")
        said = named if isinstance(named, str) and named.strip() else said.get("signedMeterData", said.get("value"))
    text = said.strip() if isinstance(said, str) else ""
    mark = next((mark for mark in _SIGNED_MARKS if text[:_MAX_WORD].startswith(mark)), "")
    return _SIGNED_MARKS[mark] if mark else (text if len(text) <= 20 and text.isprintable() else "") or "signed"


_SIGNED_MARKS = {"OCMF|": "OCMF", "AP;": "ALFEN", "<signedMeterValue": "EDL", "<?xml": "XML"}


class _Plan(msgspec.Struct, frozen=True, gc=False):
    """What to do with a value, by what is said about it. ``field`` is "" when there is no column for it,
    ``None`` when it is signed; ``total`` is the column that sums this phase."""

    field: str | None
    factor: float = 1.0
    offset: float = 0.0
    rank: int = 0
    context: str = ""
    total: str = ""
    is_begin: bool = False  # a register that may be a placeholder


_plans: dict[tuple[str, ...], _Plan] = {}
_MAX_PLANS = 4096  # bounded in number and length: the words come from chargers
_MAX_WORD = 64


def _new_plan(said: tuple[str, ...]) -> _Plan:
    plan = _planned(*said)
    if len(_plans) < _MAX_PLANS and all(len(word) <= _MAX_WORD for word in said):
        _plans[said] = plan
    return plan


def _planned(measurand: str, unit: str, phase: str, context: str, location: str, form: str) -> _Plan:
    if form == "SignedData":
        return _Plan(None, context=context)
    if phase not in PHASE_SUFFIX or len(measurand) > _MAX_WORD or len(unit) > _MAX_WORD:
        return _Plan("")  # never into the cache of resolve
    column = resolve(measurand, unit, phase)
    if column is None:
        return _Plan("")
    rank = _RANKS.get(context, _OTHER_CONTEXT) + (0 if location in _USUAL_PLACES else _OTHER_PLACE)
    total = _TOTAL_OF.get(column.field, "")
    is_begin = context == _BEGIN and column.field == _REGISTER
    return _Plan(column.field, column.factor, column.offset, rank, context, total, is_begin)


class _Instant:
    """Gathers the values of one instant."""

    __slots__ = ("context", "ranks", "signed", "totals", "unknown", "values")

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.ranks: dict[str, int] = {}
        self.totals: set[str] = set()
        self.unknown: list[str] = []
        self.context = ""
        self.signed = ""

    def add(self, samples: Iterable[Sampled], keep_zero_begin: bool) -> None:
        """The hot loop: nine times a message."""
        values, ranks = self.values, self.ranks
        for sample in samples:
            said = (sample.measurand, sample.unit, sample.phase, sample.context, sample.location, sample.format)
            plan = _plans.get(said) or _new_plan(said)
            field = plan.field
            if field is None or sample.signed_meter_value is not None:
                self._note_signed(sample, plan.context or sample.context)
                if field is None:
                    continue
            try:
                said_value = float(sample.value)  # type: ignore[arg-type]  # None is caught
                value = said_value * sample.scale * plan.factor + plan.offset
            except (TypeError, ValueError, OverflowError):
                value = nan
            if not field or not -MAX_MAGNITUDE < value < MAX_MAGNITUDE:  # false for NaN
                self.unknown.append((sample.measurand or "value")[:60])
                continue
            if plan.is_begin and value == 0.0 and not keep_zero_begin:
                continue
            if field not in values or plan.rank < ranks[field]:
                values[field], ranks[field] = value, plan.rank
            if plan.total:
                self.totals.add(plan.total)
            context = plan.context
            if context and (not self.context or context in _EDGES):
                self.context = context

    def _note_signed(self, sample: Sampled, context: str) -> None:
        said = sample.value if sample.signed_meter_value is None else sample.signed_meter_value
        self.signed = self.signed or signed_format(said)
        if context in _EDGES:
            self.context = context

    def reading(self, at: datetime) -> Reading:
        values = self.values
        for total in self.totals:
            if total not in values:
                values[total] = sum(values[phase] for phase in _PHASES_OF[total] if phase in values)
        return Reading(at, self.context, values, tuple(self.unknown[:20]), self.signed)
