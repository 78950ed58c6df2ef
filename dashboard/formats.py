"""Numbers and times as every page says them: one precision, a unit, a comparison. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bridge.events import EnergySource
from bridge.session import SessionState

NONE = "–"
_DIRECTION = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # turn text around
_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£"}

STATE_WORDS: dict[SessionState, str] = {
    SessionState.PENDING: "Waiting for energy",
    SessionState.CHARGING: "Charging",
    SessionState.SUSPENDED: "Paused",
    SessionState.FINISHING: "Finishing",
    SessionState.ENDED: "Ended",
    SessionState.ORPHANED: "No stop seen",
}
CONNECTOR_WORDS: dict[str, str] = {
    "Available": "Free",
    "Preparing": "Plugged in, not started",
    "Charging": "Charging",
    "SuspendedEV": "Paused by the car",
    "SuspendedEVSE": "Paused by the charger",
    "Finishing": "Finished, cable still in",
    "Reserved": "Reserved",
    "Unavailable": "Out of service",
    "Faulted": "Faulted",
}
SECURITY_WORDS = {"none": "no key", "basic": "key", "mtls": "certificate"}
SOURCE_WORDS: dict[EnergySource, str] = {
    EnergySource.REGISTER: "meter register",
    EnergySource.SESSION_COUNTER: "charger's session counter",
    EnergySource.POWER_INTEGRAL: "power over time",
}


def kw(power_w: float | None) -> str:
    """Watts as kW with one digit: ``43.8``."""
    return NONE if power_w is None else f"{power_w / 1000:,.1f}"


def rated_kw(power_w: float) -> str:
    """A limit as kW, without a digit where it is whole: ``60``, ``7.4``."""
    return f"{power_w / 1000:.1f}".removesuffix(".0")


def kwh(energy_wh: int | None) -> str:
    """Watt-hours as kWh with two digits: ``38.02``."""
    return NONE if energy_wh is None else f"{energy_wh / 1000:,.2f}"


def percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f}"


def money(amount: Decimal | str, currency: str) -> str:
    """``€17.10``, or ``CHF 17.10`` where no symbol is usual."""
    value = f"{Decimal(amount):,.2f}"
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{value}" if symbol else f"{currency} {value}"


def unit_money(amount: Decimal, currency: str) -> str:
    """A price per unit: at least two digits, more where it has them."""
    digits = max(2, -int(amount.normalize().as_tuple().exponent))
    symbol = _SYMBOLS.get(currency, currency + " ")
    return f"{symbol}{amount:,.{digits}f}"


def clock(seconds: int) -> str:
    """Whole seconds as hours and minutes: ``1:14``."""
    return f"{seconds // 3600}:{seconds % 3600 // 60:02}"


def span(seconds: float) -> str:
    """A length of time in one or two words: ``41 s``, ``6 min``, ``2 h 05``, ``3 d``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02}" if whole < 86_400 else f"{whole // 86_400} d"


def zone(name: str) -> tzinfo:
    """The zone of a site; UTC for a name that no clock knows."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def offset(moment: datetime, where: tzinfo) -> str:
    """``UTC+02:00``, for axis titles."""
    delta = moment.astimezone(where).utcoffset() or timedelta(0)
    minutes = int(delta.total_seconds() // 60)
    return f"UTC{'+' if minutes >= 0 else '−'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def time_of(moment: datetime, where: tzinfo, now: datetime | None = None) -> str:
    """``13:18``, with the date before it when ``now`` is on another day."""
    local = moment.astimezone(where)
    if now is not None and local.date() != now.astimezone(where).date():
        return f"{local:%d %b %H:%M}"
    return f"{local:%H:%M}"


def seconds_of(moment: datetime, where: tzinfo) -> str:
    return f"{moment.astimezone(where):%H:%M:%S}"


def skew(seconds: float) -> str:
    """How far a clock is off: ``+0.8 s``, ``−2.1 s``, ``0.0 s``."""
    shown = round(seconds, 1)
    return f"{shown:+.1f} s".replace("-", "−") if shown else "0.0 s"


def protocol(name: str) -> str:
    """``ocpp1.6`` -> ``OCPP 1.6``, ``mqtt/goe`` -> ``MQTT, goe``."""
    if name.startswith("ocpp"):
        return "OCPP " + name.removeprefix("ocpp")
    kind, _, vendor = name.partition("/")
    return f"{kind.upper()}, {vendor}" if vendor else kind.upper()


def secured(protocol_name: str, security: str) -> str:
    """``OCPP 1.6, key``: the protocol and how the station proved who it is."""
    return ", ".join(filter(None, (protocol(plain(protocol_name, 40)), SECURITY_WORDS.get(security, security))))


def plain(text: str, longest: int = 200) -> str:
    """Charger-supplied text for the screen: no control or direction characters, bounded."""
    kept = "".join(character if character.isprintable() and character not in _DIRECTION else " " for character in text)
    return kept if len(kept) <= longest else kept[: longest - 1] + "…"


def plain_lines(text: str, longest: int = 20_000) -> str:
    """As ``plain``, line by line; says how much was left out."""
    kept = "\n".join(plain(line, 4_000) for line in text[:longest].split("\n"))
    return kept if len(text) <= longest else f"{kept}\n… {len(text) - longest} more characters"
