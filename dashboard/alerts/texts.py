"""Words from chargers made harmless, and titles filled in. Chargers' texts are as hostile as who sends them."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Mapping
from datetime import datetime

_MAX = 120
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # control, bidi overrides, surrogates, line separators


def plain(text: str, limit: int = _MAX) -> str:
    """One line of visible text: no control character, no line break, no text direction tricks, no live link."""
    visible = "".join(" " if unicodedata.category(c) in _HIDDEN else c for c in text[: limit * 4])
    line = " ".join(visible.split()).replace("://", "[:]//")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def clock(moment: datetime | None) -> str:
    """A time for people, in UTC and saying so."""
    return "unknown" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def placeholders(template: str) -> set[str]:
    """Names in braces. Raises ValueError for anything but plain ``{name}``."""
    names = set()
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise ValueError(f"'{{{name}}}' is not a plain {{name}}")
        names.add(name)
    return names


def fill(template: str, texts: Mapping[str, str]) -> str:
    """The template with every value made harmless; what a value holds is never read as a template."""
    return template.format_map({key: plain(value) for key, value in texts.items()})
