"""The caches of conversations' agents: bounded, and the newest stay."""

from bot.access.agent_cache import AgentCache


def test_only_remembered_conversations_are_known() -> None:
    hints = AgentCache()
    hints.remember("conv_1", "usr_1", "agt_1")
    assert hints.get("conv_1") == ("usr_1", "agt_1")
    assert hints.get("conv_2") is None


def test_the_oldest_are_evicted_first_and_storing_again_renews() -> None:
    hints = AgentCache(most=2)
    for number in (1, 2):
        hints.remember(f"conv_{number}", "usr", "agt")
    hints.remember("conv_1", "usr", "agt")
    hints.remember("conv_3", "usr", "agt")
    assert [hints.get(f"conv_{number}") is not None for number in (1, 2, 3)] == [True, False, True]
