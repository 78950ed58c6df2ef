"""How every grid looks and behaves: the theme from our tokens, no animation."""

from __future__ import annotations

from typing import Any

THEME = (
    "themeQuartz.withParams({fontFamily: 'inherit', fontSize: 14, headerFontSize: 12, headerFontWeight: 400, "
    "backgroundColor: 'var(--panel)', foregroundColor: 'var(--ink)', headerBackgroundColor: 'var(--panel)', "
    "headerTextColor: 'var(--ink-2)', borderColor: 'var(--line)', rowHoverColor: 'var(--ground)', "
    "oddRowBackgroundColor: 'var(--panel)', selectedRowBackgroundColor: 'var(--raise)', accentColor: 'var(--energy)', "
    "wrapperBorder: false, wrapperBorderRadius: 0, borderRadius: 6, spacing: 7, headerColumnBorder: false, "
    "headerColumnResizeHandleColor: 'transparent', "
    "columnBorder: false, rowHeight: 44, headerHeight: 40, cellHorizontalPadding: 16})"
)


def options(is_tall: bool, **more: Any) -> dict[str, Any]:
    """Grid options: our theme, no animation, ``is_tall`` scrolls within itself."""
    shared: dict[str, Any] = {
        "theme": {"function": THEME},
        "animateRows": False,
        "suppressCellFocus": False,
        "enableCellTextSelection": True,
        "noRowsOverlayComponent": "CwNoRows",
        "asyncTransactionWaitMillis": 200,
    }
    return (shared if is_tall else shared | {"domLayout": "autoHeight"}) | more
