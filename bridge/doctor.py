"""The checks of ``chargewatch doctor``: each looks at one thing and says what to do. Nothing is changed or created."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt.enums import MQTTProtocolVersion
from sqlalchemy.engine import make_url

from bridge.authority import Authority, AuthorityError
from bridge.broker import new_client
from bridge.descriptors import open_file_limits
from bridge.events import from_us, utc_now
from bridge.settings import Settings, Unknown
from bridge.stores.opening import open_telemetry
from bridge.stores.people import People
from bridge.stores.records import Records, RecordsUnavailable
from bridge.stores.telemetry import StoreUnavailable

_MIN_FREE_BYTES = 2 * 1024**3
_MAX_CLOCK_STEP = timedelta(minutes=5)
_CONNECT_S = 5.0
_FILES_PER_STATION = 2  # after a fault of the network the old socket and the new one stand side by side
_OWN_FILES = 200  # stores, logs, the broker
_FEW_STATIONS = 500  # to be expected anywhere
_FIRST_START = "the bridge makes it when it first starts"


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"  # it runs, but not as a deployment should
    FAIL = "fail"


class Finding(NamedTuple):
    """What a check found; ``advice`` is empty when nothing is to do."""

    name: str
    status: Status
    detail: str
    advice: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Run every check in turn. A check that breaks is itself a failure, never an exception."""
    return [finding for check in CHECKS for finding in _guarded(check, settings)]


def _guarded(check: Callable[[Settings], Iterable[Finding]], settings: Settings) -> list[Finding]:
    name = check.__name__.removeprefix("_")
    try:
        return list(check(settings))
    except Exception as error:
        return [Finding(name, Status.FAIL, f"{type(error).__name__}: {error}", "this is a defect: report it")]


def _versions(_: Settings) -> Iterable[Finding]:
    ours, python = version("chargewatch"), sys.version.split()[0]
    yield Finding("versions", Status.OK, f"chargewatch {ours}, Python {python}, SQLite {sqlite3.sqlite_version}")


def _folders(settings: Settings) -> Iterable[Finding]:
    folders = {settings.data_dir, settings.journal.path.parent}
    if settings.telemetry.store == "sqlite":
        folders.add(settings.telemetry.path.parent)
    for folder in sorted(folders):
        yield _folder(folder)


def _folder(folder: Path) -> Finding:
    name, place = f"folder {folder}", _existing(folder)
    if not os.access(place, os.W_OK | os.X_OK):
        advice = f"let the user with id {os.getuid()} write there"
        return Finding(name, Status.FAIL, f"{place} is not writable", advice)
    free = shutil.disk_usage(place).free
    if free < _MIN_FREE_BYTES:
        return Finding(name, Status.WARN, f"{free // 1024**2} MiB free", "make room: a full disk stops the bridge")
    return Finding(name, Status.OK, f"writable, {free // 1024**3} GiB free")


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _clock(settings: Settings) -> Iterable[Finding]:
    yield clock(utc_now(), _last_received_at(settings.journal.path))


def clock(now: datetime, last_received_at: datetime | None) -> Finding:
    """The newest journal entry cannot have come after now."""
    if last_received_at is not None and last_received_at - now > _MAX_CLOCK_STEP:
        detail = f"it is {now:%F %T} UTC, and the journal has an entry of {last_received_at:%F %T}"
        return Finding("clock", Status.FAIL, detail, "set the clock and keep it by NTP; bills rest on it")
    return Finding("clock", Status.OK, f"{now:%F %T} UTC")


def _last_received_at(journal: Path) -> datetime | None:
    if not journal.exists():
        return None
    database = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    try:
        row = database.execute("SELECT max(received_us) FROM entries WHERE seq > (SELECT max(seq) FROM entries) - 1000")
        newest = row.fetchone()[0]
    finally:
        database.close()
    return None if newest is None else from_us(newest)


