"""Whatever a conversation contains, its next turns work, with model servers that have the rules of real ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.llm.normal_form import EMPTY_ANSWER
from bot.turns.context import NO_ANSWER
from models.access_patterns.messages import Draft
from models.access_patterns.turn_beginnings import begin_turn
from models.access_patterns.turns import end_turn
from models.message import ID_PREFIX, Message
from models.table.clock import now
from models.table.connection import TableSettings
from models.table.ids import new_id
from tests.contract_watch import past_the_models
from tests.factories import noise
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import serving
from tests.strict_server import LEARNT, RULES, StrictServer, strict_server

ONE_FORM, ALL = sorted(RULES), sorted(RULES) + sorted(LEARNT)
IMAGE = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
EXPIRED = {"type": "image_url", "image_url": {"url": "https://x.test/expired.png"}}
FUNCTIONS = [{"name": "look"}, {"name": "find"}]


class Talk:
    """A conversation with an agent whose model is strict."""

    def __init__(self, caller: Caller, server: StrictServer, **agent: Any) -> None:
        self.caller, self.server = caller, server
        details = {"provider": "openai", "model": "gpt-test", "functions": FUNCTIONS, "system_message": "Be Ada."}
        self.agent = caller.agent(**(details | agent))
        self.id = caller.conversation(self.agent)
        self.path = f"/conversations/{self.id}"

    def call(self, **body: Any) -> Any:
        return self.caller.call("POST", f"{self.path}/messages", body)

    def store(self, content: Any, sender: str = "user") -> str:
        made = self.caller.make(f"{self.path}/messages", content=content, reply=False, sender=sender)
        return str(made["input"][0]["id"])

    def works(self, content: Any = "And now?") -> str:
        """Check that a turn works; return the model's last context."""
        self.server.forget()
        answer = self.call(content=content)
        assert answer.status_code == 201, (answer.text, self.server.bodies[-1]["messages"])
        assert answer.get_json()["output"][0]["content"] == "Fine."
        return str(self.server.bodies[-1]["messages"])

    def waiting(self) -> list[str]:
        """Return the ids of the pending calls."""
        waiting: list[str] = []
        for message in reversed(self.caller.get(self.path, messages=50)["messages"]):
            if message["type"] != "function_call":
                break
            waiting.append(message["attributes"]["call_id"])
        return list(dict.fromkeys(waiting))


def fails(talk: Talk) -> None:
    talk.server.fail()
    assert talk.call(content="Does it burn?").status_code == 502


def ends(status: Any) -> Callable[[Talk], None]:
    def step(talk: Talk) -> None:
        user_id = talk.caller.user.user_id
        compose = lambda _: [Draft("user", f"To be {status}.")]  # noqa: E731
        begun = begin_turn(user_id, talk.id, compose, window=20, lease=timedelta(seconds=30))
        end_turn(begun.lease, status, [], {"partial_text": "Half an ans", "last_event": 2})

    step.__name__ = status
    return step


def says(text: str) -> Callable[[Talk], None]:
    def step(talk: Talk) -> None:
        talk.server.say(text)
        assert talk.call(content="Well?").status_code == 201

    step.__name__ = f"says{text!r}"
    return step


def calls(*made: tuple[str, str, str], text: str = "") -> Callable[[Talk], None]:
    def step(talk: Talk) -> None:
        talk.server.say(text, made)
        assert talk.call(content="Look.").status_code == 201

    step.__name__ = f"calls{[each[1:] for each in made]}"
    return step


def results(talk: Talk) -> None:
    if waiting := talk.waiting():
        answer = talk.call(results=[{"call_id": call_id, "content": " "} for call_id in waiting])
        assert answer.status_code == 201, answer.text


def results_and_a_message_that_fail(talk: Talk) -> None:
    if waiting := talk.waiting():
        talk.server.fail()
        given_back = [{"call_id": call_id, "content": "42"} for call_id in waiting]
        assert talk.call(results=given_back, content="Quick!").status_code == 502


def a_result_is_deleted(talk: Talk) -> None:
    deletes(talk, "function_result")


def a_call_is_deleted(talk: Talk) -> None:
    deletes(talk, "function_call")


def deletes(talk: Talk, kind: str) -> None:
    for message in talk.caller.get(talk.path, messages=50)["messages"]:
        if message["type"] == kind:
            talk.caller.delete(f"{talk.path}/messages/{message['id']}")
            return


