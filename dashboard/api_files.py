"""REST views about stations' files: ask for logs, read what came, keep firmware images, have one installed."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, request, send_file

from bridge.stores.files import FileRefused, Image, Refusal, Upload
from bridge.stores.people import Role
from bridge.stores.records import decode_cursor, encode_cursor
from dashboard import api_fields, bodies, file_orders
from dashboard.api_commands import answered, json_body, ordering, station_of, timeout_of
from dashboard.api_parts import EPOCH, Answer, Problem, bad, cursor_of, cut, known, limit_of, missing, page, problem
from dashboard.auth import RANK, audit
from dashboard.services import services

_MB = 1_000_000
_TOLD = ("version", "vendor", "model", "signature", "signing_certificate")
_MOST = {"signing_certificate": 20_000, "signature": 2_000}
_STATUS = {Refusal.TOO_LARGE: 413, Refusal.NO_ROOM: 507, Refusal.KNOWN: 409}
_LOGS = frozenset({"kind", "since", "until", "retries"})
_INSTALL = frozenset({"image", "retrieve_at", "install_at", "retries"})


def install(api: Blueprint) -> None:
    """What may go wrong with a file becomes a problem."""
    api.register_error_handler(FileRefused, _refused)
    api.register_error_handler(bodies.BrokenBody, _broken)
    api.register_error_handler(file_orders.NoAddress, _no_address)


# ---- logs


def uploads(query: dict[str, str], id: str) -> Answer:
    limit, cursor = limit_of(query), cursor_of(query)
    before = None if cursor is None else decode_cursor(cursor)[1]
    if not isinstance(before, int | None):
        raise bad("cursor is not a next_cursor that we gave. Leave it out to begin again.")
    rows = services().files.uploads(station_of(id).id, limit + 1, before)
    return page(cut(rows, limit, lambda row: encode_cursor(EPOCH, row.id)), _upload_body)


def logs(query: dict[str, str], id: str) -> Answer:
    _need(Role.OPERATOR)
    station, timeout_s, asked = station_of(id), timeout_of(query), _asked(_LOGS)
    kind = asked.pop("kind", "diagnostics")
    if kind not in file_orders.LOG_KINDS:
        raise bad(f"kind is one of {', '.join(file_orders.LOG_KINDS)}.")
    with ordering(station):
        ordered = file_orders.fetch_logs(
            station, kind, role=g.api_role, actor=_actor(), timeout_s=timeout_s, **asked
        )
    return _order_body(ordered)


def upload(query: dict[str, str], id: str) -> Response:
    """Role operator: a log may hold drivers' cards."""
    _need(Role.OPERATOR)
    found = services().files.upload(int(id)) if _is_number(id) else None
    if found is None:
        raise missing("upload", id)
    return handed_out(found, _actor())


def handed_out(found: Upload, actor: str | None = None) -> Response:
    """The file as an attachment, never to be shown by a browser. Raises Problem."""
    path = services().files.open(found)
    if path is None:
        why = "It has not come yet." if found.received_at is None else "It was deleted."
        raise Problem(404, "There is no such file", why)
    audit("file_read", found.station, f"upload {found.id}: {found.name}", actor)
    sent = send_file(path, "application/octet-stream", as_attachment=True, download_name=found.name, max_age=0)
    sent.headers["X-Content-Type-Options"] = "nosniff"
    sent.headers["Cache-Control"] = "no-store"
    return sent


# ---- firmware


def images(query: dict[str, str]) -> Answer:
    return {"items": [_image_body(image) for image in services().files.images()], "next_cursor": None}


def image_add(query: dict[str, str]) -> Answer:
    _need(Role.ADMIN)
    return take_image(_actor())


