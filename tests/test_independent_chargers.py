"""Charge point software that others wrote speaks to our server: whole lives, commands, lost connections.

Each program holds what it gets against its own idea of OCPP and ends with an error when something is against it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from charger_programs import Program
from command_samples import COMMANDS, Sample
from independent_world import CARD, DIRECTORY, STATION, Independent, independent
from ocpp_world import World, own_certificate, world

from bridge.access import Directory
from bridge.command_bus import CommandOutcome, Request
from bridge.events import (
    ConnectorStatus,
    DataTransferred,
    DeviceEventNotified,
    FrameMended,
    FrameRefused,
    MessageReceived,
    SecurityEventNotified,
    StationBooted,
    StationDisconnected,
    VariablesReported,
    decode,
)
from bridge.ocpp import schemas, v16
from bridge.ocpp.server import VERSIONS
from bridge.session import Session, SessionState
from bridge.settings import Unknown

RPC = [("ocpp-rpc", version.protocol) for version in VERSIONS]  # it speaks whatever we speak
GO = [("ocpp-go", "ocpp1.6"), ("ocpp-go", "ocpp2.0.1")]
SPEAKERS = pytest.mark.parametrize(("charger_program", "protocol"), RPC + GO, indirect=["charger_program"])
EACH = pytest.mark.parametrize("charger_program", ["ocpp-rpc", "ocpp-go"], indirect=True)
ONLY_RPC = pytest.mark.parametrize("charger_program", ["ocpp-rpc"], indirect=True)


def play(path: Path, scene: Any, **options: Any) -> None:
    async def run() -> None:
        facts = {"directory": DIRECTORY, "unknown": Unknown.REJECT} | options
        async with asyncio.timeout(60), world(path, **facts) as house:
            await scene(house)

    asyncio.run(run())


async def events(house: World, kind: type | None = None) -> list[Any]:
    await house.until(lambda: house.journal.committed >= house.journal.head, "the commit")
    found = [event for _, entry in house.journal.read(0, 10_000) for event in decode(entry.events)]
    return [event for event in found if kind is None or isinstance(event, kind)]


async def is_clean(house: World) -> None:
    """Nothing of theirs had to be mended, and only what we do not speak was refused."""
    assert await events(house, FrameMended) == []
    assert {event.code for event in await events(house, FrameRefused)} <= {"NotSupported", "NotImplemented"}


def facts(session: Session) -> tuple[Any, ...]:
    return session.evse, session.token, session.energy_wh, session.state, session.stop_reason, session.review


# whole lives


@SPEAKERS
def test_a_charger_of_others_lives_a_day(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=[protocol]) as charger:
            assert (await charger.until(event="open"))["protocol"] == protocol
            await charger.until(event="ready")
            assert house.server.connections[STATION].security == "basic"
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
    kept = {event.action for event in await events(house, MessageReceived)}
    assert {"FirmwareStatusNotification", "LogStatusNotification"} <= kept
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
    asked = len(charger.find(asked=sample.action))
    said = {word: len(charger.find(said=word)) + sample.follows.count(word) for word in sample.follows}
    done = await house.server.call(STATION, sample.action, sample.payload, 5.0)
    assert done.outcome is CommandOutcome.ANSWERED, (sample.action, done)
    if (charger.name, sample.action) not in ODD_ANSWERS:
        assert schemas.violations(protocol, sample.action, dict(done.payload), is_response=True) == []
    assert sample.answer.items() <= done.payload.items(), (sample.action, done.payload)
    assert await charger.asked(sample.action, asked + 1) == sample.payload
    for word, times in said.items():
        await charger.until(times, said=word)


async def ask(house: World, action: str, **payload: Any) -> dict[str, Any]:
    """As the dashboard would: by the command's name here."""
    request = Request(id="r", action=action, payload=payload, reply_to="x")
    answer = await house.server.execute(request, STATION)
    assert answer.outcome is CommandOutcome.ANSWERED, answer
    return answer.payload


