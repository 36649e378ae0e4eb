"""Limits through the API: a refusal names the limit, and reservations are settled exactly."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask_openapi import OpenAPI
from werkzeug.test import TestResponse

from bot.llm.types import TextDelta
from models.access_patterns.allowances import get_allowance
from models.table.connection import TableSettings
from models.table.errors import LeaseLost
from models.table.tenancy import acting_for
from tests.fake_clock import FakeClock
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import make_app
from tests.integration.api.scripted import Scripted, says
from tests.processes import ROOT
from tests.together import at_once

ANSWER = 20
TURN = {"provider": "openai", "model": "gpt-test", "settings": {"max_tokens": ANSWER}}


@pytest.fixture
def limited(table: TableSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Caller]]:
    """Make an application with limits, and return a caller of it; its model is scripted."""
    made: list[OpenAPI] = []

    def make(script: Scripted, **options: Any) -> Caller:
        app = make_app(table, tmp_path, **options)
        made.append(app)
        providers = app.extensions["bot"].providers
        monkeypatch.setattr(providers, "get", lambda name, credentials=None: script)
        monkeypatch.setattr(providers, "names", lambda: ("openai",))
        return Caller(app)

    yield make
    for app in made:
        app.extensions["bot"].leases.close()
        app.extensions["bot"].providers.close()


def used(ann: Caller) -> tuple[int, int, int]:
    """Return the tokens used today and this month, and the number of running turns."""
    found = ann.get("/users/me/limits")
    return tuple(found[name]["used"] for name in ("tokens_per_day", "tokens_per_month", "turns_at_once"))  # type: ignore[return-value]


def hello(ann: Caller, conversation: str) -> Any:
    return ann.call("POST", f"/conversations/{conversation}/messages", {"content": "Hello"})


class Sized(Scripted):
    """A provider that answers everything, from any thread, and reports 30 tokens."""

    def stream(self, request: Any) -> Any:
        self.asked.append(request)
        yield from says("Hi!")


def size_of_a_turn(ann: Caller) -> int:
    """Return what a plain turn of `TURN` reserves, as reported by a refusal with a quota of 0."""
    problem = hello(ann, ann.conversation(ann.agent(**TURN))).get_json()
    return int(problem["wanted"])


def test_fifty_turns_at_once_against_a_quota_for_ten(limited: Callable[..., Caller]) -> None:
    wanted = size_of_a_turn(limited(Sized(), quota_tokens_per_day=0))
    model = Sized()
    ann = limited(model, quota_tokens_per_day=10 * wanted)
    agent = ann.agent(**TURN)
    conversations = [ann.conversation(agent) for _ in range(50)]
    callers = [Caller(ann.app, ann.user) for _ in conversations]
    outcomes = at_once([partial(hello, *each) for each in zip(callers, conversations, strict=True)])
    statuses = [each.status_code for each in outcomes if not isinstance(each, Exception)]
    assert set(statuses) <= {201, 429}
    assert len(statuses) == 50
    # Turns that ended released what they had not used, so more than ten may have run one after another.
    completed = statuses.count(201)
    assert completed >= 10
    assert len(model.asked) == completed
    assert used(ann) == (completed * 10, completed * 10, 0)


# What the document of a refusal has beside what every problem has.
OF_TOKENS = {"limit", "limit_size", "limit_used", "wanted", "resets_at", "retry_after"}
OF_REQUESTS = OF_TOKENS - {"wanted"}
OF_TURNS = OF_REQUESTS - {"resets_at"}


def assert_told(ann: Caller, answer: TestResponse, fields: set[str]) -> None:
    """Check a refusal's exact fields, and that the OpenAPI document and the page describe them."""
    problem = answer.get_json()
    assert answer.status_code == 429
    assert set(problem) - {"type", "title", "status", "code", "detail", "request_id"} == fields
    assert int(answer.headers["Retry-After"]) == problem["retry_after"] >= 1
    assert fields <= ann.app.api_doc["components"]["schemas"]["Problem"]["properties"].keys()
    for path in ann.app.api_doc["paths"].values():
        for operation in path.values():
            if "429" in operation["responses"]:
                assert operation["responses"]["429"]["headers"]["Retry-After"]["required"]
    page = (ROOT / "docs" / "limits.md").read_text()
    assert [name for name in (*fields, problem["limit"]) if f"`{name}`" not in page] == []
    assert re.search(rf"\| `{problem['limit']}` \| 429 `{problem['code']}` \|", page)


