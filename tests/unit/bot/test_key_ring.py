"""The deployment's own secrets: the newest encrypts, all decrypt, and the file may change while servers run."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bot.access.key_ring import KeyFile, KeyRing, Secret, derive, key_ring_of
from bot.settings import Settings
from tests.processes import ROOT

ONE, TWO = b"a first secret", b"a second secret"


def settings(data_dir: Path, **given: object) -> Settings:
    return Settings(data_dir=data_dir, **given)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "secret.key"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_of_two_purposes_differ() -> None:
    keys = {derive(b"secret", purpose) for purpose in ("a", "b")} | {derive(b"other", "a")}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {32}


def test_a_secrets_id_reveals_nothing_about_it() -> None:
    assert Secret(ONE).id == Secret(ONE).id != Secret(TWO).id
    assert repr(Secret(ONE)) == f"Secret({Secret(ONE).id})"


def test_a_configured_secret_is_used_and_no_file_is_written(tmp_path: Path) -> None:
    ring = key_ring_of(settings(tmp_path / "data", secret_key="x" * 32))
    assert [each.value for each in ring.secrets] == [b"x" * 32]
    assert not (tmp_path / "data").exists()


def test_the_settings_give_the_newest_secret_and_older_ones(tmp_path: Path) -> None:
    ring = key_ring_of(settings(tmp_path, secret_key="n" * 32, old_secret_keys=("with blanks", "other")))
    assert ring.newest.value == b"n" * 32
    assert {each.value for each in ring.secrets} == {b"n" * 32, b"with blanks", b"other"}
    assert not ring.refresh()


def test_older_secrets_are_a_list_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BOT_SECRET_KEY", "n" * 32)
    monkeypatch.setenv("BOT_OLD_SECRET_KEYS", '["a", "b"]')
    assert [each.value for each in key_ring_of(Settings()).secrets] == [b"a", b"b", b"n" * 32]
    assert "'a'" not in repr(Settings())


def test_a_ring_needs_a_secret() -> None:
    with pytest.raises(ValueError, match="needs a secret"):
        KeyRing()


def test_the_file_is_created_once_and_private(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOT_SECRET_KEY", raising=False)
    before = os.umask(0)
    try:
        made = key_ring_of(settings(tmp_path / "data")).newest
    finally:
        os.umask(before)
    assert len(made.value) == 64
    assert key_ring_of(settings(tmp_path / "data")).newest == made
    assert [each.name for each in path.parent.iterdir()] == ["secret.key"]
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def test_a_file_of_one_secret_without_a_line_end_is_still_read(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(ONE.replace(b" ", b"-"))
    assert KeyFile(path).newest.value == b"a-first-secret"


def test_a_new_secret_encrypts_and_the_old_one_still_decrypts(path: Path) -> None:
    file = KeyFile(path)
    old = file.newest

    made = file.add()

    assert file.secrets == KeyFile(path).secrets == (old, made)
    assert file.newest == made != old
    assert mode(path) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["secret.key"]


def test_another_process_encrypts_with_a_new_secret_at_once(path: Path) -> None:
    here, there = KeyFile(path), KeyFile(path)
    made = there.add()
    assert here.newest == made
    assert not here.refresh(), "it has seen it"


def test_old_secrets_can_be_dropped(path: Path) -> None:
    file = KeyFile(path)
    old, made = file.newest, file.add()

    assert file.keep_newest() == (old,)

    assert KeyFile(path).secrets == (made,)
    assert file.keep_newest() == ()
    assert mode(path) == 0o600


def test_an_empty_file_is_an_error_and_not_a_secret(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\n")
    with pytest.raises(ValueError, match="contains no secret"):
        KeyFile(path)


def test_processes_that_start_together_have_one_secret(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from bot.access.key_ring import key_ring_of\n"
        "from bot.settings import Settings\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(key_ring_of(Settings(data_dir=Path(sys.argv[1]))).newest.value.decode())\n"
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


def test_a_half_written_draft_of_a_process_that_was_killed_does_not_stop_the_next(path: Path) -> None:
    # In a container, the next process often has the same process id.
    path.parent.mkdir()
    (path.parent / f"secret.key.{os.getpid()}").write_bytes(b"half")
    assert len(KeyFile(path).newest.value) == 64
