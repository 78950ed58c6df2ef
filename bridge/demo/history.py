"""The demo's past: the same bays live through the last days at coarse resolution, straight into the stores.

Only the demo writes these, only for the demo's own stations, and never over OCPP: a charger's timestamps stay
true. The bays are left as they stand now, so that the live fleet goes on with the same cars and registers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import NamedTuple

import msgspec

from bridge.billing.price import Tariff, total
from bridge.demo.bay import Bay, Began, StatusIs, Stopped, live_alone
from bridge.demo.fleet import BayKey
from bridge.demo.meter import Reading
from bridge.events import AnyEvent, StatusChanged, TransactionEnded, TransactionStarted, from_us
from bridge.evidence import Evidence, Start
from bridge.session import Session, SessionState
from bridge.snapshots import Station
from bridge.stores.records import Records
from bridge.stores.telemetry import Batch, Occurrence, Sample, TelemetryStore

DAYS = 8
_CHUNK = 6_000
_AC_SAMPLE_S, _DC_SAMPLE_S = 600.0, 300.0
_AC_STEP_S, _DC_STEP_S = 150.0, 60.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUARTER = timedelta(minutes=15)
_to_json = msgspec.json.Encoder().encode

Row = Session | Sample | Occurrence


def begin_of(now: datetime, days: int = DAYS) -> datetime:
    """Midnight UTC, a full day more than ``days`` ago, so that every zone has its whole first day."""
    return (now - timedelta(days=days + 1)).replace(hour=0, minute=0, second=0, microsecond=0)


class _Past(NamedTuple):
    """Whose past it is, and what its sessions cost."""

    station: str
    evse: int
    tariff: Tariff


def past_of(station: str, evse: int, bay: Bay, until: float, tariff: Tariff) -> Iterator[Row]:
    """Let ``bay`` live up to ``until`` at coarse steps; yields samples, occurrences, and each session as it ends.

    The visit that is still running has samples but no session: its session begins when the station connects.
    """
    past, session = _Past(station, evse, tariff), ""
    is_ac = bay.meter.outlet.phases > 0
    bay.step_s, sample_s = (_AC_STEP_S, _AC_SAMPLE_S) if is_ac else (_DC_STEP_S, _DC_SAMPLE_S)
    running: list[Sample] = []
    began: Began | None = None
    for news in live_alone(bay, until, sample_s):
        match news:
            case Began():
                began, session, running = news, f"{station}-{evse}-{int(news.at)}", []
                running.append(_sample(past, news.reading, session))
                yield _started(past, news, session)
            case Reading():
                running.append(_sample(past, news, session))
            case Stopped() if began is not None:
                running.append(_sample(past, news.reading, session))
                yield from running
                yield _ended(past, news, session)
                yield _session(past, session, began, news, running)
                began, session, running = None, "", []
            case StatusIs():
                yield _status(past, news, session)
    yield from (sample._replace(session_id="") for sample in running)
    bay.step_s = 5.0


def simulate_past(
    bays: Mapping[BayKey, Bay],
    until: Mapping[BayKey, datetime],
    tariff: Tariff,
    is_wanted: Callable[[], bool] = lambda: True,
) -> list[Row]:
    """The past of all bays, each up to its own ``until``; ends early once ``is_wanted`` says no."""
    rows: list[Row] = []
    for (station, evse), bay in bays.items():
        if is_wanted():
            rows.extend(past_of(station, evse, bay, until[station, evse].timestamp(), tariff))
    return rows


def write_past(
    rows: Iterable[Row], records: Records, telemetry: TelemetryStore, is_wanted: Callable[[], bool] = lambda: True
) -> int:
    """Write the past and roll it up, in pieces so that others can write too; returns the number of sessions.

    The newest day is rolled up first, because it is looked at first.
    Ends early once ``is_wanted`` says no. The sessions have no ``stop_received_at``, for nothing was received:
    so the alarm process raises nothing about the past.
    """
    count, times, source = 0, [], iter(rows)
    while is_wanted() and (chunk := list(islice(source, _CHUNK))):
        sessions = [row for row in chunk if isinstance(row, Session)]
        samples = [row for row in chunk if isinstance(row, Sample)]
        records.upsert(sessions=sessions)
        telemetry.write(Batch(samples=samples, occurrences=[row for row in chunk if isinstance(row, Occurrence)]))
        count += len(sessions)
        times += [sample.at for sample in samples]
    first, day = _quarter(min(times, default=_EPOCH)), _quarter(max(times, default=_EPOCH)) + _QUARTER
    while times and is_wanted() and day > first:
        telemetry.roll_up(max(first, day - timedelta(days=1)), day)
        day -= timedelta(days=1)
    return count


def absent_station(station: str, protocol: str, bridge: str, now: datetime, away: timedelta) -> Station:
    """A station that was here and has been gone for ``away``."""
    gone = now - away
    return Station(
        id=station,
        protocol=protocol,
        bridge=bridge,
        connected_at=gone - timedelta(days=3),
        disconnected_at=gone,
        last_seen_at=gone,
        revision=1,
    )


def _time(at: float) -> datetime:
    return from_us(int(at * 1_000_000))


def _quarter(at: datetime) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // 900 * 900, UTC)


def _sample(past: _Past, reading: Reading, session: str) -> Sample:
    at = _time(reading.at)
    values = {"energy_import_wh": float(reading.register_wh), "power_w": float(round(reading.power_w))}
    if len(reading.voltages_v) == 1:
        values |= {"voltage_v": round(reading.voltages_v[0], 1), "current_a": round(reading.currents_a[0], 1)}
        if reading.soc_percent is not None:
            values["soc_percent"] = float(round(reading.soc_percent))
    else:
        for phase, (volts, amperes) in enumerate(zip(reading.voltages_v, reading.currents_a, strict=True), start=1):
            values |= {f"voltage_v_l{phase}": round(volts, 1), f"current_a_l{phase}": round(amperes, 2)}
    values["temperature_c"] = round(reading.temperature_c, 1)
    return Sample(past.station, past.evse, at, at, False, session, values)


def _session(past: _Past, id: str, began: Began, stopped: Stopped, samples: list[Sample]) -> Session:
    start, end = _time(began.at), _time(stopped.at)
    energy_wh = stopped.reading.register_wh - began.reading.register_wh
    duration_s = int((end - start) / timedelta(seconds=1))
    socs = [sample.values["soc_percent"] for sample in samples if "soc_percent" in sample.values]
    flow = _flow(samples, duration_s)
    return Session(
        id=id,
        station=past.station,
        evse=past.evse,
        transaction_id=str(int(began.at)),
        token=began.token,
        state=SessionState.ENDED,
        started_at=start,
        start_received_at=start,
        ended_at=end,
        meter_start_wh=began.reading.register_wh,
        meter_last_wh=stopped.reading.register_wh,
        meter_stop_wh=stopped.reading.register_wh,
        energy_wh=energy_wh,
        power_w=0.0,
        power_max_w=flow.most_w,
        soc_start_percent=socs[0] if socs else None,
        soc_percent=socs[-1] if socs else None,
        sample_at=end,
        sample_received_at=end,
        charging_s=flow.seconds,
        cost=str(total(past.tariff, energy_wh, duration_s)),
        currency=past.tariff.currency,
        tariff=past.tariff.id,
        stop_reason=stopped.reason,
        evidence=Evidence(start=Start.OWN, has_start_register=True, is_token_accepted=True),
        revision=1,
    )


class _Flow(NamedTuple):
    seconds: int
    most_w: float


def _flow(samples: list[Sample], duration_s: int) -> _Flow:
    """How long the register moved, and the highest power: no less than the mean over that time."""
    flowed_s, energy_wh = 0.0, 0.0
    for before, after in pairwise(samples):
        moved_wh = after.values["energy_import_wh"] - before.values["energy_import_wh"]
        if moved_wh > 0:
            flowed_s += (after.at - before.at).total_seconds()
            energy_wh += moved_wh
    seconds = min(duration_s, math.ceil(flowed_s))
    mean_w = energy_wh * 3600 / seconds if seconds else 0.0
    return _Flow(seconds, float(math.ceil(max(mean_w, *(sample.values["power_w"] for sample in samples)))))


def _occurrence(past: _Past, event: AnyEvent, session: str) -> Occurrence:
    kind = type(event).__name__
    return Occurrence(
        past.station, past.evse, event.at, event.received_at, kind, session, _to_json(event).decode()
    )


def _status(past: _Past, news: StatusIs, session: str) -> Occurrence:
    at = _time(news.at)
    event = StatusChanged(
        station=past.station,
        at=at,
        received_at=at,
        evse=past.evse,
        status=news.status,
        error_code=news.error_code,
        info=news.info,
        vendor_error_code=news.vendor_code,
    )
    return _occurrence(past, event, session)


def _started(past: _Past, news: Began, session: str) -> Occurrence:
    at = _time(news.at)
    event = TransactionStarted(
        station=past.station,
        at=at,
        received_at=at,
        evse=past.evse,
        transaction_id=str(int(news.at)),
        token=news.token,
        meter_start_wh=news.reading.register_wh,
    )
    return _occurrence(past, event, session)


def _ended(past: _Past, news: Stopped, session: str) -> Occurrence:
    at = _time(news.at)
    event = TransactionEnded(
        station=past.station,
        at=at,
        received_at=at,
        transaction_id=session.rpartition("-")[2],
        evse=past.evse,
        meter_stop_wh=news.reading.register_wh,
        stop_reason=news.reason,
    )
    return _occurrence(past, event, session)


