"""The processes of a benchmark: each prints its port when it listens, and ends when its standard input does."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.canned import TABLE

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Cost:
    """What a process has taken: CPU in seconds; memory at most, in KiB."""

    cpu: float
    memory: float


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of both sides: nothing of ours and of AWS's but what is given."""
    foreign = ("BOT_", "AWS_", "OPENAI_", "HOST", "PORT")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "BOT_TABLE_NAME": TABLE,
        "BOT_SECRET_KEY": "bench" * 8,
        **variables,
    }


@contextmanager
def started(module: str, *arguments: str, env: dict[str, str] | None = None) -> Iterator[int]:
    """Run `python -m module`, and give its port; it has ended when this is left.

    Raises:
        RuntimeError: it ended before it listened.
    """
    command = [sys.executable, "-m", module, *arguments]
    env = env or environment()
    process = subprocess.Popen(
        command, env=env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin
    assert process.stdout
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(command)} ended with {process.wait()}")
        yield int(line)
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def cost(port: int) -> Cost:
    """Return what the worker behind a port has taken so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/cost", timeout=30) as answer:
        told = json.load(answer)
    return Cost(told["cpu"], told["memory"])
