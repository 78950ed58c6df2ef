"""People, keys and tokens: what is secret is stored as something else, what is spent stays spent."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from pydantic import SecretStr

from bridge.access import admit, decide
from bridge.settings import Unknown, load_settings
from bridge.stores import people as module
from bridge.stores.people import People, PeopleError, Role, User, hash_password, new_station_key, pepper, secret_key
from bridge.stores.records import Records
from bridge.stores.tables import metadata, users

T0 = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"
PEPPER = b"pepper"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same Argon2id at a cost for tests; the real one takes 64 MiB a time."""
    module._decoy.cache_clear()
    monkeypatch.setattr(module, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
def people(records: Records) -> People:
    return People(records, PEPPER)


@pytest.fixture
def anna(people: People) -> User:
    return people.create_user("Anna", Role.ADMIN, T0, PASSWORD, "anna@example.org")


def everything_stored(records: Records) -> bytes:
    """All that a thief of the database would see."""
    with records.reading() as connection:
        rows = [row for table in metadata.sorted_tables for row in connection.execute(sa.select(table))]
    return b" ".join(v if isinstance(v, bytes) else str(v).encode() for row in rows for v in row)


# ---- users


def test_a_user_logs_in_with_name_and_password(people: People, anna: User) -> None:
    assert people.log_in("  ANNA ", PASSWORD) == anna
    assert people.user_by_name("anna") == people.user(anna.id) == anna
    assert people.users() == [anna]
    assert (anna.role, anna.email, anna.session_epoch) == (Role.ADMIN, "anna@example.org", 0)


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + " ", PASSWORD.upper(), "x" * 2_000, "!", "\x00"])
def test_a_wrong_password_is_refused(people: People, anna: User, password: str) -> None:
    assert people.log_in("anna", password) is None
    assert people.log_in("nobody", password) is None


def test_a_password_is_kept_as_argon2id_only(records: Records, anna: User) -> None:
    stored = everything_stored(records)
    assert PASSWORD.encode() not in stored
    assert b"$argon2id$" in stored
    assert PASSWORD not in repr(anna)


def test_an_unknown_name_costs_a_hash_too(people: People, anna: User, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(module, "verify_password", lambda hashed, _: bool(checked.append(hashed)))
    people.log_in("nobody", PASSWORD)
    people.set_active(anna.id, False)
    people.log_in("anna", PASSWORD)
    assert len(checked) == 2
    assert all(hashed.startswith("$argon2id$") for hashed in checked)


def test_a_user_without_a_password_has_none_that_fits(people: People) -> None:
    people.create_user("bob", Role.VIEWER, T0)
    assert [people.log_in("bob", guess) for guess in ("", "!", "!!!!!!!!!!")] == [None] * 3


def test_names_are_taken_once_whatever_their_case(people: People, anna: User) -> None:
    with pytest.raises(PeopleError, match="anna already"):
        people.create_user("ANNA", Role.VIEWER, T0, PASSWORD)


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\x00b", "a\nb"])
def test_a_name_has_to_be_readable(people: People, name: str) -> None:
    with pytest.raises(PeopleError, match="1 to 64"):
        people.create_user(name, Role.VIEWER, T0, PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "123456789", "x" * 1025])
def test_a_password_has_a_length(people: People, anna: User, password: str) -> None:
    with pytest.raises(PeopleError, match="10 to 1024"):
        people.set_password(anna.id, password)
    assert people.log_in("anna", PASSWORD) == anna


def test_a_new_password_ends_the_old_one_and_all_logins(people: People, anna: User) -> None:
    people.set_password(anna.id, "another password")
    assert people.log_in("anna", PASSWORD) is None
    found = people.log_in("anna", "another password")
    assert found is not None
    assert found.session_epoch == anna.session_epoch + 1