def _records(settings: Settings) -> Iterable[Finding]:
    url = settings.records.url.get_secret_value()
    place = make_url(url).render_as_string(hide_password=True)
    if url.startswith("sqlite") and not Path(make_url(url).database or "").exists():
        yield Finding("records", Status.WARN, f"{place} does not exist yet", _FIRST_START)
        return
    with Records(url) as records:
        try:
            records.check()
        except RecordsUnavailable as error:
            advice = "the bridge brings the schema up to date when it starts; for a server check records.url"
            yield Finding("records", Status.FAIL, f"{place}: {error}", advice)
            return
        has_users = bool(People(records, b"unused").users())
    yield Finding("records", Status.OK, f"{place}, schema up to date")
    if not has_users:
        advice = "chargewatch user add NAME --role admin"
        yield Finding("people", Status.WARN, "nobody can log in yet", advice)


def _telemetry(settings: Settings) -> Iterable[Finding]:
    is_embedded = settings.telemetry.store == "sqlite"
    place = str(settings.telemetry.path) if is_embedded else settings.telemetry.influx.url
    if is_embedded and not settings.telemetry.path.exists():
        yield Finding("telemetry", Status.WARN, f"{place} does not exist yet", _FIRST_START)
        return
    store = open_telemetry(settings)
    try:
        store.check()
    except StoreUnavailable as error:
        yield Finding("telemetry", Status.FAIL, f"{place}: {error}", "check telemetry.influx: url, org, bucket, token")
    else:
        yield Finding("telemetry", Status.OK, f"{settings.telemetry.store} at {place}")
    finally:
        store.close()


