"""Notices on their way: a real SMTP server, a real HTTP server, outages, refusals, hostile names."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from alarm_world import NOW, connector, station, write
from mail_world import Inbox, smtp_server
from pydantic import SecretStr
from records_world import name_station
from servers import free_port

from bridge.events import ConnectorStatus
from bridge.settings import Alerts, Smtp
from bridge.stores.records import Records
from dashboard.alerts.catalogue import SHIPPED, load_rules
from dashboard.alerts.channels._base import ID_HEADER, DeliveryError, Message
from dashboard.alerts.leader import Lease
from dashboard.alerts.outbox import MAX_ATTEMPTS, Channel, Outbox, deliver, open_channels, wait_s
from dashboard.alerts.process import Evaluator

# Apprise imports all its services at the first send; one of them imports what Python 3.13 no longer has
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

HOSTILE = "CP\r\nBcc: all@example.org\r\n\r\n<b>click</b> https://evil.example \u202egnp {rule} ${HOME} \x07"


class Hook:
    """A real HTTP server that keeps what is posted; ``status`` is what it answers."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.posts.append((dict(self.headers), json.loads(body)))
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._server.server_port}/alarms"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


def by_mail(port: int, *to: str, sender: str = "watch@example.org") -> Alerts:
    smtp = Smtp(host="127.0.0.1", port=port, security="none", sender=sender)
    return Alerts(email_to=to or ("ops@example.org",), smtp=smtp)


def raise_ground_fault(records: Records, channels: dict[str, Channel], name: str = "") -> None:
    write(records, station(), connector(ConnectorStatus.FAULTED, "GroundFailure", info=HOSTILE))
    if name:
        name_station(records, "CP1", name)
    lease = Lease(records, "alerts", "one", 3600)
    Evaluator(records, load_rules(SHIPPED), channels, lease, min_priority=3, clock=lambda: NOW).tick()


def round_at(records: Records, channels: dict[str, Channel], now: datetime = NOW) -> int:
    return deliver(Outbox(records), channels, lambda: now, lambda: True)


# ---- e-mail


def test_an_alarm_arrives_as_plain_text_with_its_id_and_what_to_do(records: Records) -> None:
    inbox, port = Inbox(), free_port()
    channels = open_channels(by_mail(port, "ops@example.org", "night@example.org"))
    raise_ground_fault(records, channels, name="North 1")
    with smtp_server(inbox, port):
        assert round_at(records, channels) == 2
        assert round_at(records, channels) == 0
    assert sorted(inbox.recipients) == [["night@example.org"], ["ops@example.org"]]
    mail = inbox.mails[0]
    assert mail["Subject"] == "P1 Ground fault at North 1, connector 1"
    assert mail["From"].endswith("<watch@example.org>") or mail["From"] == "watch@example.org"
    assert mail[ID_HEADER].startswith("edge-")
    assert mail.get_content_type() == "text/plain"
    assert "What to do: Take the connector out of service" in mail.get_content()


def test_a_hostile_name_cannot_add_a_header_a_recipient_or_a_link(records: Records) -> None:
    inbox, port = Inbox(), free_port()
    channels = open_channels(by_mail(port, sender=""))
    raise_ground_fault(records, channels, name=HOSTILE)
    with smtp_server(inbox, port):
        round_at(records, channels)
    (mail,) = inbox.mails
    assert inbox.recipients == [["ops@example.org"]]
    assert mail["Bcc"] is None
    assert mail.get_content_type() == "text/plain"
    text = f"{mail['Subject']}\n{mail.get_content()}"
    assert "://" not in text
    assert "\u202e" not in text
    assert "\x07" not in text
    assert "<b>click</b>" in text  # text stays text
    assert "{rule} ${HOME}" in text


def test_a_mail_server_that_is_down_for_a_while_gets_each_notice_once(records: Records) -> None:
    inbox, port = Inbox(), free_port()
    channels = open_channels(by_mail(port))
    raise_ground_fault(records, channels)
    now = NOW
    for _ in range(4):
        assert round_at(records, channels, now) == 0
        (waiting,) = Outbox(records).parcels()
        assert waiting.due_at > now
        assert waiting.dead_at is None
        assert "refused" in waiting.last_error.lower()
        assert round_at(records, channels, now) == 0  # not due yet: no attempt
        now = waiting.due_at
    assert waiting.attempts == 4
    with smtp_server(inbox, port):
        assert [round_at(records, channels, now) for _ in range(3)] == [1, 0, 0]
    assert len(inbox.mails) == 1


def test_an_address_the_server_will_never_take_is_given_up_at_once_and_one_that_is_full_is_not(
    records: Records,
) -> None:
    inbox, port = Inbox(), free_port()
    channels = open_channels(by_mail(port))
    raise_ground_fault(records, channels)
    with smtp_server(inbox, port):
        inbox.refuse = "452 4.2.2 mailbox full"
        round_at(records, channels)
        (parcel,) = Outbox(records).parcels()
        assert (parcel.dead_at, parcel.attempts) == (None, 1)
        inbox.refuse = "550 5.1.1 no such user"
        round_at(records, channels, NOW + timedelta(hours=1))
    (parcel,) = Outbox(records).parcels()
    assert parcel.dead_at is not None
    assert "no such user" in parcel.last_error


@pytest.mark.parametrize(
    ("host", "username", "sender"),
    [
        ("127.0.0.1", "", "chargewatch@localhost"),
        ("mail", "", "chargewatch@localhost"),
        ("smtp.example.org", "", "chargewatch@smtp.example.org"),
        ("smtp.example.org", "ops@example.org", "ops@example.org"),
    ],
)
def test_a_sender_that_is_not_set_is_one_that_servers_take(host: str, username: str, sender: str) -> None:
    settings = Alerts(email_to=("a@example.org",), smtp=Smtp(host=host, username=username))
    assert open_channels(settings)["email"].targets["a@example.org"]["from_addr"] == sender


