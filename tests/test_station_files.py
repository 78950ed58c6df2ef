"""The tab Files of a station's page without a browser: what is asked for, told, listed, and who may."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from callbacks import build, call, logged_in, page, texts, token_of
from files_world import form
from flask import Flask
from flask.testing import FlaskClient
from screens_world import HOSTILE, NOW, World, seeded_world
from stations_world import FakeCommands, furnish, tell
from werkzeug.test import TestResponse

from bridge.command_bus import Answer, CommandOutcome
from bridge.events import DetailKind
from bridge.settings import Files as FilesSettings
from bridge.stores.files import Files, Image
from bridge.stores.people import Role, pepper
from dashboard import files_parts, image_route, security
from dashboard.links import station_path

BASE = "https://watch.example"
DATA = b"log line\n" * 100
ACCEPTED = Answer(id="1", outcome=CommandOutcome.ANSWERED, payload={"status": "Accepted"})
DECLINED = Answer(id="1", outcome=CommandOutcome.ANSWERED, payload={"status": "Rejected"})
SHOWN = ["files", ""]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    built = seeded_world(tmp_path)
    furnish(built)
    files = FilesSettings(folder=tmp_path / "files", keep_free_mb=0, max_image_mb=2, public_url=BASE)
    yield built._replace(settings=built.settings.model_copy(update={"files": files}))
    built.records.close()


@pytest.fixture
def files(world: World) -> Files:
    return Files(world.records, world.settings.files.folder, pepper(world.settings))


@pytest.fixture
def commands() -> FakeCommands:
    return FakeCommands()


@pytest.fixture
def app(world: World, commands: FakeCommands) -> Flask:
    return build(world, commands=commands)


def asked(app: Flask, role: Role, station: str = "AIR-02", **given: Any) -> TestResponse:
    return call(
        logged_in(app, role), "station-files.data", station_files=given, station_id=station, station_show=SHOWN
    )


def tab(client: FlaskClient, station: str = "AIR-02") -> str:
    return page(client, station_path(station), "?show=files")


def seen(shown: str) -> str:
    return " ".join(texts(msgspec.json.decode(shown)["response"]["_pages_content"]["children"]))


def image(files: Files, version: str, data: bytes = DATA, vendor: str = "", model: str = "") -> Image:
    told = {"version": version, "vendor": vendor, "model": model, "signing_certificate": "", "signature": ""}
    with files.part(1_000_000) as part:
        part.write(data + version.encode())
        return files.add_image(part, f"fw-{version}.bin", "admin", NOW, **told)


def arrived(files: Files, name: str, station: str = "AIR-02") -> int:
    link = files.open_upload(station, "diagnostics", "operator", NOW, timedelta(hours=1), 1_000_000)
    with files.part(1_000_000) as part:
        part.write(DATA)
        files.take_in(files.upload_for(link.token, NOW), part, name, "10.0.0.9", NOW)
    return link.id


# ---- logs


def test_logs_are_asked_for_uploaded_listed_and_downloaded(app: Flask, commands: FakeCommands, world: World) -> None:
    commands.answer = ACCEPTED
    given = {"kind": "security", "since": "2026-11-20 10:00", "until": ""}
    shown = asked(app, Role.OPERATOR, action="logs", **given).get_data(as_text=True)
    assert "The station answered: Accepted" in shown
    assert "Awaited" in shown
    station, action, payload = commands.asked[-1]
    assert (station, action, payload["kind"]) == ("AIR-02", "FetchLogs", "security")
    assert payload["since"].startswith("2026-11-20T10:00:00")
    assert "until" not in payload
    token = urlsplit(payload["location"]).path
    assert token.rpartition("/")[2] not in shown
    assert app.test_client().put(f"{token}/sec.log", data=DATA, base_url=BASE).status_code == 200
    client = logged_in(app, Role.OPERATOR)
    found = call(client, "files-tick.n_intervals", files_tick=1, station_id="AIR-02", station_show=SHOWN)
    assert "sec.log" in found.get_data(as_text=True)
    file = client.get("/download/uploads/1", buffered=True)
    assert (file.status_code, file.data) == (200, DATA)
    actions = {entry.action for entry in world.people.audit() if entry.subject == "AIR-02"}
    assert {"command", "command_outcome", "file_received", "file_read"} <= actions


def test_a_station_that_declines_leaves_nothing_awaited(app: Flask, commands: FakeCommands, files: Files) -> None:
    commands.answer = DECLINED
    shown = asked(app, Role.OPERATOR, action="logs", kind="diagnostics").get_data(as_text=True)
    assert "The station declined: Rejected" in shown
    assert files.uploads("AIR-02") == []


def test_a_16_station_that_names_no_file_is_told_as_such(app: Flask, commands: FakeCommands) -> None:
    commands.answer = Answer(id="1", outcome=CommandOutcome.ANSWERED, payload={})
    shown = asked(app, Role.OPERATOR, "HAR-03", action="logs", kind="diagnostics").get_data(as_text=True)
    assert "named no file" in shown


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "everything"}, "Choose one of the logs."),
        ({"kind": "security", "since": "yesterday"}, "A time is written like"),
        ({"kind": "security", "since": "2026-11-20", "until": "2026-11-19"}, "is not before"),
    ],
)
def test_what_cannot_be_asked_is_said_and_nothing_leaves(
    app: Flask, commands: FakeCommands, files: Files, given: dict[str, str], words: str
) -> None:
    assert words in asked(app, Role.OPERATOR, action="logs", **given).get_data(as_text=True)
    assert commands.asked == []
    assert files.uploads() == []


def test_without_an_address_of_ours_the_page_says_which_setting_is_missing(world: World) -> None:
    dashboard = world.settings.dashboard.model_copy(update={"host": "0.0.0.0"})
    bare = FilesSettings(folder=world.settings.files.folder)
    settings = world.settings.model_copy(update={"files": bare, "dashboard": dashboard})
    shown = tab(logged_in(build(world._replace(settings=settings), commands=FakeCommands()), Role.ADMIN))
    assert "files.public_url" in shown
    assert "files-fetch" not in shown


def test_each_file_tells_what_became_of_it(app: Flask, files: Files) -> None:
    arrived(files, "diag.zip")
    files.open_upload("AIR-02", "security", "anna", NOW, timedelta(hours=2), 1)
    files.open_upload("AIR-02", "diagnostics", "anna", NOW - timedelta(hours=3), timedelta(hours=1), 1)
    gone = arrived(files, "gone.zip")
    (files._folder / "uploads" / str(gone)).unlink()
    words = seen(tab(logged_in(app, Role.OPERATOR)))
    for part in ("diag.zip", "900 bytes", "SHA-256", "Awaited", "the address works until", "by anna"):
        assert part in words
    for part in ("Did not come", "the address expired", "gone.zip", "deleted"):
        assert part in words
    assert words.count("Download diag.zip") == 1
    assert "Download gone.zip" not in words


def test_a_hostile_name_is_only_text(app: Flask, files: Files, world: World) -> None:
    arrived(files, HOSTILE, "evil")
    tell(world, DetailKind.LOG, "status", "evil", status=HOSTILE)
    words = seen(tab(logged_in(app, Role.ADMIN), "evil"))
    assert "\u202e" not in words
    assert "\x1b" not in words


def test_the_progress_is_told_and_a_failure_stands_out(app: Flask, world: World) -> None:
    tell(world, DetailKind.LOG, "status", "AIR-02", status="UploadFailure")
    tell(world, DetailKind.FIRMWARE, "status", "AIR-02", status="InstallRebooting")
    shown = tab(logged_in(app, Role.VIEWER))
    assert "Upload failure" in shown
    assert "Install rebooting" in shown
    assert '"className":"cell-state warn"' in shown


def test_nothing_is_drawn_anew_while_nothing_came(app: Flask, files: Files) -> None:
    client = logged_in(app, Role.VIEWER)
    given = {"files_tick": 1, "station_id": "AIR-02", "station_show": SHOWN}
    digest = (call(client, "files-tick.n_intervals", **given).json or {})["response"]["files-seen"]["data"]
    again = call(client, "files-tick.n_intervals", files_seen=digest, **given)
    assert (again.json or {})["response"] == {}
    arrived(files, "new.zip")
    assert "new.zip" in call(client, "files-tick.n_intervals", files_seen=digest, **given).get_data(as_text=True)


def test_a_file_in_a_relative_folder_is_found(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the setting has it by default: Flask looks for relative paths beside its code."""
    monkeypatch.chdir(tmp_path)
    there = world.settings.files.model_copy(update={"folder": Path("here")})
    settings = world.settings.model_copy(update={"files": there})
    number = arrived(Files(world.records, Path("here"), pepper(settings)), "diag.zip")
    client = logged_in(build(world._replace(settings=settings)), Role.OPERATOR)
    assert client.get(f"/download/uploads/{number}", buffered=True).data == DATA


