"""A day at a site: when cars come, which ones, how empty, how long they stay. Pure; the random source is given.

Arrivals are a Poisson process per bay whose rate follows the local hour and the kind of site. The tables
are plausible shapes, not a survey.
"""

from __future__ import annotations

from random import Random

import msgspec

from bridge.demo.car import CARS, Car

_HOUR_S = 3600.0


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of site. ``arrivals``: cars an hour on a free bay, by local hour 0..23. ``cars``: weights.
    Stays and lingering in minutes, SoC in percent, as (low, high)."""

    arrivals: tuple[float, ...]
    cars: tuple[tuple[str, float], ...]
    soc_start: tuple[float, float]
    soc_target: tuple[float, ...]
    stay_min: tuple[float, float]  # the driver comes back after this
    leaves_when_full: float  # probability that the driver comes as soon as the car is done
    linger_min: tuple[float, float]  # ... within this
    card_after_s: tuple[float, float] = (6, 45)  # from plug-in to the card


def _hours(night: float, morning: float, day: float, evening: float, late: float) -> tuple[float, ...]:
    """0-6, 6-10, 10-16, 16-20, 20-24 o'clock."""
    return (night,) * 6 + (morning,) * 4 + (day,) * 6 + (evening,) * 4 + (late,) * 4


_PRIVATE = (("plug-in hybrid", 2.0), ("city car", 2.0), ("compact", 3.0), ("family car", 3.0), ("fast tourer", 1.0))
_TRAVEL = (("compact", 2.0), ("family car", 4.0), ("fast tourer", 3.0), ("large saloon", 1.5), ("delivery van", 0.5))

KINDS: dict[str, Kind] = {
    "motorway": Kind(
        arrivals=_hours(0.35, 1.5, 3.4, 3.6, 1.2),
        cars=_TRAVEL,
        soc_start=(6, 38),
        soc_target=(80, 80, 85, 90),
        stay_min=(14, 60),
        leaves_when_full=0.75,
        linger_min=(1, 9),
    ),
    "mall": Kind(
        arrivals=_hours(0.02, 0.6, 1.7, 1.5, 0.15),
        cars=_PRIVATE,
        soc_start=(20, 70),
        soc_target=(80, 90, 100),
        stay_min=(35, 170),
        leaves_when_full=0.15,
        linger_min=(5, 40),
    ),
    "harbour": Kind(
        arrivals=_hours(0.12, 0.9, 0.7, 0.6, 0.3),
        cars=_PRIVATE,
        soc_start=(15, 65),
        soc_target=(80, 90, 100),
        stay_min=(60, 420),
        leaves_when_full=0.2,
        linger_min=(10, 60),
    ),
    "airport": Kind(
        arrivals=_hours(0.10, 0.8, 0.45, 0.35, 0.15),
        cars=_PRIVATE,
        soc_start=(20, 75),
        soc_target=(80, 100),
        stay_min=(180, 1900),
        leaves_when_full=0.0,
        linger_min=(30, 120),
    ),
    "street": Kind(
        arrivals=_hours(0.06, 0.4, 0.35, 1.1, 0.5),
        cars=_PRIVATE,
        soc_start=(15, 75),
        soc_target=(80, 90, 100),
        stay_min=(90, 780),
        leaves_when_full=0.1,
        linger_min=(10, 90),
    ),
    "office": Kind(
        arrivals=_hours(0.01, 2.2, 0.5, 0.08, 0.02),
        cars=_PRIVATE,
        soc_start=(25, 80),
        soc_target=(80, 90, 100),
        stay_min=(150, 560),
        leaves_when_full=0.12,
        linger_min=(10, 60),
    ),
    "depot": Kind(
        arrivals=_hours(0.15, 0.08, 0.3, 2.0, 2.0),
        cars=(("delivery van", 3.0), ("bus", 1.0)),
        soc_start=(12, 45),
        soc_target=(100,),
        stay_min=(420, 720),
        leaves_when_full=0.0,
        linger_min=(30, 120),
    ),
    "home": Kind(
        arrivals=_hours(0.03, 0.15, 0.2, 0.9, 0.6),
        cars=(("compact", 3.0), ("family car", 2.0)),
        soc_start=(25, 70),
        soc_target=(80, 90),
        stay_min=(300, 840),
        leaves_when_full=0.0,
        linger_min=(30, 120),
    ),
}


class Trouble(msgspec.Struct, frozen=True):
    """A fault: OCPP 1.6 ``error_code``, the maker's own code and words, how long until it is cleared."""

    error_code: str
    vendor_code: str
    info: str
    lasts_s: float
    stop_reason: str = "Other"


