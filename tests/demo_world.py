"""A central system of the tests' own, for virtual chargers."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from bridge.demo.bay import Bay
from bridge.demo.day import REFUSED_CARDS
from bridge.demo.fleet import PROTOCOLS, load_kind
from bridge.demo.meter import Outlet
from bridge.demo.station import Station
from bridge.demo.words import Call, StationPlan

T0 = 1_700_000_000.0


AC = Outlet(kind="Type2", rated_power_w=22_000)


DC = Outlet(kind="CCS2", rated_power_w=150_000, phases=0)


class Centre:
    """A central system in memory: answers a station's calls at once and keeps them with the time of sending."""

    def __init__(self, station: Station) -> None:
        self.station, self.numbers = station, iter(range(1, 10**6))
        self.calls: list[tuple[float, str, dict[str, Any]]] = []
        self.validate: Callable[[str, dict[str, Any]], None] = lambda action, payload: None

    def serve(self, at: float) -> None:
        while (call := self.station.next_call()) is not None:
            payload = json.loads(json.dumps(self.station.filled(call)))
            self.validate(call.action, payload)
            self.calls.append((at, call.action, payload))
            self.station.answered(call, self.reply(call), at)

    def reply(self, call: Call) -> dict[str, Any]:
        token = call.payload.get("idTag") or (call.payload.get("idToken") or {}).get("idToken")
        status = "Blocked" if token in REFUSED_CARDS else "Accepted"
        if call.action == "BootNotification":
            return {"status": "Accepted", "interval": 300, "currentTime": "2026-01-01T00:00:00Z"}
        if call.action in ("Authorize", "StartTransaction", "TransactionEvent"):
            info = {"idTagInfo" if "idTag" in call.payload else "idTokenInfo": {"status": status}}
            number = {"transactionId": next(self.numbers)} if call.action == "StartTransaction" else {}
            return (info if token else {}) | number
        return {}

    def live(self, since: float, until: float) -> float:
        """Let the station live; returns the time it stopped at."""
        at = since
        while at < until:
            self.station.tick(at)
            if self.station.is_online:
                self.serve(at)
            at = min(max(self.station.due(), at + 0.5), until)
        return until

    def of(self, *actions: str) -> list[dict[str, Any]]:
        return [payload for _, action, payload in self.calls if action in actions]


def a_station(protocol: str, busy: float = 0.9, interval: float = 60) -> Station:
    outlets = (AC, DC)
    plan = StationPlan(id="DEMO-1", protocol=protocol, outlets=outlets)
    bays = {n: Bay(o, load_kind(busy), Random(n), T0) for n, o in enumerate(outlets, start=1)}
    return PROTOCOLS[protocol](plan, bays, interval)


def connected(protocol: str, **wanted: Any) -> Centre:
    centre = Centre(a_station(protocol, **wanted))
    centre.station.connected(T0)
    centre.serve(T0)
    return centre


def charging(protocol: str, **wanted: Any) -> tuple[Centre, float]:
    """A station on which EVSE 1 charges since some seconds."""
    centre = connected(protocol, **({"busy": 0.0001} | wanted))
    assert centre.station.start_remotely(1, "04AABBCC", T0)
    return centre, centre.live(T0, T0 + 30)
