"""A character that comes in two halves is one character, and half of one never leaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.llm.characters import CharacterJoiner, whole_characters

HIGH, LOW = "\ud83d", "\ude00"


def joined(*pieces):
    joiner = CharacterJoiner()
    added = [joiner.add(piece) for piece in pieces]
    return [*added, joiner.rest]


@pytest.mark.parametrize(
    ("pieces", "added"),
    [
        (["a", "é", "😀"], ["a", "é", "😀", ""]),
        (["a" + HIGH, LOW + "b"], ["a", "😀b", ""]),
        ([HIGH, "", LOW], ["", "", "😀", ""]),
        ([HIGH, "b"], ["", "\ufffdb", ""]),
        ([HIGH, HIGH, LOW], ["", "\ufffd", "😀", ""]),
        ([LOW, "a"], ["\ufffd", "a", ""]),
        ([LOW + HIGH], ["\ufffd", "\ufffd"]),
        ([HIGH + LOW], ["😀", ""]),
        ([HIGH], ["", "\ufffd"]),
    ],
)
def test_halves_are_joined_and_a_lone_one_is_replaced(pieces, added):
    assert joined(*pieces) == added


@given(st.lists(st.text(st.sampled_from(["a", "é", "😀", "\ufffd", HIGH, LOW]), max_size=4), max_size=6))
def test_pieces_give_the_same_text_wherever_it_is_cut(pieces):
    assert "".join(joined(*pieces)) == whole_characters("".join(pieces))
    assert all(piece.encode() or not piece for piece in joined(*pieces))
