"""The files of one station: logs that came or are awaited, what runs on it, images that it may get. No I/O.

Names are as the stations called their files: hostile, and only ever shown as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from dash import html

from bridge.events import DetailKind
from bridge.stores.details import DetailRow
from bridge.stores.files import Image, Upload
from dashboard import formats
from dashboard.components import Child, attrs, card, choice, empty, notice, pairs
from dashboard.formats import plain
from dashboard.settings_parts import edit_form, field, save, text_input
from dashboard.station_dossier import StationDossier

STORE = "station-files"  # where the forms of this tab send what was filled in
MOST_UPLOADS = 50
KINDS = {"diagnostics": "Diagnostics", "security": "Security log"}
_FAILED = re.compile("Fail|Invalid|Denied|NotSupported|BadMessage|Revoked|Mismatch")
_HOW = "YYYY-MM-DD hh:mm"


class StationFiles(NamedTuple):
    """``at_hand``: ids of the uploads whose bytes are still here. ``images`` as they fit, the best first.

    ``no_way`` says why no address can be given to the station, ``no_command`` why it takes no command at all.
    """

    uploads: Sequence[Upload]
    at_hand: frozenset[int]
    images: Sequence[Image]
    details: Sequence[DetailRow]
    no_way: str
    no_command: str
    max_image_mb: int


class May(NamedTuple):
    """What the person may: fetch and read logs; install and add images."""

    fetch: bool
    install: bool


def fits(image: Image, vendor: str, model: str) -> int:
    """0 for an image of this vendor and model, 1 for the vendor's, 2 for one that does not say, 3 for another's."""
    is_vendor, is_model = _same(image.vendor, vendor), _same(image.model, model)
    if is_vendor and is_model:
        return 0
    if is_vendor and not image.model:
        return 1
    return 2 if not image.vendor and (is_model or not image.model) else 3


def _same(said: str, known: str) -> bool:
    return bool(said) and said.strip().casefold() == known.strip().casefold()


def files_tab(dossier: StationDossier, files: StationFiles, may: May, to: str) -> list[Child]:
    """``to`` is the address where the browser sends an image."""
    logs = [_fetch(files, may), html.Div(came(dossier, files, may), id="files-came")]
    firmware: list[Child] = [
        html.Div(runs(dossier, files), id="files-runs"),
        html.Div(offered(dossier, files, may), id="files-images"),
        _add(dossier, files, to) if may.install else "",
    ]
    cards = [card("Logs and diagnostics", logs), card("Firmware", firmware)]
    return [html.Div(cards, className="halves files")]


# ---- logs


def _fetch(files: StationFiles, may: May) -> Child:
    if not may.fetch:
        return ""
    if files.no_command or files.no_way:
        return html.P(f"{plain(files.no_command or files.no_way, 300).rstrip('.')}.", className="dim")
    text = (
        "The station packs its log and uploads it to an address made for this one time, which may take minutes. "
        "Charging goes on. Times are on the site's clock; without them it sends what it has."
    )
    fields = [
        field("Log", choice("kind", "Log", [*KINDS.items()], "diagnostics")),
        field("From", text_input("since", "", placeholder=_HOW)),
        field("To", text_input("until", "", placeholder=_HOW)),
        html.Button("Fetch logs", id="files-fetch", type="submit", className="solid"),
    ]
    form = edit_form("logs", [html.Div(fields, className="inline")], data_store=STORE)
    return html.Div([html.P(text, className="dim"), form], className="fetch")


def came(dossier: StationDossier, files: StationFiles, may: May) -> list[Child]:
    """How far the station says it is, and every file that came or is awaited, newest first."""
    found: list[Child] = [_progress(dossier, files.details, DetailKind.LOG)]
    if not files.uploads:
        return [*found, empty("Files of this station appear here once they were asked for.")]
    rows = [_upload(row, dossier, files, may) for row in files.uploads[:MOST_UPLOADS]]
    if len(files.uploads) > MOST_UPLOADS:
        rows.append(html.P(f"The newest {MOST_UPLOADS} are shown; REST lists them all.", className="dim"))
    return [*found, html.Div(rows, className="file-rows")]


def _upload(row: Upload, dossier: StationDossier, files: StationFiles, may: May) -> Child:
    asked = f"asked {_when(row.created_at, dossier)} by {plain(row.created_by, 60)}"
    kind = KINDS.get(row.kind, plain(row.kind, 30))
    if row.received_at is None:
        is_over = row.expires_at <= dossier.now
        until = _when(row.expires_at, dossier)
        title = html.Span("Did not come" if is_over else "Awaited", className="cell-state warn" if is_over else "")
        note = f"the address expired {until}" if is_over else f"the address works until {until}"
        return _row(f"upload-{row.id}", title, f"{kind}, {asked}", note, "")
    link: Child = ""
    if row.id not in files.at_hand:
        link = html.Span("deleted", className="dim")
    elif may.fetch:
        words = attrs(aria_label=f"Download {plain(row.name, 100)}")
        link = html.A("Download", href=f"/download/uploads/{row.id}", className="button", **words)
    parts = [_size(row.size_bytes), ", ", _digest(row.sha256)]
    return _row(
        f"upload-{row.id}",
        html.B(plain(row.name, 100)),
        f"{kind}, {asked}, arrived {_when(row.received_at, dossier)}",
        parts,
        link,
    )


def _row(key: str, title: Child, line: str, note: Child, action: Child) -> Child:
    words = [html.Div(title, className="file-name"), html.Div(line, className="dim"), html.Div(note, className="dim")]
    return html.Div([html.Div(words, className="num"), html.Div(action)], className="file-row", key=key)


def _digest(sha256: str) -> Child:
    return html.Code(f"SHA-256 {sha256[:12]}…", title=sha256, tabIndex=0)


def _size(size_bytes: int | None) -> str:
    size = size_bytes or 0
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB" if size >= 1_000 else f"{size} bytes"


def _when(moment: datetime, dossier: StationDossier) -> str:
    return formats.time_of(moment, dossier.where, dossier.now)


# ---- progress


def _progress(dossier: StationDossier, details: Sequence[DetailRow], kind: DetailKind) -> Child:
    told = [row for row in details if row.kind == kind and row.key.endswith("status") and row.body.get("status")]
    if not told:
        return ""
    newest = max(told, key=lambda row: row.received_at)
    said = str(newest.body["status"])
    word = html.Span(status_words(said), className="cell-state warn" if _FAILED.search(said) else "cell-state")
    since = html.Span(f"since {_when(newest.received_at, dossier)}", className="dim num")
    line = [html.Span("The station says", className="dim"), word, since]
    return html.Div(line, className="progress-line")


def status_words(said: str) -> str:
    """``InstallVerificationFailed`` as a person says it; what the station made up stays readable too."""
    return plain(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", said), 60).strip().capitalize()


# ---- firmware


def runs(dossier: StationDossier, files: StationFiles) -> list[Child]:
    station = dossier.station
    model = plain(" ".join(filter(None, (station.vendor, station.model))), 100)
    rows = [("Runs", plain(station.firmware, 60)), ("Model", model)]
    known = pairs([(name, value or "not told yet") for name, value in rows])
    return [known, _progress(dossier, files.details, DetailKind.FIRMWARE)]


def offered(dossier: StationDossier, files: StationFiles, may: May) -> list[Child]:
    if not files.images:
        more = "add one below" if may.install else "an administrator adds them"
        return [empty(f"Images that stations may get appear here; {more}.")]
    rows = [_image(image, dossier, files, may) for image in files.images]
    return [html.Div("Images", className="label images"), html.Div(rows, className="file-rows")]


def _image(image: Image, dossier: StationDossier, files: StationFiles, may: May) -> Child:
    station = dossier.station
    is_foreign = fits(image, station.vendor, station.model) == 3
    made_for = plain(" ".join(filter(None, (image.vendor, image.model))), 100)
    runs_it = " (runs now)" if image.version and _same(image.version, station.firmware) and not is_foreign else ""
    title = [html.B(plain(image.version or image.name, 100)), html.Span(runs_it, className="dim")]
    signed = ", signed by its maker" if image.signature and image.signing_certificate else ""
    about = f"for {made_for}" if made_for else "for no model in particular"
    if is_foreign:
        about = f"for another model: {made_for}"
    line = f"{plain(image.name, 100)}, {about}{signed}"
    added = f", added {_when(image.created_at, dossier)} by {plain(image.created_by, 60)}"
    note = [_size(image.size_bytes), ", ", _digest(image.sha256), added]
    can = may.install and not files.no_command and not files.no_way
    return _row(f"image-{image.id}", title, line, note, _install(image, dossier, is_foreign) if can else "")


def _install(image: Image, dossier: StationDossier, is_foreign: bool) -> Child:
    count = len(dossier.sessions)
    run = f" {count} {'session runs' if count == 1 else 'sessions run'} now." if count else ""
    text = f"The station downloads {_size(image.size_bytes)}, installs it and restarts, which may end sessions.{run}"
    warning = html.P("It was added for another model. Installing it may leave the station dead.", className="problem")
    at = field("Download at", text_input("retrieve_at", "", placeholder=_HOW), "On the site's clock; now without it.")
    fields = [at, save("Install", className="stop solid")]
    form = edit_form("install", fields, data_image=str(image.id), data_store=STORE)
    ask = html.Div([warning if is_foreign else "", html.P(text), form], className="ask")
    named = attrs(aria_label=f"Install {plain(image.version or image.name, 60)}")
    summary = html.Summary("Install", className="button", **named)
    return html.Details([summary, ask], className="confirm")


def _add(dossier: StationDossier, files: StationFiles, to: str) -> Child:
    station = dossier.station
    signed = html.Details(
        [
            html.Summary("Signed by its maker"),
            field("Signature, base64", text_input("signature", "")),
            field("Signing certificate, PEM", html.Span(className="image-certificate")),
        ],
        className="more",
    )
    kept = f"At most {files.max_image_mb:,} MB. It is kept until it is deleted."
    fields = [
        field("File", html.Span(className="image-file"), kept),
        field("Version", text_input("version", "")),
        field("Vendor", text_input("vendor", plain(station.vendor, 100))),
        field("Model", text_input("model", plain(station.model, 100))),
        signed,
        save("Add the image"),
        html.Div("", className="image-said", **attrs(role="status")),
    ]
    most = str(files.max_image_mb * 1_000_000)
    form = html.Form(fields, className="edit no-submit image-add", **attrs(data_to=to, data_most=most))
    return html.Details([html.Summary("Add an image"), form], className="more")


# ---- what came of it


def refused(text: str) -> Child:
    return notice("Nothing was sent.", text)
