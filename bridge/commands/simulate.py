"""``chargewatch simulate``: any number of virtual chargers against any OCPP address."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from random import Random
from typing import IO, Any

import click

from bridge.demo.fleet import load_stations
from bridge.demo.link import Link, Tally
from bridge.demo.run import run_links

_PROGRESS_EVERY_S = 5.0


@click.command()
@click.option("--url", required=True, help="Where the chargers connect: ws://host:9000/ocpp; the id is appended.")
@click.option("--stations", default=10, type=click.IntRange(1, 100_000), show_default=True)
@click.option("--connectors", default=2, type=click.IntRange(1, 64), show_default=True, help="EVSEs a station.")
@click.option("--protocol", default="mix", type=click.Choice(["1.6", "2.0.1", "2.1", "mix"]), show_default=True)
@click.option("--meter-interval", default=10.0, type=click.FloatRange(0.1), show_default=True, help="Seconds.")
@click.option("--ramp", default=5.0, type=click.FloatRange(0), show_default=True, help="All connect within, seconds.")
@click.option("--duration", default=0.0, type=click.FloatRange(0), show_default=True, help="Seconds; 0: until Ctrl-C.")
@click.option("--busy", default=0.7, type=click.FloatRange(0, 1), show_default=True, help="Share of bays in use.")
@click.option("--speed", default=1.0, type=click.FloatRange(0.1, 100), show_default=True, help="Of cars; clocks stay.")
@click.option("--key", default="", help="HTTP Basic password, the same for all stations.")
@click.option("--prefix", default="SIM", show_default=True, help="Of station ids; also seeds the cars.")
@click.option("--deflate", is_flag=True, help="Offer permessage-deflate.")
@click.option("--record-acks", type=click.File("w", lazy=False), help="Write each acknowledged message as a JSON line.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object, no progress.")
def command(
    url: str,
    stations: int,
    connectors: int,
    protocol: str,
    meter_interval: float,
    ramp: float,
    duration: float,
    busy: float,
    speed: float,
    key: str,
    prefix: str,
    deflate: bool,
    record_acks: IO[str] | None,
    as_json: bool,
) -> None:
    """Drive virtual chargers over real WebSockets; prints what was sent, acknowledged and how fast.

    Fails (exit code 1) when no message was acknowledged.
    """
    if not url.startswith(("ws://", "wss://")):
        raise click.UsageError(f"--url must begin with ws:// or wss://, not {url!r}")
    tally, now = Tally(record_acks), time.time()
    fleet = load_stations(
        stations,
        connectors,
        protocol,
        meter_interval_s=meter_interval,
        busy=busy,
        now=now,
        seed=prefix,
        speed=speed,
    )
    links = [
        Link(station, url, tally, Random(station.plan.id), key=key, compression="deflate" if deflate else None)  # noqa: S311
        for station in fleet
    ]
    started, cpu = time.monotonic(), time.process_time()
    asyncio.run(_drive(links, ramp, duration, None if as_json else tally))
    result = _result(tally, stations, time.monotonic() - started, time.process_time() - cpu)
    click.echo(json.dumps(result) if as_json else _summary(result))
    if not result["acknowledged"]:
        raise click.ClickException(f"nothing was acknowledged by {url}: {tally.last_error or 'no answer'}")


async def _drive(links: list[Link], ramp_s: float, duration_s: float, progress: Tally | None) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    running = asyncio.create_task(run_links(links, ramp_s))
    stopping = asyncio.create_task(_until(stop, duration_s, progress))
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _until(stop: asyncio.Event, duration_s: float, progress: Tally | None) -> None:
    end = time.monotonic() + duration_s if duration_s else float("inf")
    while (left := end - time.monotonic()) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left, _PROGRESS_EVERY_S)):
                await stop.wait()
                return
        if progress is not None:
            counts = progress.counts
            click.echo(
                f"{counts['connected']} connected, {counts['sent']} sent, {counts['acknowledged']} acknowledged, "
                f"{counts['errors']} errors, {counts['timeouts']} timeouts",
                err=True,
            )


def _result(tally: Tally, stations: int, elapsed_s: float, cpu_s: float) -> dict[str, Any]:
    figures = tally.as_dict()
    figures.pop("connected")  # all have hung up by now
    return {
        "stations": stations,
        **figures,
        "elapsed_s": round(elapsed_s, 2),
        "cpu_s": round(cpu_s, 2),
        "messages_per_s": round(tally.counts["acknowledged"] / elapsed_s, 1),
    }


def _summary(result: dict[str, Any]) -> str:
    return (
        f"{result['stations']} stations, {result['elapsed_s']} s: {result['sent']} sent, "
        f"{result['acknowledged']} acknowledged ({result['messages_per_s']}/s), {result['errors']} errors, "
        f"{result['timeouts']} timeouts, reply p50 {result['reply_p50_ms']} ms, p99 {result['reply_p99_ms']} ms, "
        f"{result['cpu_s']} s of processor time"
    )
