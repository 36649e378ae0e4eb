"""Functions, formats and images in chat completions."""

from typing import Any

import pytest

from bot.llm.types import ToolCall
from tests.images import image_part
from tests.integration.api.caller import Caller
from tests.integration.api.scripted import Scripted, calls, says
from tests.integration.openai_api.chatting import HELLO, LOOK, complete
from tests.integration.openai_api.conftest import refused, v1

PIXEL = image_part()


class TestFunctions:
    def test_the_clients_functions_are_offered_instead_of_the_agents(
        self, ann: Caller, model: Scripted, agent: str
    ) -> None:
        ann.patch(f"/agents/{ann.get('/agents')['data'][0]['id']}", functions=[{"name": "own"}])
        model.script = [says("Hi!"), says("Hi!"), says("Hi!")]
        complete(ann, agent, tools=[LOOK], tool_choice="required", parallel_tool_calls=False)
        complete(ann, agent, tools=[])
        complete(ann, agent, tool_choice="none")
        assert [[tool["name"] for tool in asked.tools] for asked in model.asked] == [["look"], ["own"], ["own"]]
        assert [asked.tool_choice for asked in model.asked] == ["required", None, "none"]
        assert model.asked[0].parallel_tool_calls is False

    def test_a_call_and_its_result_go_round(self, ann: Caller, model: Scripted, agent: str) -> None:
        made = (ToolCall("call_0", "look", '{"at": "Tagus"}'),)
        model.script = [says("", tool_calls=made, finish_reason="tool_calls"), says("A river.")]
        message = complete(ann, agent, tools=[LOOK]).choices[0].message
        assert message.content is None
        result = {"role": "tool", "tool_call_id": "call_0", "content": "a river"}
        answer = complete(ann, agent, [*HELLO, message.model_dump(), result], tools=[LOOK])
        assert answer.choices[0].message.content == "A river."
        _, _, calling, returned = model.asked[1].messages
        assert calling.tool_calls == made
        assert (returned.role, returned.tool_call_id, returned.content) == ("tool", "call_0", "a river")

    def test_one_function_can_be_required(self, ann: Caller, model: Scripted, agent: str) -> None:
        choice = {"type": "function", "function": {"name": "look"}}
        model.script = [says("", tool_calls=calls(1), finish_reason="tool_calls")]
        complete(ann, agent, tools=[LOOK], tool_choice=choice)
        assert model.asked[0].tool_choice == choice

    @pytest.mark.parametrize(
        ("more", "param"),
        [
            ({"tool_choice": "required"}, "tool_choice"),
            (
                {"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "x"}}},
                "tool_choice.function.name",
            ),
            ({"tools": [LOOK, LOOK]}, "tools"),
            ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ],
    )
    def test_a_choice_that_cannot_be_made_is_refused(
        self, ann: Caller, agent: str, more: dict[str, Any], param: str
    ) -> None:
        answer = v1(ann, "POST", "/chat/completions", {"model": agent, "messages": HELLO, **more})
        assert answer.status_code == 400
        assert answer.get_json()["error"]["param"].startswith(param), answer.text

    def test_functions_are_refused_if_the_model_calls_none(self, ann: Caller) -> None:
        ann.agent(name="Echo")
        body = {"model": "echo", "messages": HELLO, "tools": [LOOK]}
        assert refused(400, "unsupported_parameter", v1(ann, "POST", "/chat/completions", body))["param"] == "tools"


class TestFormats:
    def test_a_json_schema_is_passed_on(self, ann: Caller, model: Scripted, agent: str) -> None:
        schema = {
            "name": "city",
            "schema": {"type": "object", "properties": {"name": {"type": "string"}}},
            "strict": True,
        }
        model.script = [says('{"name": "Lisbon"}'), says("{}"), says("Hi!")]
        complete(ann, agent, response_format={"type": "json_schema", "json_schema": schema})
        complete(ann, agent, response_format={"type": "json_object"})
        complete(ann, agent, response_format={"type": "text"})
        assert [asked.response_format for asked in model.asked] == [
            {"type": "json_schema", "json_schema": schema},
            {"type": "json_object"},
            None,
        ]


class TestImages:
    MESSAGES = ({"role": "user", "content": [{"type": "text", "text": "What is it?"}, PIXEL]},)

    def test_an_image_reaches_the_model(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("A pixel.")]
        complete(ann, agent, [*self.MESSAGES, {"role": "assistant", "content": "Hm?"}, *HELLO])
        asked = model.asked[0].messages[1]
        assert isinstance(asked.content, list)
        assert asked.content[1] == PIXEL

    def test_an_agent_that_takes_no_images_refuses_them_by_name(self, ann: Caller, agent: str) -> None:
        ann.patch(f"/agents/{ann.get('/agents')['data'][0]['id']}", settings={"images": False})
        body = {"model": agent, "messages": list(self.MESSAGES)}
        error = refused(400, "unsupported_value", v1(ann, "POST", "/chat/completions", body))
        assert error["param"] == "messages[0].content[1]"

    @pytest.mark.parametrize("url", ["http://example.com/a.png", "data:image/png;base64,AAAA", "ftp://a"])
    def test_what_is_no_image_is_refused(self, ann: Caller, agent: str, url: str) -> None:
        content = [{"type": "image_url", "image_url": {"url": url}}]
        body = {"model": agent, "messages": [{"role": "user", "content": content}]}
        error = refused(400, "invalid_value", v1(ann, "POST", "/chat/completions", body))
        assert error["param"] == "messages[0].content[0].image_url.url"
