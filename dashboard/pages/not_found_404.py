"""Every address that is no page of ours. Dash finds this page by its name."""

from __future__ import annotations

from typing import Any

from dashboard.components import Child, not_found

PATH = "/not-found"
NAME = "Not found"
ORDER = -1


def layout(**_: Any) -> Child:
    return not_found("There is no page at this address.")
