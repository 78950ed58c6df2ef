"""A multipart form as a charger sends one."""

from __future__ import annotations


def form(*parts: tuple[str, str | None, bytes], boundary: str = "cut") -> tuple[bytes, dict[str, str]]:
    body = b""
    for name, filename, data in parts:
        said = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
        body += f"--{boundary}\r\nContent-Disposition: {said}\r\n\r\n".encode() + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}
