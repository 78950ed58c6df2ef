"""Letting stations in: the inbox of those that nobody has decided about, what people say of a station, new keys.

Each change is one transaction with its line in the audit. The inbox is bounded, because anybody may knock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge import policies
from bridge.access import RANK
from bridge.stores.database import Database
from bridge.stores.records import save
from bridge.stores.shapes import Site
from bridge.stores.tables import audit, connectors, held_stations, sites, stations

KEY_GRACE = timedelta(days=7)  # how long a key that was sent, and never seen since, still opens
MAX_PROFILE = 3
_MAX_TEXT = 200


class ProvisioningError(Exception):
    """The change cannot be made; the message is for the person who asked."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A station that waits for a person. ``offered_key_hmac`` is of the key it showed itself, ``other_keys`` how often
    it came with another key than before; ``security`` as in ``access.RANK``."""

    station: str
    address: str = ""
    protocol: str = ""
    security: str = ""
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    offered_key_hmac: bytes | None = None
    other_keys: int = 0
    connections: int = 1
    is_connected: bool = True
    bridge: str = ""
    first_seen_at: datetime
    last_seen_at: datetime

    @property
    def key_id(self) -> str:
        """Tells one offered key from another and gives nothing of it away; empty when it showed none."""
        return "" if self.offered_key_hmac is None else self.offered_key_hmac.hex()[:16]


class Provisioning:
    """``minimum_profile`` is the setting ``ocpp.security_profile``. Raises RecordsUnavailable from any method while the
    database does not answer."""

    def __init__(self, records: Database, minimum_profile: int = 2) -> None:
        self._records = records
        self._minimum = minimum_profile

    # ---- the inbox

    def take_held(self, held: Sequence[Held], gone: Sequence[str] = (), limit: int = 500) -> None:
        """The bridge's word on who waits. Beyond ``limit`` those not seen for the longest time go."""
        with self._records.writing() as connection:
            if gone:
                connection.execute(sa.delete(held_stations).where(held_stations.c.station.in_(gone)))
            for one in sorted(held, key=lambda one: one.station):
                if not _is_decided(connection, one.station):
                    save(connection, held_stations, msgspec.structs.asdict(one))
            newest = sa.select(held_stations.c.station).order_by(
                held_stations.c.is_connected.desc(), held_stations.c.last_seen_at.desc(), held_stations.c.station
            )
            kept = newest.limit(limit).scalar_subquery()
            connection.execute(sa.delete(held_stations).where(held_stations.c.station.not_in(kept)))

    def none_is_connected(self, bridge: str) -> None:
        """A bridge that (re)starts holds no sockets."""
        of_bridge = (held_stations.c.bridge == bridge) & held_stations.c.is_connected
        with self._records.writing() as connection:
            connection.execute(sa.update(held_stations).where(of_bridge).values(is_connected=False))

    def inbox(self) -> list[Held]:
        """Who waits, the longest first."""
        query = sa.select(held_stations).order_by(held_stations.c.first_seen_at, held_stations.c.station)
        with self._records.reading() as connection:
            return [Held(**row._mapping) for row in connection.execute(query)]

    def approve(
        self,
        station: str,
        actor: str,
        now: datetime,
        *,
        site: str | None = None,
        name: str | None = None,
        security_profile: int | None = None,
        key_id: str | None = None,
    ) -> None:
        """Let a station in. The key it showed while it waited is pinned: it must show the same from now on.

        ``key_id``, where given, is that of the key the person saw. Raises ProvisioningError: nobody of that name waits,
        another key has been shown since, or it showed none and its profile wants one."""
        with self._records.writing() as connection:
            held = connection.execute(sa.select(held_stations).where(held_stations.c.station == station)).first()
            known = connection.execute(sa.select(stations).where(stations.c.id == station)).first()
            if held is None and known is None:
                raise ProvisioningError(f"no station {station} waits: it has to connect once, or be added with a key")
            change = self._approval(held, known, security_profile, key_id)
            if site is not None:
                change["site_id"] = _known_site(connection, site)
            if name is not None:
                change["name"] = _text("name", name)
            save(connection, stations, {"id": station, "is_approved": True, "refused_at": None} | change)
            connection.execute(sa.delete(held_stations).where(held_stations.c.station == station))
            how = "with the key it showed" if change.get("key_hmac") else "with no new key"
            note(connection, now, actor, "station.approve", station, how)

    def _approval(self, held: Any, known: Any, profile: int | None, key_id: str | None) -> dict[str, Any]:
        shown = Held(**held._mapping) if held is not None else None
        if key_id is not None and (shown is None or shown.key_id != key_id):
            raise ProvisioningError("it has shown another key since: look at it again before you approve")
        change: dict[str, Any] = {} if profile is None else {"security_profile": _profile(profile)}
        if shown is not None and shown.offered_key_hmac is not None:
            return change | {"key_hmac": shown.offered_key_hmac, "next_key_hmac": None}
        has_key = known is not None and known.key_hmac is not None
        word = profile if profile is not None else (None if known is None else known.security_profile)
        wanted = self._minimum if word is None else word
        if not has_key and wanted > 0 and (shown is None or RANK[shown.security] < MAX_PROFILE):
            raise ProvisioningError(
                f"it showed no key, and security profile {wanted} wants one: set a key on the charger, "
                "add the station with a key, or give it profile 0"
            )
        return change

    def refuse(self, station: str, actor: str, now: datetime) -> None:
        """Shut a station out, known or not, and remember it. ``approve`` or ``reconsider`` lifts it."""
        with self._records.writing() as connection:
            save(connection, stations, {"id": station, "is_approved": False, "refused_at": now})
            connection.execute(sa.delete(held_stations).where(held_stations.c.station == station))
            note(connection, now, actor, "station.refuse", station)

    def reconsider(self, station: str, actor: str, now: datetime) -> None:
        """Undo a refusal: the station may knock again. Raises ProvisioningError when it was not refused."""
        was_refused = (stations.c.id == station) & stations.c.refused_at.is_not(None)
        with self._records.writing() as connection:
            # one with a key waits as before; without one nothing is known of it
            decided = sa.case((stations.c.key_hmac.is_not(None), sa.false()), else_=sa.null())
            change = sa.update(stations).where(was_refused).values(refused_at=None, is_approved=decided)
            if connection.execute(change).rowcount == 0:
                raise ProvisioningError(f"{station} was not refused")
            note(connection, now, actor, "station.reconsider", station)

    # ---- what people say of stations, sites, connectors

    def edit_station(
        self,
        station: str,
        actor: str,
        now: datetime,
        *,
        name: str | msgspec.UnsetType = msgspec.UNSET,
        site: str | msgspec.UnsetType | None = msgspec.UNSET,
        security_profile: int | msgspec.UnsetType | None = msgspec.UNSET,
        policy: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> None:
        """Change what is given. ``security_profile`` None: the setting, and never less than it proved last;
        ``policy`` is a person's word on its ways, all of it. Raises ProvisioningError, PolicyError."""
        with self._records.writing() as connection:
            change: dict[str, Any] = {}
            if name is not msgspec.UNSET:
                change["name"] = _text("name", name)
            if site is not msgspec.UNSET:
                change["site_id"] = None if site is None else _known_site(connection, site)
            if security_profile is not msgspec.UNSET:
                change["security_profile"] = None if security_profile is None else _profile(security_profile)
            if policy is not msgspec.UNSET:
                change["policy"] = None if policy is None else policies.checked(policy)
            _change_station(connection, station, change)
            note(connection, now, actor, "station.edit", station, _words(change))

    def save_site(self, site: Site, actor: str, now: datetime) -> None:
        """Add a site or replace what is known of it. Raises ProvisioningError."""
        checked(site)
        with self._records.writing() as connection:
            save(connection, sites, msgspec.structs.asdict(site))
            note(connection, now, actor, "site.save", site.id, _text("name", site.name))

    def rate_connector(
        self, station: str, evse: int, connector: int, kind: str, rated_power_w: int | None, actor: str, now: datetime
    ) -> None:
        """What a person knows of a connector: its type ("CCS2") and rated power. Raises ProvisioningError."""
        row = connector_row(station, evse, connector, kind, rated_power_w)
        with self._records.writing() as connection:
            save(connection, connectors, row)
            detail = f"{row['kind']}, {rated_power_w} W"
            note(connection, now, actor, "connector.edit", f"{station}/{evse}/{connector}", detail)

    # ---- a new key

    def offer_key(self, station: str, next_key_hmac: bytes, actor: str, now: datetime) -> None:
        """Before a new key is sent: it opens beside the old one, so that a lost answer locks nobody out. Raises
        ProvisioningError when the station is not registered, or may have taken another new key that it has not shown
        yet: that one must not be forgotten."""
        waits = sa.select(stations.c.next_key_at).where(stations.c.id == station, stations.c.next_key_hmac.is_not(None))
        with self._records.writing() as connection:
            sent_at = connection.execute(waits).scalar()
            if sent_at is not None and sent_at > now - KEY_GRACE:
                raise ProvisioningError(
                    f"{station} was sent a new key on {sent_at:%Y-%m-%d %H:%M} UTC and has not come with it yet:"
                    " reset it, so that it connects anew, or register it again with a key of your own"
                )
            _change_station(connection, station, {"next_key_hmac": next_key_hmac, "next_key_at": now})
            note(connection, now, actor, "station.key.offer", station)

    def withdraw_key(self, station: str, next_key_hmac: bytes, now: datetime) -> None:
        """The station has said that it did not take the key."""
        this = (stations.c.id == station) & (stations.c.next_key_hmac == next_key_hmac)
        with self._records.writing() as connection:
            connection.execute(sa.update(stations).where(this).values(next_key_hmac=None, next_key_at=None))
            note(connection, now, "bridge", "station.key.withdraw", station)

    def promote_key(self, station: str, next_key_hmac: bytes, now: datetime) -> None:
        """The station has come with its new key: the old one opens no more. A replay changes nothing."""
        this = (stations.c.id == station) & (stations.c.next_key_hmac == next_key_hmac)
        change = sa.update(stations).where(this)
        with self._records.writing() as connection:
            done = connection.execute(change.values(key_hmac=next_key_hmac, next_key_hmac=None, next_key_at=None))
            if done.rowcount:
                note(connection, now, "bridge", "station.key.rotate", station)

    def drop_stale_keys(self, now: datetime) -> None:
        """Keys that were sent and never seen for ``KEY_GRACE`` open no more."""
        stale = stations.c.next_key_at < now - KEY_GRACE
        with self._records.writing() as connection:
            connection.execute(sa.update(stations).where(stale).values(next_key_hmac=None, next_key_at=None))


def checked(site: Site) -> Site:
    """Raises ProvisioningError for what no site can be."""
    if not site.id or not site.id.isprintable() or len(site.id) > _MAX_TEXT:
        raise ProvisioningError("a site's id has 1 to 200 printable characters")
    if not site.name.strip():
        raise ProvisioningError("a site needs a name")
    for what, value, limit in (("latitude", site.latitude, 90), ("longitude", site.longitude, 180)):
        if value is not None and not -limit <= value <= limit:
            raise ProvisioningError(f"{what} is between -{limit} and {limit}, not {value}")
    if site.grid_limit_w is not None and not 0 < site.grid_limit_w < 2**31:
        raise ProvisioningError("a grid limit is a number of watts above 0")
    _zone(site.timezone)
    return site


def connector_row(station: str, evse: int, connector: int, kind: str, rated_power_w: int | None) -> dict[str, Any]:
    """A row of ``connectors``. Raises ProvisioningError."""
    if not (0 <= evse < 1000 and 0 <= connector < 1000):
        raise ProvisioningError("an EVSE and a connector are numbered from 0 to 999")
    if rated_power_w is not None and not 0 < rated_power_w < 2**31:
        raise ProvisioningError("a rated power is a number of watts above 0")
    key = {"station": station, "evse": evse, "connector": connector}
    return key | {"kind": _text("kind", kind), "rated_power_w": rated_power_w}


def station_row(station: str, name: str, site: str | None, profile: int | None) -> dict[str, Any]:
    """A row of ``stations`` as people give it. Raises ProvisioningError."""
    if not station or not station.isprintable() or len(station) > 255:
        raise ProvisioningError("a station's id has 1 to 255 printable characters")
    profile = None if profile is None else _profile(profile)
    return {"id": station, "name": _text("name", name), "site_id": site, "security_profile": profile}


def _zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ProvisioningError(f"{name!r} is no time zone: give an IANA name such as Europe/Berlin") from error


def _is_decided(connection: Connection, station: str) -> bool:
    query = sa.select(stations.c.id).where(stations.c.id == station, stations.c.is_approved.is_not(None))
    query = query.where(stations.c.is_approved | stations.c.refused_at.is_not(None))
    return connection.execute(query).first() is not None


def _change_station(connection: Connection, station: str, change: dict[str, Any]) -> None:
    if not change:
        raise ProvisioningError("there is nothing to change")
    if connection.execute(sa.update(stations).where(stations.c.id == station).values(change)).rowcount == 0:
        raise ProvisioningError(f"there is no station {station}: register it first")


def _known_site(connection: Connection, site: str) -> str:
    if connection.execute(sa.select(sites.c.id).where(sites.c.id == site)).first() is None:
        raise ProvisioningError(f"there is no site with the id {site}")
    return site


def _profile(profile: int) -> int:
    if not 0 <= profile <= MAX_PROFILE:
        raise ProvisioningError(f"a security profile is 0 to {MAX_PROFILE}, not {profile}")
    return profile


def _text(what: str, text: str) -> str:
    plain = text.strip()
    if len(plain) > _MAX_TEXT or not plain.isprintable():
        raise ProvisioningError(f"a {what} has at most {_MAX_TEXT} printable characters")
    return plain


def _words(change: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in change.items())[:500]


def note(connection: Connection, at: datetime, actor: str, action: str, subject: str, detail: str = "") -> None:
    row = {"at": at, "actor": actor, "action": action, "subject": subject, "detail": detail}
    connection.execute(sa.insert(audit).values(row))

