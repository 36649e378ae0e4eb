"""Whether a stream is stored while it runs: as the request says, else the agent, else the deployment."""

import re
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from bot.llm.types import TextDelta
from models.table.connection import TableSettings
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import serving
from tests.integration.api.scripted import Scripted, calls, says, scripted_model
from tests.integration.api.test_api_reasoning import ASKED, events_of, reasons
from tests.processes import wait_until
from tests.raw import whole_table

UNKEPT = {"content": "Count.", "stream": True, "keep_stream": False}
PIECES = ["One, ", "two, ", "three 🙂, ", "four."]


def counts(*last: Any) -> list[Any]:
    """Return the script of an answer in several pieces."""
    *_, completion = says("".join(PIECES))
    return [*map(TextDelta, PIECES), *(last or [completion])]


def turn_of(events: list[tuple[str, str, str]]) -> str:
    return events[0][2].split('"turn_id": "')[1].split('"')[0]


def read(answer: TestResponse) -> list[tuple[str, str, str]]:
    """Return the events of a stream without the id of its request."""
    return events_of(re.sub(r'"request_id": "\w+"', "", answer.get_data(as_text=True)))


def live(who: Caller, path: str, body: Any = UNKEPT, **options: Any) -> list[tuple[str, str, str]]:
    return read(who.call("POST", f"{path}/messages", body, **options))


def followed(who: Caller, turn_id: str, **query: Any) -> list[tuple[str, str, str]]:
    return read(who.call("GET", f"/turns/{turn_id}/events", query_string=query))


def stored_events(turn_id: str) -> list[Any]:
    return [key for key in whole_table() if key[0] == f"TURN#{turn_id}"]


@pytest.mark.parametrize("request_keeps", [None, True, False])
@pytest.mark.parametrize("agent_keeps", [None, True, False])
@pytest.mark.parametrize("deployment_keeps", [True, False])
def test_the_request_decides_then_the_agent_then_the_deployment(
    table: TableSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request_keeps: bool | None,
    agent_keeps: bool | None,
    deployment_keeps: bool,
) -> None:
    with serving(table, tmp_path, keep_streams=deployment_keeps) as app:
        model = scripted_model(app, monkeypatch)
        model.script += [counts()]
        ann = Caller(app)
        agent = ann.agent(provider="openai", model="gpt-test", settings={"keep_streams": agent_keeps})
        path = f"/conversations/{ann.conversation(agent)}"
        turn_id = turn_of(live(ann, path, {"content": "Count.", "stream": True, "keep_stream": request_keeps}))
        expected = next(each for each in (request_keeps, agent_keeps, deployment_keeps) if each is not None)
        assert bool(stored_events(turn_id)) is expected
        assert not hasattr(model.asked[0], "keep_streams"), "it is no parameter of the model"


def test_a_stream_that_is_not_kept_is_replayed_and_resumed_with_the_same_events(
    ann: Caller, conversation: str, model: Scripted
) -> None:
    model.script += [counts()]
    events = live(ann, conversation)
    assert [number for number, _, _ in events] == ["1", "2", "3", "4", "5", "6"]
    turn_id = turn_of(events)
    assert followed(ann, turn_id) == events
    for position, (number, _, _) in enumerate(events[:-1], 1):
        assert followed(ann, turn_id, after=number) == events[position:]
    assert ann.call("GET", f"/turns/{turn_id}/events?after=6").status_code == 204
    assert stored_events(turn_id) == []


