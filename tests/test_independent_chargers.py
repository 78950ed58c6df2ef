"""Charge point software that others wrote speaks to our server: whole lives and every command.

Each program holds what it gets against its own idea of OCPP and ends with an error when something is against it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from charger_programs import OCPP_RPC, Program
from command_samples import COMMANDS, Sample
from independent_world import (
    CARD,
    EACH,
    GO,
    ONLY_RPC,
    PYTHON,
    RPC,
    SPEAKERS,
    STATION,
    Independent,
    events,
    facts,
    independent,
    is_clean,
    play,
)
from ocpp_world import World

from bridge import schemas
from bridge.command_bus import CommandOutcome, Request
from bridge.events import (
    ConnectorStatus,
    DataTransferred,
    DetailKind,
    DetailsReported,
    DeviceEventNotified,
    SecurityEventNotified,
    StationBooted,
)
from bridge.ocpp import v16
from bridge.ocpp.server import VERSIONS
from bridge.session import Session, SessionState

ROOT = Path(__file__).parent.parent


def test_the_documents_name_the_versions_that_are_tried() -> None:
    rpc = OCPP_RPC[0].split("@")
    go = re.findall(r"lorenzodonini/(ocpp-go) v(\S+)", (ROOT / "tests/tools/ocpp-go/go.mod").read_text())[0]
    python = re.findall(r"^(ocpp)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[0]
    tried = re.findall(r"^\| `(ocpp[\w-]*)` \([^|]+\) \| (\S+) \|", (ROOT / "docs/ocpp.md").read_text(), re.MULTILINE)
    assert sorted(tried) == sorted([tuple(rpc), go, python])


# whole lives


@pytest.mark.parametrize(("charger_program", "protocol"), RPC + GO + PYTHON, indirect=["charger_program"])
def test_a_charger_of_others_lives_a_day(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=[protocol]) as charger:
            assert (await charger.until(event="open"))["protocol"] == protocol
            await charger.until(event="ready")
            assert house.server.connections[STATION].security == "basic+local"
            await charger.end()
        await house.until(lambda: not house.server.holds(STATION), "the end of the connection")
        (session,) = house.sessions(STATION)
        assert facts(session) == (1, CARD, 420, SessionState.ENDED, "EVDisconnected", ())
        assert (session.meter_start_wh, session.soc_percent, session.power_max_w) == (1000, 54.0, 7360.0)
        assert house.book.connectors[STATION, 1, 1].status is ConnectorStatus.AVAILABLE
        await is_clean(house)
        await told_the_rest(house)

    play(tmp_path, scene)


async def told_the_rest(house: World) -> None:
    """What a charger says beside its transactions is kept under its name."""
    (boot,) = await events(house, StationBooted)
    assert (boot.vendor, boot.serial[:3]) == ("Acme", "SN-")
    (security,) = await events(house, SecurityEventNotified)
    assert (security.kind, security.tech_info) == ("StartupOfTheDevice", "cold")
    (transfer,) = await events(house, DataTransferred)
    assert (transfer.vendor_id, transfer.message_id, transfer.data) == ("com.example", "tilt", '{"angle":3}')
    kept = {event.kind for event in await events(house, DetailsReported)}
    assert {DetailKind.FIRMWARE, DetailKind.LOG} <= kept
    assert [event.tech_code for event in await events(house, DeviceEventNotified)] in ([], ["E17"])


@ONLY_RPC
def test_a_charger_that_offers_all_versions_lives_in_the_newest(charger_program: Program, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        offered = ["ocpp1.6", "ocpp2.1", "ocpp2.0.1"]
        async with independent(charger_program, house, "life", protocols=offered) as charger:
            assert (await charger.until(event="open"))["protocol"] == VERSIONS[0].protocol
            await charger.until(event="ready")
            await charger.end()
        assert [session.energy_wh for session in house.sessions(STATION)] == [420]

    play(tmp_path, scene)


# commands


ODD_ANSWERS = {("ocpp-go", "GetCompositeSchedule")}  # its type is that of OCPP 2.0, and is passed on as it is


@SPEAKERS
def test_a_charger_of_others_understands_every_command(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=[protocol]) as charger:
            await charger.until(event="ready")
            for sample in COMMANDS[protocol]:
                await command(house, charger, protocol, sample)
            await charger.end()
        await is_clean(house)

    play(tmp_path, scene)


async def command(house: World, charger: Independent, protocol: str, sample: Sample) -> None:
    asked = len(charger.find(asked=sample.action, payload=sample.payload))
    said = {word: len(charger.find(said=word)) + sample.follows.count(word) for word in sample.follows}
    done = await house.server.call(STATION, sample.action, sample.payload, 20.0)
    assert done.outcome is CommandOutcome.ANSWERED, (sample.action, done)
    if (charger.name, sample.action) not in ODD_ANSWERS:
        assert schemas.violations(protocol, sample.action, dict(done.payload), is_response=True) == []
    assert sample.answer.items() <= done.payload.items(), (sample.action, done.payload)
    await charger.until(asked + 1, asked=sample.action, payload=sample.payload)
    for word, times in said.items():
        await charger.until(times, said=word)


async def ask(house: World, action: str, **payload: Any) -> dict[str, Any]:
    """As the dashboard would: by the command's name here."""
    request = Request(id="r", action=action, payload=payload, reply_to="x")
    answer = await house.server.execute(request, STATION)
    assert answer.outcome is CommandOutcome.ANSWERED, answer
    return answer.payload


