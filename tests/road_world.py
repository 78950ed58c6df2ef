"""A journal with an intake before it, and a wait for what its followers do."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from bridge.billing.price import Tariff
from bridge.book import Book
from bridge.events import (
    AnyEvent,
    MeterSampled,
    StationConnected,
    TransactionEnded,
    TransactionStarted,
)
from bridge.intake import Frame, Intake, state_rows
from bridge.journal import Journal
from bridge.settings import Unknown
from bridge.snapshots import Snapshot

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


TARIFF = Tariff(
    id="test-1",
    currency="EUR",
    energy_per_kwh=Decimal("0.50"),
    time_per_minute=Decimal(0),
    flat=Decimal("1.00"),
    vat_percent=Decimal(19),
)


class Road:
    """A journal with an intake before it."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / "journal.db", commit_every_s=0)
        self.journal.open()
        self.intake = Intake(Book("test"), self.journal, Unknown.ACCEPT, TARIFF)

    def tell(self, *events: AnyEvent, raw: bytes = b"{}") -> int:
        first = events[0]
        frame = Frame(first.station, "ocpp1.6", ">", type(first).__name__, raw, first.received_at)
        return self.intake.keep(frame, self.intake.handle(*events), b"[3]")

    def whole_session(self, station: str, readings: int = 5) -> None:
        self.tell(StationConnected(station=station, at=NOW, received_at=NOW, address="", protocol="ocpp1.6"))
        self.tell(TransactionStarted(station=station, at=NOW, received_at=NOW, evse=1, token="A", meter_start_wh=0))
        for number in range(1, readings + 1):
            at = NOW + timedelta(minutes=number)
            values = {"energy_import_wh": 200.0 * number, "power_w": 12_000.0}
            self.tell(MeterSampled(station=station, at=at, received_at=at, evse=1, values=values))
        session = self.intake.book.open_session(station, 1)
        assert session is not None
        end = NOW + timedelta(minutes=readings + 1)
        self.tell(
            TransactionEnded(
                station=station,
                at=end,
                received_at=end,
                transaction_id=session.transaction_id,
                meter_stop_wh=200 * (readings + 1),
            )
        )

    def changes(self) -> list[Snapshot]:
        """What changed, durable, as the bridge's tick hands it out."""
        changed = self.intake.take_changes(NOW)
        self.journal.put_state(state_rows(changed))
        wait_for(lambda: self.journal.committed == self.journal.checkpoint == self.journal.head)
        return changed

    def settle(self) -> None:
        self.changes()


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
