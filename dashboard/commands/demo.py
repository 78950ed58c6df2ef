"""``chargewatch demo``: everything on one machine with embedded stores and a fleet of virtual chargers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
import time
import webbrowser
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from bridge.billing.price import Tariff
from bridge.demo.bay import Bay
from bridge.demo.children import Child, ChildDied, broker_command, pick_port, start_child, wait_for_port
from bridge.demo.fleet import BayKey, Fleet, load_fleet, make_bays, seed_plan
from bridge.demo.history import Row, absent_station, begin_of, simulate_past, write_past
from bridge.demo.link import Tally
from bridge.demo.run import run_demo
from bridge.settings import PREFIX, Settings, load_settings
from bridge.stores.opening import open_telemetry
from bridge.stores.people import People, Role, pepper
from bridge.stores.records import Records

_MARK = ".chargewatch-demo"  # only a folder with this file in it is ever emptied
_USER = "demo"
_LINK_LIFE = timedelta(hours=2)
_AWAY = timedelta(hours=2, minutes=41)
_UP_WITHIN_S = 60.0


class _Ports(NamedTuple):
    dashboard: int
    ocpp: int
    mqtt: int
    bridge_health: int
    alerts_health: int


class _Login(NamedTuple):
    password: str
    path: str


@click.command()
@click.option("--folder", default=Path("data/demo"), type=click.Path(path_type=Path), show_default=True)
@click.option("--keep", is_flag=True, help="Go on with what an earlier run left in the folder.")
@click.option("--port", default=8050, type=click.IntRange(1, 65535), show_default=True, help="Of the web pages.")
@click.option("--ocpp-port", default=9000, type=click.IntRange(1, 65535), show_default=True)
@click.option("--ocpp-host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets chargers of your network in.")
@click.option("--mqtt-port", default=1883, type=click.IntRange(1, 65535), show_default=True)
@click.option("--meter-interval", default=5.0, type=click.FloatRange(1), show_default=True, help="Seconds.")
@click.option("--speed", default=1.0, type=click.FloatRange(0.1, 60), show_default=True, help="Of cars; clocks stay.")
@click.option("--seed", default="demo", show_default=True, help="Other cars, other days.")
@click.option("--duration", default=0.0, type=click.FloatRange(0), help="Stop after so many seconds.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the addresses when it is up.")
def command(
    folder: Path,
    keep: bool,
    port: int,
    ocpp_port: int,
    ocpp_host: str,
    mqtt_port: int,
    meter_interval: float,
    speed: float,
    seed: str,
    duration: float,
    no_open: bool,
    as_json: bool,
) -> None:
    """Watch 28 virtual chargers on 15 invented sites. Ctrl-C stops everything."""
    ports = _pick_ports(port, ocpp_port, mqtt_port)
    _prepare_folder(folder, keep)
    os.environ.update(demo_environment(folder, ports, ocpp_host))
    demo = _Demo(folder, ports, load_settings(), seed, meter_interval, speed)
    try:
        asyncio.run(demo.run(duration, opens=not no_open and not as_json, as_json=as_json))
    except ChildDied as error:
        raise click.ClickException(str(error)) from error
    except BaseExceptionGroup as group:
        raise click.ClickException(f"the virtual chargers failed: {_first(group)!r}") from group


def _pick_ports(dashboard: int, ocpp: int, mqtt: int) -> _Ports:
    taken: set[int] = set()
    wanted = _Ports(dashboard, ocpp, mqtt, 0, 0)  # 0: any; nobody has to know the health ports
    found = _Ports(*(pick_port(port, taken) for port in wanted))
    for name, asked, got in zip(_Ports._fields, wanted, found, strict=True):
        if asked not in (0, got):
            click.echo(f"Port {asked} ({name.replace('_', ' ')}) is taken; using {got}.", err=True)
    return found


def _prepare_folder(folder: Path, keep: bool) -> None:
    is_ours = (folder / _MARK).exists()
    if folder.exists() and not is_ours and any(folder.iterdir()):
        raise click.ClickException(f"{folder} is not a demo's folder and not empty: name another with --folder")
    if is_ours and not keep:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()


def demo_environment(folder: Path, ports: _Ports, ocpp_host: str = "127.0.0.1") -> dict[str, str]:
    """The settings of all processes of the demo: loopback, embedded stores, anyone may charge."""
    settings = {
        "DATA_DIR": folder,
        "BRIDGE_NAME": "demo",
        "OCPP__HOST": ocpp_host,
        "OCPP__PORT": ports.ocpp,
        "OCPP__SECURITY_PROFILE": 0,  # its chargers have no keys
        "MQTT__HOST": "127.0.0.1",
        "MQTT__PORT": ports.mqtt,
        "CHARGERS__VENDORS": '["goe", "openwb2", "everest", "evcc"]',
        "STATIONS__UNKNOWN": "accept",
        "TOKENS__UNKNOWN": "accept",
        "JOURNAL__PATH": folder / "journal.db",
        "RECORDS__URL": f"sqlite:///{folder / 'records.db'}",
        "TELEMETRY__STORE": "sqlite",
        "TELEMETRY__PATH": folder / "telemetry.db",
        "ADMIN__HOST": "127.0.0.1",
        "ADMIN__BRIDGE_PORT": ports.bridge_health,
        "ADMIN__ALERTS_PORT": ports.alerts_health,
        "DASHBOARD__HOST": "127.0.0.1",
        "DASHBOARD__PORT": ports.dashboard,
        "DASHBOARD__SECURE_COOKIES": "false",
        "FILES__FOLDER": folder / "files",
    }
    return {PREFIX + key: str(value) for key, value in settings.items()}


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


class _Demo:
    def __init__(
        self, folder: Path, ports: _Ports, settings: Settings, seed: str, meter_interval_s: float, speed: float
    ) -> None:
        self._folder, self._ports, self._settings = folder, ports, settings
        self._seed, self._meter_interval_s, self._speed = seed, meter_interval_s, speed
        self._fleet = load_fleet()
        self._records = Records(settings.records.url.get_secret_value())
        self._children: list[Child] = []
        self._is_wanted = True

    async def run(self, duration_s: float, *, opens: bool, as_json: bool) -> None:
        """Until SIGINT, SIGTERM, the end of ``duration_s``, or ChildDied."""
        stop = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        work = asyncio.create_task(self._work(opens, as_json))
        timer = asyncio.create_task(_wait(stop, duration_s))
        try:
            await asyncio.wait({work, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._is_wanted = False
            await self._stop(work, timer, as_json)

    async def _work(self, opens: bool, as_json: bool) -> None:
        began = time.monotonic()
        login = await asyncio.to_thread(self._seed_records)
        past = asyncio.create_task(asyncio.to_thread(self._simulate, datetime.now(UTC)))
        await self._start_children()
        self._announce(login, as_json, time.monotonic() - began)
        if opens:
            await asyncio.to_thread(webbrowser.open, self._address + login.path)
        bays, rows = await past
        async with asyncio.TaskGroup() as tasks:
            for child in self._children:
                tasks.create_task(child.watch())
            tasks.create_task(asyncio.to_thread(self._write, rows))
            tasks.create_task(self._charge(bays))

    async def _charge(self, bays: Mapping[BayKey, Bay]) -> None:
        url, broker = f"ws://127.0.0.1:{self._ports.ocpp}/ocpp", ("127.0.0.1", self._ports.mqtt)
        await run_demo(self._fleet, bays, url, broker, self._meter_interval_s, Tally())

    async def _stop(self, work: asyncio.Task[None], timer: asyncio.Task[None], as_json: bool) -> None:
        timer.cancel()
        is_over = work.done()
        if not is_over:
            if not as_json:
                click.echo("Stopping ...", err=True)
            work.cancel()
        try:
            await work
        except asyncio.CancelledError:
            pass
        except BaseExceptionGroup as group:
            died = group.subgroup(ChildDied)
            raise (_first(died) if died is not None else group) from group
        finally:
            await asyncio.gather(*(child.stop() for child in self._children[1:]))
            for broker in self._children[:1]:  # last: the others say good-bye on it
                await broker.stop()
            self._records.close()

    # what stands before the chargers come

    def _seed_records(self) -> _Login:
        self._records.migrate()
        people = People(self._records, pepper(self._settings))
        seed_plan(self._records, people, self._fleet)
        now, password = datetime.now(UTC), secrets.token_urlsafe(9)
        user = people.user_by_name(_USER)
        if user is None:
            user = people.create_user(_USER, Role.ADMIN, now, password)
        else:
            people.set_password(user.id, password)
        return _Login(password, f"/login/link/{people.create_login_link(user.id, now, _LINK_LIFE)}")

    async def _start_children(self) -> None:
        logs, environment = self._folder / "logs", dict(os.environ)
        port_of = {"bridge": self._ports.ocpp, "dashboard": self._ports.dashboard, "alerts": self._ports.alerts_health}
        program = broker_command(self._folder, self._ports.mqtt)
        broker = await start_child("broker", program, logs / "broker.log", environment)
        self._children.append(broker)
        await wait_for_port(broker, self._ports.mqtt, _UP_WITHIN_S)
        for name in port_of:
            program = [sys.executable, "-c", "from dashboard.cli import main; main()", name]
            self._children.append(await start_child(name, program, logs / f"{name}.log", environment))
        for child in self._children[1:]:
            await wait_for_port(child, port_of[child.name], _UP_WITHIN_S)

    # the past

    def _simulate(self, now: datetime) -> tuple[dict[BayKey, Bay], list[Row]]:
        """Bays as they stand now; their past too, unless an earlier run has left one."""
        kept = self._records.usual(now, now) is not None
        began = now - timedelta(days=2) if kept else begin_of(now)
        bays = make_bays(self._fleet, self._seed, began.timestamp())
        away = self._fleet.never_online
        until = {key: now - _AWAY if key[0] in away else now for key in bays}
        rows = simulate_past(bays, until, self._tariff(), lambda: self._is_wanted)
        for bay in bays.values():
            bay.set_speed(self._speed)
        return bays, [] if kept else rows

    def _write(self, rows: list[Row]) -> None:
        now = datetime.now(UTC)
        gone = [
            absent_station(plan.id, plan.protocol, self._settings.bridge_name, now, _AWAY)
            for site in self._fleet.sites
            for plan in site.stations
            if plan.id in self._fleet.never_online
        ]
        self._records.upsert(stations=gone)
        telemetry = open_telemetry(self._settings)
        with contextlib.closing(telemetry):
            write_past(rows, self._records, telemetry, lambda: self._is_wanted)

    def _tariff(self) -> Tariff:
        billing = self._settings.billing.model_dump()
        return msgspec.convert({"id": billing.pop("tariff"), **billing}, Tariff)

    # what the person sees

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self._ports.dashboard}"

    def _announce(self, login: _Login, as_json: bool, seconds: float) -> None:
        facts = {
            "address": self._address,
            "login_link": self._address + login.path,
            "user": _USER,
            "password": login.password,
            "ocpp": f"ws://{self._settings.ocpp.host}:{self._ports.ocpp}/ocpp/<station>",
            "mqtt": f"127.0.0.1:{self._ports.mqtt}",
            "folder": str(self._folder),
            "up_after_s": round(seconds, 1),
        }
        click.echo(json.dumps(facts) if as_json else _welcome(facts, self._fleet))


def _welcome(facts: Mapping[str, object], fleet: Fleet) -> str:
    stations = sum(len(site.station_ids) for site in fleet.sites)
    return f"""
  chargewatch demo: {stations} virtual chargers on {len(fleet.sites)} invented sites

  Open this link, it logs you in once:
    {facts["login_link"]}

  Later:            {facts["address"]}   user {facts["user"]}, password {facts["password"]}
  Your own charger: {facts["ocpp"]}   (OCPP 1.6J, 2.0.1 or 2.1)
  Logs and data:    {facts["folder"]}

  Ctrl-C stops everything.
"""


async def _wait(stop: asyncio.Event, duration_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(duration_s or None):
            await stop.wait()
