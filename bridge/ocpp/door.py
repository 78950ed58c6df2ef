"""The door: may this visitor come in, as whom, and is it worth telling somebody that it may not.

``admission`` is pure; ``admit`` is the same behind the brake, with log, metrics and security events. Whatever the
reason, the visitor hears one and the same refusal.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

import structlog
from prometheus_client import Counter

from bridge.access import RANK, Admission, Directory, Entry, StationEntry, admit_with_certificate, entry_of, key_hmac
from bridge.events import OURS
from bridge.intake import Intake
from bridge.ocpp.security import Brake, DoorBrake, admit_with_key
from bridge.ocpp.visitor import Visitor, side_of
from bridge.ocpp.waiting_room import WaitingRoom
from bridge.settings import Unknown

_log = structlog.get_logger("ocpp")
_refused = Counter("chargewatch_ocpp_refused_connections", "Handshakes refused, by reason.", ["reason"])

_WRONG_KEYS = 5
_WINDOW_S = 300.0
_MAX_WATCHED = 10_000
_SECURE = 2  # the first profile that wants TLS


class Door:
    """``tell(station, kind, detail)`` raises a security event about a station that is registered."""

    def __init__(
        self,
        minimum: int,
        policy: Unknown,
        pepper: bytes,
        intake: Intake,
        room: WaitingRoom,
        tell: Callable[[str, str, str], None],
    ) -> None:
        self._minimum = minimum
        self._policy = policy
        self._pepper = pepper
        self._intake = intake
        self._room = room
        self._tell = tell
        self._brake = DoorBrake()
        self._strangers = Brake(burst=100, refill_s=30.0)  # new names from one address
        self._wrong_keys = Repeats(_WRONG_KEYS, _WINDOW_S)
        self._once = Repeats(1, _WINDOW_S)

    def admit(self, visitor: Visitor, now_s: float) -> Admission:
        """Decide, and count and tell of what is refused."""
        admission = self.admission(visitor)
        station, address = admission.station, side_of(visitor.address)
        if self._brake.is_on(address, station, now_s):
            _refused.labels("braked").inc()  # not logged: this is what floods are made of
            return Admission(Entry.REFUSED, station, "too many failures", reason="braked")
        if admission.entry is Entry.HELD and not self._has_place(station, address, now_s):
            admission = Admission(Entry.REFUSED, station, "too many stations wait for approval", reason="full")
        if admission.entry is Entry.REFUSED:
            self._brake.failed(address, station, now_s)
            self.refuse(admission, visitor, now_s)
        return admission

    def refuse(self, admission: Admission, visitor: Visitor, now_s: float) -> None:
        """Log, count and, about a registered station, tell."""
        reason, cause = admission.reason, admission.cause
        _refused.labels(reason).inc()
        _log.warning("station refused", station=visitor.station, address=visitor.address, cause=cause)
        if entry_of(self._intake.directory, admission.station) is None:
            return
        if reason == "key":
            if self._wrong_keys.is_time(admission.station, now_s):
                detail = f"{_WRONG_KEYS} wrong keys within {_WINDOW_S / 60:.0f} minutes, last from {visitor.address}"
                self._tell(admission.station, f"{OURS}WrongKey", detail)
        elif reason in _EVENTS and self._once.is_time(f"{reason} {admission.station}", now_s):
            self._tell(admission.station, OURS + _EVENTS[reason], f"{cause}; from {visitor.address}")

    def admission(self, visitor: Visitor) -> Admission:
        """Who it is, and whether what it proves is enough."""
        directory, certificate = self._intake.directory, visitor.certificate
        if certificate is None:
            found = admit_with_key(directory, self._policy, self._pepper, visitor.station, visitor.key)
            found = _with_transport(found, visitor)
        else:
            if not _is_named(directory, visitor.station, certificate.names):
                cause = f"its certificate names {', '.join(certificate.names)[:200] or 'nobody'}"
                return self._refused(visitor, cause, "certificate")
            if certificate.fingerprint in directory.revoked:
                return self._refused(visitor, "its certificate is revoked", "revoked")
            found = admit_with_certificate(directory, self._policy, visitor.station)
        return found if found.entry is Entry.REFUSED else self._if_proved(found, visitor)

    def offered_hmac(self, visitor: Visitor) -> bytes | None:
        """Of the key it shows, to be pinned if a person lets it in."""
        return None if visitor.key is None else key_hmac(self._pepper, visitor.key)

    def _refused(self, visitor: Visitor, cause: str, reason: str) -> Admission:
        entry = entry_of(self._intake.directory, visitor.station)
        station = visitor.station if entry is None else entry.id
        return Admission(Entry.REFUSED, station, cause, reason=reason)

    def _if_proved(self, found: Admission, visitor: Visitor) -> Admission:
        """What it must prove: a person's word on this station, else the setting and what it proved last."""
        entry = entry_of(self._intake.directory, found.station)
        if found.entry is Entry.HELD and found.security == "none":  # it has shown nothing that could be checked yet
            return found if visitor.is_secure or self._minimum < _SECURE else self._too_little(found, 0, self._minimum)
        rank, last = RANK[found.security], self._last_rank(found.station, entry)
        word = None if entry is None else entry.security_profile
        wanted = max(self._minimum, last) if word is None else word
        if rank >= wanted:
            return found
        if word is None and rank >= self._minimum:
            cause = f"it proves profile {rank} and proved {last} before: lower its security profile to let it in so"
            return Admission(Entry.REFUSED, found.station, cause, reason="downgrade")
        return self._too_little(found, rank, wanted)

    def _too_little(self, found: Admission, rank: int, wanted: int) -> Admission:
        by_tls = "connect it by wss://, or name the proxy in ocpp.trusted_proxies"
        advice = by_tls if wanted >= _SECURE else "give it a key"
        cause = f"it proves security profile {rank}, {wanted} is wanted: {advice}, or lower ocpp.security_profile"
        return Admission(Entry.REFUSED, found.station, cause, reason="profile")

    def _last_rank(self, station: str, entry: StationEntry | None) -> int:
        known = self._intake.book.stations.get(station)
        if known is not None and known.security:
            return RANK.get(known.security, 0)
        return RANK.get(entry.proved, 0) if entry is not None else 0

    def _has_place(self, station: str, address: str, now_s: float) -> bool:
        if station not in self._room and entry_of(self._intake.directory, station) is None:
            if self._strangers.is_on(address, now_s):
                return False
            self._strangers.failed(address, now_s)
        return self._room.has_place(station, address)