TROUBLES: tuple[tuple[Trouble, float], ...] = (
    (Trouble("GroundFailure", "E-041", "RCD tripped, 34 mA", 420.0), 1.5),
    (Trouble("OverCurrentFailure", "E-052", "L2 38.1 A for 4 s", 240.0), 1.5),
    (Trouble("PowerSwitchFailure", "E-017", "contactor feedback missing", 900.0), 1.0),
    (Trouble("HighTemperature", "E-063", "cable temperature 91 degC", 600.0), 1.5),
    (Trouble("EVCommunicationError", "E-080", "no answer from the vehicle", 90.0), 5.0),
    (Trouble("ConnectorLockFailure", "E-022", "lock position not reached", 150.0), 2.0),
)
_AT_ONCE = frozenset({"EVCommunicationError", "ConnectorLockFailure"})  # these spoil the start, before energy flows


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One car at one bay; seconds count from plug-in unless named otherwise."""

    car: Car
    token: str
    soc_start: float
    soc_target: float
    card_after_s: float
    stay_s: float
    linger_s: float | None  # after the car is done; None: stays until ``stay_s``
    is_cold: bool = False
    pause_after_s: float | None = None  # load management pauses the bay
    pause_s: float = 0.0
    trouble: Trouble | None = None
    trouble_after_s: float = 0.0
    stops_by_card: bool = True  # else pulls the cable


REFUSED_CARDS = ("04D15A0B77C180", "04B2E1990F5C81")  # seeded as blocked: a refused card is part of a day
_REFUSED_SHARE = 0.02
_PAUSE_SHARE = 0.08
_TROUBLE_SHARE = 0.03
_CARD_HOLDERS = 900


def card(rng: Random) -> str:
    """The UID of one of the regular customers' cards, 7 bytes in hex."""
    if rng.random() < _REFUSED_SHARE:
        return rng.choice(REFUSED_CARDS)
    holder = int(_CARD_HOLDERS * rng.random() ** 1.6)  # some come every day
    return f"04{(holder + 1) * 0x9E3779B1 % 2**32:08X}{(holder * 7919) % 2**16 | 0x80:04X}"


def until_arrival_s(rng: Random, kind: Kind, local_s: float) -> float:
    """Seconds until the next car comes to a free bay. ``local_s``: seconds since local midnight."""
    need, waited = rng.expovariate(1.0), 0.0
    while True:
        hour = int((local_s + waited) // _HOUR_S)
        rate = kind.arrivals[hour % 24] / _HOUR_S
        left = (hour + 1) * _HOUR_S - (local_s + waited)
        if need <= rate * left:
            return waited + need / rate
        need -= rate * left
        waited += left


def draw_visit(rng: Random, kind: Kind, is_dc: bool, is_winter: bool = True) -> Visit:
    """Who comes next. Only cars with a DC inlet come to a DC bay."""
    able = [(name, weight) for name, weight in kind.cars if CARS[name].dc_power_w or not is_dc]
    car = CARS[rng.choices([n for n, _ in able], [w for _, w in able])[0]]
    target = rng.choice(kind.soc_target)
    stay_s = 60 * rng.uniform(*kind.stay_min) * (0.55 if is_dc and kind is KINDS["mall"] else 1.0)
    paused = not is_dc and rng.random() < _PAUSE_SHARE
    trouble, trouble_after_s = _draw_trouble(rng, stay_s)
    return Visit(
        car=car,
        token=card(rng),
        soc_start=min(round(rng.uniform(*kind.soc_start), 1), target - 4.0),
        soc_target=float(target),
        card_after_s=rng.uniform(*kind.card_after_s),
        stay_s=stay_s,
        linger_s=60 * rng.uniform(*kind.linger_min) if rng.random() < kind.leaves_when_full else None,
        is_cold=is_dc and is_winter and rng.random() < 0.3,
        pause_after_s=rng.uniform(0.1, 0.6) * stay_s if paused else None,
        pause_s=rng.uniform(180, 900) if paused else 0.0,
        trouble=trouble,
        trouble_after_s=trouble_after_s,
        stops_by_card=rng.random() < 0.7,
    )


def _draw_trouble(rng: Random, stay_s: float) -> tuple[Trouble | None, float]:
    if rng.random() >= _TROUBLE_SHARE:
        return None, 0.0
    trouble = rng.choices([t for t, _ in TROUBLES], [w for _, w in TROUBLES])[0]
    return trouble, rng.uniform(2, 6) if trouble.error_code in _AT_ONCE else rng.uniform(60, 0.8 * stay_s)
