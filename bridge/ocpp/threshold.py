"""From a handshake to a connection that counts: the visitor is judged, a contested name is settled, and a station that
nobody has decided about is shown to the waiting room. The door judges, the listener counts, this moves links.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

import structlog
from websockets.http11 import Request, Response

from bridge.access import Admission, Entry, entry_of
from bridge.command_bus import CommandOutcome
from bridge.events import OURS, SecurityEventNotified, StationBooted, utc_now
from bridge.intake import Frame, Intake
from bridge.journal import JournalError
from bridge.ocpp.commands import Calls
from bridge.ocpp.door import Door
from bridge.ocpp.ledger import Ledger
from bridge.ocpp.link import Link
from bridge.ocpp.listener import Listener
from bridge.ocpp.security import Brake, station_of
from bridge.ocpp.visitor import Proxies, Visitor
from bridge.ocpp.waiting_room import MAX_FRAMES
from bridge.policies import Policy
from bridge.settings import Ocpp, Stations, Unknown

_log = structlog.get_logger("ocpp")

_MOST_CONTESTS = 200  # at once
_FRAME_EVERY_S = 5.0  # a stranger's that has said all it may at once
_MOST_NAMED = 5  # stations of one address that a failed TLS handshake is told of
_UNAUTHORISED = "Unknown station, or wrong key.\n"


class Holder(Protocol):
    """The server, as far as it is needed here."""

    @property
    def connections(self) -> Mapping[str, Link]: ...
    @property
    def protocols(self) -> Sequence[str]: ...
    def policy_of(self, station: str) -> Policy: ...
    def is_open(self, link: Link) -> bool: ...
    def make_link(self) -> Link: ...
    def calls_of(self, link: Link) -> Calls | None: ...
    def announce(self, link: Link, station: str) -> None: ...
    def fail(self) -> None: ...


class Threshold:
    """``pepper`` keys the HMAC over station keys."""

    def __init__(
        self, settings: Ocpp, stations: Stations, pepper: bytes, intake: Intake, ledger: Ledger, holder: Holder
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._directory = intake.directory  # when it was last looked through
        self._ledger = ledger
        self._holder = holder
        self._proxies = Proxies(settings.trusted_proxies, settings.client_certificate_header)
        policy = Unknown(stations.unknown)
        self._door = Door(settings.security_profile, policy, pepper, intake, ledger.room, self.tell)
        self.listener = Listener(settings, self._proxies, holder.make_link, self._tls_failed)
        self._visitors: dict[Link, tuple[Visitor, Admission]] = {}  # as whom and with what a link came
        self._chatter = Brake(burst=MAX_FRAMES, refill_s=_FRAME_EVERY_S)  # of strangers, over all their connections
        self._contested: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    # coming in

    def greet(self, link: Link, request: Request) -> Response | None:
        """Answer a handshake, or a plain GET. None: the answer comes when it is known who holds that name."""
        headers = request.headers
        if "Upgrade" not in headers:
            if request.path.partition("?")[0] == "/healthz":
                return link.reject(HTTPStatus.OK, "ok\n")
            return link.reject(HTTPStatus.UPGRADE_REQUIRED, "This is an OCPP server: connect by WebSocket.\n")
        if "upgrade" not in ",".join(headers.get_all("Connection")).lower():
            if "Connection" in headers:
                del headers["Connection"]
            headers["Connection"] = "Upgrade"  # some forget it (field quirk 2)
        station = station_of(request.path)
        if station is None:
            return link.reject(HTTPStatus.NOT_FOUND, "Connect to /ocpp/<station> or /<station>.\n")
        visitor = self._proxies.visitor(station, headers, link.address, link.is_tls, link.certificate)
        if visitor.address != link.address:  # a proxy of ours says whose it is
            link.address = visitor.address
            if not self.listener.meet(link, visitor.address):
                return _refusal(link)
        return self._admit(link, request, visitor)

    def station_of(self, link: Link) -> str:
        """The id, as registered, under which an admitted link came."""
        return self._visitors[link][1].station

    def entry(self, link: Link) -> Entry:
        """What the directory says now about a station that is already in."""
        found = self._visitors.get(link)
        if found is None:
            return Entry.REFUSED
        admission = self._door.admission(found[0])
        # registered since in another case: it has to come again, under the name that it has now
        return admission.entry if admission.station == found[1].station else Entry.REFUSED

    def note(self, link: Link) -> None:
        """What the records should know of a connection that has just begun."""
        assert link.talk is not None
        visitor, admission = self._visitors[link]
        now, station = utc_now(), admission.station
        entry = entry_of(self._intake.directory, station)
        if admission.is_next_key and entry is not None:
            self._ledger.key_was_used(station, entry.next_key_hmac)
        if visitor.certificate is not None:
            self._ledger.certificate_was_shown(station, visitor.certificate, now)
        if link.is_held:
            key = self._door.offered_hmac(visitor)
            self._ledger.room.enter(station, link.address, link.talk.version.protocol, link.security, key, now)

    def lost(self, link: Link) -> None:
        """The socket is gone."""
        self.listener.lost(link)
        found = self._visitors.pop(link, None)
        if found is not None and link.is_held and not link.is_replaced:
            self._ledger.room.left(found[1].station, utc_now())

    def is_too_much(self, link: Link) -> bool:
        """Has a stranger said more than it has to say? Its connection is then closed."""
        if not link.is_held:
            return False
        station, now_s = self.station_of(link), asyncio.get_running_loop().time()
        if not self._chatter.is_on(station, now_s):
            self._chatter.failed(station, now_s)
            return False
        link.close(1008, "this station waits for approval: too many messages")
        return True

    # a decision of a person

    def recheck(self) -> None:
        """The directory is a new one: who was let in is asked to boot, who was shut out has to go."""
        directory, room = self._intake.directory, self._ledger.room
        for station in room.stations():
            entry = entry_of(directory, station)
            if entry is not None and (entry.is_approved or entry.is_refused):
                room.decided(station)
        before, self._directory = self._directory, directory
        is_newly_revoked = directory.revoked != before.revoked
        for station, link in list(self._holder.connections.items()):
            is_same = entry_of(directory, station) == entry_of(before, station)
            if is_same and not is_newly_revoked:
                continue
            found = self.entry(link)
            if found is Entry.REFUSED:  # shut out, its key or certificate is no longer good, or more is wanted of it
                link.close(1008, "shut out")
            elif link.is_held and not link.was_asked_to_boot and found is Entry.ACCEPTED:
                link.was_asked_to_boot = True
                self._begin(self._ask_to_boot(link, station))

    async def _ask_to_boot(self, link: Link, station: str) -> None:
        """It would boot again by itself, in half a minute or so."""
        calls = self._holder.calls_of(link)
        if calls is not None:
            asked = {"requestedMessage": "BootNotification"}
            done = await calls.call("TriggerMessage", asked, self._settings.call_timeout_s, is_early=True)
            if done.outcome is not CommandOutcome.ANSWERED:
                _log.info("approved, and waits for its next boot", station=station, outcome=done.outcome)

    # two of one name

    def _admit(self, link: Link, request: Request, visitor: Visitor) -> Response | None:
        admission = self._door.admit(visitor, _now_s())
        if admission.entry is Entry.REFUSED:
            return _refusal(link)
        policy, offers = self._holder.policy_of(admission.station), _offers(request)
        wants_own_name = policy.user_name == "own" or (policy.user_name == "own_in_2x" and "ocpp2" in offers)
        if wants_own_name and admission.security.startswith("basic") and not visitor.is_by_its_name:
            cause = "its key came under another user name: mend it there, or set its policy user_name to any"
            self._door.refuse(Admission(Entry.REFUSED, admission.station, cause, reason="user"), visitor, _now_s())
            return _refusal(link)
        if not offers and policy.no_subprotocol == "refuse":
            return link.reject(HTTPStatus.BAD_REQUEST, f"Offer a subprotocol: {', '.join(self._holder.protocols)}.\n")
        link.security = admission.security
        self._visitors[link] = (visitor, admission)
        old = self._holder.connections.get(admission.station)
        if old is None or not old.is_open or self._may_displace(admission.station):
            return link.accept(request)
        if admission.station in self._contested or len(self._contested) >= _MOST_CONTESTS:
            return _refusal(link)
        self._contested.add(admission.station)
        self._begin(self._contest(link, request, old))
        return None

    def _may_displace(self, station: str) -> bool:
        """May a second connection take the place of a live first one, unasked? The one place to say so."""
        return self._holder.policy_of(station).second_connection == "displace"

    async def _contest(self, link: Link, request: Request, old: Link) -> None:
        """Both have proved that they are it: the first one stays while it is alive. One that never answered a ping and
        says nothing counts as dead."""
        visitor, admission = self._visitors[link]
        try:
            is_alive = await old.answers(self._settings.contest_s)
        finally:
            self._contested.discard(admission.station)
        if not self._holder.is_open(link):
            return
        if is_alive and self._holder.connections.get(admission.station) is old:
            self._ledger.room.contested(admission.station, self._door.offered_hmac(visitor))
            cause = "its name is held by a connection that is alive"
            contested = Admission(Entry.REFUSED, admission.station, cause, reason="contested")
            self._door.refuse(contested, visitor, _now_s())
            link.answer(_refusal(link))
        else:
            link.answer(link.accept(request))
        request.headers.clear()  # the protocol keeps its request for ever

    # telling

    def tell(self, station: str, kind: str, detail: str) -> None:
        """Journal a security event that we saw ourselves."""
        now = utc_now()
        event = SecurityEventNotified(station=station, at=now, received_at=now, kind=kind, tech_info=detail[:255])
        outcome = self._intake.handle(event)
        try:
            self._intake.keep(Frame(station, "bridge", "-", "SecurityEvent", b"", now), outcome)
        except JournalError:
            self._holder.fail()

    def _tls_failed(self, address: str, reason: str, advice: str) -> None:
        """Nobody has said who it is; stations that were last seen at this address and are not connected may be it."""
        known = self._intake.book.stations.values()
        away = [station.id for station in known if station.address == address and not station.is_connected]
        for station in away[:_MOST_NAMED]:
            self.tell(station, f"{OURS}TlsHandshakeFailed", f"from {address}: {reason}; {advice}")

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _offers(request: Request) -> str:
    """The subprotocols, in lower case."""
    return ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).lower()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _refusal(link: Link) -> Response:
    """One and the same for every reason."""
    response = link.reject(HTTPStatus.UNAUTHORIZED, _UNAUTHORISED)
    response.headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
    return response


class Guest:
    """What the talk with a held station tells of it."""

    def __init__(self, link: Link, station: str, ledger: Ledger, announce: Callable[[Link, str], None]) -> None:
        self._link = link
        self._station = station
        self._ledger = ledger
        self._announce = announce

    def has_booted(self, event: StationBooted) -> None:
        said = {"vendor": event.vendor, "model": event.model, "serial": event.serial, "firmware": event.firmware}
        self._ledger.room.told(self._station, event.received_at, **said)

    def is_let_in(self) -> None:
        self._link.is_held = False
        self._ledger.room.decided(self._station)
        self._announce(self._link, self._station)