def test_a_hash_of_lower_cost_is_renewed_at_login(
    people: People, anna: User, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_hasher", PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    found = people.log_in("anna", PASSWORD)
    with records.reading() as connection:
        stored = connection.execute(sa.select(users.c.password_hash)).scalar_one()
    assert "t=2" in stored
    assert found == anna, "nobody is logged out by it"
    assert people.log_in("anna", PASSWORD) == anna


def test_a_deactivated_user_is_out_at_once(people: People, anna: User) -> None:
    link = people.create_login_link(anna.id, T0)
    people.set_active(anna.id, False)
    assert people.log_in("anna", PASSWORD) is None
    assert people.redeem_login_link(link, T0) is None
    found = people.user(anna.id)
    assert found is not None
    assert (found.is_active, found.session_epoch) == (False, 1)
    people.set_active(anna.id, True)
    assert people.log_in("anna", PASSWORD) is not None
    assert people.redeem_login_link(link, T0) is None


def test_roles_change_and_logins_end(people: People, anna: User) -> None:
    people.set_role(anna.id, Role.OPERATOR)
    people.end_logins(anna.id)
    found = people.user(anna.id)
    assert found is not None
    assert (found.role, found.session_epoch) == (Role.OPERATOR, 1)


def test_a_user_who_is_not_there_cannot_be_changed(people: People) -> None:
    for change in (lambda: people.set_role(99, Role.ADMIN), lambda: people.set_active(99, False)):
        with pytest.raises(PeopleError, match="no user 99"):
            change()
    assert people.user(99) is None


# ---- login links


def test_a_link_logs_in_once(people: People, anna: User, records: Records) -> None:
    link = people.create_login_link(anna.id, T0)
    assert link.encode() not in everything_stored(records)
    assert people.redeem_login_link(link + "x", T0) is None
    assert people.redeem_login_link(link, T0) == anna
    assert people.redeem_login_link(link, T0) is None


def test_a_link_ends_with_its_time(people: People, anna: User) -> None:
    link = people.create_login_link(anna.id, T0, timedelta(minutes=5))
    assert people.redeem_login_link(link, T0 + timedelta(minutes=5)) is None
    assert people.redeem_login_link(link, T0) is None, "it was spent by being tried late"
    second = people.create_login_link(anna.id, T0, timedelta(minutes=5))
    assert people.redeem_login_link(second, T0 + timedelta(minutes=4, seconds=59)) == anna


def test_a_link_clicked_twice_at_once_logs_in_once(people: People, anna: User) -> None:
    link = people.create_login_link(anna.id, T0)
    with ThreadPoolExecutor(8) as clicks:
        found = list(clicks.map(lambda _: people.redeem_login_link(link, T0), range(8)))
    assert [user for user in found if user is not None] == [anna]


# ---- API tokens


def test_an_api_token_is_known_by_its_secret_until_revoked(people: People, records: Records) -> None:
    secret = people.create_api_token("ci", Role.VIEWER, T0)
    other = people.create_api_token("other", Role.ADMIN, T0)
    assert secret.startswith("cw_")
    assert len(secret) > 40
    assert secret.encode() not in everything_stored(records)
    found = people.api_token(secret)
    assert found is not None
    assert (found.name, found.role) == ("ci", Role.VIEWER)
    assert people.api_token(secret[:-1]) is None
    assert people.api_token("") is None
    people.revoke_api_token("ci", T0)
    assert people.api_token(secret) is None
    assert people.api_token(other) is not None
    assert [(t.name, t.revoked_at) for t in people.api_tokens()] == [("ci", T0), ("other", None)]


def test_a_token_is_worth_nothing_under_another_pepper(people: People, records: Records) -> None:
    secret = people.create_api_token("ci", Role.VIEWER, T0)
    assert People(records, b"other").api_token(secret) is None


def test_the_name_of_a_token_is_used_once_for_ever(people: People) -> None:
    people.create_api_token("ci", Role.VIEWER, T0)
    people.revoke_api_token("ci", T0)
    with pytest.raises(PeopleError, match="another name"):
        people.create_api_token("ci", Role.ADMIN, T0)
    with pytest.raises(PeopleError, match="no token named ci in use"):
        people.revoke_api_token("ci", T0)


# ---- stations' keys, drivers' tokens


def test_a_station_gets_in_with_its_key_only(people: People, records: Records) -> None:
    key = new_station_key()
    assert 16 <= len(key) <= 40
    people.set_station_key("CP1", key)
    assert key.encode() not in everything_stored(records)

    def entry(key: bytes | None) -> str:
        return admit(records.directory(), Unknown.REJECT, PEPPER, "CP1", key).entry

    assert [entry(key.encode()), entry(b"wrong"), entry(None)] == ["accepted", "refused", "refused"]
    people.set_station_key("CP1", None)
    assert entry(None) == "accepted"


def test_a_driver_token_is_one_in_any_case(people: People, records: Records) -> None:
    people.save_driver_token(" 04a2b3 ", "Van 7", "fleet")
    people.save_driver_token("04A2B3", "Van 8", "fleet", T0 + timedelta(days=1))
    (token,) = people.driver_tokens()
    assert (token.token, token.label, token.is_blocked) == ("04A2B3", "Van 8", False)

    def status(now: datetime = T0) -> str:
        return decide(records.directory(), Unknown.REJECT, "04a2B3", now).status

    assert status() == "Accepted"
    assert status(T0 + timedelta(days=1)) == "Expired"
    people.block_driver_token("04a2b3")
    assert status() == "Blocked"
    people.save_driver_token("04a2b3", "renamed")
    assert status() == "Blocked", "a new label lets nobody back in"
    people.block_driver_token("04a2b3", False)
    assert status() == "Accepted"
    people.remove_driver_token("04a2b3")
    assert status() == "Invalid"


@pytest.mark.parametrize("token", ["", "  ", "\x00"])
def test_an_empty_token_is_not_listed(people: People, token: str) -> None:
    for change in (people.save_driver_token, people.block_driver_token):
        with pytest.raises(PeopleError, match="empty"):
            change(token)


# ---- audit


def test_the_audit_is_read_newest_first_in_parts(people: People) -> None:
    for n in range(5):
        people.write_audit(T0 + timedelta(seconds=n), "anna", "station.key", f"CP{n}", "a\x00b", "127.0.0.1")
    first = people.audit(limit=3)
    assert [e.subject for e in first] == ["CP4", "CP3", "CP2"]
    assert [e.subject for e in people.audit(limit=3, before=first[-1].id)] == ["CP1", "CP0"]
    assert (first[0].actor, first[0].detail, first[0].at) == ("anna", "a\ufffdb", T0 + timedelta(seconds=4))


# ---- the secrets of the installation


def test_a_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data")
    with ThreadPoolExecutor(8) as starts:
        found = set(starts.map(lambda _: pepper(settings), range(16)))
    assert len(found) == 1
    assert len(found.pop()) == 64
    assert secret_key(settings) == secret_key(settings) != pepper(settings)
    assert {p.name for p in (tmp_path / "data").iterdir()} == {"pepper", "secret_key"}
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "data").iterdir()} == {0o600}


def test_a_secret_that_is_set_is_used_and_no_file_is_made(tmp_path: Path) -> None:
    settings = load_settings(
        data_dir=tmp_path / "data",
        stations={"pepper": SecretStr("set")},
        dashboard={"secret_key": SecretStr("also set")},
    )
    assert (pepper(settings), secret_key(settings)) == (b"set", b"also set")
    assert not (tmp_path / "data").exists()


def test_an_empty_pepper_is_refused(records: Records) -> None:
    with pytest.raises(ValueError, match="pepper"):
        People(records, b"")


def test_the_real_cost_of_a_password_is_that_of_rfc_9106(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert hash_password(PASSWORD).startswith("$argon2id$v=19$m=65536,t=3,p=4$")
