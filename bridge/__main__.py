"""The one wiring place of the bridge: settings in, a running bridge out."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import structlog

from bridge.access import Directory
from bridge.authority import Authority, AuthorityError
from bridge.billing.price import Tariff
from bridge.book import Book
from bridge.broker import BrokerClient
from bridge.commander import Commander
from bridge.descriptors import raise_open_file_limit
from bridge.events import StationDisconnected, to_us, utc_now
from bridge.health import HealthServer, serve_health
from bridge.intake import Frame, Intake, state_rows
from bridge.journal import Journal, JournalError
from bridge.live import BridgeView, bridge_topic
from bridge.logs import configure_logs
from bridge.mqtt.client import MqttChargers
from bridge.mqtt.mapping import load_mappings
from bridge.ocpp.certificates import Signer
from bridge.ocpp.ledger import Ledger
from bridge.ocpp.server import OcppServer
from bridge.projections import DetailsProjection, RecordsProjection, Runner, TelemetryProjection
from bridge.publisher import Publisher, last_will
from bridge.settings import Settings, Unknown
from bridge.snapshots import Snapshot, key_of
from bridge.stores.details import Details
from bridge.stores.handover import keep_tariff, snapshots, stations_elsewhere, stations_held
from bridge.stores.opening import open_telemetry
from bridge.stores.people import pepper
from bridge.stores.records import Records, RecordsUnavailable

_log = structlog.get_logger("bridge")
_DIRECTORY = "directory"  # the last copy of who may come in, kept beside the journal
_TARIFFS = "tariffs"  # and of all tariff versions that sessions rest on
_TICK_S = 0.1
_CHECKPOINT_S = 1.0
_BEAT_S = 15.0
_REFRESH_S = 3.0
_HOUR_S = 3600.0
_M_ARENA_MAX = -8  # malloc.h


class JournalFailed(Exception):
    """The journal's disk failed: a bridge that cannot keep must not answer."""