def stored(content: Any, sender: str = "user") -> Callable[[Talk], None]:
    def step(talk: Talk) -> None:
        talk.store(content, sender)

    step.__name__ = f"stored by {sender}: {str(content)[:30]}"
    return step


def from_before(talk: Talk) -> None:
    """Items that can no longer be created, but that may exist in a table."""
    for kind, content in (("function_call", None), ("function_result", None), ("parts", "no JSON"), ("text", None)):
        moment = now()
        message = Message(
            conversation_id=talk.id,
            ts=moment,
            message_id=new_id(ID_PREFIX, moment),
            sender="agent",
            role="assistant",
            type=kind,
            content=content,
        )
        with past_the_models():
            message.save()


def goes_on(talk: Talk) -> None:
    if talk.caller.get(talk.path)["message_count"]:
        assert talk.caller.call("POST", f"{talk.path}/turns", {}).status_code in (201, 502)


def loses_its_functions(talk: Talk) -> None:
    talk.caller.patch(f"/agents/{talk.agent}", functions=FUNCTIONS[1:])


def loses_all_functions(talk: Talk) -> None:
    talk.caller.patch(f"/agents/{talk.agent}", functions=[])


def small_context(talk: Talk) -> None:
    talk.caller.patch(f"/agents/{talk.agent}", settings={"context_tokens": 600, "window": 5})


STEPS = [
    fails,
    ends("failed"),
    ends("cancelled"),
    ends("interrupted"),
    says("Yes."),
    says(""),
    says(" \n"),
    calls(("call_1", "look", "{}")),
    calls(("call_1", "look", '{"a": '), ("call_2", "find", "[1, 2]"), text="Let me see."),
    calls(("call_2", "look", '"text"'), ("call_2", "look", "{}"), text=" "),
    calls(("functions.look:0", "never declared", "{}")),
    results,
    results_and_a_message_that_fail,
    a_result_is_deleted,
    a_call_is_deleted,
    stored("For the record."),
    stored("   "),
    stored("Good day, I am Ada.", "agent"),
    stored("From now on, be brief.", "system"),
    stored([{"type": "text", "text": " "}, IMAGE]),
    stored([EXPIRED]),
    stored([{"type": "text", "text": "Mine."}, IMAGE], "agent"),
    stored(noise(9_000)),
    from_before,
    goes_on,
    calls(("call_8", "look", "{}")),
    loses_its_functions,
    calls(("call_9", "find", "{}")),
    loses_all_functions,
    small_context,
]


@contextmanager
def talking(table: TableSettings, path: Path, rules: list[str]) -> Iterator[Callable[..., Talk]]:
    with (
        strict_server(rules) as server,
        serving(table, path, openai_base_url=server.base_url, provider_retries=0) as app,
    ):
        caller = Caller(app)
        yield lambda **agent: Talk(caller, server, **agent)


@pytest.mark.parametrize("rule", ALL)
def test_after_all_odd_turns_the_next_works_under_each_rule(table: TableSettings, tmp_path: Path, rule: str) -> None:
    with talking(table, tmp_path, [rule]) as new:
        talk = new()
        for step in STEPS:
            talk.server.forget()
            step(talk)
            talk.works()
        talk.works()
        if rule in RULES:
            assert talk.server.refusals == [], "one form serves all, so nothing is to be learnt"


@pytest.mark.parametrize("rules", [ONE_FORM, ALL], ids=["one form", "all"])
def test_after_each_odd_turn_the_next_two_work_under_all_rules(
    table: TableSettings, tmp_path: Path, rules: list[str]
) -> None:
    with talking(table, tmp_path, rules) as new:
        for step in STEPS:
            talk = new()
            step(talk)
            talk.works()
            talk.works()
        if rules == ONE_FORM:
            assert talk.server.refusals == []


@pytest.mark.parametrize("rules", [ONE_FORM, ALL], ids=["one form", "all"])
def test_after_any_odd_turns_the_next_two_work_under_all_rules(
    table: TableSettings, tmp_path: Path, rules: list[str]
) -> None:
    with talking(table, tmp_path, rules) as new:

        @settings(max_examples=25, suppress_health_check=list(HealthCheck))
        @given(st.lists(st.sampled_from(STEPS), min_size=2, max_size=9))
        def holds(steps: list[Callable[[Talk], None]]) -> None:
            talk = new()
            for step in steps:
                talk.server.forget()
                step(talk)
            talk.works()
            talk.works()
            if rules == ONE_FORM:
                assert talk.server.refusals == []

        holds()


