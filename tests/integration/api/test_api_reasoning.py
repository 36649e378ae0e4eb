"""What a model reasoned is shown to clients that ask with `include=reasoning`, and to nobody else."""

from collections.abc import Callable
from typing import Any

import pytest

from bot.llm.types import ReasoningDelta, TextDelta
from tests.integration.api.caller import Caller
from tests.integration.api.scripted import Scripted, calls, says
from tests.integration.api.test_api_exports import lines_of

WHY = "They ask for Lisbon, so the castle."
PIECES = ["They ask for Lisbon, ", "so the castle."]
ASKED = "include=reasoning"


def reasons(text: str = "The castle.", **details: Any) -> list[Any]:
    """Return the script of an answer with reasoning."""
    *deltas, completion = says(text, reasoning=WHY, **details)
    return [*map(ReasoningDelta, PIECES), *deltas, completion]


def events_of(text: str) -> list[tuple[str, str, str]]:
    """Return the events of a stream: id, name and data."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["id"], lines["event"], lines["data"]))
    return found


def test_a_plain_answer_includes_reasoning_only_on_request(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script += [reasons(), reasons()]
    plain = ann.make(f"{conversation}/messages", content="What to see?")
    asked = ann.make(f"{conversation}/messages?{ASKED}", content="What to see?")
    assert [each["reasoning"] for each in (*plain["output"], *asked["output"])] == [None, WHY]
    assert WHY not in str(plain)
    assert asked["input"][0]["reasoning"] is None


def test_messages_include_reasoning_only_on_request(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script += [reasons(), says("No reason.")]
    made = ann.make(f"{conversation}/messages", content="What to see?")["output"][0]
    ann.make(f"{conversation}/messages", content="Why?")
    path = f"{conversation}/messages"
    assert [each["reasoning"] for each in ann.get(path)["data"]] == [None] * 4
    for order, expected in (("asc", [None, WHY, None, None]), ("desc", [None, None, WHY, None])):
        found = ann.get(path, include="reasoning", order=order)["data"]
        assert [each["reasoning"] for each in found] == expected
    assert ann.get(f"{path}/{made['id']}")["reasoning"] is None
    assert ann.get(f"{path}/{made['id']}", include="reasoning")["reasoning"] == WHY


def test_the_model_does_not_get_its_reasoning_back(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script += [reasons(), says("Bye.")]
    ann.make(f"{conversation}/messages", content="What to see?")
    ann.make(f"{conversation}/messages", content="Thanks")
    assert WHY not in str(model.asked[-1].messages)


def test_the_model_request_can_read_stored_reasoning(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script += [reasons(), says("Bye.")]
    made = ann.make(f"{conversation}/messages", content="What to see?")["output"][0]
    ann.make(f"{conversation}/messages", content="Thanks")
    read = model.asked[-1].reasoning
    assert read is not None
    assert read() == {made["id"]: WHY}


def test_function_calls_have_it_on_the_first_message(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script += [reasons("", tool_calls=calls(2), finish_reason="tool_calls")]
    made = ann.make(f"{conversation}/messages?{ASKED}", content="Look!")["output"]
    assert [(each["type"], each["reasoning"]) for each in made] == [("function_call", WHY), ("function_call", None)]


def test_a_live_stream_includes_reasoning_only_on_request(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script += [reasons(), reasons()]
    plain = ann.call("POST", f"{conversation}/messages", {"content": "What?", "stream": True}).get_data(as_text=True)
    assert [(number, name) for number, name, _ in events_of(plain)] == [
        ("1", "turn.started"),
        ("2", "message.delta"),
        ("3", "turn.completed"),
    ]
    assert PIECES[0] not in plain
    asked = ann.call("POST", f"{conversation}/messages?{ASKED}", {"content": "What?", "stream": True})
    events = events_of(asked.get_data(as_text=True))
    assert [(number, name) for number, name, _ in events] == [
        ("1", "turn.started"),
        ("1-1", "reasoning.delta"),
        ("1-2", "reasoning.delta"),
        ("2", "message.delta"),
        ("3", "turn.completed"),
    ]
    assert events[2][2] == '{"sequence": 1, "part": 2, "text": "so the castle."}'
    assert WHY in events[-1][2]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
def test_reasoning_is_replayed_and_resumed_after_any_event(
    ann: Caller, conversation: str, model: Scripted, stream: bool
) -> None:
    model.script += [reasons()]
    ann.call("POST", f"{conversation}/messages", {"content": "What?", "stream": stream}).get_data()
    (message,) = ann.get(f"{conversation}/messages", order="desc", limit=1)["data"]
    path = f"/turns/{message['turn_id']}/events"

    def read(query: str, **options: Any) -> list[str]:
        answer = ann.call("GET", f"{path}?{query}", **options)
        return [number for number, _, _ in events_of(answer.get_data(as_text=True))]

    whole = ["1", "1-1", "1-2", "2", "3"] if stream else ["1", "1-1", "2", "3"]
    assert read(ASKED) == whole
    assert read("") == ["1", "2", "3"]
    for position, event in enumerate(whole[:-1]):
        assert read(f"{ASKED}&after={event}") == whole[position + 1 :]
        assert read(ASKED, headers={"Last-Event-ID": event}) == whole[position + 1 :]
        assert read(f"after={event}") == [each for each in whole[position + 1 :] if "-" not in each]
    assert ann.call("GET", f"{path}?{ASKED}&after={whole[-1]}").status_code == 204


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
def test_a_refusal_comes_with_the_end_in_a_replay_as_in_the_stream(
    ann: Caller, conversation: str, model: Scripted, stream: bool
) -> None:
    model.script += [reasons("", refusal="I will not.")]
    ann.call("POST", f"{conversation}/messages", {"content": "What?", "stream": stream}).get_data()
    (message,) = ann.get(f"{conversation}/messages", order="desc", limit=1)["data"]
    replayed = ann.call("GET", f"/turns/{message['turn_id']}/events").get_data(as_text=True)
    assert [(number, name) for number, name, _ in events_of(replayed)] == [
        ("1", "turn.started"),
        ("2", "turn.completed"),
    ]
    assert "I will not." in replayed


NO_IDS = ["-1", "x", "1-", "1.5", "1-1-1", "1e3", "٣", "1 ", "12345678901", "1-12345678901", ""]


@pytest.mark.parametrize("after", NO_IDS)
def test_an_invalid_event_id_is_refused(ann: Caller, conversation: str, model: Scripted, after: str) -> None:
    model.script += [says("Hi.")]
    turn = ann.make(f"{conversation}/messages", content="Hello")["turn"]
    path = f"/turns/{turn['id']}/events"
    wrong = ann.refused(422, "validation_failed", "GET", path, query_string={"after": after})
    assert wrong == {"after": "must be the id of an event, such as 5 or 5-2"}
    if after.isascii() and after.strip() == after and after:
        wrong = ann.refused(422, "validation_failed", "GET", path, headers={"Last-Event-ID": after})
        assert wrong == {"Last-Event-ID": "must be the id of an event, such as 5 or 5-2"}


def test_an_invalid_include_names_the_valid_value(ann: Caller, conversation: str) -> None:
    wrong = ann.refused(422, "validation_failed", "GET", f"{conversation}/messages?include=secrets")
    assert "reasoning" in wrong["include"]


def test_a_replay_includes_reasoning_on_request(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script += [reasons()]
    headers = {"Idempotency-Key": "once"}
    body = {"content": "What?"}
    first = ann.call("POST", f"{conversation}/messages", body, headers=headers).get_json()
    again = ann.call("POST", f"{conversation}/messages?{ASKED}", body, headers=headers).get_json()
    assert [first["output"][0]["reasoning"], again["output"][0]["reasoning"]] == [None, WHY]
    assert again["turn"] == first["turn"]


def test_an_unfinished_turn_counts_its_tokens(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script.append([ReasoningDelta(WHY), TextDelta("The"), RuntimeError("cut")])
    model.script.append([ReasoningDelta(WHY), RuntimeError("cut")])
    turns = [ann.call("POST", f"{conversation}/messages", {"content": "?"}).get_json()["turn"] for _ in range(2)]
    assert [turn["partial_text"] for turn in turns] == ["The", None]
    used = [turn["usage"]["output_tokens"] for turn in turns]
    assert used[0] > used[1] >= len(WHY) // 8


def test_an_export_includes_reasoning(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script += [reasons()]
    ann.make(f"{conversation}/messages", content="What?")
    exported = [line["reasoning"] for line in lines_of(ann) if line["type"] == "message"]
    assert exported == [None, WHY]


def test_another_user_gets_404(
    ann: Caller, new_caller: Callable[..., Caller], conversation: str, model: Scripted
) -> None:
    model.script += [reasons()]
    made = ann.make(f"{conversation}/messages", content="What?")["output"][0]
    messages = f"{conversation}/messages"
    for path in (messages, f"{messages}/{made['id']}", f"/turns/{made['turn_id']}/events"):
        new_caller().refused(404, "not_found", "GET", f"{path}?{ASKED}")
