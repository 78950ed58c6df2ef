"""What is done about a station's files from its page: logs fetched, images sent, the lists kept current."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

from dash import Dash, Input, Output, State, no_update
from flask_login import current_user

from bridge.events import DetailKind
from bridge.stores.details import Details
from bridge.stores.people import Role
from dashboard import command_parts, file_orders, files_parts, image_route, orders
from dashboard.auth import has_role, needs, require
from dashboard.components import Child, notice
from dashboard.file_orders import NoAddress, Ordered
from dashboard.files_parts import May, StationFiles
from dashboard.message_parts import moment
from dashboard.orders import NotAllowed, NoWay
from dashboard.services import services
from dashboard.station_dossier import StationDossier, open_station

Given = Mapping[str, Any]
_LISTS = ("files-came", "files-runs", "files-images")
_FOLLOWED = _LISTS[:2]  # by themselves: a form that somebody fills in must stay as it is


class _Bad(Exception):
    """What was filled in cannot be taken; the message is for the person."""


def files_of(dossier: StationDossier) -> StationFiles:
    """Raises RecordsUnavailable."""
    found, station = services(), dossier.station
    uploads = found.files.uploads(station.id, files_parts.MOST_UPLOADS + 1)
    images = found.files.images()
    try:
        file_orders.public_base(found.settings)
        no_way = ""
    except NoAddress as error:
        no_way = str(error)
    return StationFiles(
        uploads,
        frozenset(row.id for row in uploads if found.files.open(row) is not None),
        sorted(images, key=lambda image: files_parts.fits(image, station.vendor, station.model)),
        Details(found.records).of_station(station.id, DetailKind.LOG, DetailKind.FIRMWARE),
        no_way,
        orders.why_not(station),
        found.settings.files.max_image_mb,
    )


def files_tab(dossier: StationDossier) -> list[Child]:
    shown = files_parts.files_tab(dossier, files_of(dossier), _may(), image_route.PATH)
    is_asked = has_role(Role.OPERATOR) and not orders.why_not(dossier.station)
    return [command_parts.reach(services(), dossier) if is_asked else "", *shown]


def _may() -> May:
    return May(has_role(Role.OPERATOR), has_role(Role.ADMIN))


def register(app: Dash) -> None:
    shown = [State("station-id", "data"), State("station-show", "data")]
    app.callback(
        *(Output(name, "children") for name in _FOLLOWED),
        Output("files-seen", "data"),
        Input("files-tick", "n_intervals"),
        *shown,
        State("files-seen", "data"),
        prevent_initial_call=True,
    )(refresh)
    app.callback(
        Output("station-said", "children", allow_duplicate=True),
        *(Output(name, "children", allow_duplicate=True) for name in _LISTS),
        Input(files_parts.STORE, "data"),
        *shown,
        prevent_initial_call=True,
        running=[(Output("files-fetch", "disabled"), True, False)],
    )(order)


@needs(Role.VIEWER)
def refresh(_ticks: int | None, station_id: object, shown: object, seen: object) -> tuple[Any, ...]:
    """What came meanwhile. Where nothing did, nothing is drawn anew: a focus or a selection stays."""
    dossier = open_station(services(), str(station_id)) if _is_here(shown) else None
    followed = _lists(dossier)[: len(_FOLLOWED)] if dossier else ()
    digest = crc32(repr(followed).encode())
    return (no_update,) * (len(_FOLLOWED) + 1) if dossier is None or digest == seen else (*followed, digest)


@needs(Role.OPERATOR)
def order(given: object, station_id: object, shown: object) -> tuple[Child, ...]:
    """Ask the station for logs, or send it an image, and say what it answered."""
    dossier = open_station(services(), str(station_id)) if _is_here(shown) else None
    if dossier is None or not isinstance(given, Mapping) or str(given.get("action")) not in _ACTIONS:
        return (no_update,) * (1 + len(_LISTS))
    try:
        said: Child = _ACTIONS[str(given["action"])](dossier, given)
    except (_Bad, NoAddress, NoWay) as error:
        said = files_parts.refused(f"{str(error)[:1].upper()}{str(error)[1:]}.".replace("..", "."))
    except NotAllowed:
        said = command_parts.forbidden()
    fresh = open_station(services(), dossier.station.id)
    return said, *_lists(fresh or dossier)


def _is_here(shown: object) -> bool:
    return isinstance(shown, list) and shown[:1] == ["files"]


def _lists(dossier: StationDossier) -> tuple[Child, ...]:
    files, may = files_of(dossier), _may()
    return (
        files_parts.came(dossier, files, may),
        files_parts.runs(dossier, files),
        files_parts.offered(dossier, files, may),
    )


def _logs(dossier: StationDossier, given: Given) -> Child:
    kind = str(given.get("kind") or "")
    if kind not in file_orders.LOG_KINDS:
        raise _Bad("choose one of the logs")
    since, until = _time(dossier, given, "since"), _time(dossier, given, "until")
    if since and until and since >= until:
        raise _Bad("the time From is not before the time To")
    more: dict[str, Any] = {name: at.isoformat() for name, at in (("since", since), ("until", until)) if at}
    _check_can(dossier)
    return _told(file_orders.fetch_logs(dossier.station, kind, **_by(), **more), dossier)


def _install(dossier: StationDossier, given: Given) -> Child:
    require(Role.ADMIN)
    found, number = services(), str(given.get("image") or "")
    is_number = number.isascii() and number.isdigit() and len(number) < 10
    image = found.files.image(int(number)) if is_number else None
    if image is None:
        raise _Bad("this image is gone: reload the page")
    hours, at = found.settings.files.link_hours, _time(dossier, given, "retrieve_at")
    if at and at > found.now() + timedelta(hours=hours):
        raise _Bad(f"an address works for {hours} hours: choose a time before its end, or raise files.link_hours")
    _check_can(dossier)
    more: dict[str, Any] = {"retrieve_at": at.isoformat()} if at else {}
    ordered = file_orders.update_firmware(dossier.station, image, **_by(), **more)
    return notice(*_outcome(ordered, "How far it is appears under Firmware. It restarts to install."))


def _told(ordered: Ordered, dossier: StationDossier) -> Child:
    answer = ordered.answer
    title, text, kind = _outcome(ordered, "The file appears under Logs and diagnostics when it has come whole.")
    names_none = not (answer.payload.get("status") or answer.payload.get("fileName"))
    if kind == "good" and dossier.station.protocol == "ocpp1.6" and names_none:  # section 5.7: no name, no file
        return notice("The station took the message and named no file.", "Perhaps it has none to send.", "warn")
    return notice(title, text, kind)


def _outcome(ordered: Ordered, then: str) -> tuple[str, str, str]:
    title, text, kind = command_parts.outcome(ordered.answer)
    return title, f"{text} {then}".strip() if kind == "good" else text, kind


def _check_can(dossier: StationDossier) -> None:
    if why := orders.why_not(dossier.station):
        raise _Bad(why)


def _by() -> dict[str, Any]:
    return {"role": current_user.user.role, "actor": current_user.name}


def _time(dossier: StationDossier, given: Given, name: str) -> datetime | None:
    text = str(given.get(name) or "").strip()[:40]
    at = moment(text, dossier.where)
    if text and at is None:
        raise _Bad(f"a time is written like 2026-11-24 18:30, and {text!r} is none")
    return at


def _look(dossier: StationDossier, given: Given) -> Child:
    """An image was added: only the lists are made anew."""
    return no_update


_ACTIONS = {"logs": _logs, "install": _install, "look": _look}
