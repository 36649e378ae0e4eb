"""A stored text is cut into the pieces in which it was streamed, with the same event ids."""

import random

from hypothesis import given
from hypothesis import strategies as st

from models.access_patterns.pieces import MAX_BYTES, cut_again, pack_pieces
from models.turn import EventId

STREAMS = st.lists(st.tuples(st.booleans(), st.text(min_size=1, max_size=9)), min_size=1)


@given(STREAMS)
def test_a_stream_comes_back_as_it_was_sent(stream: list[tuple[bool, str]]) -> None:
    sent, last = [], EventId(1)
    for reasoned, text in stream:
        last = EventId(last.number, last.part + 1) if reasoned else EventId(last.number + 1)
        sent.append((last, text))
    packed = pack_pieces([-len(text) if reasoned else len(text) for reasoned, text in stream])
    assert packed is not None
    said = "".join(text for event, text in sent if not event.part)
    reasoning = "".join(text for event, text in sent if event.part)
    assert cut_again(packed, said, reasoning) == sent
    assert cut_again(packed, said) == [(event, text) for event, text in sent if not event.part]


def test_sizes_that_do_not_fit_a_text_cut_nothing() -> None:
    packed = pack_pieces([2, 3])
    assert packed is not None
    assert cut_again(packed, "Hell") is None


def test_reasoning_that_was_not_stored_is_left_out() -> None:
    packed = pack_pieces([-4, 2])
    assert packed is not None
    assert cut_again(packed, "Hi", "") == [(EventId(2), "Hi")]


def test_an_answer_of_ten_thousand_words_fits_and_endless_pieces_do_not() -> None:
    drawn = random.Random(1)
    packed = pack_pieces([drawn.choice((1, 2, 3, 3, 4, 4, 5, 5, 6, 7, 9, 12)) for _ in range(10_000)])
    assert packed is not None
    assert len(packed) <= MAX_BYTES
    assert pack_pieces([drawn.randint(1, 1000) for _ in range(15_000)]) is None
    assert pack_pieces([]) is None
