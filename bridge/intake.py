"""The one road in: events are decided on, applied to the book and journaled; the adapter answers.

``handle`` is synchronous and touches no disk; ``keep`` queues the frame with what became of it for the next
group commit. An adapter sends its reply when ``journal.committed`` has reached ``keep``'s result. A few times a
second ``take_changes`` hands out the snapshots that changed, priced: for the live state and the next checkpoint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from msgspec.structs import replace

from bridge import events as vocabulary
from bridge.access import Decision, Directory, decide
from bridge.billing.price import Tariff, total
from bridge.book import Book
from bridge.events import (
    AnyEvent,
    MeterSampled,
    TokenPresented,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    to_us,
)
from bridge.journal import Entry, Journal, StateRow
from bridge.session import Session, SessionState
from bridge.settings import Unknown
from bridge.snapshots import Snapshot, decode_snapshot, encode_snapshot, key_of

_PLAUSIBLE_PAST = timedelta(days=400)  # older or future device times are a broken clock (field quirk 56)
_PLAUSIBLE_FUTURE = timedelta(days=1)


class Outcome(NamedTuple):
    """``events`` as decided: tokens accepted or not, transaction ids given, readings placed on their session."""

    events: tuple[AnyEvent, ...]


class Frame(NamedTuple):
    """A frame as it came or went. ``action`` is the OCPP action or the MQTT topic."""

    station: str
    source: str
    direction: str
    action: str
    raw: bytes
    received_at: datetime


class Intake:
    """Wires book, journal, directory and tariffs. ``directory`` and ``tariffs`` are replaced as they change."""

    def __init__(
        self, book: Book, journal: Journal, unknown_tokens: Unknown, tariff: Tariff, directory: Directory | None = None
    ) -> None:
        self.book = book
        self.journal = journal
        self.directory = directory or Directory()
        self.tariffs: Mapping[str, Tariff] = {tariff.id: tariff}
        self.tells_cost = False  # to stations, when a transaction has ended
        self._tariff = tariff
        self._unknown_tokens = unknown_tokens
        self._deciders: dict[type[AnyEvent], Callable[[Any], AnyEvent]] = {
            MeterSampled: self._placed,
            TokenPresented: self._presented,
            TransactionStarted: self._started,
            TransactionUpdated: self._continued,
            TransactionEnded: self._continued,
        }

    def handle(self, *events: AnyEvent) -> Outcome:
        """Decide and apply; the order of ``events`` is the order of the frame."""
        decided = []
        for event in events:
            event = _with_plausible_time(event)
            decide = self._deciders.get(type(event))
            if decide is not None:
                event = decide(event)
            self.book.apply(event)
            decided.append(event)
        return Outcome(tuple(decided))

    def keep(self, frame: Frame, outcome: Outcome, reply: bytes = b"") -> int:
        """Journal a frame with its outcome; returns the sequence number to wait for."""
        return self.journal.append(
            Entry(
                to_us(frame.received_at),
                frame.station,
                frame.source,
                frame.direction,
                frame.action,
                frame.raw,
                reply,
                vocabulary.encode(outcome.events),
            )
        )

    def take_changes(self, now: datetime) -> list[Snapshot]:
        """The newest snapshots of what changed since the last call, sessions priced as of ``now``."""
        return [self._priced(s, now) if isinstance(s, Session) else s for s in self.book.take_changed()]

    def recover(self) -> int:
        """Read the book back after a start: the checkpoint, then what was journaled behind it. Returns how many
        entries were applied again. They were decided when they came and are not decided anew."""
        journal, applied = self.journal, 0
        self.book.restore(decode_snapshot(row.body) for _, row in journal.read_state(0, 1_000_000_000))
        for _, entry in journal.walk(journal.checkpoint):
            for event in vocabulary.decode(entry.events):
                self.book.apply(event)
            applied += 1
        return applied

    def decide(self, token: str, now: datetime) -> Decision:
        """About a driver's token, without recording anything."""
        return decide(self.directory, self._unknown_tokens, token, now)

    def _presented(self, event: TokenPresented) -> TokenPresented:
        decision = self.decide(event.token, event.received_at)
        return replace(event, accepted=decision.is_accepted, cause=decision.cause)

    def _continued(self, event: TransactionUpdated | TransactionEnded) -> TransactionUpdated | TransactionEnded:
        session = self.book.find_session(event.station, event.transaction_id) if event.evse is None else None
        return event if session is None else replace(event, evse=session.evse)

    def _placed(self, event: MeterSampled) -> MeterSampled:
        session = self.book.session_for(event)
        if session is None:
            return event
        return replace(event, evse=session.evse, session_id=session.id)

    def _started(self, event: TransactionStarted) -> TransactionStarted:
        if event.token:
            decision = self.decide(event.token, event.received_at)
            event = replace(event, accepted=decision.is_accepted, cause=decision.cause)
        known = None if event.transaction_id else self._resent(event)
        if known is not None:
            return replace(event, transaction_id=known.transaction_id, at=known.started_at)
        if not event.transaction_id:
            event = replace(event, transaction_id=self._transaction_id(event))
        return event

    def _resent(self, event: TransactionStarted) -> Session | None:
        """A start dated by our clock cannot be known by its time: it is by what it says while nothing has flowed."""
        known = self.book.open_session(event.station, event.evse)
        if known is None or event.at != event.received_at or event.meter_start_wh is None or known.energy_wh:
            return None
        said = (event.token, event.meter_start_wh)
        return known if said == (known.token, known.meter_start_wh) else None

    def _transaction_id(self, event: TransactionStarted) -> str:
        """For OCPP 1.6, where we give the id: a hash of what the start says, so that the same start resent to any
        bridge, before or after a restart, gets the same answer (field quirks 45, 62 and 64)."""
        for salt in range(100):
            says = (event.station, event.evse, event.token, event.at.isoformat(), event.meter_start_wh, salt)
            digest = hashlib.blake2b(repr(says).encode(), digest_size=4).digest()
            number = str(int.from_bytes(digest) & 0x7FFF_FFFF or 1)
            known = self.book.find_session(event.station, number)
            if known is None or known.started_at == event.at:
                return number
        raise RuntimeError("a hundred transaction ids in a row are taken")  # 2^-3100: a broken hash

    def final_cost(self, session: Session, now: datetime) -> str:
        """What a session that has ended costs, as decimal text; empty where stations are not told, where its prices are
        not at hand, or where only its stop is known."""
        tariff = self._tariff_of(session)
        if not self.tells_cost or tariff is None or session.state is not SessionState.ENDED:
            return ""
        return str(total(tariff, max(0, session.energy_wh), session.duration_s(now)))

    def _tariff_of(self, session: Session) -> Tariff | None:
        return self.tariffs.get(session.tariff) if session.tariff else self._tariff

    def _priced(self, session: Session, now: datetime) -> Session:
        tariff = self._tariff_of(session)
        if tariff is None:
            return session  # its prices are not at hand: those of another version would be wrong for ever
        cost = str(total(tariff, max(0, session.energy_wh), session.duration_s(now)))
        session = replace(session, cost=cost, currency=tariff.currency, tariff=tariff.id)
        known = self.book.sessions[session.station]
        if session.id in known:  # not yet forgotten
            known[session.id] = session
        return session


def state_rows(snapshots: Iterable[Snapshot]) -> Iterator[StateRow]:
    """Snapshots as the journal keeps them."""
    for snapshot in snapshots:
        is_final = isinstance(snapshot, Session) and not snapshot.is_open
        yield StateRow(key_of(snapshot), is_final, encode_snapshot(snapshot))


def _with_plausible_time(event: AnyEvent) -> AnyEvent:
    """A device that lives in 1970 or next year is dated by our clock; the raw frame keeps what it said."""
    ahead = event.at - event.received_at
    if -_PLAUSIBLE_PAST <= ahead <= _PLAUSIBLE_FUTURE:
        return event
    return replace(event, at=event.received_at)
