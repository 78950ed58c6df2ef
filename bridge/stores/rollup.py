"""Samples of one EVSE into quarter-hour buckets. Pure; both telemetry stores use it, so both say the same.

Energy is the increase of the register, spread evenly over the time between two readings (up to a day: the
charger was silent, the meter was not); where a quarter has no register, the charger's session counter stands
in, and without that the power over time. A register that falls was reset or replaced: the fall adds nothing,
counting goes on from the new value, as in a session. Power is the mean over the whole quarter, straight lines
between readings of the same session at most an hour apart, nothing where nobody measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from bridge.events import from_us
from bridge.stores.telemetry import Bucket

QUARTER_US = 900_000_000
REGISTER_GAP_US = 86_400_000_000
POWER_GAP_US = 3_600_000_000
_WH_PER_W_US = 1 / 3_600_000_000


# what is followed from one reading to the next, and over how long a silence
FOLLOWED = {
    "energy_import_wh": REGISTER_GAP_US,
    "session_energy_wh": POWER_GAP_US,
    "power_w": POWER_GAP_US,
}


class Point(NamedTuple):
    """What a rollup needs of a sample. ``at_us`` since 1970 UTC."""

    at_us: int
    energy_import_wh: float | None = None
    session_energy_wh: float | None = None
    power_w: float | None = None
    session_id: str = ""


class _Piece(NamedTuple):
    """The part of the line between two readings that lies in one quarter."""

    quarter_us: int
    share: float  # of the line's length
    middle: float  # where its middle is on the line, 0 to 1


def quarter_of(at_us: int) -> int:
    return at_us - at_us % QUARTER_US


def roll(station: str, evse: int, points: Sequence[Point], start_us: int, end_us: int) -> list[Bucket]:
    """The buckets that begin in [start, end). ``points`` in time order: those of the range and, of each quantity
    in ``FOLLOWED``, the nearest beyond both ends within its gap, so that lines across the ends are whole."""
    register = _increases([(p.at_us, p.energy_import_wh) for p in points], REGISTER_GAP_US)
    counter = _increases([(p.at_us, p.session_energy_wh) for p in points], POWER_GAP_US)
    power_wh = _power(points)
    counts: defaultdict[int, int] = defaultdict(int)
    peaks: defaultdict[int, float] = defaultdict(float)
    for point in points:
        quarter = quarter_of(point.at_us)
        counts[quarter] += 1
        peaks[quarter] = max(peaks[quarter], point.power_w or 0.0)
    return [
        Bucket(
            station,
            evse,
            from_us(quarter),
            register.get(quarter, counter.get(quarter, power_wh.get(quarter, 0.0))),
            power_wh.get(quarter, 0.0) * 4,
            peaks[quarter],
            counts[quarter],
        )
        for quarter in sorted({*counts, *register, *counter, *power_wh})
        if start_us <= quarter < end_us
    ]


def _increases(readings: Iterable[tuple[int, float | None]], gap_us: int) -> dict[int, float]:
    """Wh gained per quarter by a meter that counts up."""
    gained: defaultdict[int, float] = defaultdict(float)
    known = [(at_us, value) for at_us, value in readings if value is not None]
    for (left, before), (right, after) in pairwise(known):
        if right - left <= gap_us:
            for piece in _pieces(left, right):
                gained[piece.quarter_us] += max(0.0, after - before) * piece.share
    return gained


def _power(points: Sequence[Point]) -> dict[int, float]:
    """Wh per quarter under the line of the power."""
    area: defaultdict[int, float] = defaultdict(float)
    for a, b in pairwise([p for p in points if p.power_w is not None]):
        length = b.at_us - a.at_us
        if length <= POWER_GAP_US and a.session_id == b.session_id and a.power_w is not None and b.power_w is not None:
            for piece in _pieces(a.at_us, b.at_us):
                height = a.power_w + (b.power_w - a.power_w) * piece.middle
                area[piece.quarter_us] += height * piece.share * length * _WH_PER_W_US
    return area


def _pieces(start_us: int, end_us: int) -> Iterator[_Piece]:
    length = end_us - start_us
    quarter = quarter_of(start_us)
    if end_us <= quarter + QUARTER_US:  # the usual case
        yield _Piece(quarter, 1.0, 0.5)
        return
    while quarter < end_us:
        left, right = max(start_us, quarter), min(end_us, quarter + QUARTER_US)
        yield _Piece(quarter, (right - left) / length, ((left + right) / 2 - start_us) / length)
        quarter += QUARTER_US
