"""Clients that begin a request and never end it, more of them than the web process has threads."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from files_world import wait_for
from servers import free_port

THREADS = 4
RUN = """
import sys
from dashboard import bodies, serving
from bridge.settings import load_settings
bodies.ASK_S = 0.5
serving.serve(load_settings(), "127.0.0.1", int(sys.argv[1]))
"""
FORM = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder, port = tmp_path_factory.mktemp("slow"), free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CHARGEWATCH_")} | {
        "CHARGEWATCH_DATA_DIR": str(folder),
        "CHARGEWATCH_RECORDS__URL": f"sqlite:///{folder}/records.db",
        "CHARGEWATCH_TELEMETRY__PATH": str(folder / "telemetry.db"),
        "CHARGEWATCH_DASHBOARD__THREADS": str(THREADS),
        "CHARGEWATCH_MQTT__PORT": str(free_port()),  # nobody listens
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(port)], stdout=log, stderr=log, env=environment, cwd=Path.cwd()
        )
    try:
        wait_for(port, process, folder / "log")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def is_well(port: int) -> bool:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as link:
        link.request("GET", "/healthz")
        answer = link.getresponse()
        return bool(answer.read()) and answer.status == 200


@pytest.mark.parametrize(
    "begun",
    [
        b"G",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        FORM + b"Content-Length: 1000\r\n\r\nname=",
        FORM + b"Transfer-Encoding: chunked\r\n\r\n5\r\nname=\r\n",
    ],
)
def test_half_a_request_keeps_no_thread(port: int, begun: bytes) -> None:
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3 * THREADS)]
    try:
        for link in held:
            link.sendall(begun)
        assert is_well(port)
        for link in held:  # each is let go, and told nothing or why
            link.settimeout(30)
            while link.recv(4096):
                pass
    finally:
        for link in held:
            link.close()


def test_a_connection_that_says_nothing_waits_without_a_thread(port: int) -> None:
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3 * THREADS)]
    try:
        assert is_well(port)
    finally:
        for link in held:
            link.close()
