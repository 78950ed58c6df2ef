"""One MQTT connection as the processes use it: MQTT 5 first, 3.1.1 when the broker refuses it or only stays silent,
reconnecting."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from bridge.settings import Mqtt

_log = structlog.get_logger("broker")
_SILENCE_S = 5.0  # some brokers never answer a CONNECT of MQTT 5
_UNSUPPORTED_VERSION = ("Unsupported protocol version", "Protocol error")


def new_client(settings: Mqtt, client_id: str, version: MQTTProtocolVersion, **options: Any) -> paho.Client:
    """A configured paho client (credentials, TLS, back-off), not yet connected."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version, **options)
    if settings.username:
        client.username_pw_set(settings.username, settings.password.get_secret_value())
    if settings.tls:
        context = ssl.create_default_context(cafile=str(settings.tls_ca) if settings.tls_ca else None)
        if settings.tls_certificate:
            context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        client.tls_set_context(context)
    client.reconnect_delay_set(1, 15)
    return client


class BrokerClient:
    """Publishes and subscribes on paho's own thread; survives the broker's absence at any time."""

    def __init__(self, settings: Mqtt, client_id: str, will: tuple[str, bytes] | None = None) -> None:
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._on_connected: list[Callable[[], None]] = []
        self._handlers: list[tuple[str, Callable[[str, bytes, bool], None]]] = []
        self._connected = threading.Event()
        self._has_answered = False
        first = MQTTProtocolVersion.MQTTv311 if settings.protocol == "3.1.1" else MQTTProtocolVersion.MQTTv5
        self.client = self._new(first)

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    def on_connected(self, callback: Callable[[], None]) -> None:
        """Called on paho's thread at each connection, after the subscriptions."""
        self._on_connected.append(callback)

    def subscribe(self, topic: str, handler: Callable[[str, bytes, bool], None]) -> None:
        """``handler(topic, payload, retained)`` for a filter, at this and every later connection. Call before start."""
        self._handlers.append((topic, handler))
        self._add(self.client, topic, handler)

    def start(self) -> None:
        """Connect in the background and keep connected."""
        self.client.connect_async(self._settings.host, self._settings.port, self._settings.keepalive_s)
        self.client.loop_start()

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def publish(self, topic: str, body: bytes, retain: bool = False, qos: int = 0) -> None:
        """Nothing is queued while the broker is away: what is live then is published at its return."""
        if self.is_connected:
            self.client.publish(topic, body, qos=qos, retain=retain)

    def _new(self, version: MQTTProtocolVersion) -> paho.Client:
        client = new_client(self._settings, self._client_id, version)
        if self._will is not None:
            client.will_set(self._will[0], self._will[1], qos=1, retain=True)
        if self._settings.protocol == "auto" and version == MQTTProtocolVersion.MQTTv5:
            client.on_socket_open = self._await_answer
        client.on_connect = self._connect_answered
        client.on_disconnect = self._disconnected
        for topic, handler in self._handlers:
            self._add(client, topic, handler)
        return client

    def _add(self, client: paho.Client, topic: str, handler: Callable[[str, bytes, bool], None]) -> None:
        def call(_client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
            handler(message.topic, bytes(message.payload), message.retain)

        client.message_callback_add(topic, call)

    def _connect_answered(
        self, client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self._has_answered = True
        if reason.is_failure:
            self._refused(client, reason)
            return
        for topic, _ in self._handlers:
            client.subscribe(topic, qos=1)
        self._connected.set()
        _log.info("connected to the broker", host=self._settings.host, port=self._settings.port)
        for callback in self._on_connected:
            callback()

    def _await_answer(self, client: paho.Client, _userdata: object, _socket: object) -> None:
        def give_up() -> None:
            if not self._has_answered and client is self.client:
                _log.info("the broker does not answer MQTT 5, using 3.1.1")
                self._has_answered = True
                self._fall_back(client)

        timer = threading.Timer(_SILENCE_S, give_up)
        timer.daemon = True
        timer.start()

    def _refused(self, client: paho.Client, reason: ReasonCode) -> None:
        is_old = client.protocol == MQTTProtocolVersion.MQTTv5 and reason.getName() in _UNSUPPORTED_VERSION
        if self._settings.protocol == "auto" and is_old:
            _log.info("the broker does not speak MQTT 5, using 3.1.1")
            threading.Thread(target=self._fall_back, args=(client,), daemon=True).start()
        else:
            _log.error("the broker refused us", reason=reason.getName())

    def _fall_back(self, old: paho.Client) -> None:
        old.loop_stop()
        self.client = self._new(MQTTProtocolVersion.MQTTv311)
        self.start()

    def _disconnected(self, _client: paho.Client, *_details: object) -> None:
        self._connected.clear()
