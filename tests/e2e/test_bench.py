"""The benchmarks run, both sides give the same answers, and docs/bench.md is up to date. No time is asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.compare import compared, in_turn
from bench.page import PAGE, SAVED, page

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--smallest"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_everything_is_measured(measured: dict[str, Any]) -> None:
    assert measured["routes"].keys() == {"messages", "conversation", "echo turn"}
    assert [each["failures"] for each in measured["streams"]] == [0]
    assert measured.keys() == json.loads(SAVED.read_text()).keys()
    assert page(measured).startswith("# How fast it is")


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(json.loads(SAVED.read_text())), "make bench writes it"


def test_the_sides_take_turns() -> None:
    order: list[str] = []

    def take(side: str) -> dict[str, float]:
        order.append(side)
        return {"ms": 1.0}

    in_turn(3, take)
    assert order == ["ours", "bare", "bare", "ours", "ours", "bare"]


def test_a_ratio_is_that_of_the_rounds_and_more_is_better() -> None:
    seen = {
        "ours": [{"ms": 2.0, "rate": 50.0}, {"ms": 20.0, "rate": 5.0}, {"ms": 3.0, "rate": 40.0}],
        # The machine was busy in the second round, for both.
        "bare": [{"ms": 1.0, "rate": 100.0}, {"ms": 10.0, "rate": 10.0}, {"ms": 3.0, "rate": 40.0}],
    }
    found = compared(seen, ms=False, rate=True)
    assert found["ratio"] == {"ms": 0.5, "rate": 0.5}
    assert found["ours"] == {"ms": 3.0, "rate": 40.0}