@SPEAKERS
def test_a_session_is_started_and_stopped_from_here(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=[protocol]) as charger:
            await charger.until(event="ready")
            assert await ask(house, "StartForToken", token=CARD, evse=2) == {"status": "Accepted"}
            session = await is_charging(house, evse=2)
            assert await ask(house, "StopSession", transaction_id="0") == {"status": "Rejected"}
            assert await ask(house, "StopSession", transaction_id=session.transaction_id) == {"status": "Accepted"}
            await house.until(lambda: not any(one.is_open for one in house.sessions(STATION)), "the end of it")
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
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_a_reset_brings_it_back(charger_program: Program, protocol: str, kind: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=[protocol]) as charger:
            await charger.until(event="ready")
            assert await ask(house, "Reset", kind=kind) == {"status": "Accepted"}
            await charger.until(event="restarted")
            assert house.server.holds(STATION)
            answer = await ask(house, "Trigger", message="StatusNotification", evse=1)
            assert answer == {"status": "Accepted"}, "it can be called again"
            await charger.end()
        assert len(await events(house, StationBooted)) == 2
        await is_clean(house)

    play(tmp_path, scene)


@SPEAKERS
def test_what_is_triggered_is_sent(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=[protocol]) as charger:
            await charger.until(event="ready")
            for message in ("BootNotification", "Heartbeat", "MeterValues", "StatusNotification"):
                before = len(charger.find(said=message))
                assert await ask(house, "Trigger", message=message, evse=1) == {"status": "Accepted"}
                await charger.until(before + 1, said=message)
            await charger.end()
        await is_clean(house)

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("charger_program", "protocol"),
    [pair for pair in RPC + GO if pair[1] != "ocpp1.6"],
    indirect=["charger_program"],
)
def test_a_report_comes_whole(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=[protocol]) as charger:
            await charger.until(event="ready")
            payload = {"requestId": 77, "reportBase": "FullInventory"}
            await house.server.call(STATION, "GetBaseReport", payload, 5.0)
            await charger.until(3, said="NotifyReport")
            await charger.end()
        parts = await events(house, VariablesReported)
        assert [(part.request_id, part.seq_no, part.more) for part in parts] == [
            (77, 0, True),
            (77, 1, True),
            (77, 2, False),
        ]
        variables = [variable for part in parts for variable in part.variables]
        assert variables == [
            ("OCPPCommCtrlr", "HeartbeatInterval", "Actual", "300"),
            ("EVSE@1", "Power", "Actual", "22000"),
            ("Connector@1", "ConnectorType", "Actual", "cType2"),
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


# the door and the connection


@EACH
@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"key": "wrong"}, "wrong or missing key"),
        ({"key": None}, "wrong or missing key"),
        ({"station": "NOBODY"}, "unknown station, policy reject"),
    ],
)
def test_who_does_not_belong_here_is_told_401(
    charger_program: Program, changes: dict[str, Any], cause: str, tmp_path: Path
) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "refused", protocols=["ocpp1.6"], **changes) as charger:
            assert (await charger.until(event="refused"))["code"] == 401
            await charger.ended()
        assert house.server.connections == {}
        assert await events(house) == []

    play(tmp_path, scene)


@SPEAKERS
def test_a_charger_that_is_new_waits_until_it_is_approved(
    charger_program: Program, protocol: str, tmp_path: Path
) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "held", protocols=[protocol]) as charger:
            await charger.until(event="held")
            early = await house.server.call(STATION, "ClearCache", {}, 0.1)
            assert (early.outcome, early.detail) == (CommandOutcome.OFFLINE, "the station has not booted yet")
            house.intake.directory = DIRECTORY
            charger.go_on()
            await charger.until(event="ready")
            late = await house.server.call(STATION, "ClearCache", {}, 5.0)
            assert late.payload == {"status": "Accepted"}
            await charger.end()
        assert [event.code for event in await events(house, FrameRefused)] == ["SecurityError"]
        assert await events(house, FrameMended) == []

    play(tmp_path, scene, directory=Directory(), unknown=Unknown.HOLD)


