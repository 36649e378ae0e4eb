"""Hints of which agent answers where: bounded, and the newest stay."""

from bot.access.agent_cache import AgentCache


def test_what_was_noted_is_known_and_nothing_else() -> None:
    hints = AgentCache()
    hints.remember("conv_1", "usr_1", "agt_1")
    assert hints.get("conv_1") == ("usr_1", "agt_1")
    assert hints.get("conv_2") is None


def test_the_oldest_are_forgotten_first_and_a_used_one_is_young_again() -> None:
    hints = AgentCache(most=2)
    for number in (1, 2):
        hints.remember(f"conv_{number}", "usr", "agt")
    hints.remember("conv_1", "usr", "agt")
    hints.remember("conv_3", "usr", "agt")
    assert [hints.get(f"conv_{number}") is not None for number in (1, 2, 3)] == [True, False, True]
