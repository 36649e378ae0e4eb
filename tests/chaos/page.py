"""The page docs/chaos.md, from what long runs of the chaos tests have seen.

`make chaos` runs them, which writes docs/chaos.json, and then this. `python -m tests.chaos.page --check` says whether
the page is up to date.
"""

import json
import sys
from typing import Any

from tests.chaos.run import SAVED, told

PAGE = SAVED.with_suffix(".md")
HEAD = """# Chaos

<!-- Written by `make chaos` from what the tests saw; do not edit. -->

What Turntable promises holds when processes die, connections break and clocks are wrong. The tests in `tests/chaos/`
try to break it: real server processes, two and more on one table; a real engine as a process of its own, behind a proxy
that breaks what it is told to; a model server that speaks at a pace.

`make chaos-short` takes minutes and is part of every check of a change. `make chaos` is the long form: 200 kills, 1,000
faults, 10,000 appends, 1,000 replayed keys, 50,000 messages; `CHAOS_SCALE=0.1 make chaos` takes a tenth of it. The
table below says what was run, not what could be. Each run prints its seed, and `CHAOS_SEED=… make chaos-short` chooses
the same moments, faults and work again; how threads and processes interleave is the machine's choice.

Nothing here asserts how long anything takes. An engine here is one process on one machine: these runs show what the
application does with a bad day of DynamoDB's, not how DynamoDB behaves. The very long conversation is run on DynamoDB
Local: a Query of the embedded engine looks at each item of its partition, so 50,000 of them keep it busy for hours.
`make dynamodb-local LOCALSTACK_PORT=8123` starts that one, and `TEST_DYNAMODB_ENDPOINT` names it.

## What was seen

"""
FOOT = """
Of a message without an acknowledgement nothing is promised but that it stands there once or not at all. In the runs
with faults, every answer was compared with the OpenAPI document and with [the error codes](errors.md): an answer of
500, or one that is not documented, fails the test.
"""


def page(found: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    lines = ["| promise | form | engine | seed | counts |\n", "|---|---|---|---|---|\n"]
    for promise, seen in sorted(found.items()):
        lines.append(
            f"| {_sentence(promise)} | {seen['form']} | {seen['engine']} | {seen['seed']} | {told(seen['counts'])} |\n"
        )
    return HEAD + "".join(lines) + FOOT


def _sentence(promise: str) -> str:
    """Return a promise as a sentence; a parameter of its test stands behind it."""
    sentence, _, parameter = promise.replace("dynamodb", "DynamoDB").partition("[")
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
