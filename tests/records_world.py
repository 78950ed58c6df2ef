"""What the tests write into the records past the checks of the program, as an older one may have."""

from __future__ import annotations

from bridge.stores.records import Records, save
from bridge.stores.tables import stations


def name_station(records: Records, station: str, name: str) -> None:
    """Any text at all."""
    with records.writing() as connection:
        save(connection, stations, {"id": station, "name": name})
