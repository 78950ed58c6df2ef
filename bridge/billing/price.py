"""The first tariff: per kWh, per minute and a flat fee, gross. Pure; ``Decimal`` in and out, no floats.

Sums are exact; there is one half-up rounding at the end, to the currency's minor unit (two digits).
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import msgspec

_CENT = Decimal("0.01")


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """Gross prices in ``currency``. ``id`` names one version for ever."""

    id: str
    currency: str
    energy_per_kwh: Decimal
    time_per_minute: Decimal
    flat: Decimal
    vat_percent: Decimal


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One dimension (OCPI: FLAT, ENERGY, TIME). ``amount`` is exact, ``why`` a sentence for the driver."""

    dimension: str
    quantity: Decimal  # 1, kWh or minutes
    unit_price: Decimal
    amount: Decimal
    why: str


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """``total`` is the rounded gross sum, ``net`` and ``vat`` add up to it."""

    tariff: str
    currency: str
    lines: tuple[Line, ...]
    total: Decimal
    net: Decimal
    vat: Decimal


def cents(amount: Decimal) -> Decimal:
    """Half-up to two digits."""
    return amount.quantize(_CENT, ROUND_HALF_UP)


def _exact(tariff: Tariff, energy_wh: int, duration_s: int) -> Decimal:
    return tariff.flat + tariff.energy_per_kwh * energy_wh / 1000 + tariff.time_per_minute * duration_s / 60


def total(tariff: Tariff, energy_wh: int, duration_s: int) -> Decimal:
    """The rounded gross sum alone: what a running session shows."""
    return cents(_exact(tariff, energy_wh, duration_s))


def price(tariff: Tariff, energy_wh: int, duration_s: int) -> Bill:
    """Price whole Wh and whole seconds. Raises ValueError when either is negative."""
    if energy_wh < 0 or duration_s < 0:
        raise ValueError(f"cannot price {energy_wh} Wh in {duration_s} s: both must be zero or more")
    kwh, minutes = Decimal(energy_wh) / 1000, Decimal(duration_s) / 60
    lines = (
        Line(
            dimension="ENERGY",
            quantity=kwh,
            unit_price=tariff.energy_per_kwh,
            amount=kwh * tariff.energy_per_kwh,
            why="every kWh of the session",
        ),
        Line(
            dimension="TIME",
            quantity=minutes,
            unit_price=tariff.time_per_minute,
            amount=minutes * tariff.time_per_minute,
            why="every minute from start to stop" if tariff.time_per_minute else "time is free with this tariff",
        ),
        Line(
            dimension="FLAT",
            quantity=Decimal(1),
            unit_price=tariff.flat,
            amount=tariff.flat,
            why="once per session" if tariff.flat else "no start fee with this tariff",
        ),
    )
    gross = total(tariff, energy_wh, duration_s)
    net = cents(gross / (1 + tariff.vat_percent / 100))
    return Bill(tariff=tariff.id, currency=tariff.currency, lines=lines, total=gross, net=net, vat=gross - net)
