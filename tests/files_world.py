"""The web process as one that answers, and a multipart form as a charger sends one."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import time
from pathlib import Path


def form(*parts: tuple[str, str | None, bytes], boundary: str = "cut") -> tuple[bytes, dict[str, str]]:
    body = b""
    for name, filename, data in parts:
        said = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
        body += f"--{boundary}\r\nContent-Disposition: {said}\r\n\r\n".encode() + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(link), contextlib.suppress(OSError):
            link.request("GET", "/healthz")
            if link.getresponse().read():
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])
