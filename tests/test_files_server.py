"""Stations' files through the real web server: as chargers send them, and as nobody should."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from files_world import form, wait_for
from servers import free_port
from werkzeug.serving import make_server

from bridge.demo.updates import Transfer, carry_out
from bridge.settings import Dashboard as DashboardSettings
from bridge.settings import Files as FilesSettings
from bridge.settings import Records as RecordsSettings
from bridge.settings import Settings
from bridge.settings import Telemetry as TelemetrySettings
from bridge.stores.files import Files, Image, Link
from bridge.stores.opening import open_telemetry
from bridge.stores.people import People, pepper
from bridge.stores.records import Records
from dashboard import bodies
from dashboard.app import create_app
from dashboard.files import WRONG_PER_MINUTE, start_tidying
from dashboard.services import services

DATA = bytes(range(256)) * 4000  # about 1 MB
CAP = 3_000_000


class Site:
    """A dashboard under gunicorn, and the same stores from outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = settings_in(folder)
        self.records = Records(self.settings.records.url.get_secret_value())
        self.records.migrate()
        secret = pepper(self.settings)
        self.files = Files(self.records, self.settings.files.folder, secret)
        self.people = People(self.records, secret)
        self.telemetry = open_telemetry(self.settings)

    def open(self, max_bytes: int = CAP, life: timedelta = timedelta(hours=1), station: str = "CP1") -> Link:
        return self.files.open_upload(station, "diagnostics", "anna", datetime.now(UTC), life, max_bytes)

    def image(self, data: bytes) -> Image:
        with self.files.part(10**9) as part:
            part.write(data)
            return self.files.add_image(part, "fw 2.1.bin", "anna", datetime.now(UTC), version="2.1")

    def load(self, image: Image) -> str:
        return self.files.open_download(image, "CP1", "anna", datetime.now(UTC), timedelta(hours=1)).token

    def kept(self) -> list[str]:
        folder = self.settings.files.folder
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.request(method, path, body, headers or {})
            answer = link.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            link.close()