class Bridge:
    """Everything that runs in a bridge process. ``run`` returns when it was asked to stop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._name = settings.bridge_name
        self._journal = Journal(
            settings.journal.path, settings.journal.commit_every_ms / 1000, settings.journal.max_pending
        )
        self._records = Records(settings.records.url.get_secret_value())
        self._telemetry = open_telemetry(settings)
        self._book = Book(self._name)
        tariff = Tariff(
            id=settings.billing.tariff,
            currency=settings.billing.currency,
            energy_per_kwh=settings.billing.energy_per_kwh,
            time_per_minute=settings.billing.time_per_minute,
            flat=settings.billing.flat,
            vat_percent=settings.billing.vat_percent,
        )
        self._tariff = tariff
        self._intake = Intake(self._book, self._journal, Unknown(settings.tokens.unknown), tariff)
        self._intake.tells_cost = settings.billing.tell_stations
        self._ledger = Ledger(self._records, settings.stations, self._name)
        self._ocpp = OcppServer(
            settings.ocpp, settings.stations, pepper(settings), self._intake, self._adopt, self._ledger
        )
        self._open_authority()
        self._mqtt = MqttChargers(settings, self._intake, load_mappings(settings.chargers))
        will = (bridge_topic(self._name), last_will(self._name))
        self._broker = BrokerClient(settings.mqtt, f"chargewatch-bridge-{self._name}", will)
        self._commander = Commander(self._broker, self._ocpp)
        self._publisher = Publisher(self._broker, self._name, self._describe)
        self._runners = [
            Runner(self._journal, RecordsProjection(self._journal, self._records)),
            Runner(self._journal, DetailsProjection(self._journal, Details(self._records))),
            Runner(
                self._journal,
                TelemetryProjection(self._journal, self._telemetry, timedelta(seconds=60), utc_now),
            ),
        ]
        self._elsewhere: frozenset[str] = frozenset()  # stations that the records place on another bridge
        self._stop = asyncio.Event()
        self._flush_due = False
        self._failed = False
        self._uncommitted: deque[tuple[int, list[Snapshot]]] = deque()  # for the live state, when durable
        self._unsaved: dict[str, Snapshot] = {}  # for the next checkpoint
        self._checkpoint_at = 0.0

    def _open_authority(self) -> None:
        folder, certificates = self._settings.ocpp.ca_folder, self._ledger.certificates
        if folder is None or certificates is None:
            return
        try:
            authority = Authority(folder)
        except AuthorityError as error:  # chargers come in all the same
            _log.error("certificate requests of stations are refused", error=str(error))
            return
        self._ocpp.sign_by(Signer(authority, certificates, self._settings.ocpp.ca_days))

    async def run(self, on_ready: Callable[[int], None] = lambda port: None) -> None:
        """Run until SIGTERM, SIGINT or a failed journal (JournalFailed). ``on_ready`` gets the OCPP port."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._prepare)
        health = self._start()
        await self._ocpp.start()
        await self._mqtt.start()
        for name in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(name, self._stop.set)
        _log.info("bridge is up", ocpp_port=self._ocpp.port, health_port=health.port, bridge=self._name)
        on_ready(self._ocpp.port)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(_every(_TICK_S, self._tick)),
                    tasks.create_task(_every(_BEAT_S, self._beat)),
                    tasks.create_task(_every(_REFRESH_S, self._refresh)),
                    tasks.create_task(_every(_HOUR_S, self._expire)),
                ]
                await self._stop.wait()
                for task in running:
                    task.cancel()
        finally:
            await self._shut_down(health)
        if self._failed:
            raise JournalFailed("the journal failed: see the log; mend the disk and start again")

    def _prepare(self) -> None:
        self._journal.open()
        applied = self._intake.recover()
        if applied:
            _log.info("entries behind the checkpoint applied again", entries=applied)
        self._intake.directory = self._kept_directory()
        self._intake.tariffs = {**self._intake.tariffs, **self._kept_tariffs()}
        with contextlib.suppress(RecordsUnavailable):
            self._records.migrate()
            self._ledger.begin()
            self._read_records()
            self._take_back()
        gc.collect()
        gc.freeze()  # what lives as long as the process is never scanned again
        gc.set_threshold(200_000, 50, 1000)  # the collector makes the tail of the reply times
        sys.setswitchinterval(0.001)  # the journal's thread must not queue long behind a busy loop

    def _start(self) -> HealthServer:
        self._disconnect_all("bridge restarted")
        self._publisher.offer(self._book.everything())
        self._journal.on_commit = self._committed
        for runner in self._runners:
            runner.start()
        self._publisher.start()
        self._broker.start()
        checks: dict[str, Callable[[], None]] = {runner.name: runner.check for runner in self._runners}
        checks["broker"] = self._publisher.check
        return serve_health(self._settings.admin.host, self._settings.admin.bridge_port, checks)

    async def _shut_down(self, health: HealthServer) -> None:
        await self._ocpp.stop(2.0)
        await self._mqtt.stop()
        with contextlib.suppress(JournalError):  # it is the reason why we stop
            self._disconnect_all("bridge stopped")
        self._hand_out()
        self._checkpoint()
        await asyncio.to_thread(self._journal.close)
        for runner in self._runners:
            await asyncio.to_thread(runner.stop)
        await asyncio.to_thread(self._publisher.stop)
        self._broker.stop()
        self._telemetry.close()
        self._records.close()
        health.close()

    def _disconnect_all(self, reason: str) -> None:
        """A bridge that starts or stops holds no sockets, whatever the book says."""
        now = utc_now()
        for station in list(self._book.stations.values()):
            if station.is_connected and station.bridge == self._name:
                event = StationDisconnected(station=station.id, at=now, received_at=now, reason=reason)
                outcome = self._intake.handle(event)
                self._intake.keep(Frame(station.id, "bridge", "-", "disconnect", b"", now), outcome)

    # after each commit

    def _committed(self, seq: int) -> None:
        """On the journal's thread. Many commits may pass before the loop comes round: one flush serves all."""
        if seq < 0:
            self._failed = True
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._failed:
            self._ocpp.flush(-1)
            self._stop.set()
            return
        committed = self._journal.committed
        self._ocpp.flush(committed)
        self._mqtt.flush(committed)
        self._publish_committed()
        for runner in self._runners:
            runner.wake()

    # from time to time

    async def _tick(self) -> None:
        """What changed goes to the live state once it is durable, and every second into a checkpoint."""
        self._hand_out()
        if self._loop.time() - self._checkpoint_at >= _CHECKPOINT_S:
            self._checkpoint()

    def _hand_out(self) -> None:
        changed = self._intake.take_changes(utc_now())
        if changed:
            self._uncommitted.append((self._journal.head, changed))
            self._unsaved |= {key_of(snapshot): snapshot for snapshot in changed}
        self._publish_committed()

    def _publish_committed(self) -> None:
        while self._uncommitted and self._uncommitted[0][0] <= self._journal.committed:
            self._publisher.offer(self._uncommitted.popleft()[1])

    def _checkpoint(self) -> None:
        self._checkpoint_at = self._loop.time()
        if self._unsaved:
            unsaved, self._unsaved = self._unsaved, {}
            self._journal.put_state(state_rows(unsaved.values()))

    async def _beat(self) -> None:
        self._book.beat()

    async def _refresh(self) -> None:
        known = self._intake.directory
        await self._ledger.write()
        with contextlib.suppress(RecordsUnavailable):
            await asyncio.to_thread(self._read_records)
        if self._intake.directory is not known:
            self._ocpp.recheck()

    def _read_records(self) -> None:
        directory = self._records.directory()
        if directory != self._intake.directory:
            self._intake.directory = directory
            self._journal.keep(_DIRECTORY, msgspec.msgpack.encode(directory))
        tariffs = self._intake.tariffs = keep_tariff(self._records, self._tariff)
        if tariffs != self._kept_tariffs():
            self._journal.keep(_TARIFFS, msgspec.msgpack.encode(tariffs))
        self._elsewhere = stations_elsewhere(self._records, self._name)

    def _kept_directory(self) -> Directory:
        kept = self._journal.kept(_DIRECTORY)
        return Directory() if kept is None else msgspec.msgpack.decode(kept, type=Directory)

    def _kept_tariffs(self) -> dict[str, Tariff]:
        kept = self._journal.kept(_TARIFFS)
        return {} if kept is None else msgspec.msgpack.decode(kept, type=dict[str, Tariff])

    def _take_back(self) -> None:
        """After the loss of the journal go on from the records: they would refuse revisions that begin anew."""
        for station in stations_held(self._records, self._name) - self._book.stations.keys():
            self._book.adopt(snapshots(self._records, station))

    async def _expire(self) -> None:
        await asyncio.to_thread(self._expire_now)

    def _expire_now(self) -> None:
        now = utc_now()
        horizon = to_us(now - timedelta(days=self._settings.journal.keep_days))
        readers = (TelemetryProjection.name, DetailsProjection.name)
        dropped = self._journal.expire(horizon, of_entries=readers, of_state=RecordsProjection.name)
        kept = self._settings.telemetry
        with contextlib.suppress(Exception):
            self._telemetry.expire(now, kept.raw_days, kept.frame_days, kept.rollup_days)
        if dropped:
            _log.info("old journal entries dropped", entries=dropped)

    def _adopt(self, station: str) -> Awaitable[None] | None:
        """Another bridge held this station: go on from its last word in the records."""
        return asyncio.to_thread(self._fetch_past, station) if station in self._elsewhere else None

    # called from other threads

    def _fetch_past(self, station: str) -> None:
        try:
            found = snapshots(self._records, station)
        except RecordsUnavailable as error:
            _log.warning("cannot ask the records about a station's past", station=station, error=str(error))
        else:
            self._loop.call_soon_threadsafe(self._book.adopt, found)  # the book belongs to the loop

    def _describe(self) -> BridgeView:
        now = utc_now()
        return BridgeView(
            bridge=self._name,
            at=now,
            stations=len(self._ocpp.connections) + len(self._mqtt.stations),
            messages=self._ocpp.messages + self._mqtt.messages,
            lags_s={runner.name: round(runner.observe(to_us(now)), 3) for runner in self._runners},
        )


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Until cancelled. A failure is logged and the next turn comes all the same."""
    while True:
        started = time.monotonic()
        try:
            await work()
        except Exception:
            _log.exception("periodic work failed", work=getattr(work, "__name__", ""))
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - started)))


def _share_arenas() -> None:
    """Every thread of ours otherwise gets an arena of glibc's own, and each keeps what its largest page took. Other C
    libraries have nothing of that name."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def serve(settings: Settings, on_ready: Callable[[int], None] = lambda port: None) -> None:
    """Configure logs and run a bridge until it is asked to stop. Raises JournalFailed, JournalError, OSError."""
    _share_arenas()
    configure_logs(settings.log)
    granted = raise_open_file_limit()
    _log.info("open files", limit=granted)  # one for each station

    async def run() -> None:
        await Bridge(settings).run(on_ready)

    asyncio.run(run())


if __name__ == "__main__":
    from bridge.settings import load_settings

    serve(load_settings())
