"""Every access pattern is declared once, completely, and with the models' own key templates."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator

import pytest

from models import access_patterns as package
from models.access_patterns import AccessPattern, Budget, Request, access_pattern, current, patterns
from models.access_patterns.declare import template
from models.agent import Agent
from models.conversation import Conversation
from models.table.indexes import INDEXES
from models.table.keys import Key
from models.user import User

# Parts of patterns: their requests belong to the pattern that calls them.
PARTS = {
    "audit_records",
    "orphans",
    "partial_answers",
    "pieces",
    "removal.branches",
    "removal.pages",
    "removal.progress",
    "removal.steps",
    "retention",
    "turn_errors",
}
MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if module.name.removeprefix(f"{package.__name__}.") not in PARTS
]
# Public functions that build part of a request or evaluate a result, and send nothing themselves.
NOT_PATTERNS = {
    "access_pattern",
    "activity",
    "before_own",
    "create_messages",
    "ensure_active",
    "entry_of",
    "holder_of",
    "keep_root",
    "leave_branches",
    "ensure_room",
    "extend",
    "is_active",
    "leads_to",
    "new_completion",
    "new_user",
    "observe",
    "owned_by",
    "page_of_path",
    "patterns",
    "place",
    "record_turn",
    "root_of",
    "shortened",
    "template",
    "touch_root",
    "usable_by",
    "without_header",
    "unreachable",
}


def public_functions() -> Iterator[Callable[..., object]]:
    for module in MODULES:
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
                yield function


def test_every_function_that_sends_requests_is_declared() -> None:
    declared = {pattern.function for pattern in patterns()}
    for function in public_functions():
        assert inspect.unwrap(function) in declared or function.__name__ in NOT_PATTERNS, function.__qualname__


def test_every_declaration_is_on_a_public_function() -> None:
    assert {pattern.function for pattern in patterns()} <= {inspect.unwrap(each) for each in public_functions()}


def test_ids_and_titles_and_questions_are_unique() -> None:
    for field in ("id", "title", "question"):
        values = [getattr(pattern, field) for pattern in patterns()]
        assert len(values) == len(set(values))


def test_an_id_cannot_be_declared_twice() -> None:
    taken = patterns()[0]
    with pytest.raises(TypeError, match=taken.id):

        @access_pattern(taken.id, "Another", question="", requests=(), budget=Budget(0, 0, 0, ""))
        def another() -> None: ...

    assert patterns()[0] is taken


@pytest.mark.parametrize("pattern", patterns(), ids=lambda pattern: pattern.id)
class TestEachDeclaration:
    def test_reads_as_a_whole(self, pattern: AccessPattern) -> None:
        assert pattern.id.startswith("AP-")
        assert pattern.title
        assert not pattern.title.endswith(".")
        assert pattern.question[-1] in ".?"
        assert pattern.budget.basis
        assert pattern.function.__doc__

    def test_allows_the_requests_that_it_always_makes(self, pattern: AccessPattern) -> None:
        assert pattern.budget.requests >= sum(not request.when for request in pattern.requests) > 0

    def test_budgets_capacity_for_what_it_does(self, pattern: AccessPattern) -> None:
        operations = {request.operation for request in pattern.requests if not request.when}
        reads = {"GetItem", "BatchGetItem", "Query"}
        assert bool(operations & reads) <= (pattern.budget.rcu > 0)
        assert bool(operations - reads) <= (pattern.budget.wcu > 0)
        assert (pattern.budget.wcu > 0) <= bool({request.operation for request in pattern.requests} - reads)

    def test_takes_its_key_templates_from_the_models(self, pattern: AccessPattern) -> None:
        known = {
            attribute.template.text
            for entity in Agent.entities().values()
            for attribute in entity.get_attributes().values()
            if isinstance(attribute, Key)
        }
        for request in pattern.requests:
            for text in request.partition_key.split(", "):
                assert text in known or text == "{user_id}"

    def test_reads_indexes_that_exist_and_never_consistently(self, pattern: AccessPattern) -> None:
        for request in pattern.requests:
            if request.index is not None:
                assert request.index in {index.name for index in INDEXES}
                assert request.operation == "Query"
                assert not request.consistent

    def test_says_what_it_reads_or_what_it_writes(self, pattern: AccessPattern) -> None:
        for request in pattern.requests:
            assert bool(request.entities) != bool(request.writes)
            assert bool(request.writes) == (request.operation in ("TransactWriteItems", "BatchWriteItem"))


def test_key_templates_are_those_of_the_entities() -> None:
    assert template(Agent, "SK") == Agent.SK.template.text == "AGENT#{agent_id}"
    assert template(Conversation, "user_id") == "{user_id}"
    assert Request("GetItem", (Agent,)).partition_key == "USER#{user_id}"
    assert Request("Query", (Conversation,), index="conversations_by_agent").partition_key == (
        "USER#{user_id}#AGENT#{agent_id}"
    )
    assert Request("Query", (User,), index="users_by_id").partition_key == "USERS"


def test_the_outermost_pattern_is_the_current_one() -> None:
    pattern = next(each for each in patterns() if each.id == "AP-02")
    seen = []

    def note() -> None:
        running = current.get()
        seen.append(running.id if running else None)

    outer = access_pattern("AP-T1", "Outer", question="?", requests=(), budget=Budget(0, 0, 0, ""))
    inner = access_pattern("AP-T2", "Inner", question="?", requests=(), budget=Budget(0, 0, 0, ""))(note)
    try:
        outer(inner)()
        inner()
        note()
    finally:
        for id_ in ("AP-T1", "AP-T2"):
            del importlib.import_module("models.access_patterns.declare")._declared[id_]
    assert seen == ["AP-T1", "AP-T2", None]
    assert pattern in patterns()


def test_a_failed_pattern_is_no_longer_current() -> None:
    for pattern in patterns():
        if pattern.id == "AP-11":
            with pytest.raises(ValueError, match="agent_id"):
                importlib.import_module("models.access_patterns.agents").get_agent("usr_1", "a#b")
    assert current.get() is None


def test_queries_state_which_part_of_the_partition_they_read() -> None:
    for pattern in patterns():
        for request in pattern.requests:
            if request.operation == "Query":
                assert request.order is not None or request.index == "agents_by_id", pattern.id
                assert request.sort_key is not None or request.index is not None, pattern.id