def settings_in(folder: Path) -> Settings:
    from pydantic import SecretStr

    return Settings(
        data_dir=folder,
        records=RecordsSettings(url=SecretStr(f"sqlite:///{folder}/records.db")),
        telemetry=TelemetrySettings(path=folder / "telemetry.db"),
        files=FilesSettings(folder=folder / "files", keep_free_mb=0),
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("site"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CHARGEWATCH_")} | {
        "CHARGEWATCH_DATA_DIR": str(found.folder),
        "CHARGEWATCH_RECORDS__URL": f"sqlite:///{found.folder}/records.db",
        "CHARGEWATCH_TELEMETRY__PATH": str(found.folder / "telemetry.db"),
        "CHARGEWATCH_FILES__FOLDER": str(found.folder / "files"),
        "CHARGEWATCH_FILES__KEEP_FREE_MB": "0",
        "CHARGEWATCH_MQTT__PORT": str(free_port()),  # nobody listens
    }
    command = [sys.executable, "-m", "dashboard", "--port", str(found.port)]
    with (found.folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=found.folder)
    try:
        wait_for(found.port, process, found.folder / "log")
        yield found
    finally:
        process.terminate()
        process.wait(30)
        found.telemetry.close()
        found.records.close()


def head(token: str, length: str) -> bytes:
    return f"PUT /files/upload/{token} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode()


# ---- as chargers send


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(
    ("ending", "name"), [("", "file"), ("/", "file"), ("/diag.tar.gz", "diag.tar.gz"), ("diag.tgz", "diag.tgz")]
)
def test_a_raw_body_is_taken_with_and_without_a_name(site: Site, method: str, ending: str, name: str) -> None:
    link = site.open()
    assert site.ask(method, f"/files/upload/{link.token}{ending}", DATA)[0] == 200
    taken = site.files.upload(link.id)
    assert taken is not None
    assert (taken.name, taken.sha256, taken.address) == (name, hashlib.sha256(DATA).hexdigest(), "127.0.0.1")
    path = site.files.open(taken)
    assert path is not None
    assert path.read_bytes() == DATA


def test_the_demo_s_charger_uploads_and_fetches(site: Site) -> None:
    link, image = site.open(), site.image(b"for the demo")
    here = f"http://127.0.0.1:{site.port}/files"
    assert carry_out(Transfer(f"{here}/upload/{link.token}", DATA, "demo-1.log", lambda at, is_good: None))
    taken = site.files.upload(link.id)
    assert taken is not None
    assert (taken.name, taken.sha256) == ("demo-1.log", hashlib.sha256(DATA).hexdigest())
    assert carry_out(Transfer(f"{here}/firmware/{site.load(image)}/fw.bin", None, "", lambda at, is_good: None))


def test_a_form_s_first_file_is_taken(site: Site) -> None:
    link = site.open()
    boundary_in_it = DATA + b"\r\n--cu\r\n--\r\n" + DATA[:100_000]
    body, headers = form(("note", None, b"hello"), ("file", "log.zip", boundary_in_it), ("more", "b.zip", b"second"))
    assert site.ask("POST", f"/files/upload/{link.token}", body, headers)[0] == 200
    taken = site.files.upload(link.id)
    assert taken is not None
    assert (taken.name, taken.sha256) == ("log.zip", hashlib.sha256(boundary_in_it).hexdigest())


def test_a_body_in_chunks_of_unknown_length_is_taken(site: Site) -> None:
    link = site.open()
    chunks = iter([DATA[:10], DATA[10:500_000], DATA[500_000:]])
    assert site.ask("PUT", f"/files/upload/{link.token}/x.log", chunks)[0] == 200
    taken = site.files.upload(link.id)
    assert taken is not None
    assert taken.sha256 == hashlib.sha256(DATA).hexdigest()


def test_what_came_is_in_the_audit_and_in_the_station_s_timeline(site: Site) -> None:
    link = site.open(station="CP/timeline")
    site.ask("PUT", f"/files/upload/{link.token}/x.log", DATA)
    (entry,) = [found for found in site.people.audit() if found.subject == "CP/timeline"]
    assert (entry.actor, entry.action) == ("station CP/timeline", "file_received")
    assert hashlib.sha256(DATA).hexdigest() in entry.detail
    now = datetime.now(UTC)
    (event,) = site.telemetry.occurrences("CP/timeline", now - timedelta(minutes=5), now + timedelta(minutes=5))
    assert event.kind == "FileReceived"
    assert "x.log" in event.body


def test_an_address_works_once_and_a_broken_upload_may_be_tried_again(site: Site) -> None:
    link, before = site.open(), site.kept()
    with socket.create_connection(("127.0.0.1", site.port), 10) as half:
        half.sendall(head(link.token, "Content-Length: 5000") + b"half")
        half.shutdown(socket.SHUT_WR)
        assert b" 400 " in half.recv(1000).split(b"\r\n")[0]
    assert site.kept() == before
    path = f"/files/upload/{link.token}"
    assert site.ask("PUT", path, b"whole")[0] == 200
    status, said, _ = site.ask("PUT", path, b"again")
    assert (status, said) == (410, b"A file was received at this address already; it works once.\n")
    assert site.ask("GET", path)[0] == 401  # nothing is to be read there


def test_an_address_that_has_expired_is_gone(site: Site) -> None:
    link = site.open(life=timedelta(seconds=-1))
    assert site.ask("PUT", f"/files/upload/{link.token}", b"x")[0] == 410


# ---- as nobody should


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2f..%2fetc%2fpasswd", "../../../etc/passwd", "%2e%2e/%2e%2e/x", "..%5c..%5cboot.ini", "%00", "a%09b"],
)
def test_a_name_leads_nowhere(site: Site, name: str) -> None:
    link = site.open()
    assert site.ask("PUT", f"/files/upload/{link.token}/{name}", b"x")[0] == 200
    taken = site.files.upload(link.id)
    assert taken is not None
    assert not set(taken.name) & set("/\\\0\r\n")
    assert f"uploads/{link.id}" in site.kept()
    assert {Path(found).parent.name for found in site.kept()} <= {"uploads", "firmware"}


def test_a_name_in_a_form_leads_nowhere_either(site: Site) -> None:
    link = site.open()
    body, headers = form(("file", "../../../tmp/evil.sh", b"x"))
    assert site.ask("POST", f"/files/upload/{link.token}", body, headers)[0] == 200
    taken = site.files.upload(link.id)
    assert taken is not None
    assert taken.name == "evil.sh"


def test_a_length_above_the_cap_is_refused_before_the_body(site: Site) -> None:
    link, before = site.open(), site.kept()
    with socket.create_connection(("127.0.0.1", site.port), 10) as caller:
        caller.sendall(head(link.token, f"Content-Length: {CAP + 1}"))
        answer = read_all(caller)
    assert b" 413 " in answer.split(b"\r\n")[0]
    assert b"larger than 3 MB" in answer
    assert site.kept() == before


