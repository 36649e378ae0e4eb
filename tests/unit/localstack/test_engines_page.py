"""docs/engines.md is what the conformance tests found, on engines that were asked all of it."""

import ast
import json

import pytest

from tests.conformance.matrix import PAGE, page, results
from tests.engines import CONFORMANCE, EMBEDDED, RESULTS, promise_of


def promised() -> set[str]:
    """Every conformance test there is, as docs/engines.md calls it."""
    found = set()
    for path in CONFORMANCE.glob("test_engine_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.add(promise_of(f"{path.name}::{node.name}"))
    return found


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(results()), "make engines writes it"


@pytest.mark.parametrize("engine", sorted(path.stem for path in RESULTS.glob("*.json")))
def test_every_engine_was_asked_everything(engine: str) -> None:
    assert set(json.loads((RESULTS / f"{engine}.json").read_text())) == promised(), "make engines asks again"


def test_the_page_covers_the_embedded_engine_and_localstack() -> None:
    assert {EMBEDDED, "localstack"} <= set(results())


def test_whatever_an_engine_cannot_do_has_a_reason() -> None:
    lacking = [each for found in results().values() for each in found.values() if each["outcome"] != "yes"]

    assert lacking
    assert all(each["outcome"] == "no" and each["reason"] for each in lacking)
    assert not [each for each in lacking if each["reason"] == "it failed"]
