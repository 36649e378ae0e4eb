"""LocalStack without Docker: what is missing is said in one line each, and everything is pinned."""

import os
import re
import subprocess
import sys
from pathlib import Path

LOCALSTACK = Path(__file__).parents[3] / "localstack"


def run(command: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script on a machine that has only what `tmp_path/bin` holds."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, str(LOCALSTACK / "run.py"), command],
        env={"PATH": str(tmp_path / "bin"), "LOCALSTACK_HOME": str(tmp_path / "home"), "LOCALSTACK_PORT": "1"}
        | environment,
        capture_output=True,
        text=True,
    )


def test_java_and_npm_are_named_when_they_are_missing(tmp_path: Path) -> None:
    done = run("start", tmp_path)

    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert [line.split(" ")[0] for line in lines] == ["Java", "npm"]
    assert all("on Debian: apt install" in line for line in lines)


def test_a_python_that_does_not_fit_is_named(tmp_path: Path) -> None:
    done = run("start", tmp_path, LOCALSTACK_PYTHON="/nowhere/python3")

    assert done.stderr.splitlines()[0].startswith("Python 3.13, 3.12 or 3.11")


def test_nothing_is_installed_where_something_is_missing(tmp_path: Path) -> None:
    run("start", tmp_path)

    assert not (tmp_path / "home").exists()


def test_stopping_what_does_not_run_is_no_error(tmp_path: Path) -> None:
    done = run("stop", tmp_path, PATH=os.environ["PATH"], LOCALSTACK_DOCKER="0")

    assert (done.returncode, done.stdout.strip()) == (0, "LocalStack does not run.")


def test_a_stop_leaves_a_stranger_with_the_same_process_id_alone(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "localstack.pid").write_text(str(os.getpid()))

    done = run("stop", tmp_path, PATH=os.environ["PATH"], LOCALSTACK_DOCKER="0")

    assert done.stdout.strip() == "LocalStack does not run."


def test_logs_of_what_never_ran_are_a_clear_line(tmp_path: Path) -> None:
    done = run("logs", tmp_path)

    assert done.stderr.strip() == "There is no log: LocalStack was not started here."


def test_every_package_is_pinned_with_hashes() -> None:
    locked = (LOCALSTACK / "requirements.txt").read_text()
    packages = re.findall(r"^[a-z0-9][^\n]*", locked, re.MULTILINE)

    assert len(packages) > 50
    assert all("==" in package for package in packages)
    assert locked.count("--hash=sha256:") >= len(packages)


def test_what_is_asked_for_is_what_is_locked() -> None:
    asked = re.findall(r"^([a-z0-9-]+)(?:\[[a-z-]+\])?==(\S+)$", (LOCALSTACK / "requirements.in").read_text(), re.M)
    locked = (LOCALSTACK / "requirements.txt").read_text()

    assert asked
    assert all(f"{name}=={version} " in locked for name, version in asked)


def test_nothing_of_dynamodb_local_stands_in_the_repository() -> None:
    assert not [path for path in LOCALSTACK.rglob("*") if path.suffix in (".jar", ".tgz", ".zip")]
