"""The table of composed commands in docs/ocpp.md, made from the code: ``python tests/commands_table.py`` writes it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bridge.compose import COMPOSED, Composed

PAGE = Path(__file__).parent.parent / "docs" / "ocpp.md"
HEAD = "| command | parameters (**needed**) | what follows | role |"


def table() -> str:
    return "\n".join([HEAD, "|---|---|---|---|", *map(_line, COMPOSED.values())])


def _line(command: Composed) -> str:
    names = [f"**`{p.name}`**" if p.required else f"`{p.name}`" for p in command.parameters]
    only = "" if "ocpp1.6" in command.versions else " Not in 1.6."
    return f"| {command.name} | {', '.join(names) or 'none'} | {command.consequence}{only} | {command.role} |"


def written(text: str) -> str:
    """The page with the table in the place of the old one."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line in (HEAD, "COMMANDS-TABLE"))
    end = next((n for n in range(start + 1, len(lines)) if not lines[n].startswith("|")), len(lines))
    return "\n".join([*lines[:start], table(), *lines[end:]]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
