"""The page docs/bench.md, from what `make bench` has measured: docs/bench.json. `--check` compares the two."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SAVED = Path(__file__).parent.parent / "docs" / "bench.json"
PAGE = SAVED.with_suffix(".md")

_HEAD = """# How fast it is

<!-- Written by `make bench` from what it measured; do not edit. -->

Each figure compares two sides within one run: Turntable, and what one would write with Flask, boto3 and the openai SDK
alone ([bench/bare.py](../bench/bare.py)), which makes the same requests and gives the same answers, but validates,
logs, limits and renews nothing, and stores no events that could be followed. Absolute figures are those of this
machine; the ratio is what counts. **1 is as fast as the bare side, more is faster.** `make bench` measures them again,
in some minutes.

How it is measured:

- Both sides are served by `bot.server` under the same gunicorn settings: one worker, threads, loopback.
- DynamoDB and the provider are processes that answer with canned bytes, the same for both, so that no engine and no
  model is measured; an answer of DynamoDB's has the headers that the service sends. A network would hide the
  difference: it adds the same to both sides.
- The sides take turns, and who goes first changes with each round. A ratio is the median of the rounds' ratios, the
  other figures are medians.
- CPU is that of the worker process, user and system. It is what to look at on a machine that has other things to do:
  there, requests a second say how busy it was.
- Both sides are checked to give the same JSON before they are measured.

"""


def page(found: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    return _HEAD + "\n".join(_parts(found)) + "\n"


def _parts(found: dict[str, Any]) -> Iterator[str]:
    machine, versions = found["machine"], found["versions"]
    load = ", ".join(f"{each:g}" for each in machine["load"])
    yield (
        f"Measured on {found['date']}: {machine['system']}, {machine['cpu']}, {machine['cores']} cores "
        f"(load {load} when it began); {', '.join(f'{name} {version}' for name, version in versions.items())}.\n"
    )
    yield "## Requests\n"
    yield "Eight connections; 20 messages of 1 KB. A turn is that of an agent that repeats what it is told: no model.\n"
    yield "| route | a second | bare | ratio | CPU a request | bare | ratio |\n|---|---|---|---|---|---|---|"
    for name, title in (
        ("messages", "`GET …/messages`"),
        ("conversation", "`GET /conversations/{id}`"),
        ("echo turn", "`POST …/messages`, a whole turn"),
    ):
        seen = found["routes"][name]
        ours, bare, ratio = seen["ours"], seen["bare"], seen["ratio"]
        yield (
            f"| {title} | {ours['per_second']:.0f} | {bare['per_second']:.0f} | {ratio['per_second']:.2f} "
            f"| {ours['cpu_ms']:.2f} ms | {bare['cpu_ms']:.2f} ms | **{ratio['cpu_ms']:.2f}** |"
        )
    seen = found["opening"]
    yield "\n## The client alone\n"
    yield (
        f"`open_conversation` takes {seen['ours']['cpu_ms']:.2f} ms of CPU, entities and all; the same Query of a "
        f"plain boto3 client {seen['bare']['cpu_ms']:.2f} ms, for a dictionary: **{seen['ratio']['cpu_ms']:.2f}**.\n"
    )
    seen = found["starting"]
    yield "## Start\n"
    yield (
        "CPU in seconds, each start in a process of its own. Neither side imports the openai SDK here: ours does so "
        "aside, once it serves. The bare side makes its DynamoDB client at the start, ours with the first request.\n"
    )
    yield "| | ours | bare |\n|---|---|---|"
    ours, bare = seen["ours"], seen["bare"]
    yield f"| import and make the application | {ours['import_cpu_s']:.2f} | {bare['import_cpu_s']:.2f} |"
    yield f"| first request | {ours['first_cpu_s']:.2f} | {bare['first_cpu_s']:.2f} |"
    seen = found["deltas"]
    yield "\n## Streams\n"
    yield (
        f"Through one worker, four streams at once: {seen['ours']['per_second']:,.0f} deltas a second, "
        f"{seen['ours']['cpu_ms']:.0f} ms of CPU for a thousand (bare: {seen['bare']['per_second']:,.0f}, "
        f"{seen['bare']['cpu_ms']:.0f} ms): **{seen['ratio']['per_second']:.2f}** a second, "
        f"**{seen['ratio']['cpu_ms']:.2f}** by CPU. Ours are numbered, stored to be followed, and can be cancelled.\n"
    )
    seen = found["first_token"]
    yield (
        f"First token: {seen['provider']:.1f} ms from the provider asked directly, {seen['ours']:.1f} ms through "
        f"Turntable, {seen['bare']:.1f} ms through the bare side. Added: **{seen['added_by_ours']:.1f} ms** "
        f"(bare: {seen['added_by_bare']:.1f} ms); with DynamoDB come two or three of its round trips.\n"
    )
    yield (
        "Streams that are open at once, on one worker with `BOT_THREADS=1024`. All begin at the same moment, and the "
        "provider takes 18 seconds for each; what it takes longer is the one CPU that a worker has:\n"
    )
    yield (
        "| streams | failures | until the last ended | CPU a stream | memory at most | memory a stream |\n"
        "|---|---|---|---|---|---|"
    )
    for seen in found["streams"]:
        yield (
            f"| {seen['streams']:,} | {seen['failures']} | {seen['seconds']:.1f} s | {seen['cpu_ms_a_stream']:.0f} ms "
            f"| {seen['memory_mib']:.0f} MiB | {seen['memory_kib_a_stream']:.0f} KiB |"
        )


def main() -> None:
    """Write the page, or check it."""
    text = page(json.loads(SAVED.read_text()))
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit(f"{PAGE} is not what was measured; `make bench` writes it.")
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
