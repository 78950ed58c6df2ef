"""Handshakes by hand, and a client that never answers."""

from __future__ import annotations

import asyncio
import base64

from ocpp_world import World


async def raw_get(house: World, request: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    return answer


def handshake(path: str, **headers: str) -> str:
    fixed = {
        "Host": "x",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }
    lines = {name: value for name, value in (fixed | headers).items() if value}
    return f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"


def basic(user: str, key: bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(user.encode() + b":" + key).decode()}


class Deaf:
    """A client that shakes hands by hand and never answers a ping."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, house: World) -> Deaf:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        writer.write(handshake("/ocpp/CP").encode())
        await reader.readuntil(b"\r\n\r\n")
        return cls(reader, writer)

    def say(self, text: str) -> None:
        self.writer.write(bytes((0x81, 0x80 | len(text))) + b"\0\0\0\0" + text.encode())
