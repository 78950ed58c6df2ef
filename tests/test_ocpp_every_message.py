"""Every action of every version, said once in full: it is answered as the specification has it and becomes what is
promised. The payloads are those of ``ocpp_samples``."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ocpp_samples import FROM, NOW, TO, Asked, Said
from ocpp_world import BY_PROTOCOL, Desk, answer_to, ask, desk, world

from bridge import schemas
from bridge.events import (
    AnyEvent,
    CertificateRequested,
    CommandAnswered,
    CostReported,
    DetailKind,
    DetailsReported,
    FrameRefused,
    StreamReported,
)
from bridge.projections import DetailsProjection
from bridge.stores.details import Details
from bridge.stores.records import Records

SENDS = {"NotifyPeriodicEventStream"}
SAID = [(protocol, action, said) for protocol, table in FROM.items() for action, said in table.items()]
ASKED = [(protocol, action, asked) for protocol, table in TO.items() for action, asked in table.items()]


def ids(rows: list[Any]) -> list[str]:
    return [f"{protocol}-{action}" for protocol, action, _ in rows]


def became(events: tuple[AnyEvent, ...]) -> tuple[str, ...]:
    """In the words of the samples."""
    return tuple(
        ("-" if event.is_gone else "") + str(event.kind) if isinstance(event, DetailsReported) else type(event).__name__
        for event in events
    )


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Desk]:
    """A desk of 2.1."""
    with desk(tmp_path, BY_PROTOCOL["ocpp2.1"]) as found:
        yield found


@pytest.mark.parametrize("protocol", BY_PROTOCOL)
def test_every_action_of_the_version_is_shown(protocol: str) -> None:
    assert set(FROM[protocol]) == schemas.calls_from_station(protocol)
    assert set(TO[protocol]) == schemas.calls_to_station(protocol)
    assert set(FROM[protocol]) == set(BY_PROTOCOL[protocol].actions)
    assert set(BY_PROTOCOL[protocol].answers) <= schemas.calls_to_station(protocol)


@pytest.mark.parametrize(("protocol", "action", "said"), SAID, ids=ids(SAID))
def test_what_a_charger_says_is_answered_by_its_schema_and_becomes_what_is_promised(
    tmp_path: Path, protocol: str, action: str, said: Said
) -> None:
    is_odd = (protocol, action) == ("ocpp2.0.1", "DataTransfer")  # its schema cannot say "anything"
    assert is_odd or schemas.violations(protocol, action, said.payload) == []
    with desk(tmp_path, BY_PROTOCOL[protocol]) as there:
        if action in SENDS:
            assert there.send(json.dumps([6, "1", action, said.payload]), NOW) is None
        else:
            answer = there.say(action, said.payload, NOW)
            assert schemas.violations(protocol, action, answer, is_response=True) == []
        assert became(there.events) == said.becomes
        assert there.notes == ""


@pytest.mark.parametrize(("protocol", "action", "asked"), ASKED, ids=ids(ASKED))
def test_an_answer_to_a_call_of_ours_tells_what_is_promised(
    tmp_path: Path, protocol: str, action: str, asked: Asked
) -> None:
    assert schemas.violations(protocol, action, asked.payload) == [] or action == "DataTransfer"
    assert schemas.violations(protocol, action, asked.answer, is_response=True) == []
    with desk(tmp_path, BY_PROTOCOL[protocol]) as there:
        events = answer_to(there, action, asked.payload, asked.answer)
    assert isinstance(events[0], CommandAnswered)
    assert became(events[1:]) == asked.becomes


HOSTILE: list[Any] = [
    None, [], "Accepted", 7, {}, {"status": []}, {"status": "Accepted"}, {"status": {"a": 1}}, {"status": "A" * 90_000},
]  # fmt: skip
TWISTS: list[Any] = [
    None, True, -1, 10**300, math.pi, "", "x" * 50_000, [], [None], [[]], [1, "a", {}], {}, {"a": [{}]},
]  # fmt: skip


@pytest.mark.parametrize(("protocol", "action", "asked"), ASKED, ids=ids(ASKED))
def test_a_hostile_answer_is_kept_and_never_raises(tmp_path: Path, protocol: str, action: str, asked: Asked) -> None:
    twisted = [asked.answer | {name: twist} for name in asked.answer for twist in TWISTS]
    lists = {name: value for name, value in asked.answer.items() if isinstance(value, list)}
    inner = [
        asked.answer | {name: [item | {field: twist}]}
        for name, items in lists.items()
        for item in items
        if isinstance(item, dict)
        for field in item
        for twist in TWISTS
    ]
    with desk(tmp_path, BY_PROTOCOL[protocol]) as there:
        for answer in [*HOSTILE, *twisted, *inner]:
            assert isinstance(answer_to(there, action, asked.payload, answer)[0], CommandAnswered)


def twisted(tree: Any) -> Iterator[Any]:
    """The same tree with one branch or leaf gone wrong, for each of them."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield {name: item for name, item in tree.items() if name != key}
            yield from (tree | {key: other} for other in [*TWISTS, *twisted(value)])
    elif isinstance(tree, list):
        yield from ([other] for item in tree for other in twisted(item))


