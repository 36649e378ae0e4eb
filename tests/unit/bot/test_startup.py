"""What a start creates stays for good, so the garbage collector does not look through it."""

import gc

import pytest

from bot.startup import uncollected


@pytest.fixture(autouse=True)
def _thawed() -> None:
    gc.unfreeze()


def test_the_collector_is_off_inside_and_on_again_after_it() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_created_inside_is_frozen() -> None:
    with uncollected():
        kept = [[number] for number in range(1000)]
    assert gc.get_freeze_count() > len(kept)
    gc.unfreeze()


def test_a_start_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
