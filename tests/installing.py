"""What the tests need and a machine may lack: from Debian, from npm or built, once, into a cache folder."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TOOLS = Path(os.environ.get("TEST_TOOLS") or Path.home() / ".cache" / "chargewatch-tools")


class ServerMissing(Exception):
    """A server or another program that cannot be had here, and why."""


def program(name: str, places: Sequence[str | Path], package: str) -> Path:
    """On PATH, in the usual places, or from Debian's package."""

    def look() -> Path | None:
        on_path = shutil.which(name)
        usual = [Path(p) for p in places if Path(p).exists()]
        return Path(on_path) if on_path else usual[-1] if usual else None

    found = look()
    if found is None:
        apt_install(package)
        found = look() or next(iter(Path("/usr/lib").glob(f"*/*/bin/{name}")), None)
    if found is None:
        raise ServerMissing(f"the package {package} is installed but has no {name}")
    return found


def apt_install(package: str) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ServerMissing(f"{package} is not installed and only root on Debian can install it")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with locked("apt"):
        _apt_update()
        command = ["apt-get", "install", "-y", "--no-install-recommends", package]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerMissing(f"apt-get install {package} failed: {done.stderr.strip()[-300:]}")


@functools.cache
def _apt_update() -> None:
    subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)


def npm_packages(name: str, packages: Sequence[str]) -> Path:
    """The ``node_modules`` with exactly these packages, ``name@version`` each. A lock file would name the registry
    that it was written with, so every package that one of them needs is named, and none is kept."""
    quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]

    def command(folder: Path) -> list[str]:
        npm = program("npm", [], package="npm")
        return [str(npm), "install", "--prefix", str(folder), *quiet, *packages]

    return made(name, " ".join(packages).encode(), command) / "node_modules"


def made(name: str, key: bytes, command: Callable[[Path], list[str]]) -> Path:
    """The folder that ``command(folder)`` fills, once for each ``key``. It gets its name only when it is whole."""
    folder = TOOLS / f"{name}-{hashlib.sha256(key).hexdigest()[:12]}"
    with locked(name):
        if not folder.exists():
            _make(folder, name, command)
    return folder


def _make(folder: Path, name: str, command: Callable[[Path], list[str]]) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=TOOLS) as made_in:
        new = Path(made_in) / "new"
        new.mkdir()
        print(f"installing {name} once ...", file=sys.stderr, flush=True)
        done = subprocess.run(command(new), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerMissing(f"{name} could not be installed: {(done.stdout + done.stderr).strip()[-300:]}")
        new.rename(folder)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Two test runs at once install a thing once."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