def test_a_refusal_names_the_limit_and_stores_nothing(limited: Callable[..., Caller]) -> None:
    ann = limited(Sized(), quota_tokens_per_month=10)
    conversation = ann.conversation(ann.agent(**TURN))
    answer = hello(ann, conversation)
    problem = answer.get_json()
    assert (answer.status_code, problem["code"], problem["limit"]) == (429, "quota_exceeded", "tokens_per_month")
    assert (problem["limit_size"], problem["limit_used"]) == (10, 0)
    assert_told(ann, answer, OF_TOKENS)
    assert problem["resets_at"].endswith("-01T00:00:00.000000Z")
    assert ann.get(f"/conversations/{conversation}")["message_count"] == 0
    stored = ann.make(f"/conversations/{conversation}/messages", content="Hello", reply=False)
    assert stored["turn"] is None, "what needs no model needs no tokens"


def test_a_turns_usage_replaces_its_reservation(limited: Callable[..., Caller]) -> None:
    model = Scripted()
    ann = limited(model, quota_tokens_per_day=100_000, turns_at_once=5)
    conversation = ann.conversation(ann.agent(**TURN))
    seen = []
    model.script.append([lambda: seen.append(used(ann)), *says("Hi!")])
    hello(ann, conversation)
    ((reserved, same, running),) = seen
    assert ANSWER < reserved == same
    assert running == 1
    assert used(ann) == (10, 10, 0)


def test_without_the_providers_count_ours_is_used(limited: Callable[..., Caller]) -> None:
    model = Scripted()
    ann = limited(model, quota_tokens_per_day=100_000)
    conversation = ann.conversation(ann.agent(**TURN))
    model.script += [says("Hi there!", usage=None), [TextDelta("Half an"), RuntimeError("gone")], [RuntimeError("no")]]
    done = hello(ann, conversation).get_json()["turn"]["usage"]
    half = hello(ann, conversation).get_json()["turn"]["usage"]
    none = hello(ann, conversation).get_json()["turn"]["usage"]
    assert min(*done.values(), *half.values()) > 0
    assert half["input_tokens"] > done["input_tokens"], "the context has grown"
    assert none == {"input_tokens": None, "output_tokens": None}, "nothing was heard"
    assert used(ann)[0] == sum(done.values()) + sum(half.values())


def test_an_answer_is_limited_to_what_was_reserved(limited: Callable[..., Caller]) -> None:
    model = Sized()
    ann = limited(model, quota_tokens_per_day=100_000)
    hello(ann, ann.conversation(ann.agent(provider="openai", model="gpt-test")))
    assert model.asked[0].max_tokens == 2048


def test_turns_at_once(limited: Callable[..., Caller]) -> None:
    model = Scripted()
    ann = limited(model, turns_at_once=1)
    one, two = (ann.conversation(ann.agent(**TURN)) for _ in range(2))
    answers: list[Any] = []
    model.script += [[lambda: answers.append(hello(ann, two)), *says("Hi!")], says("Hi!")]
    assert hello(ann, one).status_code == 201
    problem = answers[0].get_json()
    assert (answers[0].status_code, problem["code"], problem["limit"]) == (429, "rate_limited", "turns_at_once")
    assert answers[0].headers["Retry-After"] == "1"
    assert_told(ann, answers[0], OF_TURNS)
    assert hello(ann, two).status_code == 201
    assert used(ann) == (0, 0, 0), "tokens are not limited here, so they are not counted here"


