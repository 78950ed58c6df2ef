"""What we ask of a station of our own accord: its description, once for each firmware, and never in a loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ocpp_world import Charger, World, world

from bridge.access import Directory, StationEntry
from bridge.book import Book
from bridge.command_bus import CommandOutcome
from bridge.events import Detail, DetailKind, DetailsReported, StationBooted
from bridge.ocpp import errands

NOW = datetime(2026, 11, 25, tzinfo=UTC)
ASKED = {"ocpp1.6": ("GetConfiguration", {}), "ocpp2.0.1": ("GetBaseReport", "FullInventory")}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "SETTLE_S", (0.0, 0.0))


def boot(protocol: str, firmware: str) -> dict[str, Any]:
    if protocol == "ocpp1.6":
        return {"chargePointVendor": "Acme", "chargePointModel": "Box", "firmwareVersion": firmware}
    station = {"vendorName": "Acme", "model": "Box", "firmwareVersion": firmware}
    return {"chargingStation": station, "reason": "PowerUp"}


async def asked_after_boot(charger: Charger, protocol: str, firmware: str = "1.0") -> bool:
    """Boot, and say whether a call came before the answer to a heartbeat that followed it."""
    before = len(charger.calls)
    await charger.call("BootNotification", boot(protocol, firmware))
    for _ in range(3):  # the errand is a task: a round trip or two give it its turn
        await charger.call("Heartbeat", {})
    return len(charger.calls) > before


def play(tmp_path: Path, scene: Callable[[World], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with world(tmp_path, **options) as built, asyncio.timeout(20):
            await scene(built)

    asyncio.run(run())


@pytest.mark.parametrize("protocol", sorted(ASKED))
def test_a_station_that_boots_is_asked_once_for_all_that_it_has(tmp_path: Path, protocol: str) -> None:
    async def scene(built: World) -> None:
        async with built.charger("CP", protocol) as charger:
            charger.answers = {"GetBaseReport": {"status": "Accepted"}, "GetConfiguration": {"configurationKey": []}}
            assert await asked_after_boot(charger, protocol)
            action, payload = charger.calls[0]
            assert (action, payload.get("reportBase", payload)) == ASKED[protocol]
            assert not await asked_after_boot(charger, protocol)
            assert await asked_after_boot(charger, protocol, "2.0")

    play(tmp_path, scene)


def test_quirk_15_a_station_that_dies_of_the_question_is_not_asked_again(tmp_path: Path) -> None:
    async def scene(built: World) -> None:
        async with built.charger("CP") as charger:
            await charger.link.send(json.dumps([2, "b", "BootNotification", boot("ocpp1.6", "1.0")]))
            while json.loads(await charger.link.recv())[0] != 2:
                pass  # the question has come; it reboots over it
        for _ in range(3):
            async with built.charger("CP") as charger:
                assert not await asked_after_boot(charger, "ocpp1.6")

    play(tmp_path, scene)


def test_a_station_that_refuses_is_left_alone(tmp_path: Path) -> None:
    async def scene(built: World) -> None:
        async with built.charger("CP") as charger:
            await charger.link.send(json.dumps([2, "b", "BootNotification", boot("ocpp1.6", "1.0")]))
            while (frame := json.loads(await charger.link.recv()))[0] != 2:
                pass
            await charger.link.send(json.dumps([4, frame[1], "NotSupported", "", {}]))
            for _ in range(3):
                assert not await asked_after_boot(charger, "ocpp1.6")

    play(tmp_path, scene)


def test_a_station_that_waits_for_approval_is_asked_nothing(tmp_path: Path) -> None:
    async def scene(built: World) -> None:
        async with built.charger("CP") as charger:
            answer = await charger.call("BootNotification", boot("ocpp1.6", "1.0"))
            assert answer["status"] == "Pending"
            await charger.call("Heartbeat", {})
            assert charger.calls == []
            built.intake.directory = Directory(stations={"CP": StationEntry(id="CP")})
            assert await asked_after_boot(charger, "ocpp1.6")

    play(tmp_path, scene, directory=Directory(stations={"CP": StationEntry(id="CP", is_approved=False)}))


KEY = {"key": "HeartbeatInterval", "readonly": False, "value": "300"}
VARIABLE = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
GOT = {"getVariableResult": [VARIABLE | {"attributeStatus": "Accepted", "attributeValue": "300"}]}
SOME = {"GetConfiguration": {"configurationKey": [KEY]}, "GetVariables": GOT}
PARTS: list[tuple[str, dict[str, Any]]] = [
    ("GetVariables", {"getVariableData": [VARIABLE]}),
    ("GetReport", {"requestId": 7}),
    ("GetBaseReport", {"requestId": 7, "reportBase": "SummaryInventory"}),
]


def part(request_id: int, seq_no: int = 0, more: bool = False) -> dict[str, Any]:
    data = [VARIABLE | {"variableAttribute": [{"value": "300"}]}]
    at = {"generatedAt": "2026-11-25T00:00:00Z", "seqNo": seq_no, "tbc": more}
    return at | {"requestId": request_id, "reportData": data}


async def asked(built: World, charger: Charger, action: str, payload: dict[str, Any]) -> None:
    """The server asks it of the station, which answers."""
    call = asyncio.create_task(built.server.call("CP", action, payload, 10.0))
    while not call.done():
        await charger.call("Heartbeat", {})
    assert call.result().outcome is CommandOutcome.ANSWERED


@pytest.mark.parametrize(("action", "payload"), PARTS, ids=[action for action, _ in PARTS])
def test_who_tells_a_part_has_not_described_itself(tmp_path: Path, action: str, payload: dict[str, Any]) -> None:
    async def scene(built: World) -> None:
        async with built.charger("CP", "ocpp2.0.1") as charger:
            charger.answers = {name: {"status": "Accepted"} for name in ("GetReport", "GetBaseReport")} | SOME
            await charger.call("NotifyReport", part(7))  # nobody has asked
            assert await asked_after_boot(charger, "ocpp2.0.1")
            await asked(built, charger, action, payload)
            await charger.call("NotifyReport", part(7))
            assert built.intake.book.stations["CP"].described_at is None

    play(tmp_path, scene)


def test_the_last_part_of_the_whole_report_completes_a_description(tmp_path: Path) -> None:
    async def scene(built: World) -> None:
        async with built.charger("CP", "ocpp2.0.1") as charger:
            charger.answers = {"GetBaseReport": {"status": "Accepted"}}
            assert await asked_after_boot(charger, "ocpp2.0.1")
            request_id = charger.calls[0][1]["requestId"]
            await charger.call("NotifyReport", part(request_id, 0, more=True))
            assert built.intake.book.stations["CP"].described_at is None
            await charger.call("NotifyReport", part(request_id, 1))
            assert built.intake.book.stations["CP"].described_at is not None

    play(tmp_path, scene)


def test_in_16_all_keys_are_a_description_and_single_ones_are_none(tmp_path: Path) -> None:
    async def scene(built: World) -> None:
        async with built.charger("CP") as charger:
            charger.answers = {"GetConfiguration": {}}
            assert await asked_after_boot(charger, "ocpp1.6")
            charger.answers = SOME
            await asked(built, charger, "GetConfiguration", {"key": ["HeartbeatInterval"]})
            assert built.intake.book.stations["CP"].described_at is None
            await asked(built, charger, "GetConfiguration", {})
            assert built.intake.book.stations["CP"].described_at is not None

    play(tmp_path, scene)


def test_a_description_is_forgotten_with_its_firmware() -> None:
    book = Book("test")

    def booted(firmware: str) -> datetime | None:
        book.apply(StationBooted(station="CP", at=NOW, received_at=NOW, firmware=firmware))
        return book.stations["CP"].described_at

    assert booted("1.0") is None
    details = (Detail(key="HeartbeatInterval"),)
    told = DetailsReported(station="CP", at=NOW, received_at=NOW, kind=DetailKind.VARIABLE, details=details)
    book.apply(told)
    assert booted("1.0") == NOW
    assert booted("") == NOW
    book.apply(told)
    assert booted("2.0") is None


def test_a_station_that_boots_with_ever_new_firmware_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errands, "_MOST_ASKED", 10)

    async def run() -> None:
        async with asyncio.timeout(60), world(tmp_path) as house:
            desk = house.server._errands
            assert all(desk.may_ask("CP", f"description of {number}") for number in range(100))
            assert len(desk._asked) == 10
            assert not desk.may_ask("CP", "description of 99")

    asyncio.run(run())
