"""paho-mqtt on an asyncio loop: its socket is read and written by the loop, so no message changes threads.

Connecting alone (name look-up, TCP, TLS) happens in a thread, since paho does it blocking. MQTT 5 first and 3.1.1
when the broker does not take it; the session at the broker outlives us, so that QoS 1 messages wait.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterable
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from bridge.broker import new_client
from bridge.settings import Mqtt

_log = structlog.get_logger("mqtt")
_V5, _V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
_SESSION_EXPIRY_S = 7 * 86_400
_RECEIVE_MAXIMUM = 1000  # unacknowledged at once: a group commit's worth
_CONNACK_S = 5.0
_MAX_BACK_OFF_S = 30.0
_READS_PER_TURN = 200  # then the loop may do something else

OnMessage = Callable[[paho.MQTTMessage], None]


class Link:
    """One connection to the broker, kept up from ``start`` to ``stop``. ``on_message`` must not raise."""

    def __init__(
        self,
        settings: Mqtt,
        client_id: str,
        filters: Iterable[str],
        on_message: OnMessage,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._filters = list(filters)
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._client: paho.Client | None = None
        self._socket: Any = None
        self._is_paused = False
        self._is_up = False
        self._was_accepted = False
        self._received = 0
        self._closed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        """Connected and subscribed."""
        return self._is_up

    def start(self) -> None:
        """Connect in the background and keep connected."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._keep_connected(), name="mqtt chargers")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._client is not None:
            self._was_accepted = False  # not a loss
            self._client.disconnect()
            self._client.loop_write()

    def ack(self, mid: int) -> None:
        """Acknowledge a QoS 1 message of the present connection."""
        if self._client is not None:
            self._client.ack(mid, 1)

    def publish(self, topic: str, payload: bytes) -> None:
        if self._client is not None and self._is_up:
            self._client.publish(topic, payload)

    def pause(self) -> None:
        """Read no more until ``resume``: what waits, waits at the broker."""
        if not self._is_paused:
            self._is_paused = True
            if self._socket is not None:
                self._loop.remove_reader(self._socket)

    def resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            if self._socket is not None:
                self._loop.add_reader(self._socket, self._readable)
                self._loop.call_soon(self._readable)  # TLS may hold bytes that the socket no longer shows

    # connecting

    async def _keep_connected(self) -> None:
        version = _V311 if self._settings.protocol == "3.1.1" else _V5
        delay_s = 1.0
        while True:
            try:
                client = await asyncio.to_thread(self._connected_client, version)
            except (OSError, ValueError) as error:
                _log.warning("cannot reach the broker", host=self._settings.host, why=str(error))
            else:
                if await self._one_connection(client):
                    delay_s = 1.0
                elif self._settings.protocol == "auto":
                    version = _V311 if version is _V5 else _V5  # perhaps it refused the version: each in turn
            await asyncio.sleep(delay_s * random.uniform(0.7, 1.0))  # noqa: S311 (spreads the bridges)
            delay_s = min(delay_s * 2, _MAX_BACK_OFF_S)

    async def _one_connection(self, client: paho.Client) -> bool:
        """From CONNECT to the end; was it ever accepted?"""
        self._closed.clear()
        self._was_accepted = False
        self._attach(client)
        deadline = self._loop.time() + _CONNACK_S
        while not self._closed.is_set():
            if not self._was_accepted and self._loop.time() > deadline:
                _log.warning("the broker does not answer our CONNECT", host=self._settings.host)
                client.disconnect()
                client.loop_write()
                break
            try:
                await asyncio.wait_for(self._closed.wait(), 1.0)
            except TimeoutError:
                client.loop_misc()
        return self._was_accepted

    def _connected_client(self, version: MQTTProtocolVersion) -> paho.Client:
        """Blocks. A new client for each connection: nothing is left over from the last one."""
        options: dict[str, Any] = {"manual_ack": True, "reconnect_on_failure": False}
        host, port, keepalive_s = self._settings.host, self._settings.port, self._settings.keepalive_s
        if version is _V311:
            client = new_client(self._settings, self._client_id, version, clean_session=False, **options)
            client.on_connect, client.on_subscribe = self._answered, self._subscribed
            client.connect(host, port, keepalive_s)
            return client
        client = new_client(self._settings, self._client_id, version, **options)
        client.on_connect, client.on_subscribe = self._answered, self._subscribed
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        properties.ReceiveMaximum = _RECEIVE_MAXIMUM
        client.connect(host, port, keepalive_s, clean_start=False, properties=properties)
        return client

    def _attach(self, client: paho.Client) -> None:
        sock = client.socket()
        assert sock is not None  # connect returned
        if isinstance(sock, socket.socket) and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client, self._socket = client, sock
        client.on_message = self._message
        client.on_socket_close = self._socket_closed
        client.on_socket_register_write = self._wants_write
        client.on_socket_unregister_write = self._wants_no_write
        if not self._is_paused:
            self._loop.add_reader(sock, self._readable)
        if client.want_write():
            self._loop.add_writer(sock, client.loop_write)

    # paho's callbacks, on the loop

    def _wants_write(self, client: paho.Client, _userdata: Any, sock: Any) -> None:
        self._loop.add_writer(sock, client.loop_write)

    def _wants_no_write(self, _client: paho.Client, _userdata: Any, sock: Any) -> None:
        self._loop.remove_writer(sock)

    def _socket_closed(self, _client: paho.Client, _userdata: Any, sock: Any) -> None:
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)
        self._socket = self._client = None
        self._closed.set()
        if self._was_accepted:
            self._is_up = False
            _log.warning("lost the broker", host=self._settings.host, port=self._settings.port)
            self._on_down()

    def _readable(self) -> None:
        """Take what is there. paho reads one packet a call and does not say whether there was one."""
        client = self._client
        for _ in range(_READS_PER_TURN):
            before = self._received
            if client is None or self._is_paused or client.loop_read() is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            if self._received == before:
                return  # nothing left, or no message: the selector calls again
        self._loop.call_soon(self._readable)  # the TLS layer may hold more than the selector sees

    def _message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        self._received += 1
        self._on_message(message)

    def _answered(
        self, client: paho.Client, _userdata: Any, flags: Any, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            is_version = reason.getName() == "Unsupported protocol version" and self._settings.protocol == "auto"
            (_log.info if is_version else _log.error)("the broker refused our CONNECT", reason=reason.getName())
            return
        self._was_accepted = True
        is_v5 = client.protocol == _V5
        if is_v5:
            client.subscribe([(name, SubscribeOptions(qos=1)) for name in self._filters])
        else:
            client.subscribe([(name, 1) for name in self._filters])
        _log.info(
            "listening for MQTT chargers",
            host=self._settings.host,
            protocol="5" if is_v5 else "3.1.1",
            filters=len(self._filters),
            resumed=flags.session_present,
        )

    def _subscribed(
        self, _client: paho.Client, _userdata: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        for name, reason in zip(self._filters, reasons, strict=False):
            if reason.is_failure:
                _log.error("the broker refuses a subscription; check its access list", filter=name, reason=str(reason))
        self._is_up = True
        self._on_up()
