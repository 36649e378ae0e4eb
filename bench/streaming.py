"""Streams: deltas a second through one worker, what a turn adds to the first token, and many streams at once."""

import asyncio
import json
import resource
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

from bench import canned, load
from bench.compare import SIDES, Round, compared, in_turn
from bench.processes import cost, environment, started
from bench.sizes import Sizes

_AT_ONCE = 4
# The most that BOT_THREADS takes; a thread is made when a stream needs it.
_THREADS = 1024
_DELTA, _LAST = b"event: message.delta", b"event: turn.completed"
_TURN = load.post(
    f"/api/v1/conversations/{canned.MODEL}/messages", json.dumps({"content": "Hello", "stream": True}).encode()
)


@contextmanager
def _servers(model: str, sides: Sequence[str] = SIDES) -> Iterator[dict[str, int]]:
    """Start the sides, with a provider whose `model` speaks at its pace; give their ports, and the `provider`'s."""
    with ExitStack() as stack:
        table = stack.enter_context(started("bench.dynamodb", model))
        provider = stack.enter_context(started("bench.provider"))
        env = environment(
            AWS_ENDPOINT_URL_DYNAMODB=f"http://127.0.0.1:{table}",
            OPENAI_BASE_URL=f"http://127.0.0.1:{provider}/v1",
            OPENAI_API_KEY="sk-bench",
            BOT_THREADS=str(_THREADS),
        )
        ports = {side: stack.enter_context(started("bench.serve", side, str(_THREADS), env=env)) for side in sides}
        for port in ports.values():
            _stream(port)
        yield {**ports, "provider": provider}


def _stream(port: int) -> dict[str, Any]:
    return dict(asyncio.run(load.stream(port, _TURN, _DELTA, _LAST)))


def deltas(sizes: Sizes) -> dict[str, Any]:
    """Return deltas a second through one worker, and CPU for a thousand of them; four streams at once."""
    with _servers(f"bench-{sizes.deltas}-0") as ports:

        async def all_of_them(port: int) -> float:
            streams = [load.stream(port, _TURN, _DELTA, _LAST) for _ in range(_AT_ONCE)]
            return max(float(seen["seconds"]) for seen in await asyncio.gather(*streams))

        def take(side: str) -> Round:
            before, total = cost(ports[side]).cpu, sizes.deltas * _AT_ONCE
            seconds = asyncio.run(all_of_them(ports[side]))
            cpu = cost(ports[side]).cpu - before
            return {"per_second": total / seconds, "cpu_ms": cpu / total * 1_000_000}

        return compared(in_turn(sizes.rounds, take), per_second=True, cpu_ms=False)


def first_token(sizes: Sizes) -> dict[str, float]:
    """Return milliseconds to the first delta: of the provider asked directly, and through each side; medians."""
    model = "bench-3-0.005"
    with _servers(model) as ports:
        body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]})
        direct = load.post("/v1/chat/completions", body.encode())

        def take(side: str) -> Round:
            if side == "provider":
                seen = asyncio.run(load.stream(ports[side], direct, b'"content": "word', b"[DONE]"))
            else:
                seen = _stream(ports[side])
            return {"ms": seen["first"] * 1000}

        seen = in_turn(sizes.first_tokens, take, (*SIDES, "provider"))
    found = {side: round(median(each["ms"] for each in rounds), 2) for side, rounds in seen.items()}
    added = {side: round(found[side] - found["provider"], 2) for side in SIDES}
    return {**found, "added_by_ours": added["ours"], "added_by_bare": added["bare"]}


def opened(sizes: Sizes) -> list[dict[str, float]]:
    """Return, for each number of streams that are open at once on a fresh server, what they took of its one worker.

    All begin at the same moment. One that breaks off, or does not bring every delta and its end, is a failure.
    """
    _allow_files(max(sizes.streams) * 4 + 200)
    found = []
    for number in sizes.streams:
        with _servers(f"bench-{sizes.open_deltas}-{sizes.open_pause}", ("ours",)) as ports:
            port = ports["ours"]
            before = cost(port)
            seen = asyncio.run(_all_open(port, number))
            after = cost(port)
        whole = [each for each in seen if isinstance(each, dict) and each["deltas"] == sizes.open_deltas]
        if reasons := Counter(str(each)[:200] for each in seen if not isinstance(each, dict)):
            print(reasons.most_common(3), file=sys.stderr)
        found.append(
            {
                "streams": number,
                "failures": number - len(whole),
                "seconds": round(max((each["seconds"] for each in whole), default=0), 1),
                "cpu_ms_a_stream": round((after.cpu - before.cpu) / number * 1000, 1),
                "memory_mib": round(after.memory / 1024, 1),
                "memory_kib_a_stream": round((after.memory - before.memory) / number, 1),
            }
        )
    return found


async def _all_open(port: int, number: int) -> list[Any]:
    streams = [load.stream(port, _TURN, _DELTA, _LAST) for _ in range(number)]
    return [
        dict(each) if not isinstance(each, BaseException) else each
        for each in await asyncio.gather(*streams, return_exceptions=True)
    ]


def _allow_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
