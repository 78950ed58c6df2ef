"""Virtual chargers obey: every command of ours, in every version, with answers and news that the schemas allow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from composed_samples import SAID
from demo_world import T0, Centre, charging, connected

from bridge import schemas
from bridge.compose import COMPOSED, compose
from bridge.demo.fleet import PROTOCOLS
from bridge.demo.updates import carry_out
from bridge.events import ConnectorStatus

ALL = sorted(PROTOCOLS)
EVERY = pytest.mark.parametrize("protocol", ALL)
TWO = pytest.mark.parametrize("protocol", [protocol for protocol in ALL if protocol != "ocpp1.6"])


def checked(centre: Centre) -> Centre:
    """Everything that it says from now on is held against the official schemas."""
    protocol = centre.station.subprotocol

    def validate(action: str, payload: dict[str, Any]) -> None:
        assert schemas.violations(protocol, action, payload) == [], action

    centre.validate = validate
    return centre


def order(centre: Centre, name: str, params: dict[str, Any], at: float) -> dict[str, Any]:
    """Give a command; its call and its answer are held against the schemas."""
    protocol = centre.station.subprotocol
    action, payload = compose(protocol, name, params, now=datetime.fromtimestamp(at, UTC))
    assert schemas.violations(protocol, action, payload) == []
    answer: dict[str, Any] = json.loads(json.dumps(centre.station.obey(action, payload, at)))
    assert schemas.violations(protocol, action, answer, is_response=True) == []
    return answer


def later(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


CASES = [
    (protocol, name, params)
    for protocol in ALL
    for name, listed in SAID.items()
    for params in listed
    if protocol in COMPOSED[name].versions
]


@pytest.mark.parametrize(("protocol", "name", "params"), CASES)
def test_every_command_of_ours_gets_a_valid_answer_and_harms_nothing(
    protocol: str, name: str, params: dict[str, Any]
) -> None:
    centre, at = charging(protocol)
    checked(centre)
    order(centre, name, params, at)
    centre.live(at, at + 120)


@EVERY
def test_an_address_that_nobody_answers_fails_and_says_so(protocol: str) -> None:
    assert not carry_out_of(protocol, "FetchLogs", "http://127.0.0.1:1/log", 5.0)
    assert not carry_out_of(protocol, "UpdateFirmware", "file:///etc/passwd", 5.0)


def carry_out_of(protocol: str, name: str, url: str, wait_s: float) -> bool:
    centre, at = charging(protocol)
    order(centre, name, {"location": url}, at)
    at = centre.live(at, at + wait_s)
    transfer = centre.station.transfers.popleft()
    is_good = carry_out(transfer)
    transfer.done(at, is_good)
    checked(centre).live(at, at + 1)
    last = [payload["status"] for _, action, payload in centre.calls if _is_of_a_file(action)][-1]
    assert is_good or last in ("UploadFailed", "UploadFailure", "DownloadFailed")
    return is_good


def _is_of_a_file(action: str) -> bool:
    return action.endswith("StatusNotification") and action != "StatusNotification"


# ---- settings


def test_1_6_keys_can_be_read_and_changed() -> None:
    centre, at = charging("ocpp1.6")
    told = order(centre, "GetConfiguration", {}, at)["configurationKey"]
    assert len(told) >= 30
    by_key = {entry["key"]: entry for entry in told}
    assert "value" not in by_key["AuthorizationKey"]
    assert by_key["NumberOfConnectors"] == {"key": "NumberOfConnectors", "readonly": True, "value": "2"}
    assert (
        order(centre, "SetConfiguration", {"key": "MeterValueSampleInterval", "value": 7}, at)["status"] == "Accepted"
    )
    assert centre.station.meter_interval_s == 7
    one = order(centre, "GetConfiguration", {"keys": "MeterValueSampleInterval,Nonsense"}, at)
    assert one["configurationKey"][0]["value"] == "7"
    assert one["unknownKey"] == ["Nonsense"]
    for key, value, status in (
        ("NumberOfConnectors", "9", "Rejected"),
        ("HeartbeatInterval", "often", "Rejected"),
        ("Nonsense", "1", "NotSupported"),
    ):
        assert order(centre, "SetConfiguration", {"key": key, "value": value}, at)["status"] == status


@TWO
def test_the_device_model_comes_in_parts_and_can_be_changed(protocol: str) -> None:
    centre, at = connected(protocol, busy=0.0001), T0
    checked(centre)
    answer = order(centre, "GetConfiguration", {}, at)
    assert answer == {"status": "Accepted"}
    centre.serve(at)
    parts = centre.of("NotifyReport")
    assert len(parts) >= 4
    assert [part["seqNo"] for part in parts] == list(range(len(parts)))
    assert [part["tbc"] for part in parts] == [True] * (len(parts) - 1) + [False]
    variables = [data for part in parts for data in part["reportData"]]
    assert len(variables) >= 36
    key = "OCPPCommCtrlr.HeartbeatInterval"
    result = order(centre, "SetConfiguration", {"key": key, "value": "45"}, at)["setVariableResult"][0]
    assert (result["attributeStatus"], centre.station.heartbeat_s) == ("Accepted", 45)
    read = order(centre, "GetConfiguration", {"keys": f"{key},A.B,EVSE@1.Power"}, at)["getVariableResult"]
    assert [entry["attributeStatus"] for entry in read] == ["Accepted", "UnknownComponent", "Accepted"]
    assert [entry.get("attributeValue") for entry in read] == ["45", None, "22000"]


@EVERY
def test_a_rotated_key_is_shown_at_the_next_connection(protocol: str) -> None:
    centre, at = charging(protocol)
    key = "0123456789abcdef0123456789abcdef"
    order(centre, "RotateKey", {"key": key}, at)
    assert centre.station.key == key


# ---- power


@EVERY
def test_a_limit_limits_the_car_and_ends_with_its_time(protocol: str) -> None:
    centre = connected(protocol, busy=0.0001)
    centre.station.start_remotely(2, "04DDEEFF", T0)
    at, bay = centre.live(T0, T0 + 90), centre.station.bays[2]
    free_w = bay.meter.power_w
    assert free_w > 20_000
    order(centre, "LimitPower", {"limit": 15_000, "scope": "evse", "evse": 2, "duration_s": 120}, at)
    at = centre.live(at, at + 60)
    assert 14_000 < bay.meter.power_w <= 15_000
    assert bay.reading(at).offered_w == 15_000
    at = centre.live(at, at + 90)
    assert bay.meter.power_w > 20_000


@EVERY
def test_a_session_with_too_little_left_pauses_until_the_limit_is_cleared(protocol: str) -> None:
    centre, at = charging(protocol)
    bay, running = centre.station.bays[1], centre.station.transactions[1]
    session = {"scope": "session", "evse": 1, "transaction_id": str(running.id)}
    assert order(centre, "LimitPower", {"limit": 0, **session}, at)["status"] == "Accepted"
    at = centre.live(at, at + 30)
    assert (bay.status, bay.meter.power_w) == (ConnectorStatus.SUSPENDED_EVSE, 0.0)
    assert order(centre, "ClearLimit", {"scope": "session", "evse": 1}, at)["status"] == "Accepted"
    at = centre.live(at, at + 30)
    assert bay.status is ConnectorStatus.CHARGING
    assert bay.meter.power_w > 0
    assert order(centre, "ClearLimit", {"scope": "session", "evse": 1}, at)["status"] == "Unknown"


@EVERY
def test_a_limit_of_the_station_is_shared(protocol: str) -> None:
    centre, at = charging(protocol)
    centre.station.start_remotely(2, "04DDEEFF", at)
    at = centre.live(at, at + 60)
    order(centre, "LimitPower", {"limit": 10_000}, at)
    at = centre.live(at, at + 60)
    drawn = [bay.meter.power_w for bay in centre.station.bays.values()]
    assert sum(drawn) <= 10_100
    assert all(0 < watts <= 5_100 for watts in drawn)


@EVERY
def test_a_profile_of_a_session_that_is_not_there_is_rejected_and_ends_with_its_own(protocol: str) -> None:
    centre, at = charging(protocol)
    limit = {"limit": 5_000, "scope": "session", "evse": 1}
    assert order(centre, "LimitPower", {**limit, "transaction_id": "987"}, at)["status"] == "Rejected"
    number = str(centre.station.transactions[1].id)
    assert order(centre, "LimitPower", {**limit, "transaction_id": number}, at)["status"] == "Accepted"
    assert order(centre, "StopSession", {"transaction_id": number}, at)["status"] == "Accepted"
    assert centre.station.profiles.installed == []


# ---- cards and reservations


@EVERY
def test_the_local_list_has_a_version_and_says_no_while_offline(protocol: str) -> None:
    centre, at = connected(protocol, busy=0.0001), T0
    station = centre.station
    listed = {"update": "differential", "tokens": "A,B", "version": 5}
    assert order(centre, "SendLocalList", listed, at)["status"] == "Accepted"
    assert order(centre, "SendLocalList", listed, at)["status"] == "VersionMismatch"
    version = station.obey("GetLocalListVersion", {}, at)
    assert list(version.values()) == [5]
    station.local_list.entries["BAD"] = {"status": "Blocked"}
    station.disconnected(at)
    station.bays[1].bring(at, "BAD")
    centre.live(at, at + 15)
    assert not station.transactions


@EVERY
def test_a_reserved_bay_is_for_its_card_alone(protocol: str) -> None:
    centre, at = connected(protocol, busy=0.0001), T0
    checked(centre)
    reserve = {"token": "MINE", "until": later(at + 600), "evse": 1, "reservation_id": 11}
    assert order(centre, "Reserve", reserve, at)["status"] == "Accepted"
    assert order(centre, "Reserve", reserve | {"reservation_id": 12, "token": "X"}, at)["status"] == "Occupied"
    assert centre.station.bays[1].status is ConnectorStatus.RESERVED
    assert order(centre, "StartForToken", {"token": "OTHER", "evse": 1}, at)["status"] == "Rejected"
    assert order(centre, "StartForToken", {"token": "MINE", "evse": 1}, at)["status"] == "Accepted"
    centre.live(at, at + 30)
    (start,) = [
        p for p in centre.of("StartTransaction", "TransactionEvent") if p.get("eventType", "Started") == "Started"
    ]
    assert start["reservationId"] == 11


@EVERY
def test_a_reservation_ends_of_itself_or_by_a_word(protocol: str) -> None:
    centre, at = connected(protocol, busy=0.0001), T0
    checked(centre)
    bay = centre.station.bays[1]
    order(centre, "Reserve", {"token": "MINE", "until": later(at + 60), "evse": 1, "reservation_id": 11}, at)
    at = centre.live(at, at + 61)
    assert bay.status is not ConnectorStatus.RESERVED
    ended = centre.of("ReservationStatusUpdate")
    assert ended == ([] if protocol == "ocpp1.6" else [{"reservationId": 11, "reservationUpdateStatus": "Expired"}])
    assert order(centre, "CancelReservation", {"reservation_id": 11}, at)["status"] == "Rejected"
    order(centre, "Reserve", {"token": "MINE", "until": later(at + 60), "evse": 1, "reservation_id": 12}, at)
    assert order(centre, "CancelReservation", {"reservation_id": 12}, at)["status"] == "Accepted"
    assert bay.status is ConnectorStatus.AVAILABLE


# ---- the rest of the station


@EVERY
def test_out_of_service_and_back(protocol: str) -> None:
    centre, at = connected(protocol, busy=0.0001), T0
    for operative, status in ((False, ConnectorStatus.UNAVAILABLE), (True, ConnectorStatus.AVAILABLE)):
        assert order(centre, "ChangeAvailability", {"operative": operative, "evse": 1}, at)["status"] == "Accepted"
        assert centre.station.bays[1].status is status


@TWO
def test_a_restart_on_idle_waits_for_the_session(protocol: str) -> None:
    centre, at = charging(protocol)
    assert order(centre, "Reset", {"kind": "soft"}, at)["status"] == "Scheduled"
    at = centre.live(at, at + 10)
    assert centre.station.reboot_at is None
    centre.station.stop(1, at, "Local")
    centre.live(at, at + 2)
    assert centre.station.reboot_at is not None


@TWO
def test_messages_are_shown_listed_and_taken_off(protocol: str) -> None:
    centre, at = checked(connected(protocol, busy=0.0001)), T0
    assert order(centre, "ShowMessage", {"text": "Out of order", "message_id": 3}, at)["status"] == "Accepted"
    assert centre.station.obey("GetDisplayMessages", {"requestId": 1}, at) == {"status": "Accepted"}
    centre.serve(at)
    (told,) = centre.of("NotifyDisplayMessages")
    assert told["messageInfo"][0]["message"]["content"] == "Out of order"
    assert order(centre, "ClearMessage", {"message_id": 3}, at)["status"] == "Accepted"
    assert order(centre, "ClearMessage", {"message_id": 3}, at)["status"] == "Unknown"


# ---- files


class Shop(BaseHTTPRequestHandler):
    """Takes what is put or posted, gives an image."""

    received: list[tuple[str, str, bytes]]
    refuses_put = False

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.refuses_put and self.command == "PUT":
            self.send_error(405)
            return
        self.received.append((self.command, self.path, body))
        self._answer(b"")

    do_POST = do_PUT

    def do_GET(self) -> None:
        self._answer(b"firmware" * 1000)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def shop() -> Iterator[tuple[str, type[Shop]]]:
    handler = type("OneShop", (Shop,), {"received": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()
    thread.join()


def move_files(centre: Centre, at: float) -> None:
    while centre.station.transfers:
        transfer = centre.station.transfers.popleft()
        transfer.done(at, carry_out(transfer))


@EVERY
@pytest.mark.parametrize("kind", ["diagnostics", "security"])
def test_a_log_is_uploaded_to_the_address(protocol: str, kind: str, shop: tuple[str, type[Shop]]) -> None:
    url, handler = shop
    handler.refuses_put = kind == "security"
    centre, at = charging(protocol)
    checked(centre)
    order(centre, "FetchLogs", {"location": f"{url}/u/token", "kind": kind, "request_id": 6}, at)
    at = centre.live(at, at + 5)
    move_files(centre, at)
    centre.serve(at)
    ((method, path, body),) = handler.received
    assert (method, path) == ("POST" if handler.refuses_put else "PUT", "/u/token")
    assert b"began a session" in body
    told = centre.of("LogStatusNotification", "DiagnosticsStatusNotification")
    assert [entry["status"] for entry in told] == ["Uploading", "Uploaded"]
    if protocol != "ocpp1.6" or kind == "security":
        assert {entry["requestId"] for entry in told} == {6}


@EVERY
@pytest.mark.parametrize("is_signed", [False, True])
def test_a_firmware_update_ends_in_a_new_version(protocol: str, is_signed: bool, shop: tuple[str, type[Shop]]) -> None:
    url, _ = shop
    centre, at = charging(protocol)
    checked(centre)
    signed = {"signature": "c2ln", "signing_certificate": "PEM"} if is_signed else {}
    order(centre, "UpdateFirmware", {"location": f"{url}/box-9.8.7.bin", "request_id": 6, **signed}, at)
    at = centre.live(at, at + 5)
    move_files(centre, at)
    at = centre.live(at, at + 60)
    station = centre.station
    assert station.reboot_at is not None
    station.disconnected(at)
    station.connected(at + 10)
    centre.serve(at + 10)
    told = [payload for _, action, payload in centre.calls if "FirmwareStatus" in action]
    steps = ["Downloading", "Downloaded", *(["SignatureVerified"] if is_signed else []), "Installing", "Installed"]
    assert [entry["status"] for entry in told] == steps
    boot = centre.of("BootNotification")[-1]
    assert boot.get("firmwareVersion", boot.get("chargingStation", {}).get("firmwareVersion")) == "9.8.7"
    assert not station.transactions
