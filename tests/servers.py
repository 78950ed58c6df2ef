"""Real servers for the tests: found, or installed, started on a free port with a temporary folder, and ended.

``python tests/servers.py --prepare`` installs what is missing before the tests run (building InfluxDB takes
minutes once); with ``CI=true`` it fails where one cannot be had. ``ServerMissing`` says in one sentence why.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from charger_programs import find_ocpp_go, find_ocpp_python, find_ocpp_rpc
from installing import TOOLS, ServerMissing, apt_install, locked, program

IS_CI = os.environ.get("CI", "").lower() == "true"
START_S = 45.0


class Mosquitto(NamedTuple):
    host: str
    port: int


class Influx(NamedTuple):
    """``bucket`` exists and is empty at first; ``new_bucket`` makes another."""

    url: str
    org: str
    bucket: str
    token: str

    def new_bucket(self) -> Influx:
        name = f"test-{secrets.token_hex(6)}"
        org_id = self.call("GET", f"/api/v2/orgs?org={quote(self.org)}")["orgs"][0]["id"]
        self.call("POST", "/api/v2/buckets", {"orgID": org_id, "name": name, "retentionRules": []})
        return self._replace(bucket=name)

    def drop(self) -> None:
        for bucket in self.call("GET", f"/api/v2/buckets?name={self.bucket}")["buckets"]:
            self.call("DELETE", f"/api/v2/buckets/{bucket['id']}")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return _http(method, self.url + path, body, {"Authorization": f"Token {self.token}"})


# ---- finding and installing


def find_mosquitto() -> Path:
    return program("mosquitto", ["/usr/sbin/mosquitto"], package="mosquitto")


def find_postgres() -> Path:
    """The folder with ``initdb`` and ``postgres``."""
    return program("postgres", sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")), "postgresql").parent


def find_chromium() -> Path:
    return program("chromium", [], package="chromium")


def find_influxd() -> Path | None:
    """``None`` when a running server is named by INFLUXDB_URL and INFLUXDB_TOKEN."""
    if os.environ.get("INFLUXDB_URL"):
        if not os.environ.get("INFLUXDB_TOKEN"):
            raise ServerMissing("INFLUXDB_URL is set, INFLUXDB_TOKEN is not")
        return None
    found = shutil.which("influxd")
    return Path(found) if found else _built_influxd(TOOLS / "influx")


def _built_influxd(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with locked("influx"):
        if not (folder / "influxd").exists():
            _build_influxd(folder)
    return folder / "influxd"


def _build_influxd(folder: Path) -> None:
    if absent := [name for name in ("go", "cargo", "cc") if not shutil.which(name)]:
        raise ServerMissing(f"InfluxDB is built with go, cargo and cc; here is no {' and no '.join(absent)}")
    if not shutil.which("pkg-config"):
        apt_install("pkg-config")
    print("building InfluxDB once, this takes some minutes ...", file=sys.stderr, flush=True)
    log = folder / "build.log"
    with log.open("w") as output:
        script = Path(__file__).parent / "tools" / "build-influxd.sh"
        done = subprocess.run(["sh", str(script), str(folder)], stdout=output, stderr=output, check=False)
    if done.returncode:
        raise ServerMissing(f"InfluxDB could not be built: {_tail(log)}")


FINDERS: dict[str, Callable[[], object]] = {
    "mosquitto": find_mosquitto,
    "postgres": find_postgres,
    "influx": find_influxd,
    "chromium": find_chromium,
    "ocpp-rpc": find_ocpp_rpc,
    "ocpp-go": find_ocpp_go,
    "ocpp-python": find_ocpp_python,
}


# ---- starting


@contextmanager
def mosquitto(port: int | None = None, config: Sequence[str] = ("allow_anonymous true",)) -> Iterator[Mosquitto]:
    """A broker on loopback. ``port`` to come back on the same one; ``config`` further lines of its file."""
    binary, port = find_mosquitto(), port or free_port()
    with _folder() as folder:
        file = folder / "mosquitto.conf"
        file.write_text("\n".join([f"listener {port} 127.0.0.1", "persistence false", *config, ""]))
        with _running([str(binary), "-c", str(file)], folder, lambda: _answers(port)):
            yield Mosquitto("127.0.0.1", port)


@contextmanager
def postgres(port: int | None = None) -> Iterator[str]:
    """The URL of an empty database on a server of its own; its user may create more."""
    binaries, port = find_postgres(), port or free_port()
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    with _folder() as folder:
        data, password = folder / "data", secrets.token_hex(12)
        (folder / "password").write_text(password)
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, user, user)
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "chargewatch", "-A", "scram-sha-256"]
        options = ["--pwfile", str(folder / "password"), "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        _run([*initdb, *options], user)
        server = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"]
        url = f"postgresql+psycopg://chargewatch:{password}@127.0.0.1:{port}/postgres"
        with _running([*server, "-c", "fsync=off"], folder, lambda: _connects(url), user, signal.SIGINT):
            yield url


@contextmanager
def influx(port: int | None = None) -> Iterator[Influx]:
    """The server named by INFLUXDB_URL and INFLUXDB_TOKEN, else one of our own with organisation and token."""
    binary = find_influxd()
    if binary is None:
        named = _named_influx()
        try:
            yield named
        finally:
            named.drop()
        return
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    with _folder() as folder:
        places = {"--bolt-path": "i.bolt", "--engine-path": "engine", "--sqlite-path": "i.db"}
        files = [part for option, name in places.items() for part in (option, str(folder / name))]
        quiet = ["--reporting-disabled", "--log-level", "error", "--http-bind-address", f"127.0.0.1:{port}"]
        with _running([str(binary), *files, *quiet], folder, lambda: _healthy(url)):
            yield _set_up(url)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _set_up(url: str) -> Influx:
    made = Influx(url, "chargewatch", "chargewatch", secrets.token_hex(24))
    first = {"username": "admin", "password": secrets.token_hex(12), "org": made.org, "bucket": made.bucket}
    _http("POST", f"{url}/api/v2/setup", first | {"token": made.token, "retentionPeriodSeconds": 0})
    return made


def _named_influx() -> Influx:
    url, token = os.environ["INFLUXDB_URL"].rstrip("/"), os.environ["INFLUXDB_TOKEN"]
    org = os.environ.get("INFLUXDB_ORG", "chargewatch")
    return Influx(url, org, "", token).new_bucket()


@contextmanager
def _running(
    command: Sequence[str],
    folder: Path,
    is_up: Callable[[], bool],
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, **_as(user))
    try:
        deadline = time.monotonic() + START_S
        while not is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{Path(command[0]).name} did not start: {_tail(log)}")
            time.sleep(0.05)
        yield
    finally:
        _end(process, stop)


def _end(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    process.send_signal(stop)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="chargewatch-"))
    path.chmod(0o755)  # mosquitto and PostgreSQL give up root before they read
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _run(command: Sequence[str], user: str | None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **_as(user))
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")


def _as(user: str | None) -> dict[str, Any]:
    return {"user": user, "group": user, "extra_groups": []} if user else {}


def _tail(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").strip().splitlines()[-5:])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _connects(url: str) -> bool:
    import psycopg

    try:
        with psycopg.connect(url.replace("+psycopg", "", 1), connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def _healthy(url: str) -> bool:
    try:
        return bool(_http("GET", f"{url}/health")["status"] == "pass")
    except OSError:
        return False


def _http(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, (headers or {}) | {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read()
    except urllib.error.HTTPError as error:
        with error:
            raise RuntimeError(f"{method} {url}: {error.code} {error.read().decode(errors='replace')}") from error
    return json.loads(text) if text else None


def prepare(names: Sequence[str] = tuple(FINDERS)) -> dict[str, str]:
    """Find or install each server; what cannot be had, with the reason."""
    missing = {}
    for name in names:
        try:
            FINDERS[name]()
        except ServerMissing as error:
            missing[name] = str(error)
    return missing


def main() -> int:
    if sys.argv[1:] != ["--prepare"]:
        print("usage: python tests/servers.py --prepare", file=sys.stderr)
        return 2
    missing = prepare()
    for name, reason in missing.items():
        print(f"NOT AVAILABLE: {name}: {reason}", file=sys.stderr)
    return 1 if missing and IS_CI else 0


if __name__ == "__main__":
    sys.exit(main())
