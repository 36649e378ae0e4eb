"""Responses: an agent answers items that the client keeps, in OpenAI's form and that of Open Responses."""

from typing import Any

import pytest

from bot.errors import ProviderIncomplete, ProviderRateLimited
from bot.llm.types import ReasoningDelta, TextDelta, ToolCall
from tests.images import data_url, image
from tests.integration.api.caller import Caller
from tests.integration.api.scripted import LOOK as FUNCTION
from tests.integration.api.scripted import Scripted, calls, says
from tests.integration.openai_api.chatting import usage
from tests.integration.openai_api.conftest import Call, refused, v1
from tests.integration.openai_api.responding import LOOK, respond, stream, text_of

PNG_URL = data_url(image(media_type="image/png"), "image/png")
PDF_URL = "data:application/pdf;base64,JVBERi0xLjQK"


def with_file(**more: Any) -> list[dict[str, Any]]:
    """Return a message with a file."""
    return [{"role": "user", "content": [{"type": "input_file", **more}]}]


NOT_THE_USERS = [{"role": "system", "content": [{"type": "input_image", "image_url": PNG_URL}]}]
NO_SCHEMA = {"format": {"type": "json_schema", "name": "x"}}


def sent(model: Scripted) -> list[tuple[str, Any]]:
    return [(message.role, message.content) for message in model.asked[-1].messages]


