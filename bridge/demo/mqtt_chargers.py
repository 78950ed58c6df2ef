"""Virtual chargers that speak MQTT: go-e, openWB 2, EVerest and evcc, each with its maker's topics and payloads.

Layouts: go-e API v2 keys; openWB 2 ``chargepoint/<n>/get``; EVerest API module, 1 Hz; evcc's MQTT reference.
What a bay says is pure (``messages``); ``run_charger`` publishes it over paho-mqtt.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bridge.demo.bay import Bay, CardShown
from bridge.demo.day import REFUSED_CARDS
from bridge.demo.fleet import MqttPlan
from bridge.demo.meter import Reading
from bridge.demo.words import rfc3339
from bridge.events import ConnectorStatus as Status

_FREE = frozenset({Status.AVAILABLE, Status.UNAVAILABLE})
_EVERY_S = {"goe": 2.0, "openwb2": 5.0, "everest": 1.0, "evcc": 5.0}


class Message(NamedTuple):
    topic: str
    payload: str
    is_retained: bool
    qos: int


def messages(plan: MqttPlan, bay: Bay, at: float) -> list[Message]:
    """Everything the charger would publish at ``at``. Call ``bay.advance`` first."""
    return list(_VENDORS[plan.vendor](plan, bay, bay.reading(at)))


def last_will(plan: MqttPlan) -> Message | None:
    """What the broker says when the charger is gone; only evcc has one."""
    return Message("evcc/status", "offline", True, 1) if plan.vendor == "evcc" else None


_GOE_CAR = {Status.AVAILABLE: 1, Status.UNAVAILABLE: 1, Status.CHARGING: 2, Status.FINISHING: 4, Status.FAULTED: 5}
_GOE_ERROR = {"GroundFailure": 1, "OverCurrentFailure": 5, "PowerSwitchFailure": 9, "HighTemperature": 13}


def _goe(plan: MqttPlan, bay: Bay, reading: Reading) -> Iterator[Message]:
    power = [round(v * a) for v, a in zip(reading.voltages_v, reading.currents_a, strict=True)]
    volts, amperes = [round(v) for v in reading.voltages_v], [round(a, 1) for a in reading.currents_a]
    trouble = bay.trouble.error_code if bay.trouble is not None else ""
    session_s = max(0.0, reading.at - bay.began_at) if bay.has_transaction else 0.0
    values: dict[str, Any] = {
        "car": _GOE_CAR.get(bay.status, 3),
        "err": _GOE_ERROR.get(trouble, 14) if trouble else 0,
        "nrg": [*volts, 0, *amperes, *power, 0, sum(power), 0, 0, 0, 0],
        "eto": reading.register_wh,
        "wh": reading.session_wh if bay.has_transaction else 0,
        "amp": round(reading.offered_a),
        "alw": bay.status is not Status.SUSPENDED_EVSE,
        "tma": [round(reading.temperature_c, 1), round(reading.temperature_c + 3, 1)],
        "trx": 2 if bay.has_transaction else None,
        "cdi": {"type": 1, "value": int(session_s * 1000)},
        "fwv": "056.2",
    }
    for key, value in values.items():
        yield Message(f"go-eCharger/{plan.device}/{key}", json.dumps(value, separators=(",", ":")), True, 0)


def _openwb2(plan: MqttPlan, bay: Bay, reading: Reading) -> Iterator[Message]:
    is_charging = bay.status is Status.CHARGING
    values: dict[str, Any] = {
        "plug_state": bay.status not in _FREE,
        "charge_state": is_charging,
        "fault_state": 2 if bay.trouble is not None else 0,
        "fault_str": bay.trouble.info if bay.trouble is not None else "Kein Fehler.",
        "power": round(reading.power_w, 1),
        "imported": reading.register_wh,
        "currents": [round(a, 2) for a in reading.currents_a],
        "voltages": [round(v, 1) for v in reading.voltages_v],
        "rfid": bay.token if bay.has_transaction else None,
    }
    for key, value in values.items():
        yield Message(f"openWB/chargepoint/{plan.connector}/get/{key}", json.dumps(value), True, 0)


_EVEREST_STATE = {
    Status.AVAILABLE: "Unplugged",
    Status.UNAVAILABLE: "Disabled",
    Status.PREPARING: "AuthRequired",
    Status.CHARGING: "Charging",
    Status.SUSPENDED_EV: "ChargingPausedEV",
    Status.SUSPENDED_EVSE: "ChargingPausedEVSE",
    Status.FINISHING: "Finished",
    Status.FAULTED: "Unplugged",
}


def _everest(plan: MqttPlan, bay: Bay, reading: Reading) -> Iterator[Message]:
    phases = ("L1", "L2", "L3")
    watts = [v * a for v, a in zip(reading.voltages_v, reading.currents_a, strict=True)]
    session = {
        "charged_energy_wh": reading.session_wh if bay.has_transaction else 0,
        "charging_duration_s": int(max(0.0, reading.at - bay.began_at)) if bay.has_transaction else 0,
        "datetime": rfc3339(reading.at),
        "discharged_energy_wh": 0,
        "latest_total_w": round(reading.power_w, 1),
        "permanent_fault": bay.trouble is not None,
        "state": _EVEREST_STATE.get(bay.status, "Unplugged"),
    }
    meter = {
        "current_A": dict(zip(phases, reading.currents_a, strict=True)),
        "energy_Wh_import": {"total": float(reading.register_wh)},
        "frequency_Hz": dict.fromkeys(phases, 50.01),
        "meter_id": "DEMO_POWERMETER",
        "phase_seq_error": False,
        "power_W": dict(zip(phases, watts, strict=True)) | {"total": reading.power_w},
        "timestamp": reading.at,
        "voltage_V": dict(zip(phases, reading.voltages_v, strict=True)),
    }
    telemetry = {"fan_rpm": 0.0, "rcd_current": 0.1, "temperature": reading.temperature_c}
    limits = {"max_current": round(reading.offered_a, 1), "nr_of_phases_available": 3, "uuid": "evse_manager"}
    for key, value in {"session_info": session, "powermeter": meter, "telemetry": telemetry, "limits": limits}.items():
        yield Message(f"everest_api/evse_manager/var/{key}", json.dumps(value), False, 0)


def _evcc(plan: MqttPlan, bay: Bay, reading: Reading) -> Iterator[Message]:
    has_car = bay.status not in _FREE
    values: dict[str, str] = {
        "connected": _word(has_car),
        "charging": _word(bay.status is Status.CHARGING),
        "enabled": _word(bay.status is not Status.SUSPENDED_EVSE),
        "chargePower": f"{reading.power_w:.1f}",
        "chargeTotalImport": f"{reading.register_wh / 1000:.3f}",
        "chargedEnergy": f"{reading.session_wh if bay.has_transaction else 0}",
        "chargeDuration": f"{int(max(0.0, reading.at - bay.began_at)) if bay.has_transaction else 0}",
        "effectiveMaxCurrent": f"{reading.offered_a:.0f}",
        "vehicleSoc": f"{reading.soc_percent or 0:.0f}",
    }
    values |= {f"chargeCurrents/l{n}": f"{a:.2f}" for n, a in enumerate(reading.currents_a, start=1)}
    yield Message("evcc/status", "online", True, 1)
    for key, value in values.items():
        yield Message(f"evcc/loadpoints/{plan.connector}/{key}", value, True, 1)


def _word(fact: bool) -> str:
    return "true" if fact else "false"


_VENDORS: dict[str, Callable[[MqttPlan, Bay, Reading], Iterator[Message]]] = {
    "goe": _goe,
    "openwb2": _openwb2,
    "everest": _everest,
    "evcc": _evcc,
}


def live(bay: Bay, at: float) -> None:
    """Let the bay live up to ``at``; the charger knows its own cards."""
    for news in bay.advance(at):
        if isinstance(news, CardShown):
            bay.verdict(news.at, news.token not in REFUSED_CARDS)


async def run_charger(plan: MqttPlan, bay: Bay, host: str, port: int) -> None:
    """Publish until cancelled; retained values only when they change. paho reconnects by itself."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"demo-{plan.id}", protocol=paho.MQTTv311)
    if (will := last_will(plan)) is not None:
        client.will_set(will.topic, will.payload, will.qos, will.is_retained)
    said: dict[str, str] = {}
    client.on_connect = lambda *_: said.clear()  # a new broker knows nothing
    client.reconnect_delay_set(1, 15)
    client.connect_async(host, port, keepalive=30)
    client.loop_start()
    try:
        while True:
            at = time.time()
            live(bay, at)
            if client.is_connected():
                _publish(client, messages(plan, bay, at), said)
            await asyncio.sleep(_EVERY_S[plan.vendor])
    finally:
        client.disconnect()
        client.loop_stop()


def _publish(client: paho.Client, news: list[Message], said: dict[str, str]) -> None:
    for topic, payload, is_retained, qos in news:
        if not is_retained or said.get(topic) != payload:
            client.publish(topic, payload, qos, is_retained)
            said[topic] = payload