# ---- webhooks


def hooked(hook: Hook) -> dict[str, Channel]:
    return open_channels(Alerts(webhook_urls=(SecretStr(hook.url),)))


def test_a_webhook_gets_the_words_and_the_id(records: Records, hook: Hook) -> None:
    channels = hooked(hook)
    raise_ground_fault(records, channels)
    assert round_at(records, channels) == 1
    ((headers, body),) = hook.posts
    assert headers[ID_HEADER] == Outbox(records).parcels()[0].key
    assert body["title"] == "P1 Ground fault at CP1, connector 1"
    assert body["type"] == "failure"
    assert "Cause:" in body["message"]


def test_a_plain_http_address_gets_json(records: Records, hook: Hook) -> None:
    channels = open_channels(Alerts(webhook_urls=(SecretStr(hook.url.replace("json://", "http://")),)))
    raise_ground_fault(records, channels)
    assert round_at(records, channels) == 1
    assert hook.posts[0][1]["title"].startswith("P1 Ground fault")


def test_the_address_of_a_webhook_with_its_secrets_is_not_stored(records: Records) -> None:
    channels = open_channels(Alerts(webhook_urls=(SecretStr("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"),)))
    raise_ground_fault(records, channels)
    (parcel,) = Outbox(records).parcels()
    assert parcel.recipient.startswith("slack-")
    assert "TIiaj" not in parcel.recipient + parcel.key + parcel.body


@pytest.mark.parametrize(("status", "is_dead"), [(404, True), (400, True), (429, False), (408, False), (503, False)])
def test_a_webhook_s_answer_says_whether_it_is_worth_trying_again(
    records: Records, hook: Hook, status: int, is_dead: bool
) -> None:
    hook.status = status
    channels = hooked(hook)
    raise_ground_fault(records, channels)
    round_at(records, channels)
    (parcel,) = Outbox(records).parcels()
    assert (parcel.dead_at is not None) is is_dead
    assert str(status) in parcel.last_error


def test_an_address_apprise_does_not_know_is_given_up_and_does_not_stop_the_others(
    records: Records, hook: Hook
) -> None:
    settings = Alerts(webhook_urls=(SecretStr("pigeon://loft"), SecretStr(hook.url)))
    channels = open_channels(settings)
    raise_ground_fault(records, channels)
    assert round_at(records, channels) == 1
    assert Outbox(records).standing()[:2] == (0, 1)


# ---- the outbox


def recording(errors: list[DeliveryError | Exception | None]) -> tuple[dict[str, Channel], list[str]]:
    sent: list[str] = []

    def send(message: Message, target: object) -> None:
        error = errors.pop(0) if errors else None
        if error is not None:
            raise error
        sent.append(message.id)

    return {"email": Channel({"a": 1}, send), "webhook": Channel({}, send)}, sent


def test_a_crash_between_sending_and_noting_it_sends_again_with_the_same_id(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels, sent = recording([])
    raise_ground_fault(records, channels)
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "sent", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            round_at(records, channels)
    assert round_at(records, channels) == 1
    assert len(sent) == 2
    assert len(set(sent)) == 1


def test_a_notice_nobody_takes_is_given_up_after_half_a_day(records: Records) -> None:
    channels, sent = recording([DeliveryError("busy")] * 100)
    raise_ground_fault(records, channels)
    now = NOW
    for _ in range(MAX_ATTEMPTS):
        round_at(records, channels, now)
        now += timedelta(seconds=2_000)
    (parcel,) = Outbox(records).parcels()
    assert parcel.dead_at is not None
    assert parcel.attempts == MAX_ATTEMPTS
    assert sent == []
    waited = sum(wait_s(n, 0.5) for n in range(1, MAX_ATTEMPTS))
    assert 8 * 3600 < waited < 14 * 3600


def test_waits_double_are_spread_and_bounded() -> None:
    assert [wait_s(n, 0.5) for n in (1, 2, 3)] == [5.0, 10.0, 20.0]
    assert wait_s(1, 0.0) < wait_s(1, 0.99)
    assert wait_s(10_000, 0.99) < 1_200


def test_a_defect_of_a_channel_is_one_failed_attempt(records: Records) -> None:
    channels, sent = recording([ZeroDivisionError("oops")])
    raise_ground_fault(records, channels)
    assert round_at(records, channels) == 0
    assert round_at(records, channels, NOW + timedelta(hours=1)) == 1
    assert len(sent) == 1


def test_a_recipient_that_left_the_settings_is_not_written_to(records: Records) -> None:
    channels, sent = recording([])
    raise_ground_fault(records, channels)
    without = {name: Channel({}, channel.send) for name, channel in channels.items()}
    round_at(records, without)
    assert Outbox(records).standing()[:2] == (0, 1)
    assert sent == []


def test_nothing_is_sent_by_who_no_longer_leads(records: Records) -> None:
    channels, sent = recording([])
    raise_ground_fault(records, channels)
    assert deliver(Outbox(records), channels, lambda: NOW, lambda: False) == 0
    assert sent == []


def test_a_priority_below_the_setting_is_an_alarm_without_a_notice(records: Records) -> None:
    channels, _ = recording([])
    write(records, station(), connector(ConnectorStatus.FAULTED, "GroundFailure"))
    lease = Lease(records, "alerts", "one", 3600)
    rules = {"quiet": load_rules(SHIPPED)["connector_fault"]}
    Evaluator(records, rules, channels, lease, min_priority=2, clock=lambda: NOW).tick()
    assert Outbox(records).parcels() == []
