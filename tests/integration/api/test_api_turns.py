"""Turns with a scripted provider: the result of every kind of answer that a model can give."""

import json
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from bot.errors import ProviderTimeout
from bot.llm.normal_form import EMPTY_ANSWER
from bot.llm.types import TextDelta, ToolCall
from bot.turns import running
from bot.turns.service import Question
from bot.turns.tools import MAX_CALLS
from models.access_patterns.messages import Draft
from models.table import clock
from models.table.connection import settings
from models.table.errors import Contended
from models.table.item import MAX_TEXT_BYTES
from tests.factories import noise
from tests.fake_clock import FakeClock
from tests.integration.api.caller import Caller
from tests.integration.api.scripted import LOOK, Script, Scripted, calls, says
from tests.processes import wait_until
from tests.wire import lost_answers

INSIDE = "postgres://inside"


def fails(ann: Caller, conversation: str, model: Scripted, script: Script, status: int, code: str) -> Any:
    """Send a message for which the model fails; check what is stored, and return the turn."""
    before = ann.get(conversation)["message_count"]
    model.script.append(script)

    answer = ann.call("POST", f"{conversation}/messages", {"content": "Hello"})

    problem = answer.get_json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    assert INSIDE not in answer.text
    turn = problem["turn"]
    assert turn["status"] == "failed"
    assert turn["error"]["code"] == code
    assert ann.get(f"/turns/{turn['id']}") == turn
    opened = ann.get(conversation)
    assert opened["message_count"] == before + 1, "the message stays, and no half answer stands beside it"
    assert opened["messages"][-1]["content"] == "Hello"
    assert opened["active_turn_id"] is None

    model.script.append(says("Here I am again."))
    assert ann.make(f"{conversation}/messages", content="Again")["output"][0]["content"] == "Here I am again."
    return turn


def test_the_partial_answer_of_a_failed_turn_is_kept_on_the_turn(
    ann: Caller, conversation: str, model: Scripted
) -> None:
    script = [TextDelta("Half "), TextDelta("an answer"), ProviderTimeout("openai was silent for 4 seconds.")]
    turn = fails(ann, conversation, model, script, 504, "provider_timeout")
    assert turn["partial_text"] == "Half an answer"
    assert turn["error"]["detail"] == "openai was silent for 4 seconds."


def test_an_internal_error_ends_the_turn_and_reveals_no_details(
    ann: Caller, conversation: str, model: Scripted
) -> None:
    turn = fails(ann, conversation, model, [TextDelta("Half"), RuntimeError(INSIDE)], 500, "internal_error")
    assert INSIDE not in str(turn)


def test_an_answer_whose_stream_ends_early_is_incomplete(ann: Caller, conversation: str, model: Scripted) -> None:
    fails(ann, conversation, model, [TextDelta("Half")], 502, "provider_incomplete")


