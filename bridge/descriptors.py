"""Open files of this process: each connected station takes one, and systems grant few unless asked."""

from __future__ import annotations

import contextlib
import resource


def open_file_limits() -> tuple[int, int]:
    """(soft, hard): what is granted now, and what may be asked for; -1 is no limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def raise_open_file_limit() -> int:
    """Ask for all that may be asked for; returns what is granted. Where the system grants less than its own hard
    limit says (macOS without a limit), it stays as it was."""
    _, hard = open_file_limits()
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return open_file_limits()[0]
