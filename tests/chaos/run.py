"""A run of the chaos tests: its seed, its size, and the counts of what happened.

`CHAOS_SEED` repeats a run's random choices (when to kill, the faults, the order of the work), but not how threads and
processes interleave. `CHAOS_FORM=long` uses the sizes of docs/chaos.md, `CHAOS_SCALE=0.1` a part of them.
`CHAOS_SAVE=1` adds the counts to docs/chaos.json.
"""

import json
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.which_engine import engine_name

SAVED = Path(__file__).resolve().parents[2] / "docs" / "chaos.json"
LONG = os.environ.get("CHAOS_FORM") == "long"
SCALE = float(os.environ.get("CHAOS_SCALE", "1"))
FORM = ("long" if SCALE == 1 else f"{SCALE:g} of long") if LONG else "short"


class Chaos:
    """A test's random source and counters. Any thread may count; each draws from its own `Random`."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.counts: dict[str, int | float] = {}
        self._lock = threading.Lock()

    def size(self, short: int, long: int) -> int:
        """Return the size for this run: short, or long and scaled."""
        return max(1, round(long * SCALE)) if LONG else short

    def drawing(self, who: object) -> random.Random:
        """Return the random source of one thread."""
        return random.Random(f"{self.seed} {who}")

    def count(self, what: str, number: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + number

    def most(self, what: str, number: float) -> None:
        """Keep the largest number."""
        with self._lock:
            self.counts[what] = max(self.counts.get(what, 0), round(number, 1))


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Iterator[Chaos]:
    """The random source and counters of one test."""
    seed = os.environ["CHAOS_SEED"]
    drawn = Chaos(f"{seed} {request.node.name}")
    yield drawn
    request.node.user_properties.append(("chaos", {"seed": seed, "counts": dict(sorted(drawn.counts.items()))}))


class ChaosReport:
    """The pytest plugin: one seed for all processes of a run, and all their counts at the end."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.found: dict[str, dict[str, object]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, seen in report.user_properties:
            if name == "chaos" and report.when == "teardown":
                self.found[promise_of(report.nodeid)] = {**seen, "form": FORM, "engine": self.engine}
        if report.failed and "tests/chaos/" in report.nodeid:
            self.found[promise_of(report.nodeid)] = {"counts": {"failed": 1}}

    def pytest_report_header(self, config: pytest.Config) -> str | None:
        asked = any("chaos" in argument for argument in config.args)
        return f"CHAOS_SEED={os.environ['CHAOS_SEED']}" if asked else None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.found:
            terminalreporter.section(f"chaos: CHAOS_SEED={os.environ['CHAOS_SEED']}")
        for promise, seen in sorted(self.found.items()):
            terminalreporter.write_line(f"{promise}: {counts_line(seen['counts'])}")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if (
            os.environ.get("CHAOS_SAVE")
            and self.found
            and not exitstatus
            and not hasattr(session.config, "workerinput")
        ):
            kept = json.loads(SAVED.read_text()) if SAVED.exists() else {}
            SAVED.write_text(json.dumps(dict(sorted((kept | self.found).items())), indent=2) + "\n")


def counts_line(counts: object) -> str:
    """Return counts in one line."""
    assert isinstance(counts, dict)
    return ", ".join(f"{number:,} {what}" for what, number in counts.items())


def promise_of(nodeid: str) -> str:
    """Return what a test promises, from the name of its function."""
    return nodeid.partition("::")[2].removeprefix("test_").replace("_", " ")


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("CHAOS_SEED", str(random.SystemRandom().randrange(10**9)))
    config.pluginmanager.register(ChaosReport(engine_name()), "turntable-chaos")
