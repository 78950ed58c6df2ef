"""A station's end of a WebSocket, light enough for thousands on one thread: a handshake, text out, frames in. What
a bridge asks of its own accord can be refused.

It trusts the server, which runs on the same machine and is ours. Source: RFC 6455 section 5.
"""

from __future__ import annotations

import asyncio
import base64
import os

_TEXT, _PING, _PONG = 0x1, 0x9, 0xA
_shared = memoryview(bytearray(65_536))  # all clients of the one loop read into it, each at its time


class Client(asyncio.BufferedProtocol):
    """``opened`` tells whether the handshake succeeded. A subclass says what to do then and with each answer.
    ``refuses_calls`` is for a bridge: of an echo every frame is an answer, a call of ours as well."""

    refuses_calls = False

    def __init__(self, path: str) -> None:
        self._path = path
        self._buffer = b""
        self._is_open = False
        self.opened: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def on_open(self) -> None:
        """The handshake is through."""

    def on_answer(self, payload: bytes) -> None:
        """A whole frame of the server has come."""

    def on_lost(self) -> None:
        """The connection is gone."""

    def say(self, text: bytes) -> None:
        """Send a text frame."""
        self._transport.write(_masked_header(_TEXT, len(text)) + text)

    def close(self) -> None:
        self._transport.abort()

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n".encode()
        )

    def get_buffer(self, sizehint: int) -> memoryview:
        return _shared

    def buffer_updated(self, nbytes: int) -> None:
        self._buffer += _shared[:nbytes]
        if not self._is_open:
            self._finish_handshake()
        while self._is_open and (end := _frame_end(self._buffer)):
            frame, self._buffer = self._buffer[:end], self._buffer[end:]
            self._take(frame[0] & 0x0F, frame[_head_size(frame) :])

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_result(False)
        self.on_lost()

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == _TEXT and self.refuses_calls and payload.startswith(b"[2,"):  # a call of the server's own
            self.say(b'[4,"%b","NotSupported","",{}]' % payload.split(b'"', 2)[1])
        elif opcode == _TEXT:
            self.on_answer(payload)
        elif opcode == _PING:  # who never answers one is taken for gone
            self._transport.write(_masked_header(_PONG, len(payload)) + payload)

    def _finish_handshake(self) -> None:
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if mark:
            self._is_open = b" 101 " in head.split(b"\r\n", 1)[0]
            self._buffer = rest
            if not self.opened.done():
                self.opened.set_result(self._is_open)
            if self._is_open:
                self.on_open()


def _masked_header(opcode: int, size: int) -> bytes:
    """Of a client's frame with a mask of zeros, which leaves the payload as it is (section 5.3)."""
    if size < 126:
        return bytes((0x80 | opcode, 0x80 | size)) + b"\0\0\0\0"
    return bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2) + b"\0\0\0\0"


def _head_size(frame: bytes) -> int:
    return {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)


def _frame_end(buffer: bytes) -> int:
    """Bytes of the first whole server frame, 0 while it is incomplete."""
    if len(buffer) < 2:
        return 0
    size, head = buffer[1] & 0x7F, _head_size(buffer)
    if head > 2:
        size = int.from_bytes(buffer[2:head])
    return head + size if len(buffer) >= head + size else 0
