"""Where the files lie that are no code."""

from __future__ import annotations

import sys
from pathlib import Path


class AssetsMissing(Exception):
    """The folder with styles, fonts and scripts is not where it is looked for."""


def assets_folder() -> Path:
    """``assets`` beside the package in a checkout, ``share/chargewatch/assets`` of the environment after a wheel."""
    places = (Path(__file__).parent.parent / "assets", Path(sys.prefix) / "share/chargewatch/assets")
    for place in places:
        if place.is_dir():
            return place
    raise AssetsMissing(f"no assets folder: looked for {' and '.join(map(str, places))}")
