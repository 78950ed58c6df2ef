"""Curves, figures, numbers and sentences: what a session's page says, without a browser."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from screens_world import HOSTILE, LIVE, NOW, STARTED, FakeTelemetry, _draw

from bridge import events
from bridge.billing.price import Tariff
from bridge.session import Session, SessionState
from bridge.stores.telemetry import FrameRow, Occurrence, Sample
from dashboard import figures, formats
from dashboard.curve import Curve, curve_of
from dashboard.dossier import seconds_of, without_cards
from dashboard.figures import Mark, session_figure
from dashboard.happenings import _WORDS, concerns, happenings

BERLIN = ZoneInfo("Europe/Berlin")
TARIFF = Tariff(
    id="t", currency="EUR", energy_per_kwh=Decimal("0.49"), time_per_minute=Decimal(0), flat=Decimal(0),
    vat_percent=Decimal(19),
)  # fmt: skip
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def session(**given: Any) -> Session:
    known = {
        "id": "s",
        "station": "X",
        "evse": 1,
        "transaction_id": "1",
        "started_at": START,
        "start_received_at": START,
    }
    return Session(**(known | given))


def sample(seconds: float, is_late: bool = False, **values: float) -> Sample:
    at = START + timedelta(seconds=seconds)
    return Sample("X", 1, at, at, is_late, "s", values)


def live_curve() -> Curve:
    store = FakeTelemetry()
    _draw(store)
    samples = store.curve("AIR-02", 1, STARTED, NOW)
    return curve_of(session(meter_start_wh=8_214_330, started_at=STARTED), samples, TARIFF, 60_000)


# ---- the curve


def test_energy_counts_from_the_meter_at_the_start() -> None:
    curve = curve_of(
        session(meter_start_wh=1_000),
        [sample(0, energy_import_wh=1_000), sample(60, energy_import_wh=1_850)],
        TARIFF,
        None,
    )
    assert curve.energy_wh == [0, 850]
    assert curve.cost == [0.0, 0.42]  # 0.4165 to the cent


def test_a_meter_that_restarts_loses_nothing() -> None:
    readings = [sample(n * 60, energy_import_wh=wh) for n, wh in enumerate((1_000, 1_500, 200, 300))]
    assert curve_of(session(meter_start_wh=1_000), readings, None, None).energy_wh == [0, 500, 500, 600]


def test_without_a_register_power_over_time_is_drawn() -> None:
    curve = curve_of(session(), [sample(0, power_w=6_000.0), sample(600, power_w=6_000.0)], None, None)
    assert curve.energy_wh == [0.0, 1_000.0]


def test_no_line_is_drawn_over_time_without_data() -> None:
    seconds = [*range(0, 300, 10), *range(900, 1_200, 10)]
    curve = curve_of(session(), [sample(s, power_w=7_000.0) for s in seconds], None, None)
    assert [(g.start, g.end) for g in curve.gaps] == [(START + timedelta(seconds=290), START + timedelta(seconds=900))]
    holes = [at for at, power in zip(curve.at, curve.power_w, strict=True) if power is None]
    assert all(START + timedelta(seconds=290) < at < START + timedelta(seconds=900) for at in holes)
    assert len(holes) == 2


def test_what_comes_less_often_keeps_its_last_value() -> None:
    curve = curve_of(session(), [sample(0, power_w=1.0, soc_percent=20.0), sample(10, power_w=1.0)], None, None)
    assert curve.soc_percent == [20.0, 20.0]


def test_the_rated_power_stands_in_for_an_offer() -> None:
    curve = curve_of(
        session(), [sample(0, power_w=1.0), sample(10, power_w=1.0, power_offered_w=5_000.0)], None, 22_000
    )
    assert curve.offered_w == [22_000, 5_000.0]


def test_late_samples_are_counted() -> None:
    assert curve_of(session(), [sample(0, power_w=1.0), sample(9, is_late=True, power_w=1.0)], None, None).late == 1


def test_a_long_session_is_thinned_and_keeps_its_ends() -> None:
    curve = curve_of(session(), [sample(s, power_w=float(s)) for s in range(20_000)], None, None)
    assert len(curve.at) < 3_000
    assert (curve.power_w[0], curve.power_w[-1]) == (0.0, 19_999.0)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 400_000)), unique_by=lambda pair: pair[0]))
def test_any_series_gives_parallel_lines_in_order(pairs: list[tuple[int, float]]) -> None:
    samples = [sample(at, power_w=power) for at, power in sorted(pairs)]
    curve = curve_of(session(), samples, TARIFF, None)
    lines = (curve.power_w, curve.offered_w, curve.soc_percent, curve.energy_wh, curve.cost)
    assert {len(line) for line in lines} == {len(curve.at)}
    assert curve.at == sorted(curve.at)


# ---- the figure


@pytest.fixture(params=figures.THEMES)
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def drawn(theme: str, *marks: Mark) -> go.Figure:
    tokens = figures.read_tokens(figures.tokens_path())[theme]
    return session_figure(live_curve(), BERLIN, tokens, "EUR", marks, revision=LIVE)


def test_both_themes_have_every_colour_a_figure_needs() -> None:
    themes = figures.read_tokens(figures.tokens_path())
    needed = {"ink", "ink-2", "ink-3", "line", "panel", "energy", "energy-soft", "p2"}
    assert all(needed <= set(themes[theme]) for theme in figures.THEMES)
    assert themes["light"]["ink"] != themes["dark"]["ink"]


def test_only_colours_of_the_tokens_are_used(theme: str) -> None:
    tokens = figures.read_tokens(figures.tokens_path())[theme]
    used = set(re.findall(r"#[0-9a-fA-F]{6}", drawn(theme).to_json()))
    assert used <= set(tokens.values())


def test_lines_are_labelled_at_their_ends_and_there_is_no_legend(theme: str) -> None:
    figure = drawn(theme)
    texts = [a.text for a in figure.layout.annotations]
    assert {"44.3 kW", "offered", "66 %", "60.32 kWh", "€29.56"} <= set(texts)
    assert figure.layout.template.layout.showlegend is False
    ends = sorted((a.y for a in figure.layout.annotations if a.xanchor == "left" and a.xref == "paper"), reverse=True)
    assert all(above - below >= figures._LEAST_APART - 1e-9 for above, below in itertools.pairwise(ends[:3]))


def test_the_time_axis_says_its_offset_and_shows_the_sites_clock(theme: str) -> None:
    figure = drawn(theme)
    assert figure.layout.xaxis.title.text == "Time, UTC+01:00"
    assert figure.data[0].x[0] == STARTED.astimezone(BERLIN).replace(tzinfo=None)


def test_only_horizontal_hairlines_and_one_hover_box(theme: str) -> None:
    layout = drawn(theme).layout
    assert layout.template.layout.xaxis.showgrid is False
    assert layout.yaxis.showgrid is True
    assert layout.template.layout.hovermode == "x unified"
    assert next(t for t in drawn(theme).data if t.name == "Offered").line.dash == "dash"


def test_marks_stand_on_the_axis_in_words() -> None:
    figure = drawn("light", Mark(STARTED + timedelta(minutes=49), "cable hot", True))
    assert "cable hot" in [a.text for a in figure.layout.annotations]
    assert len(figure.layout.shapes) == 1


def test_the_words_of_a_mark_do_not_stretch_the_time_axis() -> None:
    figure = drawn("light", Mark(STARTED + timedelta(minutes=70), "a long word about what happened", True))
    last = figure.data[0].x[-1]
    assert figure.layout.xaxis.range == (figure.data[0].x[0], last)
    assert next(a for a in figure.layout.annotations if a.text.startswith("a long")).xanchor == "right"


def test_a_session_with_power_alone_is_drawn(theme: str) -> None:
    tokens = figures.read_tokens(figures.tokens_path())[theme]
    curve = curve_of(session(), [sample(0, power_w=3_600.0)], None, None)
    names = [t.name for t in session_figure(curve, UTC, tokens, "EUR").data if t.name]
    assert names == ["Power"]


def test_text_of_a_charger_is_no_markup_in_a_figure() -> None:
    """Plotly understands a few tags in texts; a mark shows them as written."""
    figure = drawn("light", Mark(STARTED + timedelta(minutes=3), "<a href='https://evil.example'>x</a>", True))
    text = next(a.text for a in figure.layout.annotations if "evil" in a.text)
    assert "<a" not in text


# ---- numbers and words


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (formats.kw(43_849), "43.8"),
        (formats.kw(None), "–"),
        (formats.rated_kw(60_000), "60"),
        (formats.rated_kw(7_400), "7.4"),
        (formats.kwh(38_020), "38.02"),
        (formats.money("17.1", "EUR"), "€17.10"),
        (formats.money("17.1", "CHF"), "CHF 17.10"),
        (formats.unit_money(Decimal("0.4950"), "EUR"), "€0.495"),
        (formats.unit_money(Decimal("0.00"), "EUR"), "€0.00"),
        (formats.clock(4_470), "1:14"),
        (formats.span(41), "41 s"),
        (formats.span(7_500), "2 h 05"),
        (formats.span(200_000), "2 d"),
        (formats.offset(START, ZoneInfo("America/St_Johns")), "UTC−03:30"),
        (formats.protocol("ocpp2.0.1"), "OCPP 2.0.1"),
        (formats.skew(-2.14), "−2.1 s"),
        (formats.skew(-0.04), "0.0 s"),
        (formats.protocol("mqtt/goe"), "MQTT, goe"),
        (formats.time_of(NOW, BERLIN, NOW), "15:32"),
        (formats.time_of(NOW - timedelta(days=1), BERLIN, NOW), "22 Nov 15:32"),
    ],
)
def test_numbers_are_said_one_way(said: str, expected: str) -> None:
    assert said == expected


@pytest.mark.parametrize("name", ["", "Nowhere/City", "../../etc/passwd", "\x00"])
def test_a_zone_that_no_clock_knows_is_utc(name: str) -> None:
    assert str(formats.zone(name)) == "UTC"


def test_every_state_has_a_word() -> None:
    assert set(formats.STATE_WORDS) == set(SessionState)


@given(st.text())
def test_plain_text_is_printable_and_bounded(text: str) -> None:
    shown = formats.plain(text, 50)
    assert len(shown) <= 50
    assert all(c.isprintable() for c in shown)
    assert not set(shown) & formats._DIRECTION


# ---- what happened


def tell(kind: str, frames: list[FrameRow] | None = None, /, **body: object) -> Any:
    item = Occurrence("X", 1, START, START, kind, "", msgspec.json.encode(body).decode())
    return happenings([item], frames or [])[0]


def test_every_event_of_the_road_has_words_or_is_a_plain_message() -> None:
    kinds = {t.__name__ for t in events.AnyEvent.__args__}
    assert set(_WORDS) - {"FileReceived", "FirmwareFetched"} <= kinds  # those two the file server tells itself
    assert kinds - set(_WORDS) == {"StationSeen", "MeterSampled", "MessageReceived"}


@pytest.mark.parametrize(
    ("kind", "body", "text", "is_abnormal"),
    [
        ("StatusChanged", {"status": "Faulted", "error_code": "HighTemp"}, "Connector faulted: HighTemp", True),
        ("StatusChanged", {"status": "Charging", "error_code": "NoError"}, "Energy flows", False),
        ("StatusChanged", {"status": "Available", "evse": 0}, "Station reports Available", False),
        ("TokenPresented", {"token": "04A2B9C17F21", "accepted": True}, "Authorised: ••••7F21", False),
        ("TokenPresented", {"token": "04A2B9C17F21", "cause": "blocked"}, "Card refused: ••••7F21, blocked", True),
        ("TransactionStarted", {"transaction_id": "7", "meter_start_wh": 1_234_567},
         "Session started, transaction 7, meter at 1 234 567 Wh", False),
        ("TransactionEnded", {"stop_reason": "EVDisconnected"}, "Session ended: EVDisconnected", False),
        ("DetailsReported", {"kind": "firmware", "details": [{"key": "status", "body": {"status": "Installing"}}]},
         "Firmware update: Installing", False),
        ("DetailsReported", {"kind": "log", "details": [{"key": "status", "body": {"status": "UploadFailure"}}]},
         "Log upload: UploadFailure", True),
        ("DetailsReported", {"kind": "variable", "details": [{"key": "a"}, {"key": "b"}]},
         "Device model: 2 entries", False),
        ("DetailsReported", {"kind": "reservation", "is_gone": True, "details": [{"key": "5", "body": {}}]},
         "Reservation gone: 5", False),
        ("CertificateRequested", {"kind": "V2GCertificate", "accepted": True},
         "Station asks for a V2GCertificate: it will be signed", False),
        ("StationAsked", {"subject": "a contract certificate", "answer": "Failed"},
         "Station asked for a contract certificate, answered Failed", False),
        ("CostReported", {"total": "12.30", "currency": "EUR"},
         "Cost by the station's own account: 12.30 EUR", False),
        ("AnswerRefused", {"code": "FormatViolation", "detail": "no"},
         "Station could not take our answer: FormatViolation, no", True),
        ("FrameRefused", {"action": "Boot", "code": "FormatViolation", "detail": "no id"},
         "A message was refused: Boot, FormatViolation, no id", True),
    ],
)  # fmt: skip
def test_what_happened_is_a_sentence(kind: str, body: dict[str, object], text: str, is_abnormal: bool) -> None:
    told = tell(kind, **body)
    assert (told.text, told.is_abnormal) == (text, is_abnormal)


@pytest.mark.parametrize("body", ["", "null", "[]", "{", '{"status": {"a": []}}', '{"meter_start_wh": null}'])
@pytest.mark.parametrize("kind", [*_WORDS, "SomethingNew"])
def test_a_body_that_is_not_as_expected_is_still_told(kind: str, body: str) -> None:
    item = Occurrence("X", 1, START, START, kind, "", body)
    assert happenings([item], [])[0].text


def update(number: int, state: str = "Charging") -> Occurrence:
    body = {"transaction_id": "7", "charging_state": state, "seq_no": number}
    at = START + timedelta(seconds=5 * number)
    return Occurrence("X", 1, at, at, "TransactionUpdated", "", msgspec.json.encode(body).decode())


def test_updates_in_a_row_that_say_the_same_are_one_line_with_their_count() -> None:
    fault = Occurrence("X", 1, START, START, "StatusChanged", "", '{"status":"Faulted"}')
    told = happenings([update(9), update(8), update(7), fault, update(6), update(5, "SuspendedEV"), update(4)], [])
    assert [item.text for item in told] == [
        "Energy flows, 3 updates, messages 7 to 9",
        "Connector faulted",
        "Energy flows, message 6",
        "The car paused charging, message 5",
        "Energy flows, message 4",
    ]
    assert told[0].at == update(7).at


def test_the_newest_meter_values_are_one_line_at_their_time() -> None:
    values = {"power_w": 43_812.0, "energy_import_wh": 38_020.0, "soc_percent": 64.0, "voltage_v": 400.0}
    sample = Sample("X", 1, update(8).at, update(8).at, False, "", values)
    frame = FrameRow("X", update(8).at, ">", "ocpp1.6", "MeterValues", "[2]")
    told = happenings([update(9, "SuspendedEV"), update(7)], [frame], sample)
    assert [(item.text, item.code) for item in told][1] == ("Meter value: 43.8 kW, 38 020 Wh, 64 %", "MeterValues")
    assert [item.at for item in told] == [update(9).at, update(8).at, update(7).at]


def test_the_raw_message_stands_under_it() -> None:
    frame = FrameRow("X", START, ">", "ocpp1.6", "StatusNotification", '[2,"1","StatusNotification",{}]')
    told = tell("StatusChanged", [frame, frame._replace(direction="<", text="[3]")], status="Available")
    assert (told.code, told.raw) == ("StatusNotification", frame.text)


def test_hostile_words_stay_words() -> None:
    told = tell("DataTransferred", vendor_id=HOSTILE, data="x" * 10_000)
    assert "\u202e" not in told.text
    assert len(told.text) <= 300


def test_only_what_concerns_the_session_is_told() -> None:
    def about(evse: int, kind: str = "StatusChanged", **body: object) -> bool:
        item = Occurrence("X", evse, START, START, kind, "", msgspec.json.encode(body).decode())
        return concerns(item, 1, "77", "04a1b2")

    assert about(1)
    assert about(0)
    assert about(2, transaction_id="77")
    assert not about(2)
    assert not about(1, transaction_id="78")
    assert about(0, "TokenPresented", token="04A1B2")
    assert not about(0, "TokenPresented", token="04FFFF"), "another driver's card at the same station"


@pytest.mark.parametrize(
    "text",
    ['{"idTag":"04A2B9C17F21"}', '{"idToken": {"idToken": "04A2B9C17F21", "type": "ISO14443"}}',
     '{"parentIdTag" : "04A2B9C17F21"}'],
)  # fmt: skip
def test_cards_are_masked_in_raw_messages(text: str) -> None:
    assert "04A2B9C1" not in without_cards(text)
    assert "••••7F21" in without_cards(text)


def test_a_session_whose_stop_never_came_does_not_grow() -> None:
    orphan = session(state=SessionState.ORPHANED, sample_at=START + timedelta(minutes=9))
    assert seconds_of(orphan, START + timedelta(days=9)) == 540
    assert seconds_of(session(state=SessionState.CHARGING), START + timedelta(seconds=30)) == 30
