"""What a station's own description teaches about its connectors: which there are, of what type, of what power.

It fills what nobody has said; a person's word stands (``Records.rate_connector``). Source: OCPP 2.0.1 part 2 appendix 3
(EVSE.Power, Connector.ConnectorType) and its ConnectorEnumType, which 2.1 extends; OCPP 1.6 section 9.1.15
(NumberOfConnectors). Phases and voltages stay in the details.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from bridge.stores.tables import connectors

_MAX_EVSES = 100  # of one station; what says more is mistaken
_MAX_CONNECTORS = 20  # of one EVSE
_MAX_POWER_W = 10_000_000
_PLACE = re.compile(r"(EVSE|Connector)(?:/[^@]*)?@(\d{1,3})(?::(\d{1,3}))?")
_TYPES = {
    "cCCS1": "CCS1", "cCCS2": "CCS2", "cChaoJi": "ChaoJi", "cG105": "CHAdeMO", "cGBT": "GB/T", "cMCS": "MCS",
    "cNACS": "NACS", "cTesla": "Tesla", "cType1": "Type1", "cType2": "Type2", "cUltraChaoJi": "ChaoJi",
    "s309-1P-16A": "CEE 16 A", "s309-1P-32A": "CEE 32 A", "s309-3P-16A": "CEE 16 A", "s309-3P-32A": "CEE 32 A",
    "sBS1361": "BS 1361", "sCEE-7-7": "Schuko", "sType2": "Type2", "sType3": "Type3", "Pan": "Pantograph",
    "wInductive": "Inductive", "wResonant": "Inductive",
}  # fmt: skip
_W_PER = {"W": 1.0, "kW": 1000.0, "MW": 1_000_000.0, "": 1.0}


class Fact(NamedTuple):
    """A connector of ``station`` that exists, and what is known of it. ``is_of_evse``: of all connectors there."""

    station: str
    evse: int
    connector: int = 1
    kind: str = ""
    rated_power_w: int | None = None
    is_of_evse: bool = False


def facts_of(station: str, body: Mapping[str, Any]) -> list[Fact]:
    """What one variable of a device model, or one configuration key, says about connectors."""
    variable, value = body.get("variable"), body.get("value")
    if "component" not in body:
        return _counted(station, value) if variable == "NumberOfConnectors" else []
    place = _PLACE.fullmatch(str(body["component"])[:200])
    if place is None:
        return []
    evse, connector = int(place[2]), int(place[3] or 0)
    if not 0 < evse <= _MAX_EVSES or connector > _MAX_CONNECTORS:
        return []
    here = Fact(station, evse, connector or 1, is_of_evse=place[1] == "EVSE")
    if variable == "ConnectorType" and body.get("attribute") == "Actual":
        return [here._replace(kind=_TYPES.get(str(value), ""))]
    if variable == "Power" and here.is_of_evse:
        return [here._replace(rated_power_w=_rated_w(body))]
    return [here]


def learn(connection: Connection, facts: Iterable[Fact]) -> None:
    """Write facts where nothing is known. In the order of the key, so that two bridges cannot lock each other out."""
    table, known = connectors.c, sorted(set(facts), key=lambda fact: fact[:3])
    if not known:
        return
    rows = {fact[:3]: {"station": fact.station, "evse": fact.evse, "connector": fact.connector} for fact in known}
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(insert(connectors).on_conflict_do_nothing(), list(rows.values()))
    for fact in known:
        here = (table.station == fact.station) & (table.evse == fact.evse)
        if not fact.is_of_evse:
            here &= table.connector == fact.connector
        if fact.kind:
            connection.execute(sa.update(connectors).where(here, table.kind == "").values(kind=fact.kind))
        if fact.rated_power_w:
            change = sa.update(connectors).where(here, table.rated_power_w.is_(None))
            connection.execute(change.values(rated_power_w=fact.rated_power_w))


def _counted(station: str, value: Any) -> list[Fact]:
    count = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}", value.strip()) else 0
    return [Fact(station, evse) for evse in range(1, count + 1)] if count <= _MAX_EVSES else []


def _rated_w(body: Mapping[str, Any]) -> int | None:
    limit, unit = body.get("maxLimit"), body.get("unit")
    if not isinstance(limit, int | float) or isinstance(limit, bool) or str(unit or "") not in _W_PER:
        return None
    power_w = limit * _W_PER[str(unit or "")]
    return round(power_w) if 0 < power_w <= _MAX_POWER_W else None
