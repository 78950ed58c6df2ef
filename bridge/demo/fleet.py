"""The fleet as planned: sites, stations and scenes from ``fleet.toml``, or any number of like stations for load."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import msgspec

from bridge.demo.bay import Bay
from bridge.demo.day import KINDS, REFUSED_CARDS, Kind, Trouble
from bridge.demo.meter import Outlet
from bridge.demo.ocpp16 import Station16
from bridge.demo.ocpp201 import Station21, Station201
from bridge.demo.station import Station
from bridge.demo.words import StationPlan
from bridge.stores.people import People
from bridge.stores.records import Records, Site

FILE = Path(__file__).with_name("fleet.toml")
PROTOCOLS: dict[str, type[Station]] = {"ocpp1.6": Station16, "ocpp2.0.1": Station201, "ocpp2.1": Station21}


class MqttPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A charger that speaks MQTT; ``id`` is what the bridge calls it."""

    vendor: str
    device: str
    outlet: Outlet
    connector: int = 1

    @property
    def id(self) -> str:
        return f"{self.vendor}-{self.device}"


class SitePlan(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    place: str
    latitude: float
    longitude: float
    timezone: str
    kind: str
    grid_limit_w: int
    stations: tuple[StationPlan, ...]
    mqtt: tuple[MqttPlan, ...] = ()

    @property
    def station_ids(self) -> list[str]:
        return [plan.id for plan in self.stations] + [plan.id for plan in self.mqtt]

    def outlets(self) -> Iterator[tuple[str, int, Outlet]]:
        """(station, evse, outlet) of all bays."""
        for plan in self.stations:
            yield from ((plan.id, evse, outlet) for evse, outlet in enumerate(plan.outlets, start=1))
        yield from ((plan.id, plan.connector, plan.outlet) for plan in self.mqtt)


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Something arranged: ``what`` is fault, offline, pause or refused; ``evse`` 0 takes a fitting one."""

    after_s: float
    what: str
    station: str
    evse: int = 0
    error: str = ""
    lasts_s: float = 0.0


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    sites: tuple[SitePlan, ...]
    scenes: tuple[Scene, ...] = ()

    @property
    def never_online(self) -> set[str]:
        """Stations that a scene keeps offline from the start and for good."""
        return {s.station for s in self.scenes if s.what == "offline" and s.after_s == 0 and s.lasts_s >= 1e6}


def load_fleet(path: Path = FILE) -> Fleet:
    """Read a fleet file. Raises tomllib.TOMLDecodeError, KeyError or msgspec.ValidationError on a wrong one."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    scenes = msgspec.convert(table.get("scene", []), tuple[Scene, ...], strict=False)
    return Fleet(sites=tuple(_site(entry) for entry in table["site"]), scenes=scenes)


def _site(entry: dict[str, object]) -> SitePlan:
    plain = {k: v for k, v in entry.items() if k not in ("station", "mqtt", "grid_limit_kw")}
    limit_kw = msgspec.convert(entry["grid_limit_kw"], int)
    plain["grid_limit_w"] = limit_kw * 1000
    stations = [_with_outlets(station) for station in _tables(entry, "station")]
    mqtt = [station | {"outlet": _outlets(station)[0]} for station in _tables(entry, "mqtt")]
    return msgspec.convert(plain | {"stations": stations, "mqtt": mqtt}, SitePlan)


def _tables(entry: dict[str, object], key: str) -> list[dict[str, object]]:
    return msgspec.convert(entry.get(key, []), list[dict[str, object]])


def _with_outlets(station: dict[str, object]) -> dict[str, object]:
    return station | {"outlets": _outlets(station)}


def _outlets(station: dict[str, object]) -> list[dict[str, object]]:
    """["2 CCS2 150"] -> two outlets of 150 kW."""
    found: list[dict[str, object]] = []
    for line in msgspec.convert(station["outlets"], list[str]):
        count, kind, power_kw = line.split()
        phases = 3 if kind == "Type2" else 0
        found += [{"kind": kind, "rated_power_w": int(power_kw) * 1000, "phases": phases}] * int(count)
    return found


def seed_plan(records: Records, people: People, fleet: Fleet) -> None:
    """Write the sites, who stands where, connector types and the two refused cards into the records."""
    for plan in fleet.sites:
        records.save_site(
            Site(
                id=plan.id,
                name=plan.name,
                place=plan.place,
                latitude=plan.latitude,
                longitude=plan.longitude,
                timezone=plan.timezone,
                grid_limit_w=plan.grid_limit_w,
            )
        )
        for station in plan.station_ids:
            records.assign_site(station, plan.id)
        for station, evse, outlet in plan.outlets():
            records.rate_connector(station, evse, 1, outlet.kind, outlet.rated_power_w)
    for token in REFUSED_CARDS:
        people.block_driver_token(token)


BayKey = tuple[str, int]


def make_bays(fleet: Fleet, seed: str, now: float, *, speed: float = 1.0) -> dict[BayKey, Bay]:
    """Empty bays for every outlet of the fleet at ``now``, each with its own random source."""
    bays: dict[BayKey, Bay] = {}
    for site in fleet.sites:
        offset = _utc_offset_s(site.timezone, now)
        for station, evse, outlet in site.outlets():
            rng = Random(f"{seed}/{station}/{evse}")  # noqa: S311
            bays[station, evse] = Bay(outlet, KINDS[site.kind], rng, now, speed=speed, utc_offset_s=offset)
    return bays


def _utc_offset_s(zone: str, now: float) -> float:
    offset = datetime.fromtimestamp(now, ZoneInfo(zone)).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0


def make_stations(fleet: Fleet, bays: dict[BayKey, Bay], meter_interval_s: float) -> list[Station]:
    """The OCPP stations of the fleet over their bays."""
    return [
        PROTOCOLS[plan.protocol](
            plan, {evse: bays[plan.id, evse] for evse in range(1, len(plan.outlets) + 1)}, meter_interval_s
        )
        for site in fleet.sites
        for plan in site.stations
    ]


_LOAD_STAY_MIN = (5.0, 25.0)
_LOAD_OUTLETS = (
    Outlet(kind="Type2", rated_power_w=22_000),
    Outlet(kind="CCS2", rated_power_w=150_000, phases=0),
    Outlet(kind="Type2", rated_power_w=11_000),
    Outlet(kind="CCS2", rated_power_w=300_000, phases=0),
)
_MIXES = {
    "1.6": ("ocpp1.6",),
    "2.0.1": ("ocpp2.0.1",),
    "2.1": ("ocpp2.1",),
    "mix": ("ocpp2.1", "ocpp2.0.1", "ocpp1.6"),
}


def load_kind(busy: float) -> Kind:
    """A kind of site whose bays are in use ``busy`` (0..1) of the time at any hour."""
    stay_h = sum(_LOAD_STAY_MIN) / 2 / 60
    rate = min(3600.0, busy / max(1.0 - busy, 1e-6) / stay_h)
    base = KINDS["mall"]
    return msgspec.structs.replace(
        base,
        arrivals=(max(rate, 1e-6),) * 24,
        stay_min=_LOAD_STAY_MIN,
        leaves_when_full=0.5,
        linger_min=(1, 5),
        card_after_s=(0.2, 3),
    )


def load_stations(
    count: int,
    connectors: int,
    protocol: str,
    *,
    meter_interval_s: float,
    busy: float,
    now: float,
    seed: str,
    speed: float,
) -> list[Station]:
    """``count`` like stations named ``<seed>-00001``...; a share of ``busy`` gets a car in the first seconds.

    ``protocol``: 1.6, 2.0.1, 2.1 or mix.
    """
    kind, mix = load_kind(busy), _MIXES[protocol]
    stations = []
    for number in range(1, count + 1):
        spoken, outlet = mix[number % len(mix)], _LOAD_OUTLETS[number % len(_LOAD_OUTLETS)]
        plan = StationPlan(id=f"{seed}-{number:05d}", protocol=spoken, outlets=(outlet,) * connectors)
        bays = {}
        for evse in range(1, connectors + 1):
            rng = Random(f"{seed}/{number}/{evse}")  # noqa: S311
            bays[evse] = Bay(outlet, kind, rng, now, speed=speed)
            if rng.random() < busy:
                bays[evse].arrive_at(now + rng.uniform(0, 5))
        stations.append(PROTOCOLS[spoken](plan, bays, meter_interval_s))
    return stations


def make_trouble(scene: Scene, troubles: Iterable[tuple[Trouble, float]]) -> Trouble:
    """The fault a scene names, lasting as long as it says."""
    found = next(trouble for trouble, _ in troubles if trouble.error_code == scene.error)
    return msgspec.structs.replace(found, lasts_s=scene.lasts_s)
