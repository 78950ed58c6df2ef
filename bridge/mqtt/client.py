"""Chargers that speak MQTT: messages in, events on the road, an acknowledgement after the journal's commit."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import paho.mqtt.client as paho
import structlog

from bridge.access import Entry as Admitted
from bridge.access import admit
from bridge.events import AnyEvent, FrameRefused, utc_now
from bridge.intake import Frame, Intake
from bridge.journal import JournalError
from bridge.mqtt.derive import Tracker
from bridge.mqtt.link import Link
from bridge.mqtt.mapping import Mapping as VendorMapping
from bridge.mqtt.payload import MAX_PAYLOAD_BYTES, PayloadError
from bridge.mqtt.topics import captures_of, fill
from bridge.settings import Settings

_log = structlog.get_logger("mqtt")
_MAX_STATIONS = 20_000  # more devices than that are invented by somebody
_MAX_DEVICE_CHARACTERS = 64
_KEPT_OF_REFUSED = 65_536
_REDELIVERY_WINDOW = 4_000  # messages a broker may send again after a break; four times our receive maximum
_BLIND_AFTER = timedelta(seconds=30)
_PUBACK = b"\x40\x02"

_RedeliveryKey = tuple[int, str, bytes]


class MqttChargers:
    """All chargers of all vendors on one broker. Everything runs on the bridge's loop."""

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        mappings: Mapping[str, VendorMapping],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._mappings = mappings
        self._clock = clock
        self._trackers: dict[str, tuple[Tracker, VendorMapping]] = {}
        self._admitted: dict[str, bool] = {}
        self._directory = intake.directory
        self._unacknowledged: deque[tuple[int, int]] = deque()  # (journal sequence, packet id), oldest first
        self._recent: OrderedDict[_RedeliveryKey, None] = OrderedDict()
        self._published: dict[tuple[str, int], float] = {}
        self._down_since: datetime | None = None
        self._link: Link | None = None
        self._beat: asyncio.Task[None] | None = None
        self.messages = 0
        self.refused_messages = 0  # of devices that may not come in

    @property
    def stations(self) -> list[str]:
        """The stations that are connected now."""
        return [station for station, (tracker, _) in self._trackers.items() if tracker.is_connected]

    @property
    def is_up(self) -> bool:
        """Is the broker there?"""
        return self._link is not None and self._link.is_up

    async def start(self) -> None:
        """Take up what the book and the journal know and connect in the background."""
        if not self._mappings:
            _log.info("no MQTT chargers: chargers.vendors names no vendor")
            return
        await asyncio.to_thread(self._remember_redeliverable)
        self._restore()
        filters = dict.fromkeys(name for mapping in self._mappings.values() for name in mapping.filters)
        client_id = self._settings.mqtt.client_id or f"chargewatch-chargers-{self._settings.bridge_name}"
        self._down_since = self._clock()
        self._link = Link(self._settings.mqtt, client_id, filters, self._receive, self._up, self._down)
        self._link.start()
        self._beat = asyncio.get_running_loop().create_task(self._tick_for_ever(), name="mqtt ticks")

    async def stop(self) -> None:
        """Leave the broker; what it holds for us waits there."""
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)
        if self._link is not None:
            await self._link.stop()

    def flush(self, committed: int) -> None:
        """Acknowledge what the journal has on disk, in the order it came. Call on the loop after each commit."""
        if self._link is None:
            return
        while self._unacknowledged and self._unacknowledged[0][0] <= committed:
            self._link.ack(self._unacknowledged.popleft()[1])
        if not self._intake.journal.is_full:
            self._link.resume()

    # messages

    def _receive(self, message: paho.MQTTMessage) -> None:
        self.messages += 1
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # no mapping reads it; acknowledged below so that it does not come again
        payload = bytes(message.payload)
        try:
            if not self._is_redelivered(message, topic, payload):
                self._take(message, topic, payload)
        except JournalError:
            if self._link is not None:
                self._link.pause()  # never acknowledge what is not kept; the bridge is about to stop
            return
        journal = self._intake.journal
        if message.qos:
            self._unacknowledged.append((journal.head, message.mid))
            self.flush(journal.committed)
        if journal.is_full and self._link is not None:
            self._link.pause()

    def _is_redelivered(self, message: paho.MQTTMessage, topic: str, payload: bytes) -> bool:
        """Was this QoS 1 message handled before our acknowledgement got lost? Packet ids survive a reconnection."""
        if not message.qos:
            return False
        key = _redelivery_key(message.mid, topic, payload)
        if message.dup and key in self._recent:
            return True
        self._recent[key] = None
        if len(self._recent) > _REDELIVERY_WINDOW:
            self._recent.popitem(last=False)
        return False

    def _take(self, message: paho.MQTTMessage, topic: str, payload: bytes) -> None:
        reply = _PUBACK + message.mid.to_bytes(2) if message.qos else b""
        for mapping in self._mappings.values():
            device = mapping.device(topic)
            if device and _is_plausible(device):
                self._take_one(mapping, device, topic, payload, message.retain, reply)

    def _take_one(
        self, mapping: VendorMapping, device: str, topic: str, payload: bytes, retained: bool, reply: bytes
    ) -> None:
        now = self._clock()
        station = f"{mapping.vendor}-{device}"
        frame = Frame(station, f"mqtt/{mapping.vendor}", ">", topic, payload[:_KEPT_OF_REFUSED], now)
        if not self._may_come_in(station):
            self.refused_messages += 1
            self._intake.keep(frame, self._intake.handle(), reply)
            return
        try:
            events = self._events(mapping, station, topic, payload, retained, now)
            outcome = self._intake.handle(*events)
        except JournalError:
            raise
        except Exception:
            _log.exception("a message broke its adapter", station=station, topic=topic)
            outcome = self._intake.handle(_refusal(station, topic, now, "InternalError", "see the bridge's log"))
        self._intake.keep(frame, outcome, reply)

    def _events(
        self, mapping: VendorMapping, station: str, topic: str, payload: bytes, retained: bool, now: datetime
    ) -> list[AnyEvent]:
        if len(payload) > MAX_PAYLOAD_BYTES:
            return [_refusal(station, topic, now, "TooLarge", f"{len(payload)} bytes; {MAX_PAYLOAD_BYTES} are taken")]
        try:
            readings = mapping.read(topic, payload, retained, now)
        except PayloadError as error:
            return [_refusal(station, topic, now, "FormatViolation", str(error))]
        return self._tracker(station, mapping).take(readings)

    # stations

    def _tracker(self, station: str, mapping: VendorMapping) -> Tracker:
        known = self._trackers.get(station)
        if known is None:
            tracker = Tracker.restored(station, mapping, self._settings.mqtt.host, self._intake.book)
            known = self._trackers[station] = (tracker, mapping)
        return known[0]

    def _may_come_in(self, station: str) -> bool:
        if self._directory is not self._intake.directory:
            self._directory = self._intake.directory
            self._admitted.clear()
        is_admitted = self._admitted.get(station)
        if is_admitted is None:
            is_admitted = self._admitted[station] = self._admit(station)
        return is_admitted

    def _admit(self, station: str) -> bool:
        """The broker has proved the charger's identity, or not at all: there is no key to check here."""
        if len(self._admitted) >= _MAX_STATIONS:
            self._admitted.clear()
        admission = admit(self._directory, self._settings.stations.unknown, b"", station, None)
        if admission.entry is Admitted.ACCEPTED and len(self._trackers) >= _MAX_STATIONS:
            _log.error("too many MQTT stations", station=station, limit=_MAX_STATIONS)
            return station in self._trackers
        if admission.entry is not Admitted.ACCEPTED:
            _log.warning("MQTT station is not let in", station=station, entry=admission.entry, why=admission.cause)
        return admission.entry is Admitted.ACCEPTED

    def _restore(self) -> None:
        """Stations that the book knows are watched from the start: their silence is news too."""
        for station in list(self._intake.book.stations.values()):
            mapping = self._mappings.get(station.protocol.removeprefix("mqtt/"))
            if station.protocol.startswith("mqtt/") and mapping is not None:
                self._tracker(station.id, mapping)

    def _remember_redeliverable(self) -> None:
        journal = self._intake.journal
        for _, entry in journal.read(journal.committed - _REDELIVERY_WINDOW, _REDELIVERY_WINDOW):
            if entry.source.startswith("mqtt/") and entry.reply.startswith(_PUBACK):
                self._recent[_redelivery_key(int.from_bytes(entry.reply[2:]), entry.action, entry.frame)] = None

    # time

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            try:
                self.tick(self._clock())
            except JournalError:
                return
            except Exception:
                _log.exception("MQTT tick failed")

    def tick(self, now: datetime) -> None:
        """What time alone makes true, journaled without a frame; called every second."""
        is_blind = self._down_since is not None and now - self._down_since > _BLIND_AFTER
        for station, (tracker, mapping) in self._trackers.items():
            events = tracker.tick(now)
            if is_blind:
                events += tracker.disconnect(now, "no connection to the broker")
            if events:
                outcome = self._intake.handle(*events)
                self._intake.keep(Frame(station, f"mqtt/{mapping.vendor}", ">", "derived", b"", now), outcome)
        self._publish_due(now)

    # the broker

    def _up(self) -> None:
        self._down_since = None
        self._published.clear()
        for vendor, mapping in self._mappings.items():
            for number, entry in enumerate(mapping.publish):
                if entry.on == "connect":
                    self._publish(vendor, mapping, number)

    def _down(self) -> None:
        self._down_since = self._clock()
        self._unacknowledged.clear()  # packet ids end with the connection; what was not acknowledged comes again

    def _publish_due(self, now: datetime) -> None:
        moment = now.timestamp()
        for vendor, mapping in self._mappings.items():
            for number, entry in enumerate(mapping.publish):
                if entry.every and moment - self._published.get((vendor, number), 0.0) >= entry.every:
                    self._published[vendor, number] = moment
                    self._publish(vendor, mapping, number)

    def _publish(self, vendor: str, mapping: VendorMapping, number: int) -> None:
        """A keep-alive that names a device goes to every device known or registered."""
        entry = mapping.publish[number]
        devices = {mapping.source.device}
        if "device" in captures_of(entry.topic):
            known = {*self._trackers, *self._intake.directory.stations}
            devices = {name.removeprefix(f"{vendor}-") for name in known if name.startswith(f"{vendor}-")}
        for device in devices:
            if self._link is not None and _is_plausible(device):
                self._link.publish(fill(entry.topic, {"device": device}), entry.payload.encode())


def _redelivery_key(mid: int, topic: str, payload: bytes) -> _RedeliveryKey:
    return mid, topic, hashlib.blake2b(payload[:_KEPT_OF_REFUSED], digest_size=8).digest()


def _is_plausible(device: str) -> bool:
    return len(device) <= _MAX_DEVICE_CHARACTERS and device.isprintable() and not set("/+#") & set(device)


def _refusal(station: str, topic: str, now: datetime, code: str, detail: str) -> FrameRefused:
    return FrameRefused(station=station, at=now, received_at=now, action=topic, code=code, detail=detail)
