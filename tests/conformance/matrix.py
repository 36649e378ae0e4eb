"""The page docs/engines.md, from what the conformance tests found on each engine.

`make engines` runs them on the embedded engine and on LocalStack, which writes docs/engines/*.json, and then this.
`python tests/conformance/matrix.py --check` says whether the page is up to date.
"""

import json
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "engines.md"
TITLES = {
    "embedded": "embedded",
    "localstack": "LocalStack",
    "dynamodb-local": "DynamoDB Local",
    "aws": "AWS",
}
HEAD = """# Engines

<!-- Written by `make engines` from what the conformance tests found; do not edit. -->

Turntable relies on details of DynamoDB: how a page ends, which part of a transaction failed, what a request costs. Each
row is one such behavior, checked by a test in `tests/conformance/` that ran on each engine. If an engine lacks a
behavior, the test must fail there, so that an improved engine is noticed and an emulator's fault is not mistaken for
one of ours.

| engine | implementation | started by |
|---|---|---|
| embedded | ministack, in its own process | `make run`, `make test` |
| LocalStack | LocalStack 4.9.2 over DynamoDB Local 1.25.1 | `make localstack`, `make test-localstack` |
| DynamoDB Local | version 1.25.1, as LocalStack runs it | `make test-dynamodb ENDPOINT=…` |
"""


def results() -> dict[str, dict[str, dict[str, str]]]:
    """Return what was found, by engine and promise."""
    kept = {name: DOCS / "engines" / f"{name}.json" for name in TITLES}
    return {name: json.loads(path.read_text()) for name, path in kept.items() if path.exists()}


def page(found: dict[str, dict[str, dict[str, str]]]) -> str:
    """Return the page as Markdown."""
    promises = sorted({promise for each in found.values() for promise in each})
    columns = list(found)
    parts = [HEAD, _totals(found)]
    for subject in sorted({promise.partition(": ")[0] for promise in promises}):
        parts.append(f"\n## {subject.capitalize()}\n\n")
        parts.append(f"| behavior | {' | '.join(TITLES[name] for name in columns)} |\n")
        parts.append(f"|---|{'---|' * len(columns)}\n")
        for promise in promises:
            if promise.partition(": ")[0] == subject:
                cells = [found[name].get(promise, {}).get("outcome", "not run") for name in columns]
                parts.append(f"| {promise.partition(': ')[2]} | {' | '.join(cells)} |\n")
    parts.append(_reasons(found))
    return "".join(parts)


def _totals(found: dict[str, dict[str, dict[str, str]]]) -> str:
    counts = [
        f"{TITLES[name]}: {sum(each['outcome'] == 'yes' for each in promises.values())} of {len(promises)}"
        for name, promises in found.items()
    ]
    return f"\n{'; '.join(counts)}.\n"


def _reasons(found: dict[str, dict[str, dict[str, str]]]) -> str:
    lines = [
        f"| {TITLES[name]} | {promise} | {each['reason']} |\n"
        for name, promises in found.items()
        for promise, each in promises.items()
        if each["outcome"] != "yes"
    ]
    return "".join(["\n## Known differences from DynamoDB\n\n| engine | behavior | reason |\n|---|---|---|\n", *lines])


def main() -> None:
    """Write the page, or check it."""
    text = page(results())
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit(f"{PAGE} is not what the tests found; `make engines` writes it.")
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