def _broker(settings: Settings) -> Iterable[Finding]:
    place = f"{settings.mqtt.host}:{settings.mqtt.port}"
    answered, reasons = threading.Event(), list[str]()

    def on_connect(_client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        reasons.append(reason.getName() if reason.is_failure else "")
        answered.set()

    versions = {"3.1.1": MQTTProtocolVersion.MQTTv311}
    chosen = versions.get(settings.mqtt.protocol, MQTTProtocolVersion.MQTTv5)
    client = new_client(settings.mqtt, f"chargewatch-doctor-{os.getpid()}", chosen)
    client.on_connect = on_connect
    try:
        client.connect(settings.mqtt.host, settings.mqtt.port)
        client.loop_start()
        answered.wait(_CONNECT_S)
    except OSError as error:
        advice = "start a broker, or set mqtt.host and mqtt.port (the demo brings its own)"
        yield Finding("broker", Status.FAIL, f"{place}: {error}", advice)
        return
    finally:
        client.disconnect()
        client.loop_stop()
    if not reasons:
        yield Finding("broker", Status.FAIL, f"{place} does not answer in MQTT", "check mqtt.port and mqtt.tls")
    elif reasons[0]:
        yield Finding("broker", Status.FAIL, f"{place}: {reasons[0]}", "check mqtt.username and mqtt.password")
    else:
        yield Finding("broker", Status.OK, place)


def _open_files(settings: Settings) -> Iterable[Finding]:
    yield open_files(open_file_limits()[1], _known_stations(settings))


def open_files(hard_limit: int, stations: int) -> Finding:
    """The bridge asks for as many open files as the hard limit grants (-1: any number); each station needs one."""
    needed = _FILES_PER_STATION * max(stations, _FEW_STATIONS) + _OWN_FILES
    granted = "any number" if hard_limit < 0 else f"at most {hard_limit}"
    detail = f"{granted} for {stations} stations on record"
    if 0 <= hard_limit < needed:
        advice = f"grant {needed} or more: LimitNOFILE= of the systemd unit, ulimits.nofile of Compose, or ulimit -Hn"
        return Finding("open files", Status.WARN, detail, advice)
    return Finding("open files", Status.OK, detail)


def _known_stations(settings: Settings) -> int:
    url = settings.records.url.get_secret_value()
    if url.startswith("sqlite") and not Path(make_url(url).database or "").exists():
        return 0
    with Records(url) as records:
        try:
            return len(records.stations())
        except RecordsUnavailable:
            return 0


def _ports(settings: Settings) -> Iterable[Finding]:
    admin, web = settings.admin, settings.dashboard
    bridge_lives = _is_healthy(admin.host, admin.bridge_port)
    yield _port("port of the bridge's health", admin.host, admin.bridge_port, bridge_lives)
    yield _port("port for chargers", settings.ocpp.host, settings.ocpp.port, bridge_lives)
    alerts_live = _is_healthy(admin.host, admin.alerts_port)
    yield _port("port of the alarm process's health", admin.host, admin.alerts_port, alerts_live)
    yield _port("port of the dashboard", web.host, web.port, _is_healthy(web.host, web.port))


def _port(name: str, host: str, port: int, is_ours: bool) -> Finding:
    """Ours when the process that holds it answers at its health address."""
    if is_ours:
        return Finding(name, Status.OK, f"{host}:{port} answers")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Finding(name, Status.FAIL, f"{host}:{port}: {error.strerror}", "end what holds it, or set another")
    return Finding(name, Status.OK, f"{host}:{port} is free (the process does not run)")


def _is_healthy(host: str, port: int) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 (compared, not bound)
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/healthz", timeout=3) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def _secrets(settings: Settings) -> Iterable[Finding]:
    kept = {
        "stations.pepper": (settings.stations.pepper, settings.data_dir / "pepper"),
        "dashboard.secret_key": (settings.dashboard.secret_key, settings.data_dir / "secret_key"),
    }
    for key, (setting, file) in kept.items():
        if setting.get_secret_value():
            yield Finding(key, Status.OK, "set")
        elif file.exists():
            advice = "keep it with the backups; processes on other hosts need the same one, so set it there"
            yield Finding(key, Status.OK, f"kept in {file}", advice)
        else:
            advice = f"set {key}: processes that do not share {settings.data_dir} need the same one"
            yield Finding(key, Status.WARN, f"not set; one will be made in {file}", advice)


def _exposure(settings: Settings) -> Iterable[Finding]:
    """What would be open to strangers. Quiet when nothing is."""
    ocpp, web = settings.ocpp, settings.dashboard
    if settings.stations.unknown is Unknown.ACCEPT:
        advice = "set stations.unknown to hold or reject; accept is for a demo"
        yield Finding("stations.unknown", Status.WARN, f"any charger may come in at {ocpp.host}", advice)
    if ocpp.tls_certificate is None and not ocpp.trusted_proxies and not _is_loopback(ocpp.host):
        refused = ocpp.security_profile >= 2
        what = "chargers from elsewhere are refused" if refused else "station keys travel readable"
        advice = "set ocpp.tls_certificate, or put a TLS proxy in front and name it in ocpp.trusted_proxies"
        yield Finding("ocpp.tls_certificate", Status.WARN, f"plain ws:// at {ocpp.host}: {what}", advice)
    if ocpp.ca_folder is not None:
        yield _authority(ocpp.ca_folder)
    if not web.secure_cookies and not _is_loopback(web.host):
        advice = "serve it by HTTPS and set dashboard.secure_cookies to true"
        yield Finding("dashboard.secure_cookies", Status.WARN, f"logins travel readable at {web.host}", advice)
    if not settings.mqtt.tls and not _is_loopback(settings.mqtt.host):
        advice = "set mqtt.tls unless this network is private (a compose network is)"
        yield Finding("mqtt.tls", Status.WARN, f"plain MQTT to {settings.mqtt.host}", advice)


def _authority(folder: Path) -> Finding:
    try:
        until = Authority(folder).certificate.not_valid_after_utc
    except AuthorityError as error:
        return Finding("ocpp.ca_folder", Status.FAIL, str(error), "chargewatch ca init, or unset ocpp.ca_folder")
    loose = [path.name for path in folder.glob("*.key") if path.stat().st_mode & 0o077]
    if loose:
        detail = f"others can read {', '.join(loose)}"
        return Finding("ocpp.ca_folder", Status.WARN, detail, f"chmod 600 {folder}/*.key")
    return Finding("ocpp.ca_folder", Status.OK, f"{folder}, good until {until:%F}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


CHECKS: tuple[Callable[[Settings], Iterable[Finding]], ...] = (
    _versions,
    _folders,
    _clock,
    _records,
    _telemetry,
    _broker,
    _open_files,
    _ports,
    _secrets,
    _exposure,
)
