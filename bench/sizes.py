"""How much is measured: enough for figures, or just enough to see that all of it runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """`rounds`: how often both sides take their turn; the rest: how much is done in one of them."""

    rounds: int
    requests: int
    connections: int
    calls: int
    starts: int
    deltas: int
    first_tokens: int
    streams: tuple[int, ...]
    # Of each open stream: how many deltas, and how many seconds lie between two of them. docs/bench.md tells the sum.
    open_deltas: int
    open_pause: float


WHOLE = Sizes(
    rounds=9,
    requests=400,
    connections=8,
    calls=200,
    starts=9,
    deltas=1500,
    first_tokens=60,
    streams=(100, 250, 500, 1000),
    open_deltas=10,
    open_pause=2.0,
)
SMALLEST = Sizes(
    rounds=1,
    requests=4,
    connections=2,
    calls=2,
    starts=1,
    deltas=20,
    first_tokens=2,
    streams=(3,),
    open_deltas=2,
    open_pause=0.01,
)