def test_an_endless_body_is_cut_at_the_cap(site: Site) -> None:
    link, before = site.open(), site.kept()
    sent = 0
    with socket.create_connection(("127.0.0.1", site.port), 10) as caller:
        caller.sendall(head(link.token, "Transfer-Encoding: chunked"))
        with contextlib.suppress(OSError):
            while sent < 100 * CAP:
                caller.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                sent += 65_536
    assert sent < 100 * CAP  # it was hung up on
    wait_until(lambda: site.kept() == before)
    assert site.ask("PUT", f"/files/upload/{link.token}", b"small")[0] == 200


def test_an_endless_form_is_cut_at_the_cap(site: Site) -> None:
    link, before = site.open(), site.kept()
    body, headers = form(("file", "x", b"x" * (CAP + 1)))
    with contextlib.suppress(OSError):
        assert site.ask("POST", f"/files/upload/{link.token}", body, headers)[0] == 413
    wait_until(lambda: site.kept() == before)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--cut",
        b"--cut\r\nContent-Disposition: form-data\r\n\r\nx",
        b"--cut\r\n\r\nx\r\n--cut--",
        b"no form at all" * 100_000,
        b'--cut\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nnever ends',
        b"--cut\r\nX: " + b"h" * 500_000,
        form(("note", None, b"n" * 100_000))[0],
        form(*[("note", None, b"n")] * 50)[0],
        form(("note", None, b"no file"))[0],
    ],
    ids=lambda body: str(body[:20]),
)
def test_a_form_that_is_none_is_refused_in_words_and_leaves_nothing(site: Site, body: bytes) -> None:
    link, before = site.open(), site.kept()
    status, said, _ = site.ask("POST", f"/files/upload/{link.token}", body, form()[1])
    assert status == 400, said
    assert said.endswith(b".\n")
    assert site.kept() == before


def test_a_compressed_bomb_is_kept_as_it_came(site: Site) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    link = site.open()
    assert site.ask("PUT", f"/files/upload/{link.token}/b.gz", bomb, {"Content-Encoding": "gzip"})[0] == 200
    taken = site.files.upload(link.id)
    assert taken is not None
    assert taken.size_bytes == len(bomb) < 100_000


def test_a_stranger_with_an_endless_body_is_hung_up_on(site: Site) -> None:
    sent = 0
    with socket.create_connection(("127.0.0.1", site.port), 10) as caller:
        caller.sendall(head("A" * 43, "Transfer-Encoding: chunked"))
        with contextlib.suppress(OSError):
            while sent < 500_000_000:
                caller.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                sent += 65_536
    assert sent < 500_000_000


# ---- firmware


def test_an_image_is_served_whole_and_in_pieces_with_its_checksum(site: Site) -> None:
    image = site.image(DATA)
    path = f"/files/firmware/{site.load(image)}/fw%202.1.bin"
    status, body, headers = site.ask("GET", path)
    assert (status, body) == (200, DATA)
    digest = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    assert (headers["repr-digest"], headers["digest"]) == (f"sha-256=:{digest}:", f"sha-256={digest}")
    assert (headers["content-length"], headers["etag"]) == (str(len(DATA)), f'"{image.sha256}"')
    assert headers["content-disposition"].startswith("attachment")
    status, body, headers = site.ask("GET", path, headers={"Range": "bytes=1000-1999", "If-Range": headers["etag"]})
    assert (status, body, headers["content-range"]) == (206, DATA[1000:2000], f"bytes 1000-1999/{len(DATA)}")
    assert site.ask("GET", path, headers={"Range": f"bytes={len(DATA) - 5}-"})[1] == DATA[-5:]
    assert site.ask("GET", path, headers={"Range": f"bytes={len(DATA) + 5}-"})[0] == 416
    status, body, headers = site.ask("HEAD", path)
    assert (status, body, headers["content-length"]) == (200, b"", str(len(DATA)))
    assert site.ask("GET", path, headers={"If-None-Match": f'"{image.sha256}"'})[0] == 304
    fetched = [e for e in site.people.audit() if e.action == "firmware_fetched" and image.sha256 in e.detail]
    assert [entry.subject for entry in fetched] == ["CP1"]  # once, however many pieces