def test_its_reasoning_is_replayed_too(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script += [reasons()]
    answer = ann.call("POST", f"{conversation}/messages?{ASKED}", UNKEPT)
    events = read(answer)
    whole = [number for number, _, _ in events]
    assert whole == ["1", "1-1", "1-2", "2", "3"]
    turn_id = turn_of(events)
    for position, number in enumerate(whole[:-1], 1):
        assert followed(ann, turn_id, include="reasoning", after=number) == events[position:]
        assert [each[0] for each in followed(ann, turn_id, after=number)] == [
            each for each in whole[position:] if "-" not in each
        ]


@pytest.mark.parametrize("last", [OSError("It broke."), None], ids=["failed", "incomplete"])
def test_the_partial_text_of_a_failed_turn_is_replayed_in_its_pieces(
    ann: Caller, conversation: str, model: Scripted, last: Exception | None
) -> None:
    model.script += [[*map(TextDelta, PIECES), *([last] if last else [])]]
    events = live(ann, conversation)
    assert events[-1][1] == "turn.failed"
    assert "".join(PIECES) in events[-1][2]
    for position, (number, _, _) in enumerate(events[:-1], 1):
        assert followed(ann, turn_of(events), after=number) == events[position:]


def test_a_refusal_and_function_calls_are_replayed_as_they_were_streamed(
    ann: Caller, conversation: str, model: Scripted
) -> None:
    model.script += [says("", refusal="I will not."), says("I look.", tool_calls=calls(1), finish_reason="tool_calls")]
    for _ in range(2):
        events = live(ann, conversation)
        assert followed(ann, turn_of(events)) == events
        assert [number for number, _, _ in events] == [str(number) for number in range(1, len(events) + 1)]


def test_a_repeated_key_gets_the_same_stream(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script += [counts()]
    first, again = (live(ann, conversation, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first == again
    assert len(model.asked) == 1
    other = {**UNKEPT, "keep_stream": True}
    ann.refused(
        422, "idempotency_key_reused", "POST", f"{conversation}/messages", other, headers={"Idempotency-Key": "k"}
    )


def test_a_background_turn_that_is_not_kept_is_followed_to_its_end(
    ann: Caller, conversation: str, model: Scripted
) -> None:
    model.script += [counts()]
    body = {"content": "Count.", "background": True, "keep_stream": False}
    accepted = ann.call("POST", f"{conversation}/messages", body)
    turn_id = accepted.get_json()["turn"]["id"]
    events = followed(ann, turn_id)
    assert [(number, name) for number, name, _ in events] == [
        ("1", "turn.started"),
        *((str(number), "message.delta") for number in range(2, 6)),
        ("6", "turn.completed"),
    ]
    wait_until(lambda: ann.get(f"/turns/{turn_id}")["status"] == "completed")
    assert followed(ann, turn_id, after=3) == events[3:]
    assert stored_events(turn_id) == []


def test_a_stream_of_too_many_pieces_ends_with_its_whole_answer(
    ann: Caller, conversation: str, model: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.script += [counts()]
    monkeypatch.setattr("bot.turns.event_log.pack_pieces", lambda sizes: None)
    events = live(ann, conversation)
    turn_id = turn_of(events)
    assert [each[:2] for each in followed(ann, turn_id)] == [
        ("1", "turn.started"),
        ("2", "message.delta"),
        ("6", "turn.completed"),
    ]
    assert followed(ann, turn_id, after=3) == events[-1:], "nothing is sent twice, and the end has the whole text"
    assert "".join(PIECES) in events[-1][2]


@pytest.mark.parametrize(
    "body", [{"content": "x"}, {"content": "x", "reply": False}, {"content": "x", "stream": False}]
)
@pytest.mark.parametrize("keep", [True, False])
def test_a_stream_to_keep_needs_a_stream(ann: Caller, conversation: str, body: Any, keep: bool) -> None:
    wrong = ann.refused(422, "validation_failed", "POST", f"{conversation}/messages", {**body, "keep_stream": keep})
    assert wrong == {"keep_stream": "must not be sent unless stream or background is true"}


def test_so_does_a_turn_without_a_message(ann: Caller, conversation: str, model: Scripted) -> None:
    ann.refused(422, "validation_failed", "POST", f"{conversation}/turns", {"keep_stream": False})
    ann.say(conversation.rpartition("/")[2], "Count.")
    model.script += [counts()]
    answer = ann.call("POST", f"{conversation}/turns", {"stream": True, "keep_stream": False})
    events = read(answer)
    assert followed(ann, turn_of(events)) == events