@SPEAKERS
def test_a_charger_of_others_comes_by_tls(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path)

    async def scene(house: World) -> None:
        facts = {"url": house.url("/ocpp").replace("ws:", "wss:"), "ca": certificate.read_text()}
        async with independent(charger_program, house, "life", protocols=[protocol], **facts) as charger:
            await charger.until(event="ready")
            assert house.server.connections[STATION].security == "basic"
            await charger.end()
        assert [session.energy_wh for session in house.sessions(STATION)] == [420]

    play(tmp_path, scene, tls_certificate=certificate, tls_key=key)


@SPEAKERS
def test_what_ends_while_the_line_is_cut_is_delivered(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "offline", protocols=[protocol]) as charger:
            await charger.until(event="ready")
            (open_one,) = house.sessions(STATION)
            assert open_one.is_open
            house.server.connections[STATION].abort()
            await charger.until(event="delivered")
            await charger.end()
        (session,) = house.sessions(STATION)
        assert facts(session) == (1, CARD, 350, SessionState.ENDED, "Local", ())
        gone = [event.reason for event in await events(house, StationDisconnected)]
        assert gone[0] == "connection lost"
        assert len(gone) == 2
        await is_clean(house)

    play(tmp_path, scene)


@ONLY_RPC
def test_a_charger_that_comes_twice_is_one(charger_program: Program, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "twice", protocols=["ocpp2.0.1"]) as charger:
            replaced = await charger.until(event="replaced")
            assert (replaced["code"], replaced["reason"]) == (1000, "replaced by a newer connection")
            await charger.until(event="ready")
            assert list(house.server.connections) == [STATION]
            assert house.book.stations[STATION].is_connected
            assert await events(house, StationDisconnected) == []
            await charger.end()
        await is_clean(house)

    play(tmp_path, scene)


@EACH
def test_a_quiet_charger_answers_our_pings_and_stays(charger_program: Program, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=["ocpp1.6"]) as charger:
            await charger.until(event="ready")
            link = house.server.connections[STATION]
            link.answers_pings = False
            await house.until(lambda: link.answers_pings, "an answer to a ping")
            assert house.server.connections[STATION] is link
            await charger.end()

    play(tmp_path, scene, ping_interval_s=0.2)


# compression


@pytest.mark.parametrize(
    ("charger_program", "deflate"),
    [
        ("ocpp-rpc", True),
        ("ocpp-rpc", {"threshold": 0}),
        ("ocpp-rpc", {"threshold": 0, "serverNoContextTakeover": True, "clientNoContextTakeover": True}),
        ("ocpp-rpc", {"threshold": 0, "serverMaxWindowBits": 10, "clientMaxWindowBits": 10}),
        ("ocpp-go", True),  # it always wants "no context takeover" of both sides
    ],
    indirect=["charger_program"],
    ids=["ocpp-rpc", "ocpp-rpc, every frame", "ocpp-rpc, no context", "ocpp-rpc, small window", "ocpp-go"],
)
def test_a_compressed_conversation_is_the_same(charger_program: Program, deflate: Any, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "large", protocols=["ocpp1.6"], deflate=deflate) as charger:
            assert (await charger.until(event="open"))["extensions"] == "permessage-deflate"
            await charger.until(event="ready")
            await a_long_list(house, charger)
            await charger.end()
        assert {event.data for event in await events(house, DataTransferred)} == {"meter ok; " * 3000}

    play(tmp_path, scene)


async def a_long_list(house: World, charger: Independent) -> None:
    entries = [{"idTag": f"CARD-{i:05}", "idTagInfo": {"status": "Accepted"}} for i in range(2000)]
    payload = {"listVersion": 7, "updateType": "Full", "localAuthorizationList": entries}
    done = await house.server.call(STATION, "SendLocalList", payload, 5.0)
    assert done.payload == {"status": "Accepted"}
    assert await charger.asked("SendLocalList") == payload


@EACH
@pytest.mark.parametrize(("deflate", "compression"), [(False, True), (True, False)], ids=["not asked", "not granted"])
def test_without_compression_nothing_is_compressed(
    charger_program: Program, deflate: bool, compression: bool, tmp_path: Path
) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "large", protocols=["ocpp1.6"], deflate=deflate) as charger:
            assert (await charger.until(event="open"))["extensions"] == ""
            await charger.until(event="ready")
            await a_long_list(house, charger)
            await charger.end()

    play(tmp_path, scene, compression=compression)
