"""The messages of a station: what is looked for is in the address, the store searches, a page at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import msgspec
from dash import dcc, html

from bridge import schemas
from bridge.stores.telemetry import FrameFilter, FrameRow, StoreUnavailable, TelemetryStore
from dashboard import formats, messages
from dashboard.components import Child, attrs, card, choice, empty
from dashboard.formats import plain, plain_lines
from dashboard.links import station_path
from dashboard.messages import Frame, Talk
from dashboard.services import Services
from dashboard.station_dossier import StationDossier

PAGE_SIZE = 60
_AROUND = timedelta(seconds=90)  # within which an answer comes
_MOST_AROUND = 800
_PERIODS = {
    "": ("Last 24 hours", timedelta(days=1)),
    "1h": ("Last hour", timedelta(hours=1)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "all": ("All that is kept", timedelta(days=3_650)),
}
_WAYS = {"": "Both ways", ">": "From the station", "<": "To the station"}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the address asks for; anything unknown in it is as good as absent. ``until`` ends the range, RFC 3339."""

    text: str = ""
    action: str = ""
    way: str = ""
    period: str = ""
    since: str = ""
    until: str = ""
    before: str = ""

    def address(self, station: str, **changes: str) -> str:
        given = {k: v for k, v in (msgspec.structs.asdict(self) | changes).items() if v}
        return station_path(station, show="messages", **given)

    def range(self, now: datetime, where: tzinfo) -> tuple[datetime, datetime]:
        end = moment(self.until, where) or now + timedelta(seconds=5)
        start = moment(self.since, where) or min(end, now) - _PERIODS[self.period][1]
        return start, min(moment(self.before, UTC) or end, end)

    @property
    def filter(self) -> FrameFilter:
        return FrameFilter(self.action, self.way, self.text)


def asked_of(given: dict[str, Any]) -> Asked:
    known = {name: str(given.get(name) or "")[:100] for name in Asked.__struct_fields__}
    known["way"] = known["way"] if known["way"] in _WAYS else ""
    known["period"] = known["period"] if known["period"] in _PERIODS else ""
    return Asked(**known)


def messages_tab(found: Services, dossier: StationDossier, asked: Asked) -> list[Child]:
    start, end = asked.range(found.now(), dossier.where)
    try:
        rows = page_of(found.telemetry, dossier.station.id, start, end, asked.filter)
        around = _around(found.telemetry, dossier.station.id, rows, asked)
    except StoreUnavailable:
        away = (
            "Messages cannot be read right now: the time series do not answer. Nothing is lost, the bridge keeps all."
        )
        return [_filters(dossier, asked), card("Messages", [empty(away)])]
    found_talks = messages.talks(rows, around)
    if not found_talks:
        return [_filters(dossier, asked), card("Messages", [_nothing(dossier, asked)])]
    listed = html.Div([_talk(talk, dossier) for talk in found_talks], className="talks")
    return [_filters(dossier, asked), html.Section(listed, className="card flush"), _pager(dossier, asked, rows)]


def page_of(store: TelemetryStore, station: str, start: datetime, end: datetime, only: FrameFilter) -> list[FrameRow]:
    """A page, newest first. It ends between two instants, because a call and our answer share one."""
    rows = store.frames(station, start, end, PAGE_SIZE + 1, only)
    if len(rows) <= PAGE_SIZE:
        return rows
    cut = [row for row in rows if row.received_at > rows[-1].received_at]
    return cut or rows


def _around(store: TelemetryStore, station: str, rows: list[FrameRow], asked: Asked) -> list[FrameRow]:
    """Counterparts that the search or the end of the page left out."""
    if not rows:
        return []
    first, last = rows[-1].received_at - _AROUND, rows[0].received_at + _AROUND
    only = FrameFilter(action=asked.action)
    return store.frames(station, first, last, _MOST_AROUND, only)


def moment(text: str, where: tzinfo) -> datetime | None:
    """A time as a form or an address gives it; without a zone it is on the site's clock."""
    try:
        at = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    if at is None or not 1970 < at.year < 9000:
        return None
    return at.replace(tzinfo=where) if at.tzinfo is None else at


# ---- what is looked for


