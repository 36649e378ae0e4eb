"""Generates docs/chaos.md from the results of the long chaos runs.

`make chaos` runs the tests, which write docs/chaos.json, and then this. `python -m tests.chaos.page --check` checks
whether the page is up to date.
"""

import json
import sys
from typing import Any

from tests.chaos.run import SAVED, counts_line

PAGE = SAVED.with_suffix(".md")
HEAD = """# Chaos tests

<!-- Written by `make chaos` from what the tests saw; do not edit. -->

Turntable keeps its promises when processes die, connections break and clocks are wrong. The tests in `tests/chaos/` try
to prove otherwise. They run two or more real server processes on one table, a real engine in its own process behind a
proxy that injects faults, and a model server that answers at a set pace.

`make chaos-short` takes minutes and is part of every check of a change. `make chaos` is the long form: 200 kills, 1,000
faults, 10,000 appends, 1,000 replayed keys, 50,000 messages; `CHAOS_SCALE=0.1 make chaos` runs a tenth of that. The
table below shows actual runs. Each run prints its seed, and `CHAOS_SEED=… make chaos-short` repeats the same times,
faults and work; how threads and processes interleave is not repeated.

No test asserts how long anything takes. The engine is one process on one machine: these runs show how the application
handles DynamoDB failures, not how DynamoDB behaves. The very long conversation runs on DynamoDB Local, because a Query
on the embedded engine reads every item of its partition, and 50,000 of them would keep it busy for hours. `make
dynamodb-local LOCALSTACK_PORT=8123` starts DynamoDB Local, and `TEST_DYNAMODB_ENDPOINT` selects it.

## Results

"""
FOOT = """
A message that was not acknowledged is stored either once or not at all. In the runs with faults, every answer was
checked against the OpenAPI document and [the error codes](errors.md): a 500, or an undocumented answer, fails the test.
"""

# The names of tests are part of their seeds, so a renamed test would not repeat its recorded run; these read better.
TITLES = {
    "a client that changes the process at every event hears each once": (
        "a client that switches process at every event gets each event once"
    ),
    "a hundred times at the same instant is one effect and one model call": (
        "a hundred simultaneous requests have one effect and one model call"
    ),
    "a stream that breaks after any event goes on at the other process": (
        "a stream that breaks after any event resumes at the other process"
    ),
    "messages stand in the order in which they were accepted": "messages are in the order in which they were accepted",
    "no fault of dynamodb loses doubles or reorders anything": (
        "no DynamoDB fault loses, duplicates or reorders anything"
    ),
    "of cancelling and completing exactly one wins": "exactly one of cancelling and completing wins",
    "who asks again until there is an answer is heard exactly once": (
        "a request that is retried until it is answered takes effect exactly once"
    ),
}


def page(found: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    lines = ["| promise | form | engine | seed | counts |\n", "|---|---|---|---|---|\n"]
    for promise, seen in sorted(found.items(), key=lambda each: _sentence(each[0])):
        lines.append(
            f"| {_sentence(promise)} | {seen['form']} | {seen['engine']} | {seen['seed']} "
            f"| {counts_line(seen['counts'])} |\n"
        )
    return HEAD + "".join(lines) + FOOT


def _sentence(promise: str) -> str:
    """Return a promise as a sentence, with the parameter of its test in parentheses."""
    sentence, _, parameter = TITLES.get(promise, promise).partition("[")
    return sentence[:1].upper() + sentence[1:] + (f" ({parameter.rstrip(']')})" if parameter else "")


def main() -> None:
    """Write the page, or check it."""
    text = page(json.loads(SAVED.read_text()))
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit(f"{PAGE} is not what the tests saw; `make chaos` writes it.")
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