def test_an_empty_answer_is_an_answer(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script += [says(""), says("Now I know.")]
    done = ann.make(f"{conversation}/messages", content="Hello")
    assert [each["content"] for each in done["output"]] == [""]
    ann.make(f"{conversation}/messages", content="Well?")
    assert [(each.role, each.content) for each in model.asked[-1].messages] == [
        (
            "user",
            [{"type": "text", "text": text} for text in ("Hello", EMPTY_ANSWER, "Well?")],
        ),
    ]


def test_an_answer_too_long_to_store_fails_clearly_and_its_beginning_is_kept(
    ann: Caller, conversation: str, model: Scripted
) -> None:
    turn = fails(ann, conversation, model, says(noise(500_000)), 413, "too_large")
    assert turn["partial_text"] == noise(500_000)[:MAX_TEXT_BYTES]
    assert "The partial text is truncated." in turn["error"]["detail"]


def test_more_calls_than_can_be_answered_at_once_fail_the_turn(ann: Caller, conversation: str, model: Scripted) -> None:
    fails(ann, conversation, model, says("", tool_calls=calls(MAX_CALLS + 1)), 502, "provider_error")


def test_a_call_that_was_cut_off_fails_the_turn(ann: Caller, conversation: str, model: Scripted) -> None:
    script = says("", tool_calls=calls(1, '{"place": "Lis'), finish_reason="length")
    fails(ann, conversation, model, script, 502, "provider_incomplete")


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_truncated_answer_is_kept_and_says_why(ann: Caller, conversation: str, model: Scripted, reason: str) -> None:
    model.script.append(says("As far as I", finish_reason=reason))
    done = ann.make(f"{conversation}/messages", content="Hello")
    assert done["output"][0]["attributes"] == {"finish_reason": reason}
    assert (done["turn"]["status"], done["turn"]["finish_reason"]) == ("completed", reason)


def test_a_refusal_is_an_answer_that_says_it_is_one(ann: Caller, conversation: str, model: Scripted) -> None:
    model.script.append(says("", refusal="I will not."))
    (message,) = ann.make(f"{conversation}/messages", content="Hello")["output"]
    assert (message["content"], message["attributes"]) == ("I will not.", {"refusal": True})


def test_as_many_calls_as_can_be_stored_are_answered_all_together(
    ann: Caller, conversation: str, model: Scripted
) -> None:
    model.script += [says("Let me look.", tool_calls=calls(MAX_CALLS), finish_reason="tool_calls"), says("Found it.")]
    asked = ann.make(f"{conversation}/messages", content="Look everywhere.")
    assert [each["type"] for each in asked["output"]] == ["text", *["function_call"] * MAX_CALLS]
    results = [{"call_id": f"call_{each}", "content": str(each)} for each in range(MAX_CALLS)]

    done = ann.make(f"{conversation}/messages", results=list(reversed(results)))

    assert [each["content"] for each in done["input"]] == [str(each) for each in range(MAX_CALLS)]
    assert done["output"][0]["content"] == "Found it."
    told = model.asked[-1].messages
    assert [message.role for message in told] == ["user", "assistant", *["tool"] * MAX_CALLS]
    assert len(told[1].tool_calls) == MAX_CALLS


def test_an_answer_too_large_for_a_transaction_fails_its_turn(ann: Caller, conversation: str, model: Scripted) -> None:
    made = tuple(
        ToolCall(f"call_{each}", "look", json.dumps({"at": noise(100_000, seed=each)})) for each in range(MAX_CALLS)
    )
    script = says("Let me look.", tool_calls=made, finish_reason="tool_calls")
    turn = fails(ann, conversation, model, script, 413, "too_large")
    assert "at most 4,194,304 bytes" in turn["error"]["detail"]
    assert turn["partial_text"] == "Let me look."


def test_results_too_large_for_a_transaction_are_refused_and_smaller_ones_accepted(
    ann: Caller, conversation: str, model: Scripted
) -> None:
    model.script += [says("", tool_calls=calls(MAX_CALLS), finish_reason="tool_calls"), says("Found it.")]
    ann.make(f"{conversation}/messages", content="Look everywhere.")
    large, small = (
        [{"call_id": f"call_{each}", "content": noise(size, seed=each)} for each in range(MAX_CALLS)]
        for size in (100_000, 40_000)
    )
    errors = ann.refused(413, "too_large", "POST", f"{conversation}/messages", {"results": large})
    assert errors == {"results": "together at most 4,194,304 bytes, compressed and as they are sent"}

    done = ann.make(f"{conversation}/messages", results=small)

    assert (done["turn"]["status"], done["output"][0]["content"]) == ("completed", "Found it.")
    assert [len(each["content"]) for each in done["input"]] == [40_000] * MAX_CALLS


def test_results_reach_the_model_with_their_calls_despite_a_small_window(ann: Caller, model: Scripted) -> None:
    agent_id = ann.agent(provider="openai", model="gpt-test", functions=LOOK, settings={"window": 1})
    conversation = f"/conversations/{ann.conversation(agent_id)}"
    model.script += [says("", tool_calls=calls(3), finish_reason="tool_calls"), says("Done.")]
    ann.make(f"{conversation}/messages", content="Look.")
    ann.make(f"{conversation}/messages", results=[{"call_id": f"call_{each}", "content": "x"} for each in range(3)])
    assert [message.role for message in model.asked[-1].messages] == ["user", "assistant", "tool", "tool", "tool"]


@pytest.mark.parametrize(("window", "told"), [(1, 1), (2, 1), (5, 5), (40, 39), (None, 19)])
def test_the_model_sees_at_most_the_window(ann: Caller, model: Scripted, window: int | None, told: int) -> None:
    agent_id = ann.agent(provider="openai", model="gpt-test", settings={"window": window} if window else {})
    conversation = f"/conversations/{ann.conversation(agent_id)}"
    model.script = [says("Yes.") for _ in range(21)]
    for number in range(21):
        ann.make(f"{conversation}/messages", content=str(number))
    messages = model.asked[-1].messages
    assert len(messages) == told
    assert messages[-1].content == "20"


def test_the_context_is_limited_to_the_agents_context_tokens(ann: Caller, model: Scripted) -> None:
    text = "word " * 2000
    for tokens, told in ((8_000, 3), (40_000, 7), (None, 7)):
        settings = {"context_tokens": tokens} if tokens else {}
        conversation = f"/conversations/{ann.conversation(ann.agent(provider='openai', settings=settings))}"
        model.script = [says(text) for _ in range(4)]
        for _ in range(4):
            ann.make(f"{conversation}/messages", content=text)
        assert len(model.asked[-1].messages) == told, tokens


def test_a_long_answer_leaves_at_least_half_of_the_context_to_the_conversation(ann: Caller, model: Scripted) -> None:
    agent_id = ann.agent(provider="openai", settings={"max_tokens": 1_000_000})
    conversation = f"/conversations/{ann.conversation(agent_id)}"
    model.script = [says("Yes."), says("Yes.")]
    ann.make(f"{conversation}/messages", content="One")
    ann.make(f"{conversation}/messages", content="Two")
    assert [message.content for message in model.asked[-1].messages] == ["One", "Yes.", "Two"]


def test_an_empty_conversation_has_nothing_to_answer(ann: Caller, conversation: str, model: Scripted) -> None:
    ann.refused(409, "conflict", "POST", f"{conversation}/turns", {})
    assert model.asked == []
    assert ann.get(conversation)["active_turn_id"] is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failure", [EndpointConnectionError(endpoint_url=INSIDE), Contended("Others kept writing.")])
def test_an_answer_that_cannot_be_stored_is_reported_and_frees_the_conversation(
    ann: Caller,
    conversation: str,
    model: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    stream: bool,
    failure: Exception,
) -> None:
    def broken(*_: object) -> None:
        raise failure

    model.script.append(says("Lost words"))
    with monkeypatch.context() as patched:
        patched.setattr(running, "end_turn", broken)
        answer = ann.call("POST", f"{conversation}/messages", {"content": "Hello", "stream": stream})
    assert "table_unavailable" in answer.text
    assert INSIDE not in answer.text
    if stream:
        assert answer.text.rpartition("event: ")[2].startswith("turn.failed")
    else:
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.get_json()["turn"]["status"] == "interrupted"
    assert [each["content"] for each in ann.get(conversation)["messages"]] == ["Hello"]

    later = clock.now() + 2 * ann.app.extensions["bot"].turns._leases.duration
    monkeypatch.setattr(clock, "_source", lambda: later)
    monkeypatch.setattr(clock, "_measured", False)
    model.script.append(says("Here I am again."))
    assert ann.make(f"{conversation}/messages", content="Again")["output"][0]["content"] == "Here I am again."


# With a key, the request finds what it has begun, and is told how that ended.
@pytest.mark.parametrize(("key", "code"), [(None, "table_unavailable"), ("once", "turn_interrupted")])
def test_a_turn_whose_start_was_not_acknowledged_is_ended_without_waiting_for_its_lease(
    ann: Caller, conversation: str, model: Scripted, fake_clock: FakeClock, key: str | None, code: str
) -> None:
    headers = {"Idempotency-Key": key} if key else {}
    with lost_answers("TransactWriteItems", settings().max_attempts) as lost:
        answer = ann.call("POST", f"{conversation}/messages", {"content": "Hello"}, headers=headers)
    assert len(lost) == settings().max_attempts
    assert (answer.status_code, answer.get_json()["code"]) == (503, code)
    assert key or answer.headers["Retry-After"] == "1"

    # The clock is frozen, so no lease expires.
    wait_until(lambda: ann.get(conversation)["active_turn_id"] is None)
    turn_id = ann.get(f"{conversation}/messages")["data"][0]["turn_id"]
    turn = ann.get(f"/turns/{turn_id}")
    assert (turn["status"], turn["error"]["code"]) == ("interrupted", "turn_interrupted")
    assert "DynamoDB did not answer when this turn began" in turn["error"]["detail"]
    model.script.append(says("Here I am."))
    assert ann.make(f"{conversation}/messages", content="Again")["output"][0]["content"] == "Here I am."
    assert [each["content"] for each in ann.get(conversation)["messages"]] == ["Hello", "Again", "Here I am."]


def test_a_turn_whose_end_could_not_be_stored_frees_its_conversation_when_the_table_is_back(
    ann: Caller, conversation: str, model: Scripted, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url=INSIDE)

    model.script.append(says("Lost words"))
    with monkeypatch.context() as patched:
        patched.setattr(running, "end_turn", broken)
        told = ann.call("POST", f"{conversation}/messages", {"content": "Hello"}).get_json()["turn"]
    wait_until(lambda: ann.get(conversation)["active_turn_id"] is None)
    assert ann.get(f"/turns/{told['id']}")["status"] == told["status"] == "interrupted"


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_that_is_deleted_while_it_is_answered_stays_deleted(
    ann: Caller, conversation: str, model: Scripted, stream: bool
) -> None:
    model.script.append([TextDelta("Hal"), lambda: ann.delete(conversation), *says("f an answer")])
    answer = ann.call("POST", f"{conversation}/messages", {"content": "Hello", "stream": stream})
    assert "turn_interrupted" in answer.text
    assert answer.status_code == (200 if stream else 503)
    ann.refused(404, "not_found", "GET", conversation)
    ann.refused(404, "not_found", "GET", f"{conversation}/messages")


def test_a_message_stored_during_a_turn_precedes_the_answer(ann: Caller, conversation: str, model: Scripted) -> None:
    conversation_id = conversation.rpartition("/")[2]
    model.script.append([TextDelta("An"), lambda: ann.say(conversation_id, "One more thing"), *says("swer")])
    ann.make(f"{conversation}/messages", content="Hello")
    opened = ann.get(conversation)
    assert [each["content"] for each in opened["messages"]] == ["Hello", "One more thing", "swer"]
    assert opened["message_count"] == 3


def test_a_conversation_that_is_closed_during_a_turn_still_gets_its_answer(
    ann: Caller, conversation: str, model: Scripted
) -> None:
    model.script.append([lambda: ann.patch(conversation, status="archived"), *says("Answer")])
    assert ann.make(f"{conversation}/messages", content="Hello")["turn"]["status"] == "completed"
    opened = ann.get(conversation)
    assert (opened["status"], opened["message_count"]) == ("archived", 2)
    assert [each["id"] for each in ann.get("/conversations", status="archived")["data"]] == [opened["id"]]


def test_during_a_turn_the_conversation_names_it_and_refuses_another(
    ann: Caller, conversation: str, model: Scripted
) -> None:
    seen: list[Any] = []

    def look() -> None:
        seen.append(ann.get(conversation)["active_turn_id"])
        for path, body in (("messages", {"content": "Me too"}), ("turns", {})):
            answer = ann.call("POST", f"{conversation}/{path}", body)
            assert (answer.status_code, answer.get_json()["code"]) == (409, "conversation_busy")
            assert 1 <= int(answer.headers["Retry-After"]) <= 5
        assert ann.get(f"/turns/{seen[0]}")["status"] == "running"

    model.script.append([look, *says("Answer")])
    turn = ann.make(f"{conversation}/messages", content="Hello")["turn"]
    assert seen == [turn["id"]]
    assert ann.get(conversation)["message_count"] == 2


def test_the_user_message_is_stored_before_the_model_is_asked(ann: Caller, conversation: str, model: Scripted) -> None:
    stored: list[Any] = []
    model.script.append([lambda: stored.extend(ann.get(conversation)["messages"]), *says("Answer")])
    ann.make(f"{conversation}/messages", content="Hello")
    assert [each["content"] for each in stored] == ["Hello"]


@pytest.mark.parametrize("how", ["stream", "background"])
def test_a_turn_without_a_thread_is_ended_and_frees_its_conversation(
    ann: Caller, conversation: str, model: Scripted, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    streams = ann.app.extensions["bot"].streams

    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    room = streams._room._value
    with monkeypatch.context() as patch:
        patch.setattr(streams._pool, "submit", no_thread)
        answer = ann.call("POST", f"{conversation}/messages", {"content": "Hello", how: True})
    assert (answer.status_code, answer.get_json()["code"]) == (503, "overloaded")
    assert answer.headers["Retry-After"] == "1"
    assert streams._room._value == room, "its place is there for another turn"

    wait_until(lambda: ann.get(conversation)["active_turn_id"] is None)
    model.script.append(says("Here."))
    done = ann.make(f"{conversation}/messages", content="Again")
    assert done["output"][0]["content"] == "Here."
    assert [each["content"] for each in ann.get(conversation)["messages"]] == ["Hello", "Again", "Here."]


def test_the_lease_of_a_dead_worker_expires_and_its_turn_is_recorded_as_interrupted(
    ann: Caller, conversation: str, model: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = ann.app.extensions["bot"].turns
    with ann.app.app_context():
        agent = turns.agent_of(ann.id, conversation.rpartition("/")[2])
    died = turns.begin(ann.id, conversation.rpartition("/")[2], Question(Draft("user", "Hello")), agent)
    turns._leases.release(died.lease)
    later = clock.now() + 2 * turns._leases.duration
    monkeypatch.setattr(clock, "_source", lambda: later)
    monkeypatch.setattr(clock, "_measured", False)

    model.script.append(says("Late, but here."))
    done = ann.make(f"{conversation}/messages", content="Anybody there?")

    assert done["output"][0]["content"] == "Late, but here."
    orphan = ann.get(f"/turns/{died.lease.turn_id}")
    assert (orphan["status"], orphan["error"]["code"]) == ("interrupted", "turn_interrupted")
    assert [each["content"] for each in ann.get(conversation)["messages"]] == [
        "Hello",
        "Anybody there?",
        "Late, but here.",
    ]
