"""What may be asked of a station: commands of ours as small forms, any message of its version as a generated one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from dash import dcc, html

from bridge import schemas
from bridge.command_bus import Answer, CommandOutcome
from bridge.compose import COMPOSED, CannotCompose, Composed, compose, composed_for, needed_role, veiled
from bridge.stores.people import Role
from dashboard import schema_forms
from dashboard.auth import has_role
from dashboard.components import Child, attrs, card, choice, empty, notice
from dashboard.formats import plain, plain_lines
from dashboard.links import station_path
from dashboard.schema_forms import Fault
from dashboard.services import Services
from dashboard.station_dossier import StationDossier

_MOST_JSON = 100_000
_WITH_FILES = ("FetchLogs", "UpdateFirmware", "GetLog", "GetDiagnostics", "SignedUpdateFirmware")
_OURS, _THEIRS = "ours", "theirs"


class Chosen(NamedTuple):
    """A command of ours, or an OCPP action (``command`` is None). ``given`` fills the form at first."""

    name: str
    command: Composed | None
    given: dict[str, str]


class Wish(NamedTuple):
    """What a person wants sent: ``action`` and ``payload`` in the station's words, ``params`` as they were given."""

    name: str
    params: dict[str, Any]
    action: str
    payload: dict[str, Any]
    consequence: str


class Unfit(Exception):
    """It cannot be sent as it is; ``faults`` say where and why."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.detail for fault in faults))
        self.faults = list(faults)


class Forbidden(Exception):
    """The person's role does not reach so far."""


# ---- the page's part


def chosen_of(protocol: str, given: Mapping[str, Any]) -> Chosen | None:
    """What the address asks for, if the station's version has it and the person may."""
    name, action = str(given.get("command") or ""), str(given.get("action") or "")
    if name in COMPOSED and protocol in COMPOSED[name].versions and has_role(Role(COMPOSED[name].role)):
        command = COMPOSED[name]
        known = {parameter.name for parameter in command.parameters}
        return Chosen(
            name, command, {key: str(value)[:2_500] for key, value in given.items() if key in known and value}
        )
    if action in schemas.calls_to_station(protocol) and has_role(Role(needed_role(action, {}))):
        return Chosen(action, None, {})
    return None


def commands_tab(found: Services, dossier: StationDossier, given: Mapping[str, Any]) -> list[Child]:
    protocol = dossier.station.protocol
    if not schemas.known_actions(protocol):
        return [card("Commands", [empty(_no_commands(protocol))])]
    chosen = chosen_of(protocol, given)
    state = "chosen" if chosen else "open"
    return [
        reach(found, dossier),
        html.Div([_menu(dossier, chosen), _form(dossier, chosen)], className=f"command-cols {state}"),
    ]


def _no_commands(protocol: str) -> str:
    if not protocol:
        return "Commands appear here once the station has connected and its protocol is known."
    return "This station speaks MQTT and is only listened to; it is controlled by its own system."


def reach(found: Services, dossier: StationDossier) -> Child:
    if found.commands is None or not found.commands.is_connected:
        return notice("Commands cannot be sent from here.", "Commands travel over the MQTT broker, and it is away.")
    if not dossier.station.is_connected:
        text = "What you send now is answered with “not connected”. Nothing is kept for later."
        return notice("The station is not connected.", text, "warn")
    return ""


def _menu(dossier: StationDossier, chosen: Chosen | None) -> Child:
    protocol, station = dossier.station.protocol, dossier.station.id
    ours = [command for command in composed_for(protocol) if has_role(Role(command.role))]
    links = []
    for command in ours:
        current = attrs(aria_current="true") if chosen and chosen.command is command else {}
        href = station_path(station, show="commands", command=command.name)
        links.append(html.A(command.title, href=href, **current))
    actions = sorted(name for name in schemas.calls_to_station(protocol) if has_role(Role(needed_role(name, {}))))
    named = [("", "Choose a message"), *((name, name) for name in actions)]
    select = choice("action", "Message", named, chosen.name if chosen and chosen.command is None else "")
    hidden = html.Select(
        html.Option("commands", value="commands"), name="show", style={"display": "none"}, **attrs(aria_hidden="true")
    )
    form = html.Form([select, hidden], method="GET", action=station_path(station), className="filters")
    return html.Div(
        [
            card("Commands", [html.Div(links, className="menu")]),
            card(
                "Any message",
                [html.P(f"Every call of {dossier_version(dossier)}, as its schema has it.", className="dim"), form],
            ),
        ],
        className="command-menu",
    )