def test_a_servers_rule_is_learnt_once(table: TableSettings, tmp_path: Path) -> None:
    with talking(table, tmp_path, ["nine", "single", "no_system"]) as new:
        talk = new()
        calls(("call_1", "look", "{}"), ("call_2", "find", "{}"))(talk)
        results(talk)
        assert len(talk.server.refusals) == 3
        talk.works()
        assert len(talk.server.refusals) == 3


@pytest.mark.parametrize("ending", [fails, ends("failed"), ends("cancelled"), ends("interrupted")])
def test_the_context_notes_that_a_message_got_no_answer(table: TableSettings, tmp_path: Path, ending: Any) -> None:
    with talking(table, tmp_path, ALL) as new:
        talk = new()
        ending(talk)
        assert NO_ANSWER in talk.works()
    with talking(table, tmp_path, ALL) as new:
        talk = new()
        says("")(talk)
        assert EMPTY_ANSWER in talk.works()


def test_an_image_for_a_text_model_is_a_problem_that_names_it_and_says_what_to_do(
    table: TableSettings, tmp_path: Path
) -> None:
    with talking(table, tmp_path, ["no_images"]) as new:
        talk = new()
        answer = talk.call(content=[{"type": "text", "text": "What is this?"}, IMAGE])
        problem = answer.get_json()
        assert (answer.status_code, problem["code"]) == (502, "provider_rejected")
        (message,) = talk.caller.get(talk.path)["messages"]
        assert problem["message_ids"] == [message["id"]]
        assert message["id"] in problem["detail"]
        assert "use a model that accepts images" in problem["detail"]
        assert problem["turn"]["error"]["detail"] == problem["detail"]
        assert "An image that you cannot look at: https://x.test/a.png" in talk.works()
        refused = len(talk.server.refusals)
        assert refused == 2
        talk.works()
        assert len(talk.server.refusals) == refused, "that the model looks at no images is known now"


def test_a_stream_reports_the_same(table: TableSettings, tmp_path: Path) -> None:
    with talking(table, tmp_path, ["no_images"]) as new:
        talk = new()
        answer = talk.call(content=[IMAGE], stream=True)
        (message,) = talk.caller.get(talk.path)["messages"]
        assert f'"message_ids":["{message["id"]}"]' in answer.text.replace(" ", "")
        talk.works()


def test_an_agent_without_images_gets_them_in_words(table: TableSettings, tmp_path: Path) -> None:
    with talking(table, tmp_path, ["no_images"]) as new:
        talk = new(settings={"images": False})
        assert "An image that you cannot look at" in talk.works([IMAGE])
        assert talk.server.refusals == []


def test_an_expired_link_fails_no_later_turn_and_other_images_are_still_shown(
    table: TableSettings, tmp_path: Path
) -> None:
    with talking(table, tmp_path, ["no_expired_images"]) as new:
        talk = new()
        stale = talk.store([EXPIRED])
        talk.works()
        assert "'image_url'" in talk.works([IMAGE])
        problem = talk.call(content=[EXPIRED]).get_json()
        (newest,) = [each["id"] for each in talk.caller.get(talk.path)["messages"][-1:]]
        assert problem["message_ids"] == [newest] != [stale]
        assert "an image that can be fetched" in problem["detail"]
        talk.works()


def test_a_refusal_that_names_a_position_is_reported_with_its_message(table: TableSettings, tmp_path: Path) -> None:
    with talking(table, tmp_path, []) as new:
        talk = new()
        says("Yes.")(talk)
        wanted = talk.store("The odd one.")
        talk.server._answers.append(
            lambda exchange: exchange.answer(400, {"error": {"message": "No.", "param": "messages[3].content"}})
        )
        problem = talk.call(content="And?").get_json()
        newest = talk.caller.get(talk.path)["messages"][-1]["id"]
        assert (problem["context_position"], problem["message_ids"]) == (3, [wanted, newest])
        assert problem["provider_param"] == "messages[3].content"
        assert "message 3 of the context" in problem["detail"]
        assert wanted in problem["detail"]
