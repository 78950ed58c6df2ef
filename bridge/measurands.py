"""Every quantity the road carries: one typed table that the code and the screen both read.

A *field* is a column of a telemetry row and carries its unit in its name. ``resolve`` turns what a
charger says (measurand, unit, phase) into a field and the factor to its unit.

Source: OCPP 1.6 section 7.31 and 7.45, OCPP 2.0.1 part 2 sections 3.55 (MeasurandEnumType) and 3.69.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


class Measurand(NamedTuple):
    """One quantity: OCPP ``name``, the ``field`` stem it is stored under, its ``unit``, how it is shown."""

    name: str
    field: str
    unit: str
    label: str
    precision: int
    is_flow: bool = False  # a flow ends with the session (power, current); a level stays (register, SoC)
    per_phase: bool = True


MEASURANDS: tuple[Measurand, ...] = (
    Measurand("Energy.Active.Import.Register", "energy_import_wh", "Wh", "Energy register", 0),
    Measurand("Energy.Active.Export.Register", "energy_export_wh", "Wh", "Exported energy register", 0),
    Measurand("Energy.Active.Import.Interval", "energy_import_interval_wh", "Wh", "Energy in interval", 0),
    Measurand("Energy.Active.Export.Interval", "energy_export_interval_wh", "Wh", "Export in interval", 0),
    Measurand("Energy.Active.Net", "energy_net_wh", "Wh", "Net energy", 0),
    Measurand("Energy.Reactive.Import.Register", "energy_reactive_import_varh", "varh", "Reactive energy", 0),
    Measurand("Energy.Reactive.Export.Register", "energy_reactive_export_varh", "varh", "Reactive export", 0),
    Measurand("Session.Energy", "session_energy_wh", "Wh", "Session energy (charger's count)", 0),
    Measurand("Session.Duration", "session_duration_s", "s", "Session time (charger's count)", 0),
    Measurand("Power.Active.Import", "power_w", "W", "Power", 0, True),
    Measurand("Power.Active.Export", "power_export_w", "W", "Exported power", 0, True),
    Measurand("Power.Offered", "power_offered_w", "W", "Offered power", 0),
    Measurand("Power.Reactive.Import", "power_reactive_var", "var", "Reactive power", 0, True),
    Measurand("Power.Factor", "power_factor", "", "Power factor", 2),
    Measurand("Current.Import", "current_a", "A", "Current", 1, True),
    Measurand("Current.Export", "current_export_a", "A", "Exported current", 1, True),
    Measurand("Current.Offered", "current_offered_a", "A", "Offered current", 1),
    Measurand("Current.Residual", "current_residual_a", "A", "Residual current", 3),
    Measurand("Voltage", "voltage_v", "V", "Voltage", 1),
    Measurand("Frequency", "frequency_hz", "Hz", "Frequency", 2),
    Measurand("SoC", "soc_percent", "%", "Battery", 0, per_phase=False),
    Measurand("Temperature", "temperature_c", "°C", "Temperature", 1),
    Measurand("RPM", "fan_rpm", "rpm", "Fan speed", 0, per_phase=False),
)
DEFAULT_NAME = "Energy.Active.Import.Register"  # OCPP 1.6 section 7.43: measurand and unit are optional

# phase as the charger writes it -> suffix of the field; absent and the sum over phases have none
PHASE_SUFFIX: dict[str, str] = {
    "": "",
    "L1": "_l1",
    "L2": "_l2",
    "L3": "_l3",
    "N": "_n",
    "L1-N": "_l1",
    "L2-N": "_l2",
    "L3-N": "_l3",
    "L1-L2": "_l1_l2",
    "L2-L3": "_l2_l3",
    "L3-L1": "_l3_l1",
}

# unit as the charger writes it -> (unit of the table, factor, offset)
_UNITS: dict[str, tuple[str, float, float]] = {
    "Wh": ("Wh", 1.0, 0.0),
    "kWh": ("Wh", 1000.0, 0.0),
    "MWh": ("Wh", 1e6, 0.0),
    "varh": ("varh", 1.0, 0.0),
    "kvarh": ("varh", 1000.0, 0.0),
    "W": ("W", 1.0, 0.0),
    "kW": ("W", 1000.0, 0.0),
    "MW": ("W", 1e6, 0.0),
    "VA": ("W", 1.0, 0.0),
    "kVA": ("W", 1000.0, 0.0),
    "var": ("var", 1.0, 0.0),
    "kvar": ("var", 1000.0, 0.0),
    "A": ("A", 1.0, 0.0),
    "mA": ("A", 0.001, 0.0),
    "V": ("V", 1.0, 0.0),
    "mV": ("V", 0.001, 0.0),
    "Hz": ("Hz", 1.0, 0.0),
    "Percent": ("%", 1.0, 0.0),
    "%": ("%", 1.0, 0.0),
    "Celsius": ("°C", 1.0, 0.0),
    "Celcius": ("°C", 1.0, 0.0),  # the spelling of OCPP 1.6's first edition
    "Fahrenheit": ("°C", 5 / 9, -160 / 9),
    "K": ("°C", 1.0, -273.15),
    "RPM": ("rpm", 1.0, 0.0),
    "s": ("s", 1.0, 0.0),
    "ms": ("s", 0.001, 0.0),
    "min": ("s", 60.0, 0.0),
    "h": ("s", 3600.0, 0.0),
}

BY_NAME = {row.name: row for row in MEASURANDS}
BY_FIELD = {row.field: row for row in MEASURANDS}


class Column(NamedTuple):
    """Where a reading goes: ``field`` and the linear map ``value * factor + offset`` to its unit."""

    field: str
    factor: float
    offset: float


@lru_cache(maxsize=4096)  # bounded: the names come from chargers
def resolve(name: str | None, unit: str | None, phase: str | None) -> Column | None:
    """Find the column for what a charger said; ``None`` when the measurand or phase is unknown.

    A unit that does not fit the measurand (SoC in Wh, the default of a careless encoder) is ignored
    rather than believed: the table's unit stands (field quirks 25, 29 and 68).
    """
    row = BY_NAME.get(name or DEFAULT_NAME)
    suffix = PHASE_SUFFIX.get(phase or "")
    if row is None or suffix is None:
        return None
    family, factor, offset = _UNITS.get(unit or "", (row.unit, 1.0, 0.0))
    if family != row.unit:
        factor, offset = 1.0, 0.0
    return Column(row.field + (suffix if row.per_phase else ""), factor, offset)


def stem_of(field: str) -> Measurand | None:
    """The table row behind a field with or without its phase suffix."""
    if field in BY_FIELD:
        return BY_FIELD[field]
    for suffix in sorted(set(PHASE_SUFFIX.values()) - {""}, key=len, reverse=True):
        if field.endswith(suffix):
            return BY_FIELD.get(field.removesuffix(suffix))
    return None


FIELDS: tuple[str, ...] = tuple(
    dict.fromkeys(
        row.field + suffix
        for row in MEASURANDS
        for suffix in (dict.fromkeys(PHASE_SUFFIX.values()) if row.per_phase else ("",))
    )
)
FLOW_FIELDS = frozenset(f for f in FIELDS if (row := stem_of(f)) is not None and row.is_flow)
