"""The deployment's secret, and what is encrypted with it."""

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bot.access.secrets import Vault, derive, secret_of
from bot.settings import Settings
from tests.processes import ROOT

DETAILS = {"api_key": "sk-secret", "base_url": None}


@pytest.fixture
def vault() -> Vault:
    return Vault(b"a deployment's secret")


def test_what_is_sealed_opens_for_its_user_and_name(vault: Vault) -> None:
    assert vault.open("usr_1", "openai", vault.seal("usr_1", "openai", DETAILS)) == DETAILS


def test_what_is_sealed_shows_nothing_and_is_never_the_same_twice(vault: Vault) -> None:
    sealed = [vault.seal("usr_1", "openai", DETAILS) for _ in range(2)]
    assert sealed[0] != sealed[1]
    for each in sealed:
        assert b"sk-secret" not in base64.urlsafe_b64decode(each.partition(".")[2])


@pytest.mark.parametrize(
    ("user_id", "name"), [("usr_2", "openai"), ("usr_1", "other"), ("usr_1#openai", ""), ("", "usr_1#openai")]
)
def test_what_is_sealed_opens_for_nobody_else_and_under_no_other_name(vault: Vault, user_id: str, name: str) -> None:
    sealed = vault.seal("usr_1", "openai", DETAILS)
    with pytest.raises(ValueError, match="cannot be decrypted"):
        vault.open(user_id, name, sealed)


def test_another_deployment_cannot_open_it(vault: Vault) -> None:
    with pytest.raises(ValueError, match="cannot be decrypted"):
        Vault(b"another secret").open("usr_1", "openai", vault.seal("usr_1", "openai", DETAILS))


def test_one_changed_bit_is_noticed(vault: Vault) -> None:
    version, _, text = vault.seal("usr_1", "openai", DETAILS).partition(".")
    data = bytearray(base64.urlsafe_b64decode(text))
    for position in (0, 12, len(data) // 2, len(data) - 1):
        changed = data.copy()
        changed[position] ^= 1
        with pytest.raises(ValueError, match="cannot be decrypted"):
            vault.open("usr_1", "openai", f"{version}.{base64.urlsafe_b64encode(changed).decode()}")


@pytest.mark.parametrize("sealed", ["", "v1", "v1.", "v1.AAAA", "v2.AAAA", "v1.not base64!", "plain text"])
def test_what_was_never_sealed_is_refused(vault: Vault, sealed: str) -> None:
    with pytest.raises(ValueError, match="integration details"):
        vault.open("usr_1", "openai", sealed)


def test_keys_of_two_purposes_differ() -> None:
    keys = {derive(b"secret", purpose) for purpose in ("a", "b")} | {derive(b"other", "a")}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {32}


def settings(data_dir: Path, **given: str) -> Settings:
    return Settings(data_dir=data_dir, **given)  # type: ignore[arg-type]


def test_the_given_secret_is_used_and_none_is_written(tmp_path: Path) -> None:
    assert secret_of(settings(tmp_path / "data", secret_key="x" * 32)) == b"x" * 32
    assert not (tmp_path / "data").exists()


def test_a_secret_is_made_once_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOT_SECRET_KEY", raising=False)
    before = os.umask(0)
    try:
        made = secret_of(settings(tmp_path / "data"))
    finally:
        os.umask(before)
    assert len(made) == 64
    assert secret_of(settings(tmp_path / "data")) == made
    assert [each.name for each in (tmp_path / "data").iterdir()] == ["secret.key"]
    assert stat.S_IMODE((tmp_path / "data" / "secret.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_processes_that_start_together_have_one_secret(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from bot.access.secrets import secret_of\n"
        "from bot.settings import Settings\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(secret_of(Settings(data_dir=Path(sys.argv[1]))).decode())\n"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("BOT_")}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**env, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    secrets = {process.communicate(timeout=60)[0] for process in processes}
    assert len(secrets) == 1
    assert [each.name for each in (tmp_path / "data").iterdir()] == ["secret.key"]


def test_a_half_written_draft_of_a_process_that_was_killed_does_not_stop_the_next(tmp_path: Path) -> None:
    # In a container the next process often has the same number.
    (tmp_path / f"secret.key.{os.getpid()}").write_bytes(b"half")
    assert len(secret_of(settings(tmp_path))) == 64
