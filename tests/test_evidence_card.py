"""The Evidence card and chip of the session page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from flask import Flask
from msgspec.structs import replace
from screens_world import ENDED, HOSTILE, LIVE, NOW, ORPHAN, seeded_world

from bridge.evidence import Evidence, Gap, Start
from dashboard import evidence_parts
from dashboard.app import create_app
from dashboard.dossier import Dossier, open_dossier
from dashboard.services import services


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    world = seeded_world(tmp_path_factory.mktemp("world"))
    given: dict[str, Any] = {"records": world.records, "people": world.people, "telemetry": world.telemetry}
    yield create_app(world.settings, now=lambda: NOW, with_broker=False, **given)
    world.records.close()


def dossier(app: Flask, id: str, **changes: Any) -> Dossier:
    with app.app_context():
        found = open_dossier(services(), id)
    assert found is not None
    return found._replace(session=replace(found.session, **changes))


def texts(part: Any) -> list[str]:
    if isinstance(part, str):
        return [part]
    children = part if isinstance(part, list) else getattr(part, "children", None) or []
    return [text for child in (children if isinstance(children, list) else [children]) for text in texts(child)]


def rows(found: Dossier) -> dict[str, str]:
    said = texts(evidence_parts.evidence_card(found))
    return dict(pairwise(said))


def test_the_card_says_what_was_seen_of_a_running_session(app: Flask) -> None:
    found = dossier(app, LIVE)
    card = rows(found)
    assert card["Start and meter start"].startswith("✓ seen, 8 214 330 Wh")
    assert card["Sequence 0 to 446"] == "✓ no gap"
    assert card["Clock against ours"] == "+0.8 s"
    assert card["Signed values"] == "begin, OCMF"
    assert card["Stop and meter stop"] == "still to come"
    assert texts(evidence_parts.grade_chip(found)) == ["Evidence: full"]


def test_the_card_says_why_a_grade_is_no_better(app: Flask) -> None:
    gap = Gap(NOW - timedelta(minutes=9), NOW - timedelta(minutes=1))
    seen = Evidence(
        start=Start.OWN, interval_s=10.0, gaps=(gap,), seq_first=0, seq_last=9, seq_holes=((3, 4),), clock_start_s=-95.0
    )
    found = dossier(app, LIVE, evidence=seen)
    card = rows(found)
    assert card["Sequence 0 to 9"] == "2 missing"
    assert card["Gaps in the values"] == "1, longest 8 min"
    assert card["Clock against ours"] == "▲ −95.0 s"
    said = texts(evidence_parts.evidence_card(found))
    assert [text for before, text in pairwise(said) if before == "▲ "] == [
        "The start came without the register: the first reading stands in for it.",
        "Energy flowed over 8 min without a reading.",
        "Of the messages 0 to 9, 2 are missing.",
        "The charger's clock was 95 s behind ours at the start.",
    ]
    assert texts(evidence_parts.grade_chip(found)) == ["Evidence: partial"]


@pytest.mark.parametrize(("id", "chip"), [(ENDED, "partial"), (ORPHAN, "reconstructed")])
def test_a_session_of_before_is_never_full(app: Flask, id: str, chip: str) -> None:
    assert texts(evidence_parts.grade_chip(dossier(app, id))) == [f"Evidence: {chip}"]


def test_a_format_in_the_charger_s_words_is_shown_as_text(app: Flask) -> None:
    found = dossier(app, LIVE, evidence=Evidence(start=Start.OWN, signed_end=HOSTILE))
    assert "\u202e" not in rows(found)["Signed values"]
    assert len(rows(found)["Signed values"]) < 40