def test_orphaned_turns_hold_no_allowance(
    limited: Callable[..., Caller], fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker of the only turn that may run dies: its end is never written."""
    model = Scripted()
    ann = limited(model, turns_at_once=1, quota_tokens_per_day=100_000)
    one, two = (ann.conversation(ann.agent(**TURN)) for _ in range(2))
    model.script += [says("Hi!"), says("Hi!")]

    def die(*_: Any) -> Any:
        raise LeaseLost("turn_1")

    with monkeypatch.context() as patched:
        patched.setattr("bot.turns.running.end_turn", die)
        assert hello(ann, one).status_code == 503
    assert hello(ann, two).status_code == 429
    fake_clock.advance(seconds=31)
    assert hello(ann, two).status_code == 201
    assert used(ann) == (10, 10, 0)


def test_an_administrator_gives_a_user_other_limits(limited: Callable[..., Caller]) -> None:
    ann = limited(Sized(), quota_tokens_per_day=1, turns_at_once=7)
    admin = Caller(ann.app, role="admin")
    conversation = ann.conversation(ann.agent(**TURN))
    assert hello(ann, conversation).status_code == 429
    path = f"/users/{ann.id}/limits"
    ann.refused(403, "forbidden", "PATCH", path, {"tokens_per_day": 10**9})
    found = admin.patch(path, tokens_per_day=10**9)
    assert (found["tokens_per_day"]["limit"], found["turns_at_once"]["limit"], found["own"]) == (
        10**9,
        7,
        ["tokens_per_day"],
    )
    assert hello(ann, conversation).status_code == 201
    (event,) = [each for each in ann.get("/audit")["data"] if each["action"] == "limits.changed"]
    assert (event["actor_id"], event["details"]) == (admin.id, {"names": ["tokens_per_day"]})
    assert admin.patch(path, tokens_per_day=None)["tokens_per_day"]["limit"] == 1
    assert ann.refused(422, "validation_failed", "PATCH", path, {"tokens_per_day": -1}).keys() == {"tokens_per_day"}


def test_without_limits_nothing_is_claimed(ann: Caller) -> None:
    hello(ann, ann.conversation())
    found = ann.get("/users/me/limits")
    assert {found[name]["limit"] for name in ("tokens_per_day", "tokens_per_month", "turns_at_once")} == {None}
    assert get_allowance(acting_for(ann.id)).tokens == {}


def test_usage_is_summed_by_day_agent_and_model(fake_clock: FakeClock, app: OpenAPI) -> None:
    fake_clock.moment = fake_clock.moment.replace(hour=12)
    ann, bob = Caller(app), Caller(app)
    one, two = ann.agent(), ann.agent()
    for agent, count in ((one, 2), (two, 1)):
        conversation = ann.conversation(agent)
        for _ in range(count):
            hello(ann, conversation)
    today = fake_clock.moment.date()
    found = ann.get("/users/me/usage", since=str(today), until=str(today))
    assert {each["agent_id"]: each["turns"] for each in found["data"]} == {one: 2, two: 1}
    assert {(each["day"], each["model"]) for each in found["data"]} == {(str(today), "echo")}
    assert found["input_tokens"] == sum(each["input_tokens"] for each in found["data"]) > 0
    yesterday = str(today.fromordinal(today.toordinal() - 1))
    assert ann.get("/users/me/usage", since=yesterday, until=yesterday)["turns"] == 0
    assert bob.get("/users/me/usage")["turns"] == 0
    wrong = {"query_string": {"since": str(today), "until": yesterday}}
    assert ann.refused(422, "validation_failed", "GET", "/users/me/usage", **wrong).keys() == {"since"}


def test_requests_of_a_minute_are_limited_for_a_user_and_for_each_key(
    limited: Callable[..., Caller], fake_clock: FakeClock
) -> None:
    fake_clock.moment = fake_clock.moment.replace(second=15)
    ann = limited(Scripted(), requests_per_minute=5, requests_per_minute_of_a_key=3)
    second = Caller(ann.app, user=ann.user)
    other = Caller(ann.app)
    for _ in range(3):
        ann.get("/users/me")

    for _ in range(2):
        told = ann.call("GET", "/users/me")
        problem = told.get_json()
        assert (told.status_code, problem["code"]) == (429, "rate_limited")
        assert (problem["limit"], problem["limit_size"]) == ("requests_per_minute_of_a_key", 3)
        assert told.headers["Retry-After"] == "45"
        assert_told(ann, told, OF_REQUESTS)
    for _ in range(2):
        second.get("/users/me")
    told = second.call("GET", "/users/me")
    assert (told.status_code, told.get_json()["limit"]) == (429, "requests_per_minute")
    assert_told(ann, told, OF_REQUESTS)
    other.get("/users/me")
    fake_clock.advance(seconds=45)
    ann.get("/users/me")
    second.get("/users/me")


def test_users_can_read_their_own_usage_under_users_me(ann: Caller) -> None:
    assert ann.get("/usage") == ann.get("/users/me/usage")
