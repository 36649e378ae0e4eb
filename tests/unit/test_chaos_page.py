"""docs/chaos.md is what the chaos tests have seen, and all of them have been run for it."""

import ast
import json
from pathlib import Path

from tests.chaos.page import PAGE, page
from tests.chaos.run import SAVED, promise_of


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(json.loads(SAVED.read_text())), "make chaos writes it"


def test_every_promise_has_been_tried() -> None:
    promised = set()
    for path in Path("tests/chaos").glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                promised.add(promise_of(f"{path.name}::{node.name}"))
    tried = {promise.partition("[")[0] for promise in json.loads(SAVED.read_text())}
    assert tried == promised, "make chaos tries them"