def test_a_wrong_or_a_foreign_token_fetches_nothing(site: Site) -> None:
    assert site.ask("GET", f"/files/firmware/{'B' * 43}/x")[0] == 404
    assert site.ask("GET", f"/files/firmware/{site.open().token}/x")[0] == 404
    image = site.image(b"another image")
    assert site.ask("PUT", f"/files/upload/{site.load(image)}", b"x")[0] == 404


# ---- in this process: what a network cannot show here


@pytest.fixture
def app(tmp_path: Path) -> Any:
    return build(tmp_path)


def build(folder: Path, **changes: Any) -> Any:
    settings = settings_in(folder).model_copy(update=changes)
    records = Records(settings.records.url.get_secret_value())
    records.migrate()
    return create_app(settings, records=records, with_broker=False)


SAYS_HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.8", "X-Forwarded-Host": "here"}


@pytest.mark.parametrize(
    ("changes", "given", "status"),
    [
        ({}, {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}, 403),
        ({}, {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}, "headers": SAYS_HTTPS}, 403),  # nobody trusts it
        ({}, {"headers": SAYS_HTTPS}, 403),
        ({"dashboard": DashboardSettings(trusted_proxies=1)}, {"headers": SAYS_HTTPS}, 404),
        ({"files": FilesSettings(allow_http=True)}, {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}, 404),
        ({}, {"base_url": "https://here", "environ_base": {"REMOTE_ADDR": "192.0.2.7"}}, 404),
        ({}, {}, 404),  # loopback
    ],
)
def test_plain_http_from_afar_is_refused_unless_a_trusted_proxy_or_the_settings_allow_it(
    tmp_path: Path, changes: dict[str, Any], given: dict[str, Any], status: int
) -> None:
    client = build(tmp_path, **changes).test_client()
    assert client.put(f"/files/upload/{'A' * 43}", **given).status_code == status


def test_old_uploads_go_by_themselves(app: Any, tmp_path: Path) -> None:
    with app.app_context():
        found = services()
    long_ago = datetime.now(UTC) - timedelta(days=91)
    link = found.files.open_upload("CP1", "log", "anna", long_ago, timedelta(hours=1), CAP)
    with found.files.part(CAP) as part:
        part.write(b"old")
        found.files.take_in(found.files.upload_for(link.token, long_ago), part, "old.log", "", long_ago)
    stop = start_tidying(found, every_s=0.05)
    wait_until(lambda: found.files.upload(link.id) is None)
    stop.set()
    wait_until(lambda: not (tmp_path / "files" / "uploads" / str(link.id)).exists())


def test_who_guesses_addresses_is_told_to_wait(app: Any) -> None:
    client = app.test_client()
    found = [client.put(f"/files/upload/{number:043}").status_code for number in range(WRONG_PER_MINUTE + 2)]
    assert found == [404] * WRONG_PER_MINUTE + [429] * 2


@pytest.mark.parametrize(("still_s", "longest_s"), [(0.3, 60.0), (60.0, 0.5)], ids=["stands still", "takes too long"])
def test_a_slow_body_is_cut_off(
    app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, still_s: float, longest_s: float
) -> None:
    monkeypatch.setattr(bodies, "STILL_S", still_s)
    monkeypatch.setattr(bodies, "LONGEST_S", longest_s)
    with app.app_context():
        files = services().files
    link = files.open_upload("CP1", "log", "anna", datetime.now(UTC), timedelta(hours=1), CAP)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with socket.create_connection(("127.0.0.1", server.port), 20) as caller:
            caller.sendall(head(link.token, "Content-Length: 1000"))
            ended = threading.Event()
            feeder = threading.Thread(target=trickle, args=(caller, ended, still_s > 1), daemon=True)
            feeder.start()
            with contextlib.suppress(OSError):
                read_all(caller)
            ended.set()
            feeder.join(10)
        assert files.upload(link.id).received_at is None
        wait_until(lambda: not [path for path in (tmp_path / "files").rglob("*") if path.is_file()])
    finally:
        server.shutdown()
        thread.join(10)


def trickle(caller: socket.socket, ended: threading.Event, goes_on: bool) -> None:
    with contextlib.suppress(OSError):
        caller.sendall(b"x")
        while goes_on and not ended.wait(0.05):
            caller.sendall(b"x")


def read_all(caller: socket.socket) -> bytes:
    data = b""
    while chunk := caller.recv(65_536):
        data += chunk
    return data


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