@pytest.mark.parametrize("protocol", BY_PROTOCOL)
def test_a_message_with_anything_wrong_in_it_is_no_fault_of_ours(tmp_path: Path, protocol: str) -> None:
    faulty, sent = [], 0
    with desk(tmp_path, BY_PROTOCOL[protocol]) as there:
        there.talk._max_frame_bytes = 1_000_000
        for action, said in FROM[protocol].items():
            for payload in twisted(said.payload):
                kind, sent = 6 if action in SENDS else 2, sent + 1
                answer = there.send(json.dumps([kind, "1", action, payload]), NOW)
                codes = [event.code for event in there.events if isinstance(event, FrameRefused)]
                if "InternalError" in codes or (answer is None) is not (kind == 6):
                    faulty.append((action, payload))
    assert faulty == []
    assert sent > 500


@pytest.mark.parametrize("protocol", BY_PROTOCOL)
@pytest.mark.parametrize("status", ["Rejected", "Failed", "Unheard"])
def test_a_refused_call_leaves_no_record(tmp_path: Path, protocol: str, status: str) -> None:
    with desk(tmp_path, BY_PROTOCOL[protocol]) as there:
        for action, asked in TO[protocol].items():
            if "status" in asked.answer:
                assert became(answer_to(there, action, asked.payload, {"status": status}))[1:] == ()


@pytest.mark.parametrize("protocol", BY_PROTOCOL)
def test_a_certificate_is_promised_only_where_there_is_a_signer(tmp_path: Path, protocol: str) -> None:
    said = FROM[protocol]["SignCertificate"].payload
    for has_signer, status in ((False, "Rejected"), (True, "Accepted")):
        with desk(tmp_path / status, BY_PROTOCOL[protocol]) as there:
            there.talk._has_signer = has_signer
            assert there.say("SignCertificate", said) == {"status": status}
            requested = there.events[0]
            assert isinstance(requested, CertificateRequested)
            assert (requested.accepted, requested.csr) == (has_signer, said["csr"])
            assert requested.kind == said.get("certificateType", "ChargingStationCertificate")
            assert requested.request_id == said.get("requestId")


# SEND and CALLRESULTERROR of 2.1

STREAM = FROM["ocpp2.1"]["NotifyPeriodicEventStream"].payload


def test_values_of_a_stream_are_dated_by_base_and_offset(there: Desk) -> None:
    there.send(json.dumps([6, "1", "NotifyPeriodicEventStream", STREAM]), NOW)
    reported = there.events[0]
    assert isinstance(reported, StreamReported)
    assert [(value.at - NOW).total_seconds() for value in reported.values] == [0.0, 0.5]
    assert [value.value for value in reported.values] == ["230.1", "230.4"]


@pytest.mark.parametrize(
    "raw",
    [
        '[6,"1","NotifyPeriodicEventStream",{}]',
        '[6,"1","NotifyPeriodicEventStream",{"id":1,"data":[{"t":1e300,"v":"x"}],"pending":0,"basetime":"never"}]',
        '[6,"1","Heartbeat",{}]',
        '[6,"1","Nonsense",{}]',
        '[6,"","NotifyPeriodicEventStream",{}]',
        '[6,null,"NotifyPeriodicEventStream"',
        '[6,"1"]',
        '[5,"1","FormatViolation","no",{}]',
        '[5,["1"]]',
    ],
)
def test_what_is_never_answered_is_never_answered(there: Desk, raw: str) -> None:
    assert there.send(raw) is None
    assert there.events != ()


def test_a_stream_that_comes_as_a_call_is_answered_all_the_same(there: Desk) -> None:
    assert there.say("NotifyPeriodicEventStream", STREAM) == {}