def dossier_version(dossier: StationDossier) -> str:
    return "OCPP " + dossier.station.protocol.removeprefix("ocpp")


def _form(dossier: StationDossier, chosen: Chosen | None) -> Child:
    if chosen is None:
        sentence = "Choose what to ask of the station. You see what will be sent, and confirm it, before it goes out."
        return html.Section(empty(sentence), className="card")
    protocol = dossier.station.protocol
    tree = (
        schema_forms.composed_form(chosen.command)
        if chosen.command
        else schema_forms.action_form(protocol, chosen.name)
    )
    title = chosen.command.title if chosen.command else chosen.name
    sentence = chosen.command.consequence if chosen.command else _what_it_does(chosen.name)
    host = html.Div(
        className="schema-form",
        key=chosen.name,
        **attrs(data_tree=msgspec.json.encode(tree).decode(), data_value=msgspec.json.encode(chosen.given).decode()),
    )
    raw = dcc.Textarea(id="command-raw", value="{}", className="json", spellCheck=False, rows=10)
    beside = html.Div([html.Label("As JSON", htmlFor="command-raw", className="label"), raw], className="beside")
    return html.Section(
        [
            html.H2(
                [title, html.Span(chosen.name if chosen.command else dossier_version(dossier), className="card-note")]
            ),
            html.P([sentence[:1].upper() + sentence[1:], *_by_itself(dossier, chosen)], className="consequence"),
            dcc.Store(id="command-name", data=[_OURS if chosen.command else _THEIRS, chosen.name]),
            html.Div([host, beside], className="form-cols"),
            html.Div(html.Button("Check", id="command-check", type="button", className="solid"), className="form-end"),
            html.Div("", id="command-step", **attrs(aria_live="polite")),
            html.Div("", id="command-answer", role="status"),
        ],
        className="card command-card",
    )


def _by_itself(dossier: StationDossier, chosen: Chosen) -> list[Child]:
    """Where the address need not be typed."""
    if chosen.name not in _WITH_FILES:
        return []
    link = html.A("The tab Files", href=station_path(dossier.station.id, show="files"))
    return [" ", link, " gives the station an address of ours by itself."]


def _what_it_does(action: str) -> str:
    return f"The station gets {action} exactly as it stands here. What follows is for its specification to say."


# ---- from the form to the wire


def wish_of(found: Services, protocol: str, name: object, text: object) -> Wish:
    """What is to be sent. Raises Unfit or Forbidden."""
    kind, action = _named(name)
    params = _decoded(text)
    command = COMPOSED.get(action) if kind == _OURS else None
    if (kind == _OURS and command is None) or (kind == _THEIRS and action not in schemas.calls_to_station(protocol)):
        raise Unfit([Fault("", "this is no command of the station's version")])
    roles = [needed_role(action, params), *([command.role] if command else [])]
    if not all(has_role(Role(role)) for role in roles):
        raise Forbidden
    if command is None:
        _check(protocol, action, params)
        return Wish(action, params, action, params, _what_it_does(action))
    try:
        said, payload = compose(protocol, action, params, found.records.directory().tokens, found.now())
    except CannotCompose as error:
        raise Unfit([Fault("" if error.path in ("payload", "action") else error.path, str(error))]) from error
    if not has_role(Role(needed_role(said, payload))):
        raise Forbidden
    _check(protocol, said, payload)
    return Wish(action, params, said, payload, command.consequence)


def _check(protocol: str, action: str, payload: Any) -> None:
    if found := schemas.violations(protocol, action, payload):
        raise Unfit(schema_forms.faults_of(found))


