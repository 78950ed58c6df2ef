"""The telemetry store that the settings name."""

from __future__ import annotations

from bridge.settings import Settings
from bridge.stores.telemetry import TelemetryStore


def open_telemetry(settings: Settings) -> TelemetryStore:
    """Nothing is opened or reached yet: the first call does, and raises StoreUnavailable where it must."""
    if settings.telemetry.store == "influx":
        from bridge.stores.influx import InfluxTelemetry  # half a second of imports that SQLite does not need

        return InfluxTelemetry(settings.telemetry.influx)
    from bridge.stores.sqlite import SqliteTelemetry

    return SqliteTelemetry(settings.telemetry.path)