# ---- firmware


def test_images_that_fit_come_first_and_the_others_warn(app: Flask, files: Files, world: World) -> None:
    station = world.records.station("AIR-02")
    assert station is not None
    image(files, "own", vendor=station.vendor.upper(), model=station.model)
    image(files, "any")
    image(files, "foreign", vendor="Other", model="Z")
    words = seen(tab(logged_in(app, Role.ADMIN)))
    assert words.index("own") < words.index("fw-any.bin") < words.index("fw-foreign.bin")
    assert words.count("It was added for another model.") == 1


@pytest.mark.parametrize(
    ("vendor", "model", "rank"), [("acme", "X ", 0), ("Acme", "", 1), ("", "", 2), ("", "X", 2), ("Acme", "Y", 3)]
)
def test_how_well_an_image_fits(files: Files, vendor: str, model: str, rank: int) -> None:
    assert files_parts.fits(image(files, "1", vendor=vendor, model=model), "Acme", "X") == rank


def test_an_image_is_installed_by_an_administrator_only(app: Flask, commands: FakeCommands, files: Files) -> None:
    number = str(image(files, "2.0").id)
    assert asked(app, Role.OPERATOR, action="install", image=number).status_code == 403
    assert commands.asked == []
    assert "Accepted" in asked(app, Role.ADMIN, action="install", image=number).get_data(as_text=True)
    station, action, payload = commands.asked[-1]
    assert (station, action) == ("AIR-02", "UpdateFirmware")
    place = urlsplit(payload["location"]).path
    assert app.test_client().get(place, base_url=BASE, buffered=True).data == DATA + b"2.0"


