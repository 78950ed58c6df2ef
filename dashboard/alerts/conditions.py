"""The conditions a rule may name: each a function from parameters and facts to findings. No I/O.

A new kind of condition is one function and one row of ``CONDITIONS``; a new rule needs neither, only a file.
Numbers in the comments are those of the alarm list in ``docs/alerts.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from dashboard.alerts.facts import EndFact, Facts, FaultFact, StationFact
from dashboard.alerts.texts import clock


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that holds now for one subject. ``since`` when the facts themselves say since when; ``is_event``
    for what happened once and does not last; ``covers`` are the stations whose own alarms it may suppress."""

    subject: str
    station: str = ""
    evse: int | None = None
    session_id: str | None = None
    since: datetime | None = None
    is_event: bool = False
    covers: frozenset[str] = frozenset()
    texts: dict[str, str] = {}


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a condition that has none."""


class OfflineParameters(Parameters, frozen=True, kw_only=True):
    silent_s: int = 630  # twice the usual heartbeat and 30 s: a socket may stay open with nobody behind it


class SiteParameters(OfflineParameters, frozen=True, kw_only=True):
    share: float = 0.5
    at_least: int = 2


class FaultParameters(Parameters, frozen=True, kw_only=True):
    """No ``error_codes`` means all but those of ``other_than``."""

    error_codes: tuple[str, ...] = ()
    other_than: tuple[str, ...] = ()


class CertificateParameters(Parameters, frozen=True, kw_only=True):
    """Fewer than ``within_days`` left, and more than ``not_within_days``, which another rule tells."""

    within_days: int = 30
    not_within_days: int = 0


class CompletedParameters(Parameters, frozen=True, kw_only=True):
    other_than: tuple[str, ...] = ()  # stop reasons that another rule tells


class InterruptedParameters(Parameters, frozen=True, kw_only=True):
    """Cut off for one of ``stop_reasons``, or both shorter than ``short_s`` and below ``little_wh``."""

    stop_reasons: tuple[str, ...]
    short_s: int = 120
    little_wh: int = 100


def station_offline(p: OfflineParameters, facts: Facts, now: datetime) -> Iterator[Finding]:
    """The socket is closed, or an OCPP station has said nothing for too long (18)."""
    for station in facts.stations:
        since = _gone_since(p, station, now)
        if since is not None:
            yield Finding(
                subject=station.id,
                station=station.id,
                since=since,
                texts=_station_texts(station) | {"since": clock(since)},
            )


def site_down(p: SiteParameters, facts: Facts, now: datetime) -> Iterator[Finding]:
    """A good part of a site's stations is offline at once: the cause is the site's (20)."""
    by_site: dict[str, list[StationFact]] = {}
    for station in facts.stations:
        if station.site_id:
            by_site.setdefault(station.site_id, []).append(station)
    for site, members in by_site.items():
        gone = {s.id: since for s in members if (since := _gone_since(p, s, now)) is not None}
        wanted = max(p.at_least, p.share * len(members))
        if len(gone) >= wanted:
            since = sorted(gone.values())[int(-(-wanted // 1)) - 1]  # when the last one needed went
            yield Finding(
                subject=f"site:{site}",
                since=since,
                covers=frozenset(gone),
                texts={
                    "site": members[0].site_name or site,
                    "offline": str(len(gone)),
                    "stations": str(len(members)),
                    "since": clock(since),
                },
            )


def connector_faulted(p: FaultParameters, facts: Facts, now: datetime) -> Iterator[Finding]:
    """A connector reports Faulted with one of these error codes (1, 3 to 11, 14). Since when is for the engine to
    remember: chargers repeat a status, and each repetition has a time of its own."""
    names = facts.names()
    for fault in facts.faults:
        code = fault.error_code or "NoError"
        if code in p.error_codes if p.error_codes else code not in p.other_than:
            yield Finding(
                subject=f"{fault.station}/{fault.evse}/{fault.connector}",
                station=fault.station,
                evse=fault.evse,
                texts={
                    "station": names.get(fault.station, fault.station),
                    "place": _place(fault),
                    "error_code": code,
                    "vendor_error_code": fault.vendor_error_code or "none",
                    "info": fault.info or "nothing more",
                },
            )


def session_completed(p: CompletedParameters, facts: Facts, now: datetime) -> Iterator[Finding]:
    """A session has ended as it should (52)."""
    names = facts.names()
    return (_ended(end, names) for end in facts.ends if end.stop_reason not in p.other_than)


def session_interrupted(p: InterruptedParameters, facts: Facts, now: datetime) -> Iterator[Finding]:
    """A session ended as no driver wanted it to (28, 54)."""
    names = facts.names()
    for end in facts.ends:
        is_short = end.duration_s < p.short_s and end.energy_wh < p.little_wh
        if end.stop_reason in p.stop_reasons or is_short:
            yield _ended(end, names)


def certificate_expiring(p: CertificateParameters, facts: Facts, now: datetime) -> Iterator[Finding]:
    """A certificate that a station uses, or our listener, is good for so many days and no more."""
    names = facts.names()
    for certificate in facts.certificates:
        left = certificate.not_after - now
        is_anothers = p.not_within_days > 0 and left <= timedelta(days=p.not_within_days)
        if left <= timedelta(days=p.within_days) and not is_anothers:
            yield Finding(
                subject=f"certificate:{certificate.fingerprint[:16]}",
                station=certificate.station,
                texts={
                    "whose": names.get(certificate.station, certificate.station) or certificate.subject,
                    "kind": certificate.kind,
                    "serial": certificate.serial,
                    "until": f"{certificate.not_after:%F}",
                },
            )


class Condition(NamedTuple):
    """``texts`` are the names a title or detail may use in braces."""

    find: Callable[[Any, Facts, datetime], Iterator[Finding]]
    parameters: type[Parameters]
    texts: frozenset[str]


_STATION_TEXTS = frozenset({"station", "site", "since"})
_FAULT_TEXTS = frozenset({"station", "place", "error_code", "vendor_error_code", "info"})
_END_TEXTS = frozenset({"station", "evse", "energy_kwh", "cost", "duration", "stop_reason", "ended"})

_CERTIFICATE_TEXTS = frozenset({"whose", "kind", "serial", "until"})

CONDITIONS: dict[str, Condition] = {
    "station_offline": Condition(station_offline, OfflineParameters, _STATION_TEXTS),
    "site_down": Condition(site_down, SiteParameters, frozenset({"site", "offline", "stations", "since"})),
    "connector_faulted": Condition(connector_faulted, FaultParameters, _FAULT_TEXTS),
    "certificate_expiring": Condition(certificate_expiring, CertificateParameters, _CERTIFICATE_TEXTS),
    "session_completed": Condition(session_completed, CompletedParameters, _END_TEXTS),
    "session_interrupted": Condition(session_interrupted, InterruptedParameters, _END_TEXTS),
}


def _gone_since(p: OfflineParameters, station: StationFact, now: datetime) -> datetime | None:
    if not station.is_connected:
        return station.disconnected_at or station.last_seen_at
    if station.last_seen_at is None or not station.protocol.startswith("ocpp"):
        return None  # a charger on MQTT may rightly say nothing while nothing changes
    silent_from = station.last_seen_at + timedelta(seconds=p.silent_s)
    return silent_from if silent_from <= now else None


def _station_texts(station: StationFact) -> dict[str, str]:
    return {"station": station.name or station.id, "site": station.site_name or "no site"}


def _place(fault: FaultFact) -> str:
    """As the pages number them: an EVSE with one outlet is called by its own number."""
    if fault.evse == 0:
        return "the station"
    return f"connector {fault.evse}" if fault.connector <= 1 else f"EVSE {fault.evse}, connector {fault.connector}"


def _ended(end: EndFact, names: dict[str, str]) -> Finding:
    return Finding(
        subject=end.id,
        station=end.station,
        evse=end.evse,
        session_id=end.id,
        since=min(end.ended_at or end.stop_received_at, end.stop_received_at),
        is_event=True,
        texts={
            "station": names.get(end.station, end.station),
            "evse": str(end.evse),
            "energy_kwh": f"{end.energy_wh / 1000:.2f}",
            "cost": f"{end.cost} {end.currency}",
            "duration": f"{end.duration_s // 3600}:{end.duration_s // 60 % 60:02d} h",
            "stop_reason": end.stop_reason or "not said",
            "ended": clock(end.ended_at or end.stop_received_at),
        },
    )
