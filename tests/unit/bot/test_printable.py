"""What is printed for people contains no control sequence, wherever a stream splits it."""

import json
import logging

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cli.chat import _say
from bot.cli.client import ApiClient
from bot.logs import FORMAT, TextLines
from bot.printable import printable, printable_line

CONTROLS = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))}
DIRECTIONS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
HALVES = {chr(code) for code in range(0xD800, 0xE000)}
ANY = st.text(st.characters() | st.sampled_from(sorted(CONTROLS | DIRECTIONS)) | st.sampled_from(sorted(HALVES)))


@given(ANY)
def test_no_control_sequence_is_left(text: str) -> None:
    assert not set(printable(text)) & ((CONTROLS | DIRECTIONS | HALVES) - {"\n", "\t"})
    assert not set(printable_line(text)) & (CONTROLS | DIRECTIONS | HALVES)
    assert printable(printable(text)) == printable(text)


@given(st.text(st.characters(exclude_categories=("C", "Zl", "Zp"), include_characters="\n\t")))
def test_plain_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_each_control_character_is_shown_by_its_code_point() -> None:
    assert printable("\x1b[31mred\x1b[0m\x9b2J\u202e\ttab\r\nnext\rover") == (
        "\\u001b[31mred\\u001b[0m\\u009b2J\\u202e\ttab\nnext\\u000dover"
    )
    assert printable_line("a\nb\tc") == "a\\u000ab\\u0009c"


@pytest.mark.parametrize("cut", range(10))
def test_a_sequence_split_over_two_deltas_is_harmless_too(cut: int, capsys: pytest.CaptureFixture[str]) -> None:
    text = "\x1b]0;mine\x07\x1b[2J\x9b31m"
    events = [{"sequence": n, "text": part} for n, part in enumerate((text[:cut], text[cut:]), 1)]
    stream = "".join(f"event: message.delta\ndata: {json.dumps(each, ensure_ascii=False)}\n\n" for each in events)

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=stream.encode(), headers={"Content-Type": "text/event-stream"})

    client = ApiClient("http://127.0.0.1:1", "tt_key")
    with client, httpx2.Client(base_url="http://127.0.0.1:1", transport=httpx2.MockTransport(answer)) as scripted:
        real, client._http = client._http, scripted
        _say(client, "conv_1", "Hello")
        client._http = real
    assert capsys.readouterr().out == "\\u001b]0;mine\\u0007\\u001b[2J\\u009b31m\n"


def test_a_log_for_people_is_harmless_too() -> None:
    record = logging.LogRecord("bot", logging.WARNING, "file", 1, "the model said %s", ("\x1b[2J",), None)
    record.access_pattern = "-"
    assert TextLines(FORMAT).format(record).endswith("the model said \\u001b[2J")
