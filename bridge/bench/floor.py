"""What the bridge is held against: a raw WebSocket echo, and the ``ocpp`` package's own central system.

Run as ``python -m bridge.bench.floor {echo,ocpp} PORT``.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any

# without the bench extra the floor is the library that the bridge itself uses
picows: Any = import_module("picows") if find_spec("picows") else None


async def echo(port: int) -> None:
    """The floor: whatever comes goes back. picows where it is installed, else websockets."""
    if picows is None:
        await _echo_websockets(port)
        return

    class Listener(picows.WSListener):  # type: ignore[misc]
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            transport.send(frame.msg_type, frame.get_payload_as_bytes())

    server = await picows.ws_create_server(lambda _: Listener(), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


async def _echo_websockets(port: int) -> None:
    from websockets.asyncio.server import ServerConnection, serve

    async def handler(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(handler, "127.0.0.1", port, compression=None) as server:
        await server.serve_forever()


async def package(port: int) -> None:
    """The ``ocpp`` package as its README uses it: validation on, nothing stored."""
    import logging

    from ocpp.routing import on
    from ocpp.v16 import ChargePoint, call_result
    from ocpp.v16.enums import Action, AuthorizationStatus
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.typing import Subprotocol

    logging.getLogger("ocpp").setLevel(logging.ERROR)

    class Central(ChargePoint):  # type: ignore[misc]
        @on(Action.heartbeat)  # type: ignore[untyped-decorator]
        def heartbeat(self) -> Any:
            return call_result.Heartbeat(current_time=datetime.now(UTC).isoformat())

        @on(Action.status_notification)  # type: ignore[untyped-decorator]
        def status(self, **_: Any) -> Any:
            return call_result.StatusNotification()

        @on(Action.meter_values)  # type: ignore[untyped-decorator]
        def meter(self, **_: Any) -> Any:
            return call_result.MeterValues()

        @on(Action.start_transaction)  # type: ignore[untyped-decorator]
        def start_transaction(self, **_: Any) -> Any:
            return call_result.StartTransaction(1, id_tag_info={"status": AuthorizationStatus.accepted})

        @on(Action.authorize)  # type: ignore[untyped-decorator]
        def authorize(self, **_: Any) -> Any:
            return call_result.Authorize(id_tag_info={"status": AuthorizationStatus.accepted})

    async def handler(connection: ServerConnection) -> None:
        await Central("bench", connection).start()

    async with serve(handler, "127.0.0.1", port, subprotocols=[Subprotocol("ocpp1.6")], compression=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run({"echo": echo, "ocpp": package}[sys.argv[1]](int(sys.argv[2])))