class TestAnswers:
    def test_a_text_is_answered(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("Hi!")]
        made = respond(ann, agent, metadata={"a": "b"}, user="u", prompt_cache_key="k", safety_identifier="s")
        assert made["id"].startswith("resp_")
        assert (made["status"], text_of(made), made["model"]) == ("completed", "Hi!", "guide")
        assert made["created_at"] <= made["completed_at"]
        assert (made["temperature"], made["max_output_tokens"], made["store"]) == (0.5, 90, False)
        assert (made["metadata"], made["user"], made["prompt_cache_key"]) == ({"a": "b"}, "u", "k")
        assert made["usage"]["total_tokens"] == 10
        assert sent(model) == [("system", "Be brief."), ("user", "Hello")]
        assert usage(ann) == (1, 7, 3)

    def test_a_conversation_of_items_reaches_the_model_in_order(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("Fine.")]
        given = [
            {"role": "developer", "content": "Speak up."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look!"}]},
            {
                "id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "phase": "commentary",
                "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}],
            },
            {"id": "fc_1", "type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
            {"type": "function_call", "call_id": "b", "name": "look", "arguments": "{}", "status": "completed"},
            {"type": "function_call_output", "call_id": "a", "output": "rain"},
            {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "wind"}]},
            {"role": "user", "content": "And now?"},
        ]  # fmt: skip
        respond(ann, agent, given, tools=[LOOK], instructions="In English.")
        roles = [role for role, _ in sent(model)]
        assert roles == ["system", "user", "assistant", "tool", "tool", "assistant", "user"]
        system = str(sent(model)[0][1])
        assert [system.find(each) >= 0 for each in ("Be brief.", "In English.", "Speak up.")] == [True] * 3
        said = model.asked[0].messages[2]
        assert (said.content, [call.id for call in said.tool_calls]) == ("I look.", ["a", "b"])

    def test_functions_are_called(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("", tool_calls=calls(2, '{"x": 1}'), finish_reason="tool_calls")]
        made = respond(
            ann, agent, tools=[LOOK], tool_choice={"type": "function", "name": "look"}, parallel_tool_calls=False
        )
        found = [(each["type"], each["call_id"], each["name"], each["arguments"]) for each in made["output"]]
        assert found == [("function_call", f"call_{number}", "look", '{"x": 1}') for number in range(2)]
        assert len({each["id"] for each in made["output"]}) == 2
        assert made["tools"][0]["name"] == "look"
        asked = model.asked[0]
        assert asked.tool_choice == {"type": "function", "function": {"name": "look"}}
        assert asked.parallel_tool_calls is False

    def test_the_agents_own_functions_are_offered_otherwise(self, ann: Caller, model: Scripted) -> None:
        ann.agent(name="Own", provider="openai", model="gpt-test", functions=FUNCTION)
        model.script = [says("Hi!"), says("Hi!")]
        assert [tool["name"] for tool in respond(ann, "own", tools=[])["tools"]] == ["look"]
        respond(ann, "own", tool_choice="none")
        assert model.asked[1].tool_choice == "none"

    def test_a_schema_is_passed_on(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("{}"), says("{}"), says("x")]
        form = {"type": "json_schema", "name": "city", "schema": {"type": "object"}, "strict": True}
        made = respond(ann, agent, text={"format": form})
        assert made["text"]["format"]["name"] == "city"
        given = model.asked[0].response_format
        assert given == {
            "type": "json_schema", "json_schema": {"name": "city", "schema": {"type": "object"}, "strict": True}
        }  # fmt: skip
        respond(ann, agent, text={"format": {"type": "json_object"}})
        assert model.asked[1].response_format == {"type": "json_object"}
        respond(ann, agent, text={"format": {"type": "text"}, "verbosity": "medium"})
        assert model.asked[2].response_format is None

    def test_reasoning_comes_and_goes_as_an_item(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("Hi!", reasoning="They greet."), says("Yes.")]
        made = respond(ann, agent)
        assert [item["type"] for item in made["output"]] == ["reasoning", "message"]
        assert made["output"][0]["content"] == [{"type": "reasoning_text", "text": "They greet."}]
        history = [{"role": "user", "content": "Hello"}, *made["output"], {"role": "user", "content": "Sure?"}]
        respond(ann, agent, history)
        assert model.asked[1].reasoning is not None
        assert list(model.asked[1].reasoning().values()) == ["They greet."]

    def test_an_answer_that_was_cut_is_incomplete(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("Once upon", finish_reason="length"), says("", finish_reason="content_filter")]
        made = respond(ann, agent)
        assert (made["status"], made["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        assert (made["completed_at"], made["output"][0]["status"]) == (None, "incomplete")
        assert respond(ann, agent)["incomplete_details"] == {"reason": "content_filter"}

    def test_a_refusal_is_a_part_of_the_message(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("", refusal="No."), says("", refusal="No.")]
        made = respond(ann, agent)
        assert made["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
        assert stream(ann, agent)[-1]["response"]["output"][0]["content"] == made["output"][0]["content"]

    def test_an_image_goes_to_the_model(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("A dot.")]
        content = [
            {"type": "input_text", "text": "What is it?"},
            {"type": "input_image", "image_url": PNG_URL, "detail": "low"},
        ]
        respond(ann, agent, [{"role": "user", "content": content}])
        assert sent(model)[-1] == (
            "user",
            [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "low"}},
            ],
        )

    def test_a_file_goes_to_the_model(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("Empty."), says("Empty.")]
        for name in ({"filename": "a.pdf"}, {}):
            respond(ann, agent, with_file(file_data=PDF_URL, **name))
            file = {"filename": name.get("filename", "file"), "file_data": PDF_URL}
            assert sent(model)[-1] == ("user", [{"type": "file", "file": file}])

    def test_the_tokens_of_an_input_are_counted_without_a_model(self, ann: Caller, model: Scripted, agent: str) -> None:
        def count(**body: Any) -> int:
            answer = v1(ann, "POST", "/responses/input_tokens", {"model": agent, **body})
            assert answer.get_json()["object"] == "response.input_tokens"
            return int(answer.get_json()["input_tokens"])

        short = count(input="Hello")
        assert 0 < short < count(input="Hello " * 50)
        assert short < count(input="Hello", tools=[LOOK]) < count(input="Hello", tools=[LOOK], instructions="Be kind.")
        assert model.asked == []


class TestStreams:
    def test_of_a_text(self, ann: Caller, model: Scripted, agent: str) -> None:
        script = says("One two")
        model.script = [[TextDelta("One "), TextDelta("two"), script[-1]]]
        events = stream(ann, agent)
        assert [event["type"].removeprefix("response.") for event in events] == [
            "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
            "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
        ]  # fmt: skip
        assert text_of(events[-1]["response"]) == "One two"
        assert usage(ann) == (1, 7, 3)

    def test_of_reasoning_text_and_calls(self, ann: Caller, model: Scripted, agent: str) -> None:
        whole = says("Let me see.", tool_calls=calls(2), finish_reason="tool_calls", reasoning="Hm. Well.")
        model.script = [[ReasoningDelta("Hm. "), ReasoningDelta("Well."), *whole]]
        last = stream(ann, agent, tools=[LOOK])[-1]["response"]
        assert [item["type"] for item in last["output"]] == ["reasoning", "message", "function_call", "function_call"]

    def test_is_the_same_response_as_without_a_stream(self, ann: Caller, model: Scripted, agent: str) -> None:
        whole = says("Hi!", reasoning="Hm.")
        model.script = [whole, [ReasoningDelta("Hm."), *whole]]
        plain, streamed = respond(ann, agent), stream(ann, agent)[-1]["response"]
        for each in (plain, streamed):
            for name in ("id", "created_at", "completed_at"):
                each.pop(name)
            for item in each["output"]:
                item.pop("id")
        assert plain == streamed

    def test_that_was_cut_or_broke_off(self, ann: Caller, model: Scripted, agent: str) -> None:
        cut = says("", tool_calls=(ToolCall("c", "look", '{"x'),), finish_reason="length")
        model.script = [cut, [TextDelta("Half an "), ProviderIncomplete("It stopped.")]]
        last = stream(ann, agent, tools=[LOOK])[-1]
        assert (last["type"], last["response"]["output"][0]["status"]) == ("response.incomplete", "incomplete")
        last = stream(ann, agent)[-1]
        assert last["type"] == "response.failed"
        assert last["response"]["error"] == {"code": "server_error", "message": "It stopped."}
        assert text_of(last["response"]) == "Half an "

    def test_an_error_before_the_first_event_has_a_status(self, ann: Caller, model: Scripted, agent: str) -> None:
        for more in ({}, {"stream": True}):
            model.script = [[ProviderRateLimited("Slow down.", retry_after=2)]]
            answer = v1(ann, "POST", "/responses", {"model": agent, "input": "Hello", **more})
            refused(429, "provider_rate_limited", answer)
            assert answer.headers["retry-after-ms"] == "2000"

    def test_a_repeated_key_gives_the_same_response(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("Hi!", reasoning="Hm.", tool_calls=calls(1), finish_reason="tool_calls")]
        headers = {"Idempotency-Key": "k"}
        body = {"model": agent, "input": "Hello", "tools": [LOOK]}
        first, again = (v1(ann, "POST", "/responses", body, headers=headers).get_json() for _ in range(2))
        assert first == again
        assert len(model.asked) == 1

    def test_a_repeated_stream_has_the_same_last_response(self, ann: Caller, model: Scripted, agent: str) -> None:
        from tests.integration.openai_api.responding import checked

        model.script = [[ReasoningDelta("Hm."), *says("Hi!", reasoning="Hm.")]]
        body = {"model": agent, "input": "Hello", "stream": True}
        headers = {"Idempotency-Key": "k"}
        first, again = (checked(v1(ann, "POST", "/responses", body, headers=headers).text) for _ in range(2))
        assert first[-1]["response"]["output"] == again[-1]["response"]["output"]
        assert first[-1]["response"]["id"] == again[-1]["response"]["id"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("more", "code", "param"),
        [
            ({"surprise": 1}, "unknown_parameter", "surprise"),
            ({"input": []}, "invalid_value", "input"),
            ({"input": None}, "invalid_type", "input"),
            ({"input": [{"role": "tool", "content": "x"}]}, "unsupported_value", "input[0].role"),
            ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "unsupported_value", "input[0]"),
            ({"input": with_file(file_id="f")}, "unsupported_parameter", "input[0].content[0].file_id"),
            ({"input": with_file(file_url="https://x")}, "unsupported_parameter", "input[0].content[0].file_url"),
            ({"input": with_file(file_data="JVBERi0")}, "invalid_value", "input[0].content[0].file_data"),
            ({"input": with_file(file_data=PDF_URL[:-1])}, "invalid_value", "input[0].content[0].file_data"),
            ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
            ({"input": NOT_THE_USERS}, "unsupported_value", "input[0].content[0]"),
            ({"store": True}, "unsupported_parameter", "store"),
            ({"background": True}, "unsupported_parameter", "background"),
            ({"conversation": "conv_1"}, "unsupported_parameter", "conversation"),
            ({"previous_response_id": "resp_1"}, "unsupported_parameter", "previous_response_id"),
            ({"prompt": {"id": "p"}}, "unsupported_parameter", "prompt"),
            ({"moderation": {}}, "unsupported_parameter", "moderation"),
            ({"background_options": {}}, "unsupported_parameter", "background_options"),
            ({"truncation": "auto"}, "unsupported_parameter", "truncation"),
            ({"reasoning": {"effort": "high"}}, "unsupported_parameter", "reasoning"),
            ({"tools": [{"type": "web_search"}]}, "unsupported_parameter", "tools[0]"),
            ({"tools": [{"type": "mcp", "server_label": "x"}]}, "unsupported_parameter", "tools[0]"),
            ({"tool_choice": {"type": "function", "name": "none"}}, "invalid_value", "tool_choice.name"),
            ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
            ({"include": ["message.output_text.logprobs"]}, "unsupported_value", "include[0]"),
            ({"metadata": {str(number): "x" for number in range(17)}}, "invalid_value", "metadata"),
            ({"metadata": {"a": "x" * 513}}, "invalid_value", "metadata.a"),
            ({"stream_options": {}}, "invalid_value", "stream_options"),
            ({"temperature": 3}, "invalid_value", "temperature"),
            ({"service_tier": "flex"}, "unsupported_value", "service_tier"),
            ({"text": NO_SCHEMA}, "missing_required_parameter", "text.format.schema"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_done_is_refused_by_name(
        self, ann: Caller, agent: str, more: dict[str, Any], code: str, param: str
    ) -> None:
        error = refused(400, code, v1(ann, "POST", "/responses", {"model": agent, "input": "Hello", **more}))
        assert (error["type"], error["param"]) == ("invalid_request_error", param)

    def test_what_asks_for_nothing_is_accepted(self, ann: Caller, model: Scripted, agent: str) -> None:
        defaults = {
            "store": False, "background": False, "metadata": {}, "include": [], "tools": [], "truncation": "disabled",
            "service_tier": "auto", "user": "u", "stream": False, "top_logprobs": 0, "reasoning": {},
            "prompt_cache_retention": "in_memory", "text": {}, "context_management": [],
        }  # fmt: skip
        model.script = [says("Hi!"), says("Hi!"), says("Hi!")]
        respond(ann, agent, **defaults)
        nulls = ("previous_response_id", "conversation", "instructions", "temperature", "tool_choice", "prompt")
        respond(ann, agent, **dict.fromkeys((*defaults, *nulls)), stream_options=None, max_output_tokens=None)
        respond(ann, agent, include=["reasoning.encrypted_content"])

    def test_nobody_elses_agent_and_no_other_scope(self, ann: Caller, bob: Caller, agent: str, call: Call) -> None:
        refused(404, "model_not_found", v1(bob, "POST", "/responses", {"model": agent, "input": "Hello"}))
        refused(404, "model_not_found", call("POST", "/responses", {"model": "gpt-4o", "input": "Hello"}))
        key = ann.make("/api-keys", scope="read")["key"]
        headers = {"Authorization": f"Bearer {key}"}
        answer = v1(ann, "POST", "/responses", {"model": agent, "input": "Hello"}, headers=headers)
        refused(403, "insufficient_scope", answer)
