"""Lists that are longer than a station takes at once: what it says about that, and how a call becomes several. Pure.

Source: OCPP 2.0.1 part 2 B05, B06, D01, N04, N06 and their referenced components (``ItemsPerMessage``); OCPP 1.6
section 9 (``GetConfigurationMaxKeys``, ``SendLocalListMaxLength``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from bridge.events import Detail


class _Listing(NamedTuple):
    request: str  # the list in the call
    answers: tuple[str, ...] = ()  # the lists in the answer; none: it has a status for all


_LISTINGS = {
    "ClearVariableMonitoring": _Listing("id", ("clearMonitoringResult",)),
    "GetConfiguration": _Listing("key", ("configurationKey", "unknownKey")),
    "GetVariables": _Listing("getVariableData", ("getVariableResult",)),
    "SendLocalList": _Listing("localAuthorizationList"),
    "SetVariableMonitoring": _Listing("setMonitoringData", ("setMonitoringResult",)),
    "SetVariables": _Listing("setVariableData", ("setVariableResult",)),
}
_SAYS = {  # key of a station's variable -> the call whose list it bounds
    "DeviceDataCtrlr ItemsPerMessage/GetVariables Actual": "GetVariables",
    "DeviceDataCtrlr ItemsPerMessage/SetVariables Actual": "SetVariables",
    "LocalAuthListCtrlr ItemsPerMessage Actual": "SendLocalList",
    "MonitoringCtrlr ItemsPerMessage/ClearVariableMonitoring Actual": "ClearVariableMonitoring",
    "MonitoringCtrlr ItemsPerMessage/SetVariableMonitoring Actual": "SetVariableMonitoring",
    "GetConfigurationMaxKeys": "GetConfiguration",
    "SendLocalListMaxLength": "SendLocalList",
}
_MOST = 100  # portions of one call: a station that says "one at a time" is not asked thousands of times
_VERSIONS = ("versionNumber", "listVersion")


def told(details: Iterable[Detail]) -> dict[str, int]:
    """How many entries a station takes in a call, as its variables say; by action."""
    found = {}
    for detail in details:
        action, value = _SAYS.get(detail.key), str(detail.body.get("value", ""))
        if action is not None and value.isdecimal() and 0 < int(value) < 1_000_000:
            found[action] = int(value)
    return found


def split(action: str, payload: Mapping[str, Any], limits: Mapping[str, int]) -> list[dict[str, Any]]:
    """The payloads to send one after the other; the payload itself where it is short enough."""
    listing = _LISTINGS.get(action)
    entries = payload.get(listing.request) if listing is not None else None
    if listing is None or not isinstance(entries, list) or action not in limits:
        return [dict(payload)]
    size = max(limits[action], -(-len(entries) // _MOST))
    parts = [{**payload, listing.request: entries[at : at + size]} for at in range(0, len(entries), size)]
    return list(_in_turn(parts)) if action == "SendLocalList" else parts or [dict(payload)]


def _in_turn(parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A list of cards goes on as a differential one, each with a version of its own (D01)."""
    for number, part in enumerate(parts):
        version = {name: part[name] + number for name in _VERSIONS if name in part}
        yield part | version | ({"updateType": "Differential"} if number else {})


def merged(action: str, answers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The answers to the portions as one: their lists joined, of all else the last word."""
    whole: dict[str, Any] = {}
    lists = _LISTINGS[action].answers if action in _LISTINGS else ()
    for answer in answers:
        joined = {name: [*whole.get(name, []), *answer[name]] for name in lists if isinstance(answer.get(name), list)}
        whole |= {**answer, **joined}
    return whole
