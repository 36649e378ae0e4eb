"""Every access pattern runs here, stays within its budget, and costs what the documentation says."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.cli.patterns import run_all, throw_away_table
from bot.cli.turn_costs import BUDGETS
from bot.settings import Settings
from models.access_patterns import Budget, Request, patterns
from models.access_patterns.conversations import list_conversations, open_conversation, update_conversation
from models.access_patterns.users import get_user, update_user
from models.measure.capacity import Cost, cost
from models.measure.contract import unseen
from models.measure.examples import masked
from models.measure.exchange import Exchange
from models.measure.probe import Probe
from models.measure.report import SIZES, over_budget
from models.measure.scenario import scenarios
from models.user import User
from tests.factories import make_conversation, make_user, say

DOCS = Path(__file__).parents[2] / "docs"
MEASURED = json.loads((DOCS / "measured.json").read_text())
EXAMPLES = json.loads((DOCS / "examples.json").read_text())
QUICK = [10, 100]
REMEASURE = "run `bot patterns measure --local --messages 10,100,1000,10000 --save docs`, and `make docs`"


@pytest.fixture(scope="module")
def run(engine: str) -> Iterator[tuple[dict[str, Any], list[str]]]:
    settings = Settings().model_copy(update={"endpoint_url": engine, "table_name": "contract"})
    with throw_away_table(settings) as temporary:
        yield run_all(temporary, QUICK)


def test_every_pattern_runs_keeps_its_budget_and_does_all_that_it_declares(
    run: tuple[dict[str, Any], list[str]],
) -> None:
    found, problems = run
    assert not problems, "\n".join(problems)
    assert list(found["measured"]["patterns"]) == [pattern.id for pattern in patterns()]


def test_the_documented_figures_are_the_measured_ones(run: tuple[dict[str, Any], list[str]]) -> None:
    found = run[0]["measured"]
    for kind in ("patterns", "api"):
        assert MEASURED[kind].keys() == found[kind].keys(), REMEASURE
        for name, figures in found[kind].items():
            documented = {size: MEASURED[kind][name].get(size) for size in figures}
            assert documented == figures, f"{name}: {REMEASURE}"


def test_the_documented_examples_are_the_measured_ones(run: tuple[dict[str, Any], list[str]]) -> None:
    for name, exchanges in run[0]["examples"].items():
        assert masked(EXAMPLES.get(name)) == masked(exchanges), f"{name}: {REMEASURE}"


def test_the_documented_figures_keep_the_budgets() -> None:
    assert MEASURED["messages"] == list(SIZES)
    for pattern in patterns():
        for size, figures in MEASURED["patterns"][pattern.id].items():
            if not pattern.budget.grows or size == "10":
                assert not over_budget(f"{pattern.id} {pattern.title}", Cost(**figures), pattern.budget)
    for name, budget in BUDGETS.items():
        for figures in MEASURED["api"][name].values():
            assert not over_budget(name, Cost(**figures), budget)


def test_the_cost_does_not_grow_with_the_conversation() -> None:
    growing = {pattern.id for pattern in patterns() if pattern.budget.grows}
    for name, figures in {**MEASURED["patterns"], **MEASURED["api"]}.items():
        if name not in growing:
            assert figures["100"] == figures["1000"] == figures["10000"], f"{name} takes more the longer it gets"


def test_a_turn_costs_what_the_design_allows() -> None:
    assert (BUDGETS["turn"].requests, BUDGETS["turn"].rcu, BUDGETS["turn"].wcu) == (4, 6, 12)
    assert BUDGETS["turn, a minute after the last"].wcu == 16
    assert (BUDGETS["streamed turn"].wcu, BUDGETS["streamed turn, not kept"].wcu) == (54, 14)
    for size in map(str, SIZES):
        assert MEASURED["api"]["turn"][size]["index_wcu"] == 0
        assert MEASURED["patterns"]["AP-32"][size]["requests"] == 1


class TestWhatIsFound:
    def test_a_broken_budget(self) -> None:
        assert over_budget("AP-00 Sabotage", Cost(2, 1.5, 3, 1), Budget(1, 1, 3, "nothing")) == [
            "AP-00 Sabotage: 2 requests, its budget is 1",
            "AP-00 Sabotage: 1.5 read units, its budget is 1",
            "AP-00 Sabotage: 4 write units, its budget is 3",
        ]

    def test_a_pattern_that_nothing_runs(self) -> None:
        with pytest.raises(LookupError, match="AP-00 is never run"):
            scenarios("AP-00")

    def test_a_request_that_is_declared_and_never_sent(self) -> None:
        pattern = next(each for each in patterns() if each.id == "AP-02")
        assert unseen(pattern, []) == ["AP-02 User by id: it declares GetItem of User, and never sends it"]

    def test_a_write_that_is_declared_and_never_done(self) -> None:
        pattern = next(each for each in patterns() if each.id == "AP-01")
        keys = {"PK": {"S": "USER#usr_1"}, "SK": {"S": "PROFILE"}}
        put = {"Put": {"Item": keys, "ConditionExpression": "attribute_not_exists (PK)"}}
        exchange = Exchange("TransactWriteItems", {"TransactItems": [put]}, None)
        assert unseen(pattern, [exchange]) == [
            "AP-01 Create a user: it declares a Put of EmailClaim, and never does it",
            "AP-01 Create a user: it declares a Put of IdempotencyRecord, and never does it",
        ]


class TestCapacity:
    def exchange(self, operation: str, body: dict[str, Any], **known: Any) -> Exchange:
        return Exchange(operation, body, None, **known)

    def item(self, size: int, **attributes: str) -> dict[str, dict[str, str]]:
        keys = {"PK": "USER#u", "SK": "PROFILE", **attributes}
        used = sum(len(name) + len(value) for name, value in keys.items())
        return {name: {"S": value} for name, value in {**keys, "x": "x" * (size - used - 1)}.items()}

    def update(self, before: dict[str, Any], after: dict[str, Any]) -> Cost:
        key = ("USER#u", "PROFILE")
        body = {"Key": {"PK": {"S": key[0]}, "SK": {"S": key[1]}}}
        return cost(self.exchange("UpdateItem", body, before={key: before}, after={key: after}))

    @pytest.mark.parametrize(("size", "units"), [(100, 1), (4096, 1), (4097, 2)])
    def test_a_read_is_billed_in_steps_of_4_kb(self, size: int, units: int) -> None:
        body = {"Key": {}, "ConsistentRead": True}
        assert cost(self.exchange("GetItem", body, answer={"Item": self.item(size)})).rcu == units

    def test_a_query_is_billed_for_the_sum(self) -> None:
        answer = {"Items": [self.item(3000), self.item(3000)]}
        assert cost(self.exchange("Query", {}, answer=answer)).rcu == 1

    def test_a_batch_is_billed_by_item_including_missing_ones(self) -> None:
        keys = [{"PK": {"S": str(each)}, "SK": {"S": "PROFILE"}} for each in range(3)]
        body = {"RequestItems": {"t": {"Keys": keys}}}
        answer = {"Responses": {"t": [self.item(5000), self.item(10)]}}
        assert cost(self.exchange("BatchGetItem", body, answer=answer)).rcu == 1 + 0.5 + 0.5

    def test_an_update_is_billed_for_the_larger_of_before_and_after(self) -> None:
        assert self.update(self.item(3000), self.item(100)).wcu == 3

    def test_an_index_that_does_not_change_costs_nothing(self) -> None:
        same = {"user_id": "u", "directory": "USERS"}
        assert self.update(self.item(300, **same), self.item(400, **same)).index_wcu == 0

    def test_a_changed_entry_costs_one_write_and_a_moved_one_two(self) -> None:
        same = {"user_id": "u", "directory": "USERS"}
        assert self.update(self.item(300, **same), self.item(300, **same, name="Ann")).index_wcu == 1
        assert self.update(self.item(300, **same), self.item(300, user_id="v", directory="USERS")).index_wcu == 2
        assert self.update(self.item(300, **same), self.item(300)).index_wcu == 1

    @pytest.mark.skipif(
        "TEST_DYNAMODB_ENDPOINT" not in os.environ, reason="the embedded engine reports no true capacity"
    )
    def test_dynamodb_local_reports_the_same(self, table: Any) -> None:
        """Reads and updates, including the indexes; DynamoDB Local overstates transactions, so those are left out."""
        user = make_user(preferences={"essay": "x" * 5000})
        conversation = make_conversation()
        say(conversation, *["x" * 1200] * 30)
        with Probe().recording() as exchanges:
            get_user(user.user_id)
            update_user(user.user_id, {"name": "Ann", "preferences": {"essay": "x"}})
            open_conversation(conversation.user_id, conversation.conversation_id, 20)
            list_conversations(conversation.user_id, 20, status="active")
            update_conversation(conversation.user_id, conversation.conversation_id, {"title": "Lisbon"})
        for exchange in exchanges:
            computed = cost(exchange)
            reported = exchange.answer["ConsumedCapacity"]["CapacityUnits"]
            assert computed.rcu + computed.all_wcu == reported, exchange.operation


def test_a_declaration_reads_its_key_template_from_the_entity() -> None:
    assert Request("BatchGetItem", (User,)).partition_key == "USER#{user_id}"
