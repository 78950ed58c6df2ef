"""The alarm process: APScheduler ticks, a watch by the monotonic clock, delivery on a thread of its own.

APScheduler's wake-ups follow the wall clock, so a clock that is set back would stop alarming. The watch sees by the
monotonic clock that a tick is overdue, says so and calls it; all state is in the records, so a tick more or less
changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from prometheus_client import Counter, Gauge

from bridge.broker import BrokerClient
from bridge.events import utc_now
from bridge.health import serve_health
from bridge.settings import Settings
from bridge.stores.database import Database, RecordsRejected, RecordsUnavailable
from dashboard.alerts.catalogue import SHIPPED, Rule, load_rules
from dashboard.alerts.engine import evaluate
from dashboard.alerts.facts import read_facts
from dashboard.alerts.leader import Lease, NotLeader, new_holder
from dashboard.alerts.live import AlarmPublisher, last_will
from dashboard.alerts.outbox import Channel, Outbox, deliver, open_channels, router
from dashboard.alerts.store import AlarmStore

LEASE = "alerts"
LATE_TICKS = 3
NEAR = timedelta(hours=1)  # each tick looks this far back for ends of sessions
FAR = timedelta(days=8)  # and now and then this far: a bridge cut off from the database catches up (journal.keep_days)
_FAR_EVERY_S = 60.0

_log = structlog.get_logger("alerts")
_ticks = Counter("chargewatch_alert_ticks_total", "Evaluations by what came of them.", ["outcome"])
_late = Counter("chargewatch_alert_ticks_late_total", "Times a tick was overdue by three intervals.")
_leads = Gauge("chargewatch_alerts_leader", "1 while this process holds the lease.")
_open = Gauge("chargewatch_alarms_open", "Alarms that are not normal.", ["priority"])
_seconds = Gauge("chargewatch_alert_tick_seconds", "Duration of the newest tick.")


class Overdue(Exception):
    """No tick has run for too long."""


class Evaluator:
    """One tick: renew the lease, read, decide, store, publish. Whatever fails, the next tick starts afresh."""

    def __init__(
        self,
        records: Database,
        rules: Mapping[str, Rule],
        channels: Mapping[str, Channel],
        lease: Lease,
        min_priority: int,
        publisher: AlarmPublisher | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._rules = rules
        self._route = router(channels, min_priority)
        self._lease = lease
        self._publisher = publisher
        self._clock = clock
        self._store = AlarmStore(records)
        self._far_at = float("-inf")
        self._held_at = float("-inf")
        self.is_leader = False
        self.ticked_at = time.monotonic()

    def may_act(self) -> bool:
        """Leader, and not on a belief older than the lease: a process that was stopped for a while must look again."""
        return self.is_leader and time.monotonic() - self._held_at < self._lease.life_s

    def tick(self) -> None:
        """Never raises."""
        began = time.monotonic()
        outcome = self._try()
        _ticks.labels(outcome).inc()
        _leads.set(self.is_leader)
        _seconds.set(time.monotonic() - began)
        self.ticked_at = time.monotonic()

    def _try(self) -> str:
        try:
            return self._lead() if self._holds_lease() else "standby"
        except NotLeader as error:
            self.is_leader = False
            _log.warning("another process took over in mid-tick", reason=str(error))
            return "fenced"
        except RecordsUnavailable as error:
            self.is_leader = False
            _log.warning("the records are away, alarms wait for them", reason=str(error))
            return "unavailable"
        except Exception:
            _log.exception("a tick failed")
            return "failed"

    def _holds_lease(self) -> bool:
        asked_at = time.monotonic()
        held = self._lease.acquire()
        self._held_at = asked_at if held else self._held_at
        if held is not self.is_leader:
            _log.info("leading" if held else "standing by", holder=self._lease.holder)
        self.is_leader = held
        return held

    def _lead(self) -> str:
        now = self._clock()
        facts = read_facts(self._records, now, self._window(now))
        open_alarms = {(a.rule, a.subject): a.state for a in self._store.open_alarms()}
        decisions = evaluate(self._rules, facts, open_alarms, self._store.delays(), now)
        self._store.apply(decisions, self._rules, facts.ends, now, self._route, self._lease.fence)
        self._publish(now)
        return "evaluated"

    def _window(self, now: datetime) -> timedelta:
        if time.monotonic() - self._far_at < _FAR_EVERY_S:
            return NEAR
        self._far_at = time.monotonic()
        self._store.prune(now - FAR - NEAR)
        return FAR

    def _publish(self, now: datetime) -> None:
        alarms = self._store.open_alarms()
        for priority in range(1, 5):
            _open.labels(priority).set(sum(alarm.priority == priority for alarm in alarms))
        if self._publisher is not None:
            self._publisher.publish(alarms, self._lease.holder, now)


class AlarmProcess:
    """Everything ``chargewatch alerts`` runs. ``start`` returns at once; ``stop`` waits for what is under way."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._every_s = settings.alerts.every_s
        self._records = Database(settings.records.url.get_secret_value())
        self._channels = open_channels(settings.alerts)
        self._lease = Lease(self._records, LEASE, new_holder(), settings.alerts.lease_s)
        self._outbox = Outbox(self._records)
        self._broker = BrokerClient(settings.mqtt, self._lease.holder, last_will(self._lease.holder, utc_now()))
        self._publisher = AlarmPublisher(self._broker)
        self.evaluator = Evaluator(
            self._records,
            load_rules(SHIPPED, settings.alerts.rules),
            self._channels,
            self._lease,
            settings.alerts.min_priority,
            self._publisher,
        )
        # a job's own time zone never matters: the trigger is an interval
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._is_migrated = False
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._watch_ticks, name="watch", daemon=True)

    @property
    def holder(self) -> str:
        return self._lease.holder

    def start(self) -> int:
        """Returns the port of the health server. Raises OSError when it is taken."""
        admin = self._settings.admin
        self._health = serve_health(
            admin.host, admin.alerts_port, {"records": self._records.check, "ticks": self.check_ticks}
        )
        self._broker.start()
        for name, job in (("tick", self._tick), ("deliver", self._deliver)):
            self._scheduler.add_job(
                job,
                "interval",
                seconds=self._every_s,
                id=name,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
                next_run_time=utc_now(),
            )
        self._scheduler.start()
        self._watch.start()
        return self._health.port

    def stop(self) -> None:
        self._stopping.set()
        self._scheduler.shutdown(wait=True)
        if self.evaluator.is_leader:
            self._publisher.say_down(self.holder, utc_now())
            self._release()
        self._broker.stop()
        self._health.close()
        self._records.close()

    def check_ticks(self) -> None:
        """Raises Overdue when alarming has stopped."""
        age_s = time.monotonic() - self.evaluator.ticked_at
        if age_s > self._every_s * (LATE_TICKS + 1):
            raise Overdue(f"the last evaluation was {age_s:.0f} s ago, it should be {self._every_s:g} s")

    def _tick(self) -> None:
        if not self._is_migrated:
            self._migrate()
        self.evaluator.tick()

    def _migrate(self) -> None:
        try:
            self._records.migrate()
            self._is_migrated = True
        except RecordsUnavailable as error:
            _log.warning("waiting for the records", reason=str(error))

    def _deliver(self) -> None:
        if not self.evaluator.may_act():
            return
        try:
            deliver(self._outbox, self._channels, utc_now, self.evaluator.may_act)
        except (RecordsUnavailable, RecordsRejected) as error:
            _log.warning("delivery waits for the records", reason=str(error))

    def _watch_ticks(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self.check_ticks()
            except Overdue as overdue:
                _late.inc()
                _log.error("alarming is late", reason=str(overdue))
                for name in ("tick", "deliver"):
                    self._scheduler.modify_job(name, next_run_time=utc_now())

    def _release(self) -> None:
        try:
            self._lease.release()
        except RecordsUnavailable as error:
            _log.warning("the lease runs out by itself", reason=str(error))
