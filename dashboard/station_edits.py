"""What people change about stations: one callback, an action by name, each with its role and its line in the audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flask_login import current_user

from bridge import policies
from bridge.events import DetailKind
from bridge.policies import PolicyError
from bridge.stores.database import RecordsRejected
from bridge.stores.details import Details
from bridge.stores.provisioning import Provisioning, ProvisioningError
from bridge.stores.records import Site
from dashboard.services import services
from dashboard.settings_parts import policy_of
from dashboard.trait_parts import remedy_of

Given = Mapping[str, Any]
_KILO = 1_000


class Edited(NamedTuple):
    """What came of an edit, in words."""

    is_done: bool
    text: str


class _Bad(Exception):
    """What was filled in cannot be taken; the message is for the person."""


def edit(station: str, given: object) -> Edited:
    """Carry out one edit for the person of this request, who may. Raises RecordsUnavailable."""
    if not isinstance(given, Mapping) or str(given.get("action")) not in _ACTIONS:
        return Edited(False, "there is nothing to change")
    try:
        return Edited(True, _ACTIONS[str(given["action"])](station, given))
    except (_Bad, ProvisioningError, PolicyError, RecordsRejected) as error:
        return Edited(False, str(error))


def provisioning() -> Provisioning:
    found = services()
    return Provisioning(found.records, found.settings.ocpp.security_profile)


def _by() -> dict[str, Any]:
    return {"actor": current_user.name, "now": services().now()}


def _text(given: Given, name: str) -> str:
    return str(given.get(name) or "").strip()[:500]


def _number(text: str, what: str, least: int = 0) -> int:
    if not text.isdecimal() or len(text) > 9 or int(text) < least:
        raise _Bad(f"{what} is a whole number from {least}")
    return int(text)


def _station(station: str, given: Given) -> str:
    provisioning().edit_station(station, name=_text(given, "name"), site=_text(given, "site") or None, **_by())
    return "Name and site are saved."


def _site(station: str, given: Given) -> str:
    site = Site(id=_text(given, "id"), name=_text(given, "name"), timezone=_text(given, "timezone") or "UTC")
    if any(known.id == site.id for known in services().records.sites()):
        raise _Bad(f"there is a site with the id {site.id} already")
    provisioning().save_site(site, **_by())
    return f"{site.name} is added. Choose it above to put the station there."


def _connector(station: str, given: Given) -> str:
    evse, connector = _number(_text(given, "evse"), "an EVSE"), _number(_text(given, "connector"), "a connector")
    provisioning().rate_connector(
        station, evse, connector, _text(given, "kind"), _watts(_text(given, "rated_kw")), **_by()
    )
    return f"Connector {evse} is saved."


def _watts(text: str) -> int | None:
    if not text:
        return None
    try:
        kilowatts = float(text.replace(",", "."))
    except ValueError:
        kilowatts = -1.0
    if not 0 < kilowatts <= 10_000:
        raise _Bad("a rated power is a number of kW above 0, such as 22 or 7.4")
    return round(kilowatts * _KILO)


def _security(station: str, given: Given) -> str:
    text = _text(given, "security_profile")
    profile = _number(text, "a security profile") if text else None
    provisioning().edit_station(station, security_profile=profile, **_by())
    return "Saved. It holds from the station's next connection on."


def _policy(station: str, given: Given) -> str:
    own = policies.checked(policy_of(given))
    provisioning().edit_station(station, policy=own or None, **_by())
    return "Its ways are saved."


def _trait(station: str, given: Given) -> str:
    rows = Details(services().records).of_station(station, DetailKind.TRAIT)
    remedy = next((remedy_of(row) for row in rows if row.key == str(given.get("key"))), {})
    row = services().records.station(station)
    if not remedy or row is None:
        raise _Bad("this was not noticed of the station, or nothing is known to put it right")
    provisioning().edit_station(station, policy=policies.checked({**(row.policy or {}), **remedy}), **_by())
    return "Corrected for what comes from now on. Settings, Its ways, takes it back."


def _approve(station: str, given: Given) -> str:
    row = services().records.station(station)
    has_key = row is not None and row.has_key  # then it waits because it has shown that one
    if not has_key and any(one.station == station and one.key_id for one in provisioning().inbox()):
        raise _Bad("it waits with a key: decide about it on the page Stations, which shows that key")
    provisioning().approve(station, **_by())
    return "It is let in."


def _refuse(station: str, given: Given) -> str:
    provisioning().refuse(station, **_by())
    return "It is shut out from now on."


def _reconsider(station: str, given: Given) -> str:
    provisioning().reconsider(station, **_by())
    return "It may knock again, and waits for a decision on the page Stations."


def _decide(_station: str, given: Given) -> str:
    """About one that waits, on the page Stations; the key's id is that of the key the person saw."""
    station = str(given.get("station") or "")
    if given.get("decision") == "refuse":
        provisioning().refuse(station, **_by())
        return f"{station} is refused and not asked about again. Its page has Reconsider."
    text = _text(given, "security_profile")
    provisioning().approve(
        station,
        site=_text(given, "site") or None,
        name=_text(given, "name") or None,
        security_profile=_number(text, "a security profile") if text else None,
        key_id=str(given.get("key") or ""),
        **_by(),
    )
    return f"{station} is let in."


_ACTIONS: dict[str, Callable[[str, Given], str]] = {
    "station": _station,
    "site": _site,
    "connector": _connector,
    "security": _security,
    "policy": _policy,
    "trait": _trait,
    "approve": _approve,
    "refuse": _refuse,
    "reconsider": _reconsider,
    "decide": _decide,
}
