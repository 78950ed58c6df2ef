"""Topic patterns and a trie of them: a few dictionary look-ups per message, however many patterns there are.

A pattern is an MQTT filter with names: ``go-eCharger/{device}/car``, ``Ac/{p:L1|L2}/Power``,
``SmartEVSE-{device}/Mode``, ``base/{device}/#``. A capture stands for one level or a part of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
Captures = dict[str, str]

_CAPTURE = re.compile(r"\{(\w+)(?::([^{}]+))?\}")


class _Level(NamedTuple):
    """One level that captures: what stands before and after the capture, and which texts it may be."""

    before: str
    name: str
    choices: frozenset[str]
    after: str

    def match(self, text: str) -> str | None:
        if len(text) <= len(self.before) + len(self.after) or not (
            text.startswith(self.before) and text.endswith(self.after)
        ):
            return None
        caught = text[len(self.before) : len(text) - len(self.after)]
        return caught if not self.choices or caught in self.choices else None


def _parse_level(text: str) -> str | _Level:
    found = list(_CAPTURE.finditer(text))
    if not found:
        if set("{}+#") & set(text):
            raise ValueError(f"level '{text}' has a stray one of {{ }} + #; captures are written {{name}}")
        return text
    if len(found) > 1:
        raise ValueError(f"level '{text}' has two captures; one is possible")
    name, choices = found[0].groups()
    before, after = text[: found[0].start()], text[found[0].end() :]
    return _Level(before, name, frozenset(choices.split("|")) if choices else frozenset(), after)


def _parse(pattern: str) -> tuple[list[str | _Level], bool]:
    levels = pattern.split("/")
    takes_rest = levels[-1] == "#"
    return [_parse_level(level) for level in (levels[:-1] if takes_rest else levels)], takes_rest


def captures_of(pattern: str) -> set[str]:
    """The names a pattern captures."""
    return {match[1] for match in _CAPTURE.finditer(pattern)}


def filters_of(pattern: str) -> list[str]:
    """The MQTT filters that cover a pattern; choices that are whole levels become one filter each."""
    levels, takes_rest = _parse(pattern)
    filters: list[list[str]] = [[]]
    for level in levels:
        if isinstance(level, str):
            options = [level]
        elif level.choices:
            options = [level.before + choice + level.after for choice in sorted(level.choices)]
        else:
            options = ["+"]
        filters = [[*head, option] for head in filters for option in options]
    return ["/".join([*head, "#"] if takes_rest else head) for head in filters]


def fill(template: str, captures: Captures) -> str:
    """Put captures into ``{name}``; an unknown name stays as it is written."""
    return _CAPTURE.sub(lambda match: captures.get(match[1], match[0]), template)


class _Node(Generic[T]):
    def __init__(self) -> None:
        self.literal: dict[str, _Node[T]] = {}
        self.capturing: dict[_Level, _Node[T]] = {}
        self.here: list[T] = []
        self.rest: list[T] = []


class TopicTrie(Generic[T]):
    """Patterns to values."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, pattern: str, value: T) -> None:
        """Raises ValueError where the pattern cannot be read."""
        levels, takes_rest = _parse(pattern)
        node = self._root
        for level in levels:
            if isinstance(level, str):
                node = node.literal.setdefault(level, _Node())
            else:
                node = node.capturing.setdefault(level, _Node())
        (node.rest if takes_rest else node.here).append(value)

    def find(self, topic: str) -> list[tuple[T, Captures]]:
        """Every value whose pattern matches, with what it captured."""
        return list(self._walk(self._root, topic.split("/"), 0, {}))

    def _walk(self, node: _Node[T], levels: list[str], at: int, caught: Captures) -> Iterator[tuple[T, Captures]]:
        yield from ((value, caught) for value in node.rest)
        if at == len(levels):
            yield from ((value, caught) for value in node.here)
            return
        literal = node.literal.get(levels[at])
        if literal is not None:
            yield from self._walk(literal, levels, at + 1, caught)
        for level, child in node.capturing.items():
            text = level.match(levels[at])
            if text is not None:
                yield from self._walk(child, levels, at + 1, {**caught, level.name: text})
