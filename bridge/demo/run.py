"""A fleet at work: one task a station, one a MQTT charger, load management by site, and the arranged scenes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from random import Random

from bridge.demo.bay import Bay
from bridge.demo.day import REFUSED_CARDS, TROUBLES
from bridge.demo.fleet import BayKey, Fleet, Scene, SitePlan, make_stations, make_trouble
from bridge.demo.link import Link, Tally
from bridge.demo.mqtt_chargers import run_charger
from bridge.demo.station import Station
from bridge.events import ConnectorStatus as Status

_BALANCE_EVERY_S = 5.0
_GRID_SHARE = 0.92  # the load manager keeps this much below the limit


async def run_links(links: Sequence[Link], ramp_s: float) -> None:
    """Connect all within ``ramp_s``, evenly, and run them until cancelled."""

    async def begin(link: Link, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await link.run()

    async with asyncio.TaskGroup() as tasks:
        for number, link in enumerate(links):
            tasks.create_task(begin(link, ramp_s * number / len(links)))


async def run_demo(
    fleet: Fleet, bays: Mapping[BayKey, Bay], url: str, broker: tuple[str, int], meter_interval_s: float, tally: Tally
) -> None:
    """The demo's fleet against a bridge and a broker, until cancelled. The cars that stand there start anew."""
    now = time.time()
    absent = fleet.never_online
    stations = {s.plan.id: s for s in make_stations(fleet, dict(bays), meter_interval_s) if s.plan.id not in absent}
    for scene in fleet.scenes:
        if scene.what == "fault" and not scene.after_s:
            bays[scene.station, scene.evse].break_down(now, make_trouble(scene, TROUBLES))
    for station in stations.values():
        station.rejoin(now)
    links = {id: _link(station, url, tally) for id, station in stations.items()}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_links(list(links.values()), 2.0))
        for site in fleet.sites:
            tasks.create_task(_balance(site, bays))
            for plan in site.mqtt:
                bays[plan.id, plan.connector].rejoin(now)
                tasks.create_task(run_charger(plan, bays[plan.id, plan.connector], *broker))
        for scene in fleet.scenes:
            if scene.after_s:
                tasks.create_task(_play(scene, links[scene.station]))


def _link(station: Station, url: str, tally: Tally) -> Link:
    compression = "deflate" if station.subprotocol != "ocpp1.6" else None  # 2.0.1 part 4 section 3.3 asks for it
    return Link(station, url, tally, Random(station.plan.id), compression=compression)  # noqa: S311


def share_of(demand_w: float, limit_w: float) -> float:
    """What each bay of a site may use of its rated power so that the site stays below its grid limit."""
    return min(1.0, max(0.25, limit_w * _GRID_SHARE / demand_w)) if demand_w > 0 else 1.0


async def _balance(site: SitePlan, bays: Mapping[BayKey, Bay]) -> None:
    own = [bays[station, evse] for station, evse, _ in site.outlets()]
    while True:
        share = share_of(sum(bay.meter.rated_demand_w for bay in own), site.grid_limit_w)
        for bay in own:
            bay.meter.share = share
        await asyncio.sleep(_BALANCE_EVERY_S)


async def _play(scene: Scene, link: Link) -> None:
    await asyncio.sleep(scene.after_s)
    now = time.time()
    if scene.what == "offline":
        link.blackout = (now, now + scene.lasts_s)
        link.wake()
        return
    bay = _bay_for(scene, link.station)
    if bay is None:
        return
    if scene.what == "fault":
        bay.break_down(now, make_trouble(scene, TROUBLES))
    elif scene.what == "pause":
        bay.pause(now, scene.lasts_s)
    elif scene.what == "refused":
        bay.bring(now, REFUSED_CARDS[0])
    link.wake()


def _bay_for(scene: Scene, station: Station) -> Bay | None:
    """The EVSE the scene names, else one that fits: a free one for a refused card, a charging one otherwise."""
    wanted = Status.AVAILABLE if scene.what == "refused" else Status.CHARGING
    fitting: Iterable[Bay] = (bay for bay in station.bays.values() if bay.status is wanted)
    if scene.evse:
        return station.bays.get(scene.evse)
    return next(iter(fitting), next(iter(station.bays.values())) if scene.what == "fault" else None)
