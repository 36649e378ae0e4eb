"""Chat completions count in their user's limits, and a repeated request counts once."""

import time

import pytest
from flask_openapi import OpenAPI

from bot.errors import ProviderTimeout
from bot.llm.types import TextDelta
from models.access_patterns.allowances import change_limits, get_allowance
from models.allowance import Limits
from tests.integration.api.caller import Caller
from tests.integration.api.scripted import Scripted, calls, says
from tests.integration.openai_api.chatting import HELLO, LOOK, complete, stream, usage
from tests.integration.openai_api.conftest import refused, v1
from tests.together import at_once


class TestLimits:
    @pytest.fixture(autouse=True)
    def _limited(self, app: OpenAPI, monkeypatch: pytest.MonkeyPatch) -> None:
        completions = app.extensions["bot"].completions
        monkeypatch.setattr(completions._quotas, "limits", Limits(tokens_per_day=1000, turns_at_once=2))

    def test_the_claim_is_settled_with_what_was_used(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("Hi!"), [TextDelta("One"), *says("One")[1:]], [ProviderTimeout("slow")]]
        complete(ann, agent)
        stream(ann, agent)
        v1(ann, "POST", "/chat/completions", {"model": agent, "messages": HELLO})
        found = get_allowance(ann.user.user_id)
        assert set(found.tokens.values()) == {20}
        assert not found.running

    @pytest.mark.parametrize("streamed", [False, True])
    def test_a_used_up_quota_is_insufficient(self, ann: Caller, agent: str, streamed: bool) -> None:
        change_limits(ann.user.user_id, {"tokens_per_day": 50})
        body = {"model": agent, "messages": HELLO, "stream": streamed}
        answer = v1(ann, "POST", "/chat/completions", body)
        assert refused(429, "insufficient_quota", answer)["type"] == "insufficient_quota"
        assert answer.headers["x-should-retry"] == "false"

    def test_too_many_at_once_are_rate_limited(self, ann: Caller, model: Scripted, agent: str) -> None:
        change_limits(ann.user.user_id, {"turns_at_once": 1})
        seen = []

        def another() -> None:
            seen.append(v1(ann, "POST", "/chat/completions", {"model": agent, "messages": HELLO}))

        model.script = [[another, *says("Hi!")], says("Hi!")]
        complete(ann, agent)
        assert refused(429, "rate_limit_exceeded", seen[0])["type"] == "rate_limit_error"
        complete(ann, agent)

    def test_an_answer_without_a_limit_of_its_own_gets_one(self, ann: Caller, model: Scripted, agent: str) -> None:
        change_limits(ann.user.user_id, {"tokens_per_day": 10_000})
        ann.patch(f"/agents/{ann.get('/agents')['data'][0]['id']}", settings={"max_tokens": None})
        model.script = [says("Hi!")]
        complete(ann, agent)
        assert model.asked[0].max_tokens == 2048


class TestIdempotency:
    @pytest.mark.parametrize("streamed", [False, True])
    def test_a_repeated_request_gets_the_first_answer(
        self, ann: Caller, model: Scripted, agent: str, streamed: bool
    ) -> None:
        model.script = [says("Hi!", tool_calls=calls(1), finish_reason="tool_calls")]
        body = {"model": agent, "messages": HELLO, "tools": [LOOK], "stream": streamed}
        headers = {"Idempotency-Key": "once"}
        first, again = (v1(ann, "POST", "/chat/completions", body, headers=headers) for _ in range(2))
        assert first.text == again.text
        assert again.headers["Idempotent-Replayed"] == "true"
        assert len(model.asked) == 1
        assert usage(ann) == (1, 7, 3)

    def test_a_key_with_another_body_is_refused(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [says("Hi!")]
        headers = {"Idempotency-Key": "once"}
        v1(ann, "POST", "/chat/completions", {"model": agent, "messages": HELLO}, headers=headers)
        body = {"model": agent, "messages": HELLO, "temperature": 0}
        refused(400, "idempotency_key_reused", v1(ann, "POST", "/chat/completions", body, headers=headers))

    def test_a_failed_request_can_be_repeated(self, ann: Caller, model: Scripted, agent: str) -> None:
        model.script = [[ProviderTimeout("slow")], says("Hi!")]
        headers = {"Idempotency-Key": "once"}
        body = {"model": agent, "messages": HELLO}
        answers = [v1(ann, "POST", "/chat/completions", body, headers=headers).status_code for _ in range(2)]
        assert answers == [504, 200]

    @pytest.mark.parametrize("streamed", [False, True])
    def test_of_two_at_once_the_model_answers_one_and_both_get_the_answer(
        self, ann: Caller, model: Scripted, agent: str, streamed: bool
    ) -> None:
        body = {"model": agent, "messages": HELLO, "stream": streamed}
        headers = {"Idempotency-Key": "once"}

        def ask() -> str:
            return v1(ann, "POST", "/chat/completions", body, headers=headers).text

        model.script = [[lambda: time.sleep(1), *says("Hi!")]]
        first, second = at_once([ask, ask])
        assert isinstance(first, str)
        assert first == second
        assert "Hi!" in first
        assert len(model.asked) == 1
        assert usage(ann) == (1, 7, 3)

    def test_a_request_that_runs_for_long_is_in_progress(
        self, ann: Caller, model: Scripted, agent: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bot.openai_api.repeats._REPLAY_WAIT_SECONDS", 0.1)
        headers = {"Idempotency-Key": "once"}
        seen = []

        def another() -> None:
            body = {"model": agent, "messages": HELLO}
            seen.append(v1(ann, "POST", "/chat/completions", body, headers=headers))

        model.script = [[another, *says("Hi!")]]
        v1(ann, "POST", "/chat/completions", {"model": agent, "messages": HELLO}, headers=headers)
        assert refused(409, "idempotency_in_progress", seen[0])["type"] == "invalid_request_error"
        assert seen[0].headers["Retry-After"] == "1"

    def test_a_key_works_with_limits_too(
        self, ann: Caller, app: OpenAPI, model: Scripted, agent: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(app.extensions["bot"].completions._quotas, "limits", Limits(tokens_per_day=1000))
        model.script = [says("Hi!")]
        headers = {"Idempotency-Key": "once"}
        body = {"model": agent, "messages": HELLO}
        answers = [v1(ann, "POST", "/chat/completions", body, headers=headers).get_json() for _ in range(2)]
        assert answers[0] == answers[1]
        assert set(get_allowance(ann.user.user_id).tokens.values()) == {10}