@pytest.mark.parametrize(
    ("given", "words"), [({"image": "99"}, "this image is gone"), ({"retrieve_at": "2026-12-31"}, "works for 24 hours")]
)
def test_an_install_that_could_not_work_is_not_sent(
    app: Flask, commands: FakeCommands, files: Files, given: dict[str, str], words: str
) -> None:
    wanted = {"image": str(image(files, "2.0").id)} | given
    assert words.casefold() in asked(app, Role.ADMIN, action="install", **wanted).get_data(as_text=True).casefold()
    assert commands.asked == []


# ---- an image from the browser


def sent(client: FlaskClient, data: bytes = DATA, token: str | None = None, **fields: str) -> TestResponse:
    body, headers = form(*((name, None, text.encode()) for name, text in fields.items()), ("file", "../fw.bin", data))
    known = {security.CSRF_HEADER: token_of(client) if token is None else token}
    return client.post(image_route.PATH, data=body, headers=headers | known)


def test_an_image_is_added_from_the_page_and_audited(app: Flask, files: Files, world: World) -> None:
    big = b"x" * 1_500_000  # more than any other form may hold
    answer = sent(logged_in(app, Role.ADMIN), big, version="3.1", vendor="Acme", model="X", signature="")
    assert answer.status_code == 201, answer.get_data(as_text=True)
    (added,) = files.images()
    assert (added.name, added.version, added.size_bytes, added.created_by) == ("fw.bin", "3.1", len(big), "admin")
    assert next(e for e in world.people.audit() if e.action == "firmware_added").actor == "admin"


@pytest.mark.parametrize(("role", "status"), [(Role.VIEWER, 403), (Role.OPERATOR, 403)])
def test_nobody_else_adds_an_image(app: Flask, files: Files, role: Role, status: int) -> None:
    assert sent(logged_in(app, role)).status_code == status
    assert app.test_client().post(image_route.PATH, data=DATA).status_code == 401
    assert files.images() == []


@pytest.mark.parametrize("token", ["", "forged"])
def test_another_site_cannot_add_one(app: Flask, files: Files, token: str) -> None:
    answer = sent(logged_in(app, Role.ADMIN), token=token, csrf_token=token_of(logged_in(app, Role.ADMIN)))
    assert (answer.status_code, (answer.json or {})["error"]) == (400, "csrf")
    assert files.images() == []


@pytest.mark.parametrize(
    ("data", "fields", "status", "words"),
    [
        (b"", {}, 400, "empty"),
        (b"x" * 3_000_001, {}, 413, "larger than 2 MB"),
        (DATA, {"colour": "red"}, 400, "Unknown field"),
        (DATA, {"signature": "abc"}, 400, "go together"),
    ],
)
def test_an_image_that_is_not_taken_says_why(
    app: Flask, files: Files, data: bytes, fields: dict[str, str], status: int, words: str
) -> None:
    answer = sent(logged_in(app, Role.ADMIN), data, **fields)
    assert (answer.status_code, words in (answer.json or {})["detail"]) == (status, True)
    assert files.images() == []


# ---- who may


@pytest.mark.parametrize("role", list(Role))
def test_each_role_sees_the_files_it_may_use(app: Flask, files: Files, role: Role) -> None:
    arrived(files, "diag.zip")
    image(files, "2.0")
    shown = tab(logged_in(app, role))
    assert "diag.zip" in shown
    assert "fw-2.0.bin" in shown
    assert ("/download/uploads/" in str(msgspec.json.decode(shown))) == (role != Role.VIEWER)
    assert ("files-fetch" in shown) == (role != Role.VIEWER)
    assert ("Install" in seen(shown)) == (role == Role.ADMIN)
    assert ("Add an image" in shown) == (role == Role.ADMIN)


def test_a_viewer_cannot_ask_and_an_empty_tab_says_what_will_come(app: Flask, commands: FakeCommands) -> None:
    assert asked(app, Role.VIEWER, action="logs", kind="security").status_code == 403
    assert commands.asked == []
    words = seen(tab(logged_in(app, Role.VIEWER)))
    assert "Files of this station appear here" in words
    assert "Images that stations may get appear here" in words


def test_a_command_about_files_leads_to_the_tab_that_gives_an_address(app: Flask) -> None:
    shown = page(logged_in(app, Role.OPERATOR), station_path("AIR-02"), "?show=commands&command=FetchLogs")
    assert "gives the station an address of ours by itself" in shown
    assert station_path("AIR-02", show="files") in str(msgspec.json.decode(shown))
