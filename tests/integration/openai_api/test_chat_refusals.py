"""What chat completions refuse, each by its name, and the errors of model servers."""

from typing import Any

import pytest
from flask_openapi import OpenAPI

from bot.access.keys import issue_key
from bot.errors import ProviderAuthFailed, ProviderRateLimited, ProviderRejected
from tests.integration.api.caller import Caller
from tests.integration.api.scripted import Scripted, says
from tests.integration.openai_api.chatting import HELLO, complete, usage
from tests.integration.openai_api.conftest import Call, refused, v1


class TestRefusals:
    @pytest.mark.parametrize(
        ("more", "code", "param"),
        [
            ({"surprise": 1}, "unknown_parameter", "surprise"),
            ({"messages": [{**HELLO[0], "surprise": 1}]}, "unknown_parameter", "messages[0].surprise"),
            ({"messages": []}, "invalid_value", "messages"),
            ({"messages": [{"role": "function", "name": "f", "content": ""}]}, "unsupported_value", "messages[0]"),
            ({"messages": [{**HELLO[0], "content": [{"type": "x"}]}]}, "unsupported_value", "messages[0].content[0]"),
            ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages[0].content"),
            ({"temperature": 3}, "invalid_value", "temperature"),
            ({"temperature": "1"}, "invalid_type", "temperature"),
            ({"n": 2}, "unsupported_parameter", "n"),
            ({"logprobs": True}, "unsupported_parameter", "logprobs"),
            ({"store": True}, "unsupported_parameter", "store"),
            ({"metadata": {"a": "b"}}, "unsupported_parameter", "metadata"),
            ({"modalities": ["text", "audio"]}, "unsupported_parameter", "modalities"),
            ({"audio": {"voice": "alloy", "format": "wav"}}, "unsupported_parameter", "audio"),
            ({"functions": [{"name": "f"}]}, "unsupported_parameter", "functions"),
            ({"function_call": "auto"}, "unsupported_parameter", "function_call"),
            ({"reasoning_effort": "high"}, "unsupported_parameter", "reasoning_effort"),
            ({"web_search_options": {}}, "unsupported_parameter", "web_search_options"),
            ({"service_tier": "flex"}, "unsupported_value", "service_tier"),
            ({"stream_options": {"include_usage": True}}, "invalid_value", "stream_options"),
            ({"max_tokens": 5, "max_completion_tokens": 6}, "invalid_value", "max_tokens"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_done_is_refused_by_name(
        self, ann: Caller, agent: str, more: dict[str, Any], code: str, param: str
    ) -> None:
        answer = v1(ann, "POST", "/chat/completions", {"model": agent, "messages": HELLO, **more})
        error = refused(400, code, answer)
        assert (error["type"], error["param"]) == ("invalid_request_error", param)
        assert f"'{param}'" in error["message"]

    def test_what_asks_for_nothing_is_accepted(self, ann: Caller, model: Scripted, agent: str) -> None:
        defaults = {
            "n": 1, "store": False, "metadata": {}, "logprobs": False, "top_logprobs": 0, "logit_bias": {},
            "modalities": ["text"], "functions": [], "tools": [], "verbosity": "medium", "service_tier": "auto",
            "user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "prompt_cache_retention": "in_memory",
            "response_format": {"type": "text"}, "stream": False,
        }  # fmt: skip
        model.script = [says("Hi!"), says("Hi!")]
        complete(ann, agent, **defaults)
        complete(ann, agent, **dict.fromkeys(defaults), stream_options=None, stop=None, temperature=None, audio=None)

    def test_a_missing_model_is_a_missing_parameter(self, call: Call) -> None:
        answer = call("POST", "/chat/completions", {"messages": HELLO})
        assert refused(400, "missing_required_parameter", answer)["param"] == "model"

    def test_another_users_agent_is_not_found(self, call: Call, bob: Caller) -> None:
        for name in (bob.agent(name="Guide"), "guide", "gpt-4o"):
            refused(404, "model_not_found", call("POST", "/chat/completions", {"model": name, "messages": HELLO}))

    def test_a_body_that_is_not_json_is_refused(self, call: Call) -> None:
        broken = call("POST", "/chat/completions", data="{", content_type="application/json")
        assert refused(400, "invalid_json", broken)["type"] == "invalid_request_error"
        refused(415, "unsupported_media_type", call("POST", "/chat/completions", data="{}", content_type="text/plain"))

    def test_a_body_that_is_too_large_is_refused(self, app: OpenAPI, call: Call) -> None:
        size = app.config["MAX_CONTENT_LENGTH"] + 1
        refused(413, "too_large", call("POST", "/chat/completions", data=b"x" * size, content_type="application/json"))


class TestProviders:
    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (ProviderRejected("long", extra={"provider_code": "too_long"}), 400, "too_long"),
            (ProviderAuthFailed("bad key"), 502, "provider_auth_failed"),
            (ProviderRateLimited("slow down", retry_after=3), 429, "provider_rate_limited"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("streamed", [False, True])
    def test_its_errors_come_through(
        self, ann: Caller, model: Scripted, agent: str, error: Exception, status: int, code: str, streamed: bool
    ) -> None:
        model.script = [[error]]
        answer = v1(ann, "POST", "/chat/completions", {"model": agent, "messages": HELLO, "stream": streamed})
        refused(status, code, answer)
        assert answer.headers.get("Retry-After") == ("3" if status == 429 else None)
        assert usage(ann) == (0, 0, 0)

    def test_what_it_refuses_of_a_message_is_named(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [[ProviderRejected("no images", extra={"message_ids": ["messages[2]"]})]]
        answer = v1(ann, "POST", "/chat/completions", {"model": agent, "messages": HELLO})
        assert refused(400, "provider_rejected", answer)["param"] == "messages[2]"


class TestScopes:
    def test_a_key_that_may_only_read_is_refused(self, ann: Caller, agent: str) -> None:
        key, _ = issue_key(ann.user, scope="read")
        headers = {"Authorization": f"Bearer {key}"}
        answer = v1(ann, "POST", "/chat/completions", {"model": agent, "messages": HELLO}, headers=headers)
        assert refused(403, "insufficient_scope", answer)["type"] == "permission_error"

    def test_a_key_of_one_agent_uses_only_that_agent(self, ann: Caller, model: Scripted, agent: str) -> None:
        other = ann.agent(name="Other")
        mine = next(each["id"] for each in ann.get("/agents")["data"] if each["id"] != other)
        key, _ = issue_key(ann.user, scope="agent", agent_id=mine)
        headers = {"Authorization": f"Bearer {key}"}
        model.script = [says("Hi!"), says("Hi!")]
        for name, status in ((mine, 200), ("guide", 200), (other, 404), ("other", 404)):
            answer = v1(ann, "POST", "/chat/completions", {"model": name, "messages": HELLO}, headers=headers)
            assert answer.status_code == status, answer.text