def take_image(actor: str) -> Answer:
    """Keep the image in the body of this request, for one who may. Raises Problem, FileRefused, BrokenBody."""
    if request.mimetype != "multipart/form-data":
        raise Problem(415, "The body is no form", "Send multipart/form-data with a part 'file'.")
    found = services()
    most = found.settings.files.max_image_mb * _MB
    with found.files.part(most) as part, bodies.patience(request):
        part.expect(max(0, (request.content_length or 0) - bodies.FRAME))
        bodies.allow(request, most)
        arriving = bodies.Arriving(request)
        for chunk in arriving:
            part.write(chunk)
        told = _told(arriving.fields)
        added = found.files.add_image(part, arriving.name, actor, found.now(), **told)
    audit("firmware_added", "", f"image {added.id}: {added.name} {added.version}, SHA-256 {added.sha256}", actor)
    return _image_body(added)


def image_delete(query: dict[str, str], id: str) -> Answer:
    _need(Role.ADMIN)
    image = _image(id)
    services().files.delete_image(image)
    audit("firmware_deleted", "", f"image {image.id}: {image.name} {image.version}", _actor())
    return _image_body(image)


def firmware(query: dict[str, str], id: str) -> Answer:
    _need(Role.ADMIN)
    station, timeout_s, asked = station_of(id), timeout_of(query), _asked(_INSTALL)
    image = _image(str(asked.pop("image", "")))
    with ordering(station):
        ordered = file_orders.update_firmware(
            station, image, role=g.api_role, actor=_actor(), timeout_s=timeout_s, **asked
        )
    return _order_body(ordered)


# ---- what came with the question


def _need(role: Role) -> None:
    if RANK[g.api_role] < RANK[role]:
        raise Problem(403, "The token's role is too low", f"This needs a token of the role {role}.")


def _actor() -> str:
    return f"token {g.api_name}"


def _asked(allowed: frozenset[str]) -> dict[str, Any]:
    asked = json_body()
    if unknown := sorted(set(asked) - allowed):
        raise bad(f"Unknown field {', '.join(map(repr, unknown))[:200]}. Known are {', '.join(sorted(allowed))}.")
    return asked


def _told(fields: dict[str, str]) -> dict[str, str]:
    if unknown := sorted(set(fields) - set(_TOLD)):
        raise bad(f"Unknown field {', '.join(map(repr, unknown))[:200]}. Known are file, {', '.join(_TOLD)}.")
    told = {name: text.strip() for name, text in fields.items()}
    for name, text in told.items():
        if len(text) > _MOST.get(name, 100):
            raise bad(f"{name} has at most {_MOST.get(name, 100)} characters.")
    if bool(told.get("signature")) != bool(told.get("signing_certificate")):
        raise bad("signature and signing_certificate go together: give both or neither.")
    return told


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _image(id: str) -> Image:
    found = services().files.image(int(id)) if _is_number(id) else None
    if found is None:
        raise Problem(404, "There is no such image", f"No image has the number {id[:20]!r}; GET firmware lists them.")
    return found


# ---- what goes out


def _upload_body(row: Upload) -> Answer:
    return {field.name: known(getattr(row, field.name)) for field in api_fields.UPLOAD}


def _image_body(image: Image) -> Answer:
    made = {"is_signed": bool(image.signature and image.signing_certificate)}
    names = [field.name for field in api_fields.IMAGE]
    return {name: made[name] if name in made else known(getattr(image, name)) for name in names}


def _order_body(ordered: file_orders.Ordered) -> Answer:
    return answered(ordered.answer) | {"upload": None if ordered.upload is None else ordered.upload.id}


def _refused(error: FileRefused) -> Response:
    return hung_up(Problem(_STATUS.get(error.why, 400), "The file is not taken", str(error)))


def _broken(error: bodies.BrokenBody) -> Response:
    return hung_up(Problem(400, "The body is broken", str(error)))


def hung_up(found: Problem) -> Response:
    """What is left of a body that is not wanted ends with the connection."""
    response, asked = problem(found), request._get_current_object()  # type: ignore[attr-defined]
    response.call_on_close(lambda: bodies.hang_up(asked))
    return response


def _no_address(error: file_orders.NoAddress) -> Response:
    return problem(Problem(409, "No address can be given to a station", str(error)))
