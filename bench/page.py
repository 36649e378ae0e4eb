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

Each figure compares two sides within one run: Turntable, and a direct implementation with Flask, boto3 and the openai
SDK ([bench/bare.py](../bench/bare.py)). That bare side makes the same requests and gives the same answers, but has no
validation, logging, limits or lease renewal, and stores no events for resuming a stream. Absolute figures are those of
this machine; look at the ratio. **1 is as fast as the bare side, more is faster.** `make bench` measures again and
takes some minutes.

How it is measured:

- `bot.server` serves both sides with the same gunicorn settings: one worker, threads, loopback.
- DynamoDB and the provider are processes that give canned answers, the same for both sides, so that no engine and no
  model is measured. DynamoDB's answers have the headers of the real service. A network would hide the difference,
  because it adds the same latency to both sides.
- The sides alternate, and each round begins with the other one. A ratio is the median of the rounds' ratios; the other
  figures are medians.
- CPU is the worker's user and system time. Prefer it on a busy machine, where requests per second mainly show how busy
  the machine was.
- Before the measurement, both sides are checked to give the same JSON.

"""


def page(found: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    return _HEAD + "\n".join(_parts(found)) + "\n"


def _parts(found: dict[str, Any]) -> Iterator[str]:
    machine, versions = found["machine"], found["versions"]
    load = ", ".join(f"{each:g}" for each in machine["load"])
    yield (
        f"Measured on {found['date']}: {machine['system']}, {machine['cpu']}, {machine['cores']} cores "
        f"(load {load} at the start); {', '.join(f'{name} {version}' for name, version in versions.items())}.\n"
    )
    yield "## Requests\n"
    yield "Eight connections; 20 messages of 1 KB. The turn's agent echoes the message, without a model.\n"
    yield "| route | per second | bare | ratio | CPU per request | bare | ratio |\n|---|---|---|---|---|---|---|"
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
        f"`open_conversation` takes {seen['ours']['cpu_ms']:.2f} ms of CPU, including the entities; the same "
        f"Query with a plain boto3 client, which returns a dictionary, takes {seen['bare']['cpu_ms']:.2f} ms: "
        f"**{seen['ratio']['cpu_ms']:.2f}**.\n"
    )
    seen = found["starting"]
    yield "## Start\n"
    yield (
        "CPU in seconds, each start in a new process. Neither side imports the openai SDK here: ours does so in the "
        "background, once it serves. The bare side creates its DynamoDB client at the start, ours with the first "
        "request.\n"
    )
    yield "| | ours | bare |\n|---|---|---|"
    ours, bare = seen["ours"], seen["bare"]
    yield f"| import and create the application | {ours['import_cpu_s']:.2f} | {bare['import_cpu_s']:.2f} |"
    yield f"| first request | {ours['first_cpu_s']:.2f} | {bare['first_cpu_s']:.2f} |"
    seen = found["deltas"]
    yield "\n## Streams\n"
    yield (
        f"One worker, four concurrent streams: {seen['ours']['per_second']:,.0f} deltas per second, "
        f"{seen['ours']['cpu_ms']:.0f} ms of CPU per thousand (bare: {seen['bare']['per_second']:,.0f}, "
        f"{seen['bare']['cpu_ms']:.0f} ms): **{seen['ratio']['per_second']:.2f}** per second, "
        f"**{seen['ratio']['cpu_ms']:.2f}** by CPU. Ours are numbered, stored for resuming, and can be cancelled.\n"
    )
    seen = found["first_token"]
    yield (
        f"First token: {seen['provider']:.1f} ms directly from the provider, {seen['ours']:.1f} ms through "
        f"Turntable, {seen['bare']:.1f} ms through the bare side. Added: **{seen['added_by_ours']:.1f} ms** "
        f"(bare: {seen['added_by_bare']:.1f} ms); DynamoDB adds two or three of its round trips.\n"
    )
    yield (
        "Concurrent streams on one worker with `BOT_THREADS=1024`. All begin at the same moment, and the provider "
        "takes 18 seconds for each; any longer time is due to the single CPU of the worker:\n"
    )
    yield (
        "| streams | failures | until the last ended | CPU per stream | peak memory | memory per stream |\n"
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
