"""The tables of docs/ocpp.md, made by saying every message of ``ocpp_samples`` to the server's own code:
``python tests/ocpp_table.py`` writes them anew; ``test_ocpp_table.py`` keeps the page true."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from ocpp_samples import FROM, NOW, TO  # noqa: E402
from ocpp_world import Desk, desk  # noqa: E402

from bridge import schemas  # noqa: E402
from bridge.access import Entry  # noqa: E402
from bridge.events import AnyEvent, CommandAnswered, DetailsReported  # noqa: E402
from bridge.ocpp.commands import Waiting  # noqa: E402
from bridge.ocpp.server import VERSIONS  # noqa: E402
from bridge.ocpp.versions import Version  # noqa: E402

PAGE = ROOT / "docs" / "ocpp.md"
OLDEST_FIRST = tuple(reversed(VERSIONS))
_COLUMNS = " | ".join(version.protocol.removeprefix("ocpp") for version in OLDEST_FIRST)
_RULE = "| --- |" + " :-: |" * len(OLDEST_FIRST) + " --- | --- |"
HEAD_FROM = f"| message of a charger | {_COLUMNS} | becomes | is answered |\n{_RULE}"
HEAD_TO = f"| call of ours | {_COLUMNS} | the records learn | the answer says |\n{_RULE}"


def became(events: Iterable[AnyEvent]) -> Iterator[str]:
    """In words, each once."""
    for event in events:
        if not isinstance(event, DetailsReported):
            yield f"event {type(event).__name__}"
        else:
            yield f"record `{event.kind}`{' removed' if event.is_gone else ''}"


def answered(answer: Any) -> str:
    """The CALLRESULT's fields; those that decide with what they say."""
    if answer is None:
        return "never: it is a SEND"
    if not answer:
        return "empty"
    return ", ".join(f"{key} {value}" if key == "status" else key for key, value in answer.items())


Told = dict[str, dict[str, tuple[list[str], list[str]]]]  # action -> protocol -> what becomes of it, the answers


@cache
def rows_from() -> tuple[str, ...]:
    """One row for every message that a charger sends in any version, by name. Said with and without a signer of
    certificates, and by somebody who waits for approval."""
    told: Told = {}
    for version in OLDEST_FIRST:
        for has_signer in (False, True):
            with _desk(version) as there:
                there.talk._has_signer = has_signer
                for action in sorted(schemas.calls_from_station(version.protocol)):
                    found = told.setdefault(action, {}).setdefault(version.protocol, ([], []))
                    _say(there, action, *found)
        with _desk(version, entry=Entry.HELD) as waiting:
            _say(waiting, "BootNotification", *told["BootNotification"][version.protocol])
    return tuple(_rows(told))


@cache
def rows_to() -> tuple[str, ...]:
    """One row for every call that we send in any version, by name."""
    told: Told = {}
    for version in OLDEST_FIRST:
        with _desk(version) as there:
            for action in sorted(schemas.calls_to_station(version.protocol)):
                told.setdefault(action, {})[version.protocol] = list(_asked(there, action)), [_status(version, action)]
    return tuple(_rows(told))


@contextmanager
def _desk(version: Version, **options: Any) -> Iterator[Desk]:
    with TemporaryDirectory() as folder, desk(Path(folder), version, **options) as there:
        yield there


def _say(there: Desk, action: str, events: list[str], answers: list[str]) -> None:
    version = there.talk.version
    frame = [6 if action in version.sends else 2, "1", action, FROM[version.protocol][action].payload]
    answer = there.send(json.dumps(frame), NOW)
    events += became(there.events)
    answers.append(answered(None if answer is None else answer[2]))


def _asked(there: Desk, action: str) -> Iterator[str]:
    asked = TO[there.talk.version.protocol][action]
    there.calls._waiting = Waiting("w", action, asked.payload, Future())  # type: ignore[arg-type]
    there.send(json.dumps([3, "w", asked.answer]), NOW)
    return became(event for event in there.events if not isinstance(event, CommandAnswered))


def _status(version: Version, action: str) -> str:
    """What the answer says of itself, by its schema."""
    answer = schemas.schema(version.protocol, action, is_response=True)
    fields = [field for field in answer.get("properties", {}) if field not in ("customData", "statusInfo")]
    return ", ".join(fields) or "empty"


def _rows(told: Told) -> Iterator[str]:
    for action in sorted(told):
        by_version = told[action]
        marks = " | ".join("yes" if version.protocol in by_version else "" for version in OLDEST_FIRST)
        events = dict.fromkeys(event for found, _ in by_version.values() for event in found)
        answers = dict.fromkeys(answer for _, found in by_version.values() for answer in found)
        yield f"| {action} | {marks} | {', '.join(events)} | {'; '.join(answers)} |"


def rewritten(page: str) -> str:
    """The page with both tables made anew."""
    for head, rows in ((HEAD_FROM, rows_from()), (HEAD_TO, rows_to())):
        before, found, tail = page.partition(head)
        if not found:
            raise SystemExit(f"{PAGE} has no table that begins with: {head}")
        page = "\n".join([before + head, *rows]) + tail[tail.index("\n\n") :]
    return page


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
