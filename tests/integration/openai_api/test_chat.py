"""`/v1/chat/completions`: what the model is asked, and what the client gets."""

import json
import threading
import time

import pytest
from flask_openapi import OpenAPI

from bot.errors import ProviderTimeout
from bot.llm.types import Completion, ReasoningDelta, TextDelta, Usage
from tests.integration.api.caller import Caller
from tests.integration.api.scripted import Scripted, calls, says
from tests.integration.openai_api.chatting import HELLO, LOOK, complete, events, stream, usage
from tests.integration.openai_api.conftest import refused, v1


class TestAnAnswer:
    def test_the_agent_answers_with_its_system_message_and_settings(
        self, ann: Caller, model: Scripted, agent: str
    ) -> None:
        model.script = [says("Hi!")]
        answer = complete(ann, agent)
        assert answer.id.startswith("chatcmpl-")
        assert answer.model == agent
        (choice,) = answer.choices
        assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "Hi!", "stop")
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 3, 10)
        (asked,) = model.asked
        assert [(each.role, each.content) for each in asked.messages] == [("system", "Be brief."), ("user", "Hello")]
        assert (asked.model, asked.temperature, asked.max_tokens) == ("gpt-test", 0.5, 90)

    def test_the_request_replaces_the_agents_settings(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("Hi!")]
        complete(ann, agent, temperature=0, top_p=0.9, max_completion_tokens=500, stop="END", seed=7)
        (asked,) = model.asked
        assert (asked.temperature, asked.top_p, asked.max_tokens, asked.stop, asked.seed) == (0, 0.9, 500, ("END",), 7)

    def test_the_clients_instructions_follow_those_of_the_agent(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("Hi!")]
        instructions = [{"role": "system", "content": "Rhyme."}, {"role": "developer", "content": "In French."}]
        complete(ann, agent, [*instructions, *HELLO])
        assert model.asked[0].messages[0].content == "Be brief.\n\nRhyme.\n\nIn French."

    def test_nothing_is_stored_but_the_tokens(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("Hi!")]
        complete(ann, agent)
        assert usage(ann) == (1, 7, 3)
        assert ann.get("/conversations")["data"] == []

    def test_tokens_are_counted_here_if_the_provider_does_not_count_them(
        self, ann: Caller, model: Scripted, agent: str
    ) -> None:
        model.script = [says("Hi there, my friend!", usage=None)]
        counted = complete(ann, agent).usage
        assert counted is not None
        assert counted.prompt_tokens > 5
        assert counted.completion_tokens > 3
        assert usage(ann) == (1, counted.prompt_tokens, counted.completion_tokens)

    def test_reasoning_is_returned_and_sent_back(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [[ReasoningDelta("Hm."), *says("Hi!", reasoning="Hm.")], says("Yes.")]
        message = complete(ann, agent).choices[0].message
        assert message.model_extra == {"reasoning_content": "Hm."}
        complete(ann, agent, [*HELLO, message.model_dump(), *HELLO])
        assert model.asked[1].reasoning is not None
        assert model.asked[1].reasoning() == {"messages[1]": "Hm."}

    def test_a_refusal_is_one(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("", refusal="No.")]
        message = complete(ann, agent).choices[0].message
        assert (message.content, message.refusal) == (None, "No.")

    def test_another_users_agent_answers_without_showing_its_configuration(
        self, ann: Caller, bob: Caller, model: Scripted, agent: str
    ) -> None:
        shared = ann.get("/agents")["data"][0]["id"]
        ann.make(f"/agents/{shared}/shares", user_id=bob.id)
        model.script = [says("Hi!")]
        answer = complete(bob, "shared:guide")
        assert "gpt-test" not in answer.model_dump_json()
        assert usage(bob) == (1, 7, 3)
        assert usage(ann) == (0, 0, 0)

    def test_only_its_owner_can_exceed_an_agents_limit(
        self, ann: Caller, bob: Caller, model: Scripted, agent: str
    ) -> None:
        shared = ann.get("/agents")["data"][0]["id"]
        ann.make(f"/agents/{shared}/shares", user_id=bob.id)
        body = {"model": shared, "messages": HELLO, "max_tokens": 91}
        error = refused(400, "invalid_value", v1(bob, "POST", "/chat/completions", body))
        assert error["param"] == "max_tokens"
        model.script = [says("Hi!")]
        complete(bob, shared, max_tokens=90)


class TestAStream:
    def test_the_text_comes_in_chunks(self, ann: Caller, model: Scripted, agent: str) -> None:
        whole = says("Hi Ann!")[-1]
        model.script = [[TextDelta("Hi "), TextDelta("Ann!"), whole]]
        chunks = stream(ann, agent)
        assert len({chunk.id for chunk in chunks}) == 1
        assert all(chunk.model == agent for chunk in chunks)
        deltas = [chunk.choices[0].delta for chunk in chunks]
        assert deltas[0].role == "assistant"
        assert [delta.content for delta in deltas] == ["", "Hi ", "Ann!", None]
        assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
        assert all("usage" not in chunk.model_fields_set for chunk in chunks)
        assert usage(ann) == (1, 7, 3)

    def test_the_tokens_come_in_one_more_chunk_if_the_client_asks(
        self, ann: Caller, model: Scripted, agent: str
    ) -> None:
        model.script = [says("Hi!")]
        *chunks, last = stream(ann, agent, stream_options={"include_usage": True, "include_obfuscation": False})
        assert last.choices == []
        assert last.usage is not None
        assert last.usage.total_tokens == 10
        assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in chunks)

    def test_function_calls_come_before_the_end(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("", tool_calls=calls(2), finish_reason="tool_calls")]
        chunks = stream(ann, agent, tools=[LOOK])
        made = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
        assert [(call.index, call.id, call.function and call.function.name) for call in made] == [
            (0, "call_0", "look"),
            (1, "call_1", "look"),
        ]
        assert chunks[-1].choices[0].finish_reason == "tool_calls"

    def test_an_error_before_the_first_delta_has_a_status(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [[ProviderTimeout("too slow")]]
        body = {"model": agent, "messages": HELLO, "stream": True}
        assert refused(504, "provider_timeout", v1(ann, "POST", "/chat/completions", body))["type"] == "server_error"

    def test_a_later_error_is_the_last_event(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [[TextDelta("One two three"), ProviderTimeout("too slow")]]
        body = {"model": agent, "messages": HELLO, "stream": True}
        answer = v1(ann, "POST", "/chat/completions", body)
        assert answer.status_code == 200
        error = json.loads(events(answer.text)[-1])["error"]
        assert (error["type"], error["code"], error["message"]) == ("server_error", "provider_timeout", "too slow")
        # What was received has been paid for.
        turns, tokens_in, tokens_out = usage(ann)
        assert turns == 1
        assert tokens_in > 0
        assert tokens_out > 0

    def test_a_silent_model_is_bridged_by_comments(
        self, ann: Caller, model: Scripted, agent: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bot.turns.streams.KEEP_ALIVE_SECONDS", 0.05)
        model.script = [[lambda: time.sleep(0.3), TextDelta("Hi"), lambda: time.sleep(0.3), *says("Hi")[1:]]]
        body = {"model": agent, "messages": HELLO, "stream": True}
        text = v1(ann, "POST", "/chat/completions", body).text
        before, _, after = text.partition('"Hi"')
        assert before.count(": keep-alive\n\n") >= 2
        assert after.count(": keep-alive\n\n") >= 2
        assert events(text)[-1] == "[DONE]"

    def test_a_stream_without_a_free_thread_is_refused_at_once(
        self, ann: Caller, app: OpenAPI, model: Scripted, agent: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(app.extensions["bot"].streams, "_room", threading.Semaphore(0))
        answer = v1(ann, "POST", "/chat/completions", {"model": agent, "messages": HELLO, "stream": True})
        assert refused(503, "overloaded", answer)["type"] == "server_error"
        assert answer.headers["Retry-After"] == "1"

    def test_a_refused_stream_leaves_its_thread_free(
        self, ann: Caller, app: OpenAPI, model: Scripted, agent: str
    ) -> None:
        room = app.extensions["bot"].streams._room
        before = room._value
        model.script = [[ProviderTimeout("slow")], says("Hi!")]
        v1(ann, "POST", "/chat/completions", {"model": agent, "messages": HELLO, "stream": True})
        stream(ann, agent)
        assert room._value == before

    def test_a_bug_is_an_event_without_its_cause(
        self, ann: Caller, model: Scripted, agent: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        model.script = [[TextDelta("One"), RuntimeError("a secret cause")]]
        answer = v1(ann, "POST", "/chat/completions", {"model": agent, "messages": HELLO, "stream": True})
        assert json.loads(events(answer.text)[-1])["error"]["code"] == "internal_error"
        assert "secret" not in answer.text
        assert "a secret cause" in caplog.text


def test_the_usage_that_clients_see_is_the_one_that_counts(ann: Caller, model: Scripted, agent: str) -> None:
    model.script = [[TextDelta("a"), Completion("a", (), "length", None, "m", Usage(11, 2))]]
    answer = complete(ann, agent)
    assert answer.choices[0].finish_reason == "length"
    assert usage(ann) == (1, 11, 2)