@pytest.mark.parametrize(("charger_program", "protocol"), RPC + GO + PYTHON, indirect=["charger_program"])
def test_a_session_is_started_and_stopped_from_here(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=[protocol]) as charger:
            await charger.until(event="ready")
            said = len(charger.find(said="StatusNotification"))
            assert await ask(house, "StartForToken", token=CARD, evse=2) == {"status": "Accepted"}
            session = await is_charging(house, evse=2)
            assert await ask(house, "StopSession", transaction_id="0") == {"status": "Rejected"}
            assert await ask(house, "StopSession", transaction_id=session.transaction_id) == {"status": "Accepted"}
            await charger.until(said + (4 if protocol == "ocpp1.6" else 2), said="StatusNotification")
            await charger.end()
        assert facts(house.sessions(STATION)[-1]) == (2, CARD, 200, SessionState.ENDED, "Remote", ())
        await is_clean(house)

    play(tmp_path, scene)


async def is_charging(house: World, evse: int) -> Session:
    def found() -> list[Session]:
        return [one for one in house.sessions(STATION) if one.evse == evse and one.energy_wh == 200]

    await house.until(found, "a session with energy")
    return found()[0]


@SPEAKERS
def test_a_reset_soft_or_hard_brings_it_back(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=[protocol]) as charger:
            await charger.until(event="ready")
            for restarts, kind in enumerate(("soft", "hard"), start=1):
                assert await ask(house, "Reset", kind=kind) == {"status": "Accepted"}
                await charger.until(restarts, event="restarted")
                assert house.server.holds(STATION)
                said = len(charger.find(said="StatusNotification"))
                answer = await ask(house, "Trigger", message="StatusNotification", evse=1)
                assert answer == {"status": "Accepted"}, "it can be called again"
                await charger.until(said + 1, said="StatusNotification")
            await charger.end()
        assert len(await events(house, StationBooted)) == 3
        await is_clean(house)

    play(tmp_path, scene)


@SPEAKERS
def test_what_is_triggered_is_sent(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=[protocol]) as charger:
            await charger.until(event="ready")
            for message in ("Heartbeat", "MeterValues", "StatusNotification"):
                before = len(charger.find(said=message))
                assert await ask(house, "Trigger", message=message, evse=1) == {"status": "Accepted"}
                await charger.until(before + 1, said=message)
            before = len(charger.find(said="StatusNotification"))
            assert await ask(house, "Trigger", message="BootNotification", evse=1) == {"status": "Accepted"}
            await charger.until(before + (3 if protocol == "ocpp1.6" else 2), said="StatusNotification")
            await charger.end()
        await is_clean(house)

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("charger_program", "protocol"),
    [pair for pair in RPC + GO + PYTHON if pair[1] != "ocpp1.6"],
    indirect=["charger_program"],
)
def test_a_report_comes_whole(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=[protocol]) as charger:
            await charger.until(event="ready")
            payload = {"requestId": 77, "reportBase": "FullInventory"}
            await house.server.call(STATION, "GetBaseReport", payload, 20.0)
            await charger.until(3, said="NotifyReport")
            await charger.end()
        parts = [part for part in await events(house, DetailsReported) if part.request_id == 77]
        assert {part.kind for part in parts} == {DetailKind.VARIABLE}
        assert [(part.seq_no, part.more) for part in parts] == [(0, True), (1, True), (2, False)]
        bodies = [detail.body for part in parts for detail in part.details]
        assert [(body["component"], body["variable"], body["attribute"], body["value"]) for body in bodies] == [
            ("OCPPCommCtrlr", "HeartbeatInterval", "Actual", "300"),
            ("EVSE@1", "Power", "Actual", "22000"),
            ("Connector@1:1", "ConnectorType", "Actual", "cType2"),
        ]

    play(tmp_path, scene)


@EACH
def test_they_would_notice_an_answer_that_is_wrong(
    charger_program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v16.ACTIONS["Heartbeat"], "reply", lambda request, events, context: {"now": "12:00"})

    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=["ocpp1.6"]) as charger:
            with pytest.raises(AssertionError, match="ended before"):
                await charger.until(event="ready")
            assert "currenttime" in str([line for line in charger.lines if "violation" in line]).lower()
            assert await charger.code() == 1

    play(tmp_path, scene)