def _filters(dossier: StationDossier, asked: Asked) -> Child:
    actions = sorted(schemas.known_actions(dossier.station.protocol))
    named = [("", "All messages"), *((action, action) for action in actions)]
    if asked.action and asked.action not in actions:
        named.append((asked.action, plain(asked.action, 60)))
    text = dcc.Input(name="text", type="search", value=asked.text, placeholder="Text in the message", maxLength=100)
    controls = [
        text,
        choice("action", "Message", named, asked.action),
        choice("way", "Direction", [*_WAYS.items()], asked.way),
        choice("period", "Time", [(key, words) for key, (words, _) in _PERIODS.items()], asked.period),
        _time("since", "From", asked.since),
        _time("until", "To", asked.until),
        html.Button("Search", type="submit"),
    ]
    is_asked = any((asked.text, asked.action, asked.way, asked.period, asked.since, asked.until))
    clear = html.A("Clear", href=station_path(dossier.station.id, show="messages")) if is_asked else ""
    hidden = html.Select(
        html.Option("messages", value="messages"), name="show", style={"display": "none"}, **attrs(aria_hidden="true")
    )
    form: dict[str, Any] = {"method": "GET", "action": station_path(dossier.station.id)}
    return html.Form([*controls, clear, hidden], className="filters", **form, **attrs(role="search"))


def _time(name: str, label: str, value: str) -> Child:
    field = dcc.Input(
        name=name, value=value, type="text", placeholder="YYYY-MM-DD hh:mm", maxLength=32, className="when"
    )
    return html.Label([html.Span(label, className="dim"), field], className="labelled")


def _nothing(dossier: StationDossier, asked: Asked) -> Child:
    if asked != Asked():
        everything = html.A("Show the last 24 hours", href=station_path(dossier.station.id, show="messages"))
        return empty("No message fits this search.", everything)
    return empty("Messages appear here as the station sends them; none came in the last 24 hours.")


def _pager(dossier: StationDossier, asked: Asked, rows: list[FrameRow]) -> Child:
    station = dossier.station.id
    newest = html.A("Newest", href=asked.address(station, before=""), className="button") if asked.before else ""
    older = asked.address(station, before=rows[-1].received_at.isoformat())
    further = html.A("Older", href=older, className="button", rel="next") if len(rows) >= PAGE_SIZE - 1 else ""
    return html.Div([html.Span(f"{len(rows)} messages"), newest, further], className="pager num")


# ---- one conversation


def _talk(talk: Talk, dossier: StationDossier) -> Child:
    first, where = talk.first, dossier.where
    is_ours = first.row.direction == "<"
    arrow = html.Span(
        "←" if is_ours else "→", className="way", **attrs(role="img", aria_label=_WAYS[first.row.direction or ">"])
    )
    at = first.row.received_at.astimezone(where)
    day = "" if at.date() == dossier.now.astimezone(where).date() else f"{at:%d %b} "
    line = [
        html.Span(f"{day}{at:%H:%M:%S}.{at.microsecond // 1000:03}", className="num when"),
        arrow,
        html.B(plain(first.row.action, 60) or "message"),
        html.Span(_gist(first), className="gist"),
        html.Span(_marks(talk), className="marks num"),
    ]
    sides = [_side(first, "To the station" if is_ours else "From the station", where)]
    sides.append(_side(talk.answer, _ANSWERED[talk.answer.row.direction], where) if talk.answer else _unanswered(first))
    key = f"{first.row.received_at.isoformat()}-{first.row.direction}-{first.id}"
    body = html.Div(sides, className="sides")
    return html.Details([html.Summary(line), body], className="talk", key=key, **attrs(data_key=key))


_ANSWERED = {"<": "Our answer", ">": "The station's answer"}


def _gist(frame: Frame) -> str:
    if frame.body is None:
        return plain(frame.row.text, 160)
    return plain(msgspec.json.encode(messages.payload_of(frame)).decode(), 160)


def _marks(talk: Talk) -> list[Child]:
    found: list[Child] = []
    if talk.first.late is not None:
        found.append(html.Span(f"{formats.span(talk.first.late.total_seconds())} late", className="chip stale"))
    if talk.outcome == "refused":
        found.append(html.Span("refused", className="cell-state warn"))
    if talk.took is not None and talk.took > timedelta(milliseconds=1):
        found.append(html.Span(_took(talk.took), className="dim"))
    if talk.answer is None and talk.first.kind == 2:
        found.append(html.Span("no answer seen", className="cell-state warn"))
    return found


def _took(took: timedelta) -> str:
    seconds = took.total_seconds()
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _side(frame: Frame, title: str, where: tzinfo) -> Child:
    text = plain_lines(messages.pretty(frame))
    at = frame.row.received_at.astimezone(where)
    head = html.Div(
        [html.Span(title), html.Span(f"{at:%H:%M:%S}.{at.microsecond // 1000:03}, {plain(frame.row.source, 30)}")],
        className="label",
    )
    return html.Div([head, html.Pre(text, tabIndex=0)], className="side")


def _unanswered(frame: Frame) -> Child:
    if frame.kind != 2:
        return ""
    return html.Div(
        [html.Div("Answer", className="label"), html.P("None was seen within 90 seconds.", className="dim")],
        className="side",
    )