def test_an_older_version_does_not_know_a_send(tmp_path: Path) -> None:
    with desk(tmp_path, BY_PROTOCOL["ocpp2.0.1"]) as there:
        raw = json.dumps([6, "1", "NotifyPeriodicEventStream", STREAM])
        assert there.send(raw)[:3] == [4, "1", "MessageTypeNotSupported"]
        assert isinstance(there.events[0], FrameRefused)


def test_an_answer_of_ours_that_the_charger_cannot_take_is_told(there: Desk) -> None:
    there.send('[5,"abc","FormatViolation","currentTime",{}]')
    assert became(there.events) == ("AnswerRefused",)


def test_an_answer_without_what_was_asked_for_is_complained_about_in_21_only(tmp_path: Path) -> None:
    frames = {}
    for protocol in ("ocpp2.0.1", "ocpp2.1"):
        with desk(tmp_path / protocol, BY_PROTOCOL[protocol]) as there:
            ask(there, "Reset", {"type": "OnIdle"})
            frames[protocol] = there.send('[3,"w",{}]')
    assert frames["ocpp2.0.1"] is None
    assert frames["ocpp2.1"][:3] == [5, "w", "OccurrenceConstraintViolation"]


# what 2.1 adds to a transaction


def test_cost_and_mode_of_a_transaction_of_21(there: Desk) -> None:
    there.say("TransactionEvent", FROM["ocpp2.1"]["TransactionEvent"].payload, NOW)
    cost = there.events[-1]
    assert isinstance(cost, CostReported)
    assert (cost.transaction_id, cost.total, cost.currency) == ("T1", "11.9", "EUR")
    assert getattr(there.events[0], "operation_mode", "") == "CentralSetpoint"


@pytest.mark.parametrize("cost", [{}, {"totalCost": 5}, {"totalCost": {"total": "much"}}, {"failureToCalculate": True}])
def test_a_cost_that_cannot_be_read_is_kept_without_a_total(there: Desk, cost: dict[str, Any]) -> None:
    event = FROM["ocpp2.1"]["TransactionEvent"].payload | {"costDetails": cost}
    there.say("TransactionEvent", event)
    assert [event.total for event in there.events if isinstance(event, CostReported)] == [""]


def test_21_on_a_real_socket_from_boot_to_stream(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as house, house.charger("CP", "ocpp2.1") as charger:
            assert charger.link.subprotocol == "ocpp2.1"
            booted = await charger.call("BootNotification", FROM["ocpp2.1"]["BootNotification"].payload)
            assert booted["status"] == "Accepted"
            await charger.link.send(json.dumps([6, "s", "NotifyPeriodicEventStream", STREAM]))
            assert "currentTime" in await charger.call("Heartbeat", {})  # the SEND before it got no answer
            asked = TO["ocpp2.1"]["GetVariables"]
            charger.answers["GetVariables"] = asked.answer
            calling = asyncio.create_task(house.server.call("CP", "GetVariables", asked.payload, 5))
            await charger.reply(json.loads(await charger.link.recv()))
            assert (await calling).payload == asked.answer

    asyncio.run(asyncio.wait_for(run(), 20))


# into the records


def test_what_a_charger_tells_arrives_in_the_records(tmp_path: Path, records: Records) -> None:
    said = FROM["ocpp2.1"]["NotifyCustomerInformation"].payload
    with desk(tmp_path, BY_PROTOCOL["ocpp2.1"]) as there:
        there.say("NotifyReport", FROM["ocpp2.1"]["NotifyReport"].payload)
        for seq_no, text in enumerate(("The ", "whole ", "text")):
            there.say("NotifyCustomerInformation", said | {"seqNo": seq_no, "data": text, "tbc": seq_no < 2})
        there.say("NotifyChargingLimit", FROM["ocpp2.1"]["NotifyChargingLimit"].payload)
        there.say("ClearedChargingLimit", {"chargingLimitSource": "EMS", "evseId": 1})
        details, journal = Details(records), there.intake.journal
        projection, cursor = DetailsProjection(journal, details), 0
        while cursor < journal.head:
            cursor = projection.advance(cursor)
    assert {row.kind: row.body.get("text", row.body.get("maxLimit")) for row in details.of_station("CP")} == {
        DetailKind.CUSTOMER: "The whole text",
        DetailKind.VARIABLE: 22000,
    }
    assert [(row.evse, row.rated_power_w) for row in records.connectors("CP")] == [(1, 22_000)]