def _is_named(directory: Directory, station: str, names: Sequence[str]) -> bool:
    """Case does not matter, but where two stations differ by nothing else."""
    if station in names:
        return True
    folded = station.casefold()
    is_one = directory.by_folded_id.get(folded, True) is not None
    return is_one and folded in {name.casefold() for name in names}


_EVENTS = {
    "downgrade": "SecurityDowngrade",
    "certificate": "CertificateRefused",
    "revoked": "RevokedCertificate",
    "contested": "IdentityContested",
}


def _with_transport(found: Admission, visitor: Visitor) -> Admission:
    """The same key proves more where nobody can have read it on its way."""
    if found.security != "basic" or not visitor.is_secure:
        return found
    security = "basic+local" if visitor.is_local else "basic+tls"
    return Admission(found.entry, found.station, found.cause, security, found.reason, found.is_next_key)


class Repeats:
    """Is it time to tell? On the ``times``-th within ``window_s``, then not again before it was quiet for as long."""

    def __init__(self, times: int, window_s: float) -> None:
        self._times = times
        self._window_s = window_s
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()
        self._told: set[str] = set()

    def is_time(self, key: str, now_s: float) -> bool:
        seen = self._seen.setdefault(key, deque(maxlen=self._times))
        self._seen.move_to_end(key)
        if seen and now_s - seen[-1] > self._window_s:
            seen.clear()
            self._told.discard(key)
        seen.append(now_s)
        if len(self._seen) > _MAX_WATCHED:
            self._told.discard(self._seen.popitem(last=False)[0])
        if key in self._told or len(seen) < self._times or now_s - seen[0] > self._window_s:
            return False
        self._told.add(key)
        return True
