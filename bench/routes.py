"""Requests a second, and CPU a request, of three routes; both sides as servers, with the same canned answers."""

import json
from contextlib import ExitStack
from typing import Any

from bench import canned, load
from bench.compare import SIDES, Round, compared, in_turn
from bench.processes import cost, environment, started
from bench.sizes import Sizes

THREADS = 128
_CONVERSATION = f"/api/v1/conversations/{canned.ECHO}"
ROUTES = {
    "messages": load.get(f"{_CONVERSATION}/messages"),
    "conversation": load.get(_CONVERSATION),
    "echo turn": load.post(f"{_CONVERSATION}/messages", json.dumps({"content": "Hello"}).encode()),
}


def measure(sizes: Sizes) -> dict[str, Any]:
    """Return the figures of each route.

    Raises:
        RuntimeError: the two sides do not answer the same.
    """
    with ExitStack() as stack:
        table = stack.enter_context(started("bench.dynamodb", "echo"))
        env = environment(AWS_ENDPOINT_URL_DYNAMODB=f"http://127.0.0.1:{table}")
        ports = {side: stack.enter_context(started("bench.serve", side, str(THREADS), env=env)) for side in SIDES}
        found = {}
        for name, request in ROUTES.items():
            _warm(ports, name, request, sizes)

            def take(side: str, request: bytes = request) -> Round:
                before = cost(ports[side]).cpu
                seconds = load.many(ports[side], request, requests=sizes.requests, connections=sizes.connections)
                cpu = cost(ports[side]).cpu - before
                return {"per_second": sizes.requests / seconds, "cpu_ms": cpu / sizes.requests * 1000}

            found[name] = compared(in_turn(sizes.rounds, take), per_second=True, cpu_ms=False)
        return found


def _warm(ports: dict[str, int], name: str, request: bytes, sizes: Sizes) -> None:
    """Let both sides make what they make once, and see that they answer the same where nothing is made up."""
    answers = {side: json.loads(load.one(port, request)) for side, port in ports.items()}
    if name != "echo turn" and answers["ours"] != answers["bare"]:
        raise RuntimeError(f"{name}: the two sides do not answer the same")
    for port in ports.values():
        load.many(port, request, requests=sizes.requests // 2, connections=sizes.connections)
