"""MQTT chargers over a real broker."""

from __future__ import annotations

from pathlib import Path

import servers
from mqtt_world import World, on_loop, publisher, send, until

from bridge.events import ConnectorStatus
from bridge.session import SessionState


@on_loop
async def test_go_e_session_from_plug_to_unplug(mosquitto: servers.Mosquitto, tmp_path: Path) -> None:
    world = World(tmp_path, mosquitto.port, ("goe",))
    base = "go-eCharger/e2e001"
    async with world.running() as chargers:
        with publisher(mosquitto.port) as charger:
            for topic, payload in [("car", "1"), ("eto", "100000"), ("wh", "0"), ("err", "0"), ("fwv", '"056.2"')]:
                await send(charger, f"{base}/{topic}", payload)
            await send(charger, f"{base}/car", "3")
            await send(charger, f"{base}/car", "2")
            await send(charger, f"{base}/nrg", "[230,230,230,0,16,16,16,3680,3680,3680,0,11040,100,100,100,0]")
            await send(charger, f"{base}/eto", "104200")
            await send(charger, f"{base}/car", "4")
            await send(charger, f"{base}/car", "1")
            await until(lambda: world.book.sessions.get("goe-e2e001"))
            await until(lambda: not world.book.open_session("goe-e2e001", 1))
        assert chargers.stations == ["goe-e2e001"]
    (session,) = world.book.sessions["goe-e2e001"].values()
    assert session.state is SessionState.ENDED
    assert (session.meter_start_wh, session.meter_stop_wh, session.energy_wh) == (100_000, 104_200, 4_200)
    assert session.power_max_w == 11_040
    assert session.review == ()
    station = world.book.stations["goe-e2e001"]
    assert (station.is_connected, station.vendor, station.firmware) == (True, "go-e", "056.2")
    assert world.book.connectors["goe-e2e001", 1, 1].status is ConnectorStatus.AVAILABLE
    assert station.protocol == "mqtt/goe"
