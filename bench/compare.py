"""Two sides, in turn, within one run: what is reported is how they compare, round by round."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

SIDES = ("ours", "bare")
Round = Mapping[str, float]


def in_turn(rounds: int, measure: Callable[[str], Round], sides: Sequence[str] = SIDES) -> dict[str, list[Round]]:
    """Measure each side once in each round; who goes first changes with each."""
    seen: dict[str, list[Round]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else tuple(reversed(sides)):
            seen[side].append(measure(side))
    return seen


def medians(rounds: Sequence[Round]) -> dict[str, float]:
    """Return the median of each figure of one side."""
    return {name: round(median(each[name] for each in rounds), 4) for name in rounds[0]}


def ratio(seen: Mapping[str, Sequence[Round]], figure: str, *, more_is_better: bool) -> float:
    """Return how ours compares with the bare side: 1 is the same, more is better; the median of the rounds' ratios.

    A round's two measurements are seconds apart, so what else the machine does touches both.
    """
    pairs = zip(seen["ours"], seen["bare"], strict=True)
    ratios = [ours[figure] / bare[figure] for ours, bare in pairs if ours[figure] and bare[figure]]
    found = median(ratios) if ratios else 0.0
    return round(found if more_is_better or not found else 1 / found, 3)


def compared(seen: Mapping[str, Sequence[Round]], **more_is_better: bool) -> dict[str, object]:
    """Return the medians of both sides, and the ratio of each figure."""
    ratios = {figure: ratio(seen, figure, more_is_better=better) for figure, better in more_is_better.items()}
    return {**{side: medians(rounds) for side, rounds in seen.items()}, "ratio": ratios}