def _named(name: object) -> tuple[str, str]:
    if isinstance(name, list) and len(name) == 2 and all(isinstance(part, str) for part in name):
        return name[0], name[1]
    raise Unfit([Fault("", "choose a command first")])


def _decoded(text: object) -> dict[str, Any]:
    given = text if isinstance(text, str) else ""
    if len(given) > _MOST_JSON:
        raise Unfit([Fault("", f"the JSON is longer than {_MOST_JSON} characters")])
    try:
        found = msgspec.json.decode(given or "{}")
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Unfit([Fault("", f"this is no JSON: {error}")]) from error
    if not isinstance(found, dict):
        raise Unfit([Fault("", "the JSON must be an object: { ... }")])
    return found


# ---- what is said back


def faults(found: Sequence[Fault]) -> Child:
    """Each with its path; the script puts them at their fields too."""
    rows = [
        html.Li(
            [html.Code(plain(fault.path, 120)), " " if fault.path else "", plain(fault.detail, 300)],
            **attrs(data_fault_at=fault.path, data_detail=plain(fault.detail, 300)),
        )
        for fault in found
    ]
    title = html.B("Not ready to send:" if len(rows) == 1 else f"Not ready to send, {len(rows)} things to mend:")
    return html.Div([title, html.Ul(rows)], className="notice bad faults", **attrs(role="alert"))


def confirm(dossier: StationDossier, wish: Wish, text: str) -> Child:
    """What exactly will go out, and what follows."""
    shown = msgspec.json.format(msgspec.json.encode(veiled(wish.action, wish.payload)), indent=2).decode()
    sentence: list[Child] = [
        f"Send {wish.action} to ",
        html.B(plain(dossier.name, 60)),
        f"? {wish.consequence[:1].upper()}{wish.consequence[1:]}",
    ]
    return html.Div(
        [
            html.P(sentence),
            html.Pre(plain_lines(shown), className="json", tabIndex=0),
            dcc.Store(id="command-confirmed", data=text),
            html.Button("Send now", id="command-now", type="button", className="stop solid"),
        ],
        className="notice warn step",
    )


def forbidden() -> Child:
    text = "It changes keys, certificates, firmware or the network. An administrator can send it."
    return notice("Your role does not reach so far.", text)


def answered(wish: Wish, answer: Answer) -> Child:
    """What came of it, in words, and the station's own."""
    title, text, kind = outcome(answer)
    shown: list[Child] = [notice(title, text, kind)]
    if answer.payload:
        found = veiled(wish.action, answer.payload)
        body = msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
        shown.append(html.Pre(plain_lines(body), className="json", tabIndex=0))
    return html.Div(shown)


def outcome(answer: Answer) -> tuple[str, str, str]:
    """Title, words and kind of a notice."""
    status, detail = plain(str(answer.payload.get("status", "")), 60), plain(answer.detail, 300)
    match answer.outcome:
        case CommandOutcome.ANSWERED if status in _GOOD:
            return f"The station answered{': ' + status if status else '.'}", _AFTER.get(status, ""), "good"
        case CommandOutcome.ANSWERED:
            return f"The station declined: {status}", detail or "Nothing was changed.", "bad"
        case CommandOutcome.REFUSED:
            return f"The station refused the message: {plain(answer.code, 60)}", detail, "bad"
        case CommandOutcome.INVALID:
            where = f" ({plain(answer.path, 80)})" if answer.path else ""
            return f"It was not sent{where}.", detail, "bad"
        case CommandOutcome.OFFLINE:
            return "The station is not connected.", detail or "Nothing was sent and nothing is kept for later.", "bad"
        case _:
            return "No answer yet.", "The station may still act; what it does appears under Messages.", "warn"


_GOOD = frozenset({"", "Accepted", "AcceptedCanceled", "Unlocked", "Scheduled", "RebootRequired"})
_AFTER = {
    "AcceptedCanceled": "It stopped an earlier one for this.",
    "RebootRequired": "It takes effect after a restart.",
    "Scheduled": "It takes effect when the running sessions have ended.",
}
