"""Charge point software that others wrote, with a small driver of ours around each (tests/tools/ocpp-*)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from installing import made, npm_packages, program

_SOURCES = Path(__file__).parent / "tools"
OCPP_RPC = (
    "ocpp-rpc@2.2.1",
    # and what it needs itself
    "ajv@8.14.0",
    "ajv-formats@2.1.1",
    "backoff@2.5.0",
    "fast-deep-equal@3.1.3",
    "json-schema-traverse@1.0.0",
    "precond@0.2.3",
    "punycode@2.3.1",
    "require-from-string@2.0.2",
    "uri-js@4.4.1",
    "ws@8.23.0",
)


class Program(NamedTuple):
    """How to start a program: what its arguments are added to, and what its environment has besides ours."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]


def find_ocpp_rpc() -> Program:
    """A charger made with npm's ocpp-rpc."""
    node = program("node", [], package="nodejs")
    modules = npm_packages("ocpp-rpc", OCPP_RPC)
    command = (str(node), str(_SOURCES / "ocpp-rpc" / "charger.js"))
    return Program("ocpp-rpc", command, {"NODE_PATH": str(modules)})


def find_ocpp_go() -> Program:
    """A charger built with the Go module ocpp-go."""
    source = _SOURCES / "ocpp-go"
    files = [*sorted(source.glob("*.go")), source / "go.mod", source / "go.sum"]

    def build(folder: Path) -> list[str]:
        go = program("go", ["/usr/local/go/bin/go"], package="golang-go")
        return [str(go), "build", "-C", str(source), "-buildvcs=false", "-o", str(folder / "charger"), "."]

    folder = made("ocpp-go", b"\0".join(file.read_bytes() for file in files), build)
    return Program("ocpp-go", (str(folder / "charger"),), {})


def find_ocpp_python() -> Program:
    """A charger made with the ``ocpp`` package, which is a dependency of ours; we take only its schemas."""
    return Program("ocpp-python", (sys.executable, str(_SOURCES / "ocpp-python" / "charger.py")), {})
