"""Sites, stations and connectors as one CSV file, out and in: what people know of them, and no secret.

The first column says what a line is. In is strict and all or nothing: a blank cell means that there is nothing (but
``approved``, where it changes nothing); errors name their lines, and then nothing is changed. Out, a text that a
spreadsheet would take for a formula begins with an apostrophe, which in takes off again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.stores import provisioning
from bridge.stores.database import Database
from bridge.stores.provisioning import ProvisioningError
from bridge.stores.records import save
from bridge.stores.shapes import Site
from bridge.stores.tables import connectors, sites, stations

COLUMNS = (
    "record", "site", "station", "evse", "connector", "name", "place", "latitude", "longitude", "timezone",
    "grid_limit_w", "security_profile", "approved", "kind", "rated_power_w",
)  # fmt: skip
_OF = {
    "site": {"site", "name", "place", "latitude", "longitude", "timezone", "grid_limit_w"},
    "station": {"station", "site", "name", "security_profile", "approved"},
    "connector": {"station", "evse", "connector", "kind", "rated_power_w"},
}
MAX_BYTES = 5_000_000
MAX_LINES = 50_000
_MOST_ERRORS = 20
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
_TEXTS = ("site", "station", "name", "place", "timezone", "kind")
Job = tuple[sa.Table, dict[str, Any]]


class CsvError(ProvisioningError):
    """What is wrong in a file, each line with its number."""


def export_csv(records: Database) -> str:
    """Everything, sites first. Raises RecordsUnavailable."""
    with records.reading() as connection:
        rows = [*_sites(connection), *_stations(connection), *_connectors(connection)]
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _safe(key, value) for key, value in row.items() if value is not None})
    return out.getvalue()


def check_csv(records: Database, text: str) -> dict[str, int]:
    """How many of each record ``import_csv`` would take in; nothing is changed. Raises CsvError."""
    jobs = _read(text)
    with records.reading() as connection:
        _check_sites(connection, jobs)
    return _counts(jobs)


def import_csv(records: Database, text: str, actor: str, now: datetime) -> dict[str, int]:
    """Add what is new, change what is known; how many of each record. Raises CsvError."""
    jobs = _read(text)
    counts = _counts(jobs)
    with records.writing() as connection:
        _check_sites(connection, jobs)
        for _, (table, row) in jobs:
            save(connection, table, row)
        detail = ", ".join(f"{count} {name}s" for name, count in counts.items())
        provisioning.note(connection, now, actor, "stations.import", "", detail)
    return counts


def _counts(jobs: list[tuple[int, Job]]) -> dict[str, int]:
    return {name: sum(table is of for _, (table, _) in jobs) for name, of in _TABLES.items()}


_TABLES = {"site": sites, "station": stations, "connector": connectors}


def _safe(key: str, value: Any) -> str:
    text = str(value)
    return "'" + text if key in _TEXTS and text.startswith(_FORMULA) else text


def _sites(connection: Connection) -> Iterable[dict[str, Any]]:
    for row in connection.execute(sa.select(sites).order_by(sites.c.id)):
        known = dict(row._mapping)
        yield {"record": "site", "site": known.pop("id"), **known}


def _stations(connection: Connection) -> Iterable[dict[str, Any]]:
    for row in connection.execute(sa.select(stations).order_by(stations.c.id)):
        yield {
            "record": "station",
            "station": row.id,
            "site": row.site_id,
            "name": row.name,
            "security_profile": row.security_profile,
            "approved": {None: "", True: "yes", False: "no"}[row.is_approved],
        }


def _connectors(connection: Connection) -> Iterable[dict[str, Any]]:
    query = sa.select(connectors).where(connectors.c.evse > 0).order_by(*connectors.primary_key)
    for row in connection.execute(query):
        names = ("station", "evse", "connector", "kind", "rated_power_w")
        yield {"record": "connector"} | {name: row._mapping[name] for name in names}


def _read(text: str) -> list[tuple[int, Job]]:
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise CsvError(f"the file is longer than {MAX_BYTES} bytes")
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    jobs: list[tuple[int, Job]] = []
    errors: list[str] = []
    try:
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise CsvError(f"line 1: the columns must be {','.join(COLUMNS)}")
        for cells in reader:
            if any(cells):
                _read_line(reader.line_num, cells, jobs, errors)
            if len(jobs) > MAX_LINES:
                raise CsvError(f"line {reader.line_num}: more than {MAX_LINES} lines")
    except csv.Error as error:
        raise CsvError(f"line {reader.line_num}: {error}") from error
    errors += _twice(jobs)
    if errors:
        more = f"\nand {len(errors) - _MOST_ERRORS} more" if len(errors) > _MOST_ERRORS else ""
        raise CsvError("\n".join(errors[:_MOST_ERRORS]) + more)
    return jobs


def _read_line(number: int, cells: list[str], jobs: list[tuple[int, Job]], errors: list[str]) -> None:
    try:
        if len(cells) != len(COLUMNS):
            raise ProvisioningError(f"{len(cells)} cells instead of {len(COLUMNS)}")
        line = {key: _plain(key, cell) for key, cell in zip(COLUMNS, cells, strict=True)}
        make = _MAKERS.get(line["record"])
        if make is None:
            raise ProvisioningError(f"record is site, station or connector, not {line['record'][:50]!r}")
        for key in COLUMNS[1:]:
            if line[key] and key not in _OF[line["record"]]:
                raise ProvisioningError(f"a {line['record']} has no {key}")
        jobs.append((number, make(line)))
    except ProvisioningError as error:
        errors.append(f"line {number}: {error}")


def _plain(key: str, cell: str) -> str:
    cell = cell.strip() if key not in _TEXTS else cell
    return cell[1:] if key in _TEXTS and cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def _site_job(line: dict[str, str]) -> Job:
    site = Site(
        id=line["site"],
        name=line["name"],
        place=line["place"],
        latitude=_number(line, "latitude", float),
        longitude=_number(line, "longitude", float),
        timezone=line["timezone"] or "UTC",
        grid_limit_w=_number(line, "grid_limit_w", int),
    )
    return sites, msgspec.structs.asdict(provisioning.checked(site))


def _station_job(line: dict[str, str]) -> Job:
    words = {"": None, "yes": True, "no": False}
    if line["approved"] not in words:
        raise ProvisioningError(f"approved is yes, no or blank, not {line['approved'][:50]!r}")
    profile = _number(line, "security_profile", int)
    row = provisioning.station_row(line["station"], line["name"], line["site"] or None, profile)
    if line["approved"]:  # blank: what was decided stays
        row |= {"is_approved": words[line["approved"]]} | ({"refused_at": None} if line["approved"] == "yes" else {})
    return stations, row


def _connector_job(line: dict[str, str]) -> Job:
    evse, connector = _number(line, "evse", int), _number(line, "connector", int)
    if not line["station"] or evse is None or connector is None:
        raise ProvisioningError("a connector needs station, evse and connector")
    power = _number(line, "rated_power_w", int)
    return connectors, provisioning.connector_row(line["station"], evse, connector, line["kind"], power)


_MAKERS: dict[str, Callable[[dict[str, str]], Job]] = {
    "site": _site_job,
    "station": _station_job,
    "connector": _connector_job,
}


def _number(line: dict[str, str], key: str, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(line[key]) if line[key] else None
    except ValueError:
        what = "whole number" if kind is int else "number"
        raise ProvisioningError(f"{key} is a {what}, not {line[key][:50]!r}") from None


def _twice(jobs: list[tuple[int, Job]]) -> list[str]:
    first: dict[tuple[Any, ...], int] = {}
    errors = []
    for number, (table, row) in jobs:
        key = (table.name, *(row[column.name] for column in table.primary_key))
        if key in first:
            errors.append(f"line {number}: the same as line {first[key]}")
        first.setdefault(key, number)
    return errors


def _check_sites(connection: Connection, jobs: list[tuple[int, Job]]) -> None:
    known = set(connection.execute(sa.select(sites.c.id)).scalars())
    known |= {row["id"] for _, (table, row) in jobs if table is sites}
    for number, (table, row) in jobs:
        if table is stations and row["site_id"] is not None and row["site_id"] not in known:
            raise CsvError(f"line {number}: there is no site {row['site_id']!r} here or in the file")
