"""The table of docs/settings.md, made from the settings' own model: ``python tests/settings_table.py`` writes it anew
with the meanings that the page has now; ``test_settings.py`` keeps the page true."""

from __future__ import annotations

import enum
import re
import types
import typing
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from bridge.settings import PREFIX, Settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"
HEAD = "| key | takes | default | meaning |\n| --- | --- | --- | --- |"


class Row(NamedTuple):
    """One setting: TOML ``key``, environment ``variable``, what it takes, and its default as TOML writes it."""

    key: str
    variable: str
    kind: str
    default: str


def rows(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[Row]:
    """Every setting in the order of the tree, sections opened."""
    for name, field in model.model_fields.items():
        here = (*path, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from rows(field.annotation, here)
        else:
            yield Row(".".join(here), PREFIX + "__".join(here).upper(), _kind(field), _default(field))


def meanings(page: str) -> dict[str, str]:
    """Key -> the last column of its row on the page."""
    found = re.findall(r"^\| `([a-z_.0-9]+)` \|.*\| (.*?) \|$", page, re.MULTILINE)
    return dict(found)


def line(row: Row, meaning: str) -> str:
    return f"| `{row.key}` | {row.kind} | {row.default} | {meaning} |"


_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Decimal: "decimal number in quotes",
    Path: "path",
    SecretStr: "secret",
}


def _kind(field: FieldInfo) -> str:
    limits = [f"{sign} {bound}" for limit in field.metadata if (found := _limit(limit)) for sign, bound in [found]]
    return ", ".join([_named(field.annotation), *limits])


def _limit(limit: object) -> tuple[str, Any] | None:
    for attribute, sign in {"ge": "at least", "gt": "above", "le": "at most", "pattern": "like"}.items():
        if (bound := getattr(limit, attribute, None)) is not None:
            return sign, f"`{bound}`" if attribute == "pattern" else bound
    return None


def _named(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " / ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        return f"list of {_named(arguments[0])}s"
    if origin is typing.Annotated:
        return _named(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _named(next(argument for argument in arguments if argument is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " / ".join(f"`{choice.value}`" for choice in annotation)
    return _NAMES[annotation]


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "the host's name"
    value = field.get_default()
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value in (None, "", ()):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if isinstance(value, int | float) else f'`"{value}"`'


def rewritten(page: str) -> str:
    """The page with its table made anew; a new setting's meaning is left empty, for a person."""
    known = meanings(page)
    head, _, tail = page.partition(HEAD)
    after = tail[tail.index("\n\n") :]
    return "\n".join([head + HEAD, *(line(row, known.get(row.key, "")) for row in rows())]) + after


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
