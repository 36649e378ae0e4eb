"""Rotation: all details come under the newest key whatever happens meanwhile, and nothing else changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bot.access import rotation
from bot.access.key_ring import KeyFile, KeyRing
from bot.access.rotation import Rotated, count_users, rotate
from bot.access.secrets import Vault
from bot.cli import cli
from models.access_patterns.users import get_user, update_user
from models.table.connection import TableSettings
from models.table.tenancy import UserId, acting_for
from models.user import User
from tests.erasing import delete_user
from tests.factories import make_user

OLD, NEW = Vault(KeyRing(b"old")), Vault(KeyRing(b"old", b"new"))
NAMES = ("openai", "a[0].b", "with blank")
pytestmark = pytest.mark.usefixtures("empty_table")


def details(name: str) -> dict[str, Any]:
    return {"api_key": f"sk-{name}", "base_url": None}


def with_details(vault: Vault = OLD, names: tuple[str, ...] = NAMES) -> UserId:
    user_id = acting_for(make_user().user_id)
    store(user_id, vault, names)
    return user_id


def store(user_id: UserId, vault: Vault, names: tuple[str, ...] = NAMES) -> None:
    update_user(
        user_id, {"api_integration_details": {name: vault.seal(user_id, name, details(name)) for name in names}}
    )


def opened(user_id: UserId, vault: Vault = NEW) -> dict[str, Any]:
    found = get_user(user_id).api_integration_details
    return {name: vault.open(user_id, name, sealed) for name, sealed in found.items()}


def keys_of(user_id: UserId) -> set[str]:
    return {NEW.sealed_with(sealed) for sealed in get_user(user_id).api_integration_details.values()}


def everything_but_details(user: User) -> dict[str, Any]:
    return {name: value for name, value in user.serialize().items() if name != "api_integration_details"}


def test_everybodys_details_come_under_the_newest_key_and_nothing_else_changes() -> None:
    people = [with_details() for _ in range(3)]
    make_user()
    before = [everything_but_details(get_user(each)) for each in people]

    rotated = rotate(NEW)

    assert (rotated.users, rotated.replaced, rotated.complete) == (4, 9, True)
    assert rotated.found == {OLD.newest(): 9}
    for user_id in people:
        assert keys_of(user_id) == {NEW.newest()}
        assert opened(user_id) == {name: details(name) for name in NAMES}
    assert [everything_but_details(get_user(each)) for each in people] == before


def test_a_second_run_writes_nothing() -> None:
    user_id = with_details()
    rotate(NEW)
    stored = get_user(user_id).api_integration_details

    again = rotate(NEW)

    assert (again.replaced, again.found) == (0, {NEW.newest(): 3})
    assert get_user(user_id).api_integration_details == stored


def test_a_dry_run_writes_nothing() -> None:
    user_id = with_details()
    assert rotate(NEW, dry_run=True).found == {OLD.newest(): 3}
    assert keys_of(user_id) == {OLD.newest()}


def test_it_resumes_where_it_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    people = [with_details() for _ in range(3)]
    for killed_at in range(1, 9):
        with monkeypatch.context() as patch:
            patch.setattr(rotation, "replace_details", killed_after(killed_at % 2))
            with pytest.raises(KeyboardInterrupt):
                rotate(NEW)
        for user_id in people:
            assert opened(user_id) == {name: details(name) for name in NAMES}, "at every moment all of it can be read"

    assert rotate(NEW).complete
    assert all(keys_of(user_id) == {NEW.newest()} for user_id in people)


def killed_after(writes: int) -> Callable[..., bool]:
    """Return a `replace_details` that is killed after a number of writes."""
    left = [writes]
    replace = rotation.replace_details

    def write(*arguments: Any) -> bool:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(*arguments)

    return write


def test_what_a_user_changes_meanwhile_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    user_id = with_details(names=("openai", "removed", "kept"))
    replace = rotation.replace_details
    meanwhile = {
        "openai": OLD.seal(user_id, "openai", {"api_key": "sk-changed", "base_url": None}),
        "removed": None,
    }

    def late(user: UserId, name: str, seen: str, sealed: str) -> bool:
        if meanwhile:
            update_user(user_id, {"api_integration_details": dict(meanwhile)})
            meanwhile.clear()
        return replace(user, name, seen, sealed)

    monkeypatch.setattr(rotation, "replace_details", late)
    rotated = rotate(NEW)

    assert rotated.complete
    assert opened(user_id) == {"openai": {"api_key": "sk-changed", "base_url": None}, "kept": details("kept")}
    assert keys_of(user_id) == {NEW.newest()}, "also what was changed under the old key meanwhile"


def test_a_user_who_is_deleted_meanwhile_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    user_id, other = with_details(), with_details()
    find = rotation.get_users

    def found(user_ids: list[str]) -> list[User]:
        users = find(user_ids)
        if len(user_ids) > 1:
            delete_user(user_id)
        return users

    monkeypatch.setattr(rotation, "get_users", found)
    assert rotate(NEW).complete
    assert keys_of(other) == {NEW.newest()}


def test_values_that_no_key_decrypts_stay_and_are_reported() -> None:
    lost, other = with_details(Vault(KeyRing(b"lost")), ("openai",)), with_details()
    stored = get_user(lost).api_integration_details

    rotated = rotate(NEW)

    assert rotated.unreadable == [(lost, "openai")]
    assert not rotated.complete
    assert get_user(lost).api_integration_details == stored
    assert keys_of(other) == {NEW.newest()}


def test_values_that_keep_changing_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    user_id = with_details(names=("openai",))
    monkeypatch.setattr(rotation, "replace_details", lambda *_: False)
    assert rotate(NEW).contended == [(user_id, "openai")]


def test_it_sees_every_user_of_many_pages_and_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "MAX_USERS", 4)
    people = [with_details(names=("openai",)) for _ in range(9)]
    steps: list[int] = []

    rotated = rotate(NEW, progress=steps.append)

    assert (rotated.users, rotated.replaced, count_users()) == (9, 9, 9)
    assert steps == [4, 4, 1]
    assert all(keys_of(user_id) == {NEW.newest()} for user_id in people)


def test_the_figures_of_a_run_start_empty() -> None:
    assert Rotated() == Rotated(users=0, replaced=0)


class TestTheCommand:
    """`bot secrets`, as an operator types it."""

    @pytest.fixture(autouse=True)
    def _environment(self, table: TableSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("BOT_SECRET_KEY", "BOT_KMS_KEY_ID", "AWS_ENDPOINT_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("BOT_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("BOT_TABLE_NAME", table.name)
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", table.endpoint_url or "")

    @pytest.fixture
    def file(self, tmp_path: Path) -> KeyFile:
        return KeyFile(tmp_path / "secret.key")

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(cli, ["secrets", *arguments], catch_exceptions=False)

    def test_from_a_new_key_to_the_end_of_the_old_one(self, file: KeyFile) -> None:
        server = Vault(file)
        user_id, old = with_details(server), file.newest

        assert self.run("new-key").exit_code == 0
        new = file.newest
        assert new != old
        status = self.run("status").stdout
        assert f"Writing: secret {new.id}\nReading: secret {old.id}\n" in status
        assert f"3 values under secret {old.id}" in status
        with pytest.raises(ValueError, match="3 values are still under an older key"):
            self.run("drop-old-keys")
        dry = self.run("rotate", "--dry-run")
        assert "Would re-encrypt 3 values." in dry.stdout
        assert "Users" in dry.stderr

        done = self.run("rotate")

        assert (done.exit_code, "Re-encrypted 3 of 3 values." in done.stdout) == (0, True)
        assert opened(user_id, server) == {name: details(name) for name in NAMES}
        assert "Removed 1 old keys" in self.run("drop-old-keys").stdout
        assert KeyFile(file.path).secrets == (new,)
        assert opened(user_id, server) == {name: details(name) for name in NAMES}

    def test_its_output_contains_no_key_or_secret(self, file: KeyFile) -> None:
        with_details(Vault(file))
        said = "".join(
            result.stdout + result.stderr
            for result in (self.run("new-key"), self.run("status"), self.run("rotate"), self.run("drop-old-keys"))
        )
        for secret in ("sk-", *(each.value.decode() for each in file.secrets)):
            assert secret not in said

    def test_it_exits_with_status_1_if_values_are_left(self) -> None:
        lost = with_details(Vault(KeyRing(b"lost")), ("openai",))
        done = self.run("rotate")
        assert done.exit_code == 1
        assert f"No available key decrypts 'openai' of {lost}; it was left unchanged." in done.stderr

    def test_a_key_from_the_settings_is_not_changed_by_the_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BOT_SECRET_KEY", "n" * 32)
        with pytest.raises(ValueError, match="BOT_OLD_SECRET_KEYS"):
            self.run("new-key")
