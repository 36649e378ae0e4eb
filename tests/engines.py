"""Which DynamoDB engine the tests run on, and what it cannot do.

`TEST_DYNAMODB_ENDPOINT` names a running engine; without it, it is the embedded one. A test that an engine cannot pass
is marked `@pytest.mark.engine_limit("dynamodb-local", reason="…")`: there it must fail (so that a mended engine is
noticed), and the reason is listed at the end of the run and in docs/engines.md. Nothing is skipped without a word.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.which_engine import EMBEDDED, engine_name

# What a run on one of these finds may be written down; names are as docs/engines.md has them.
KNOWN = (EMBEDDED, "localstack", "dynamodb-local", "aws")
RESULTS = Path(__file__).parents[1] / "docs" / "engines"
CONFORMANCE = Path(__file__).parent / "conformance"


class Engines:
    """The pytest plugin: it applies the marker, and saves the results of the conformance tests."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.limits: dict[str, str] = {}
        self.found: dict[str, dict[str, str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("engine_limit"):
                if self.name in mark.args:
                    self.limits[item.nodeid] = mark.kwargs["reason"]
                    expected = pytest.mark.xfail(
                        reason=f"{self.name}: {mark.kwargs['reason']}",
                        strict=mark.kwargs.get("strict", True),
                        run=mark.kwargs.get("run", True),
                    )
                    item.add_marker(expected)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report = yield
        ended = report.when == "call" or report.failed or report.skipped
        if ended and item.path.parent == CONFORMANCE and item.path.name.startswith("test_engine_"):
            item.user_properties.append(("conformance", self._finding(item, report)))
            report.user_properties = list(item.user_properties)
        return report

    def _finding(self, item: pytest.Item, report: pytest.TestReport) -> dict[str, str]:
        reason = self.limits.get(item.nodeid)
        if reason is not None:
            return {"outcome": "no", "reason": reason} if report.skipped else {"outcome": "changed", "reason": reason}
        return {"outcome": "yes" if report.passed else "no", "reason": "" if report.passed else "it failed"}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # This also runs in the xdist controller, which collects the reports.
        for name, finding in report.user_properties:
            if name == "conformance":
                self.found[promise_of(report.nodeid)] = finding

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(f"DynamoDB engine: {self.name}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if os.environ.get("WRITE_ENGINE_RESULTS") and self.found and not hasattr(session.config, "workerinput"):
            if self.name not in KNOWN:
                raise pytest.UsageError(f"no results are kept of an engine called {self.name!r}")
            RESULTS.mkdir(exist_ok=True)
            text = json.dumps(dict(sorted(self.found.items())), indent=2, ensure_ascii=False)
            (RESULTS / f"{self.name}.json").write_text(text + "\n")


def promise_of(nodeid: str) -> str:
    """Return what a conformance test promises, as `subject: sentence`, from the names of its file and function."""
    path, _, name = nodeid.partition("::")
    subject = Path(path).stem.removeprefix("test_engine_").replace("_", " ")
    return f"{subject}: {name.removeprefix('test_').replace('_', ' ')}"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "engine_limit(*engines, reason): these engines cannot do what the test promises; there it must fail",
    )
    config.pluginmanager.register(Engines(engine_name()), "turntable-engines")
