"""InfluxDB's line protocol out, InfluxQL's rows in. Pure.

Line protocol cannot carry every text a charger sends: tags take no line feed and must not end with a backslash,
a string field holds 64 KiB. So tags are percent-encoded where needed, and long texts are laid out over several
fields (``text``, ``text_1``, ...). Times are nanoseconds; what can happen twice in a microsecond (occurrences,
frames) is told apart by the three digits below it. Fields of samples are those of ``measurands``; any other gets
the prefix ``x.``. Source: InfluxDB 2.7 line protocol reference.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from bridge.events import from_us, to_us
from bridge.measurands import FIELDS
from bridge.stores.hygiene import fingerprint, finite, stored_us, whole
from bridge.stores.rollup import FOLLOWED, Point
from bridge.stores.telemetry import Bucket, FrameRow, Occurrence, Sample

CHUNK = 15_000  # characters: a string field holds 64 KiB and a character takes up to four bytes
_FOREIGN = "x."
_KNOWN = frozenset(FIELDS)
_NOT_IN_TAGS = re.compile(r"[\x00-\x1f\x7f%\\]")

Row = dict[str, Any]  # an InfluxQL row: tags, fields and "time" in microseconds
ALWAYS = {  # the fields that every point of a measurement has
    "samples": ("received_us", "is_late", "session_id"),
    "occurrences": ("received_us", "session_id", "body_0"),
    "frames": ("source", "action", "text_0"),
    "quarters": ("energy_wh", "power_mean_w", "power_max_w", "samples"),
}


@lru_cache(maxsize=50_000)
def tag(text: str) -> str:
    """A text as the value of a tag, as it is stored and compared."""
    return _NOT_IN_TAGS.sub(lambda found: f"%{ord(found.group()):02X}", whole(text))


@lru_cache(maxsize=50_000)
def _tagged(name: str, text: str) -> str:
    """``,name=value`` for a line; nothing for an empty text, which a tag cannot have."""
    return f",{name}={_escaped(tag(text))}" if text else ""


class _Fields(dict[str, str]):
    """Field -> ``,name=`` for a line."""

    def __missing__(self, name: str) -> str:
        return f",{_escaped(_FOREIGN + tag(name))}="


_FIELDS = _Fields({name: f",{name}=" for name in FIELDS})


def _escaped(text: str) -> str:
    return text.replace(",", r"\,").replace("=", r"\=").replace(" ", r"\ ")


def _string(text: str) -> str:
    return '"' + whole(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _long_string(name: str, text: str) -> str:
    chunks = [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)] or [""]
    return ",".join(f"{name}_{number}={_string(chunk)}" for number, chunk in enumerate(chunks))


def _joined(name: str, row: Row) -> str:
    """The inverse of ``_long_string``; a row also has the columns of longer ones, which are null."""
    text = ""
    number = 0
    while (chunk := row.get(f"{name}_{number}")) is not None:
        text += chunk
        number += 1
    return text


def sample_line(s: Sample) -> str:
    late = "t" if s.is_late else "f"
    head = f"samples{_tagged('station', s.station)},evse={s.evse} "
    common = f"received_us={stored_us(s.received_at)}i,is_late={late},session_id={_string(s.session_id)}"
    values = "".join([f"{_FIELDS[name]}{value!r}" for name, value in finite(s.values).items()])
    return f"{head}{common}{values} {stored_us(s.at)}000"


def sample(row: Row) -> Sample:
    values = {name: float(row[name]) for name in row.keys() & _KNOWN if row[name] is not None}
    for name, value in row.items():
        if name.startswith(_FOREIGN) and value is not None:
            values[unquote(name.removeprefix(_FOREIGN))] = float(value)
    at, received_at = from_us(row["time"]), from_us(row["received_us"])
    return Sample(*evse_of(row), at, received_at, row["is_late"], row["session_id"], values)


def occurrence_line(o: Occurrence) -> str:
    received_us = stored_us(o.received_at)
    head = f"occurrences{_tagged('station', o.station)},evse={o.evse}{_tagged('kind', o.kind)} "
    fields = f"received_us={received_us}i,session_id={_string(o.session_id)},{_long_string('body', o.body)}"
    return f"{head}{fields} {stored_us(o.at)}{fingerprint(str(received_us), o.body) % 1000:03}"


def occurrence(row: Row) -> Occurrence:
    station, evse = evse_of(row)
    times = from_us(row["time"]), from_us(row["received_us"])
    return Occurrence(station, evse, *times, unquote(row["kind"] or ""), row["session_id"], _joined("body", row))


def frame_line(f: FrameRow) -> str:
    head = f"frames{_tagged('station', f.station)}{_tagged('direction', f.direction)} "
    fields = f"source={_string(f.source)},action={_string(f.action)},{_long_string('text', f.text)}"
    return f"{head}{fields} {stored_us(f.received_at)}{fingerprint(f.text) % 1000:03}"


def frame(row: Row) -> FrameRow:
    station, direction = unquote(row["station"] or ""), unquote(row["direction"] or "")
    return FrameRow(station, from_us(row["time"]), direction, row["source"], row["action"], _joined("text", row))


def bucket_line(b: Bucket) -> str:
    head = f"quarters{_tagged('station', b.station)},evse={b.evse} "
    energy = f"energy_wh={b.energy_wh!r},samples={b.samples}i"
    return f"{head}{energy},power_mean_w={b.power_mean_w!r},power_max_w={b.power_max_w!r} {to_us(b.start)}000"


def bucket(row: Row) -> Bucket:
    energy_wh, mean_w, max_w = (float(row[name]) for name in ("energy_wh", "power_mean_w", "power_max_w"))
    return Bucket(*evse_of(row), from_us(row["time"]), energy_wh, mean_w, max_w, row["samples"])


def point(row: Row) -> Point:
    followed = {name: float(row[name]) for name in FOLLOWED if row.get(name) is not None}
    return Point(row["time"], session_id=row.get("session_id") or "", **followed)


def evse_of(row: Row) -> tuple[str, int]:
    return unquote(row["station"] or ""), int(row["evse"])
