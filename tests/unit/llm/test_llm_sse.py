"""Events come out the same, however the network cuts the bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.llm import sse
from bot.llm.sse import Event, StreamFormatError, read_events

STREAM = (
    ': a comment\r\n\r\ndata: {"a": "ä\u2028x"}\n\nevent: error\ndata:one\r\ndata: two\r\n\r\nid: 7\n\ndata: [DONE]\n\n'
).encode()
EVENTS = [Event("", '{"a": "ä\u2028x"}'), Event("error", "one\ntwo"), Event("", "[DONE]")]


def test_events():
    assert list(read_events([STREAM])) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cut_gives_the_same_events(cuts):
    edges = [0, *sorted(cuts), len(STREAM)]
    assert list(read_events(STREAM[a:b] for a, b in itertools.pairwise(edges))) == EVENTS


def test_byte_by_byte():
    assert list(read_events(bytes([byte]) for byte in STREAM)) == EVENTS


def test_lines_that_end_in_a_bare_cr():
    assert list(read_events([b"data: a\r\rdata: b\r", b"\r"])) == [Event("", "a"), Event("", "b")]


def test_an_event_that_the_end_cuts_off_is_dropped():
    assert list(read_events([b"data: a\n\ndata: {", b'"b"'])) == [Event("", "a")]
    assert list(read_events([b"data: a\n\ndata: b\n"])) == [Event("", "a")]


def test_an_event_is_given_as_soon_as_it_is_whole():
    def chunks():
        yield b"data: a\n\n"
        raise AssertionError("read on before the first event was given")

    assert next(read_events(chunks())) == Event("", "a")


def test_a_line_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "MAX_LINE_BYTES", 1000)

    def endless():
        while True:
            yield b"x" * 100

    with pytest.raises(StreamFormatError):
        list(read_events(endless()))


def test_what_is_not_utf8_is_refused():
    with pytest.raises(StreamFormatError):
        list(read_events([b"data: \xff\n\n"]))
