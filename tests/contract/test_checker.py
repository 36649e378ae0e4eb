"""The checker of the access-pattern contract finds each kind of violation, and says what is wrong and where."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from models.access_patterns import Budget, Request, access_pattern, declare
from models.access_patterns.conversations import get_conversation
from models.access_patterns.users import get_user
from models.conversation import Conversation
from models.message import Message
from models.table.connection import client, settings
from models.table.reading import get, query
from models.user import User
from tests.contract_watch import WATCH, past_the_models
from tests.factories import make_conversation, make_user, say

pytestmark = pytest.mark.usefixtures("table")
OPEN = Request(
    "Query", (Conversation, Message), sort_key="between MSG# and THREAD", consistent=True, order="descending"
)


@contextmanager
def declared(function: Callable[..., Any], *requests: Request, at_most: int = 1) -> Iterator[Callable[..., Any]]:
    """Temporarily declare a function as an access pattern."""
    decorate = access_pattern("AP-00", "Sabotage", question="?", requests=requests, budget=Budget(at_most, 1, 0, "?"))
    try:
        yield decorate(function)
    finally:
        del declare._declared["AP-00"]


def broken(function: Callable[..., Any], *requests: Request, at_most: int = 1) -> list[str]:
    with declared(function, *requests, at_most=at_most) as sabotaged, WATCH.expecting() as found:
        sabotaged()
    return found


def scan() -> None:
    client().scan(TableName=settings().name)


def test_an_added_scan_is_found() -> None:
    assert broken(scan, Request("GetItem", (User,))) == ["AP-00 Sabotage: it sends a Scan, which no access pattern may"]


def test_an_undeclared_request_is_found() -> None:
    user = make_user()
    assert broken(lambda: get(User, user_id=user.user_id), OPEN) == [
        "AP-00 Sabotage: it sends GetItem, which it does not declare (it declares Query)"
    ]


def test_a_request_outside_of_any_pattern_is_found() -> None:
    with WATCH.expecting() as found:
        get(User, user_id="usr_1")
    assert found == ["no access pattern: GetItem was sent outside of any declared access pattern"]


def test_requests_that_a_test_sends_without_the_models_are_not_checked() -> None:
    with WATCH.expecting() as found, past_the_models():
        scan()
    assert found == []


def test_a_wrong_key_template_is_found() -> None:
    conversation = make_conversation()
    partition = f"CONVERSATION#{conversation.conversation_id}"
    found = broken(
        lambda: query(partition, Conversation.SK.between("MSG#", "THREAD"), limit=1, descending=True, consistent=True),
        OPEN,
    )
    assert found == [f"AP-00 Sabotage: Query reads the partition '{partition}', declared is CONV#{{conversation_id}}"]


def test_a_wrong_sort_key_condition_is_found() -> None:
    partition = make_conversation().PK
    found = broken(
        lambda: query(partition, Conversation.SK.between("MSG#", "Z"), limit=1, descending=True, consistent=True), OPEN
    )
    assert found == [
        "AP-00 Sabotage: Query has the sort key condition between 'MSG#' and 'Z', declared is between MSG# and THREAD"
    ]


def test_a_request_sent_along_with_one_declared_alone_is_found() -> None:
    user, conversation = make_user(), make_conversation()
    one, other = Request("GetItem", (User,), consistent=True), Request("GetItem", (Conversation,), consistent=True)

    def read_both() -> None:
        get(User, user_id=user.user_id)
        get(Conversation, conversation_id=conversation.conversation_id)

    assert broken(read_both, one, other, at_most=2) == []
    assert broken(read_both, one, replace(other, alone=True), at_most=2) == [
        "AP-00 Sabotage: it sends a request that it declares as alone along with others (GetItem, GetItem)"
    ]


def test_a_doubled_read_is_found() -> None:
    user = make_user()

    def twice() -> None:
        get_user(user.user_id)
        get_user(user.user_id)

    assert broken(twice, Request("GetItem", (User,), consistent=True)) == [
        "AP-00 Sabotage: it sent 2 requests, its budget is 1 (GetItem, GetItem)"
    ]


def test_the_pages_of_one_query_are_not_a_doubled_read() -> None:
    conversation = make_conversation()
    say(conversation, *["x" * 390_000] * 4)
    found = broken(
        lambda: query(
            conversation.PK, Conversation.SK.between("MSG#", "THREAD"), limit=4, descending=True, consistent=True
        ),
        OPEN,
    )
    assert found == []


def test_a_wrong_consistency_and_order_are_found() -> None:
    partition = make_conversation().PK
    found = broken(lambda: query(partition, Conversation.SK.between("MSG#", "THREAD"), limit=1), OPEN)
    assert found == [
        "AP-00 Sabotage: Query reads eventually consistently, which is not declared",
        "AP-00 Sabotage: Query reads in ascending order, declared is descending",
    ]


def test_a_wrong_index_is_found() -> None:
    found = broken(
        lambda: query("USERS", None, index="users_by_id", limit=1),
        Request("Query", (Conversation,), index="conversations_by_user"),
    )
    assert found == ["AP-00 Sabotage: Query reads the index users_by_id, declared is conversations_by_user"]


def test_an_undeclared_entity_is_found() -> None:
    conversation = make_conversation()
    found = broken(
        lambda: get_conversation(conversation.user_id, conversation.conversation_id),
        Request("GetItem", (User,), consistent=True),
    )
    assert found == [f"AP-00 Sabotage: GetItem names Conversation ({conversation.PK} / THREAD), which is not declared"]


def test_a_filter_is_found() -> None:
    def filtered() -> None:
        client().query(
            TableName=settings().name,
            KeyConditionExpression="PK = :pk",
            FilterExpression="sender = :user",
            ExpressionAttributeValues={":pk": {"S": "CONV#conv_1"}, ":user": {"S": "user"}},
            Limit=10,
        )

    assert broken(filtered, OPEN) == ["AP-00 Sabotage: it filters after the limit: sender = :user"]


def test_a_write_without_a_condition_is_found() -> None:
    user = make_user()

    def careless() -> None:
        client().update_item(
            TableName=settings().name,
            Key={"PK": {"S": user.PK}, "SK": {"S": user.SK}},
            UpdateExpression="SET #name = :name",
            ExpressionAttributeNames={"#name": "name"},
            ExpressionAttributeValues={":name": {"S": "Ada"}},
        )

    assert broken(careless, Request("UpdateItem", (User,))) == [
        "AP-00 Sabotage: UpdateItem does a Update of User without a condition"
    ]


def test_a_route_that_no_declaration_names_is_found() -> None:
    import flask

    app = flask.Flask("sabotage")
    user = make_user()
    app.add_url_rule("/somewhere/<string:word>", view_func=lambda word: get_user(user.user_id).user_id, endpoint="x")
    with WATCH.expecting() as found:
        assert app.test_client().get("/somewhere/1").status_code == 200
    assert found == ["AP-02 User by id: GET /somewhere/{word} uses it, and its routes do not name it"]


def test_a_broken_contract_fails_the_test_that_broke_it() -> None:
    scan()
    with pytest.raises(AssertionError, match="no access pattern: Scan was sent outside of any"):
        WATCH.check()
    WATCH.check()
