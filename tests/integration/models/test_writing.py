"""Transactions and batches: all or nothing, applied once, and retried when DynamoDB throttles them."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from pynamodb.exceptions import TransactWriteError

from models.access_patterns.conversations import get_conversation, open_conversation
from models.access_patterns.messages import Draft
from models.access_patterns.users import is_active
from models.table import connection
from models.table.connection import client, settings
from models.table.errors import Contended, ItemTooLarge, TooManyWrites
from models.table.writing import ConditionFailed, Transaction, delete_batch
from models.user import EmailClaim, User
from tests.contract_watch import past_the_models
from tests.factories import append, make_conversation, make_user, new_email, say
from tests.raw import stored, whole_table
from tests.wire import lost_answers, recorded

pytestmark = pytest.mark.usefixtures("table")


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.table.writing.pause", lambda _attempt: None)


@contextmanager
def answering(operation: str, answers: list[dict[str, Any]], *, doing: bool = False) -> Iterator[None]:
    """Answer the next requests of an operation with these errors; with `doing`, still perform the first of them."""
    left = iter(answers)
    first = doing

    def answer(request: Any, **_: Any) -> AWSResponse | None:
        nonlocal first
        body = next(left, None)
        if body is None:
            return None
        if first:
            client()._endpoint.http_session.send(request)
            first = False
        raw = mock.Mock(stream=lambda *_a, **_k: iter([json.dumps(body).encode()]))
        return AWSResponse(request.url, 400, HeadersDict({"Content-Type": "application/x-amz-json-1.0"}), raw)

    event = f"before-send.dynamodb.{operation}"
    events = client().meta.events
    events.register_last(event, answer)
    try:
        yield
    finally:
        events.unregister(event, answer)


@pytest.fixture
def without_retries() -> Iterator[None]:
    """A client without retries, like botocore's once its attempts are used up."""
    before = settings()
    connection.configure(replace(before, max_attempts=1))
    yield
    connection.configure(before)


def cancelled(*codes: str) -> dict[str, Any]:
    return {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": f"Transaction cancelled, please refer cancellation reasons [{', '.join(codes)}]",
        "CancellationReasons": [{"Code": code} for code in codes],
    }


def test_more_parts_than_dynamodb_takes_are_refused_before_anything_is_sent() -> None:
    transaction = Transaction()
    for number in range(101):
        transaction.create(f"claim {number}", EmailClaim(email=new_email(), user_id="usr_1"))
    with recorded() as requests, pytest.raises(TooManyWrites, match=r"101.*at most 100"):
        transaction.commit()
    assert not requests


IN_PROGRESS = {"__type": "com.amazonaws.dynamodb.v20120810#TransactionInProgressException", "Message": "in progress"}


class TestTransaction:
    def test_a_refusal_names_the_parts_whose_condition_failed_and_nothing_is_written(self) -> None:
        user, other = make_user(), make_user()
        email = new_email()
        parts = ["check", "delete", "create", "update"]
        for failing in [{part} for part in parts] + [{"check", "create"}, {"delete", "update"}, set(parts)]:
            transaction = Transaction()
            # Added in a different order than they are sent.
            email_before = "other@example.com" if "update" in failing else user.email
            transaction.update("update", user, [User.role.set("admin")], User.email == email_before)
            transaction.create("create", EmailClaim(email=user.email if "create" in failing else email, user_id="x"))
            gone = User.from_key(user_id="usr_none")
            transaction.check("check", gone if "check" in failing else make_user(), is_active())
            claim = EmailClaim(email=other.email)
            transaction.delete(
                "delete", claim, EmailClaim.user_id == ("usr_none" if "delete" in failing else other.user_id)
            )
            before = whole_table()
            with past_the_models(), pytest.raises(ConditionFailed) as refusal:
                transaction.commit()
            assert refusal.value.parts == failing
            assert str(refusal.value) == ", ".join(sorted(failing))
            assert whole_table() == before

    def test_a_conflict_is_retried_with_another_token(self) -> None:
        conversation = make_conversation()
        with answering("TransactWriteItems", [cancelled("None", "TransactionConflict")] * 3), recorded() as sent:
            say(conversation, "Hello")
        tokens = [each.body["ClientRequestToken"] for each in sent if each.operation == "TransactWriteItems"]
        assert len(tokens) == len(set(tokens)) == 4
        assert get_conversation(conversation.user_id, conversation.conversation_id).message_count == 1

    def test_constant_conflicts_end_in_an_error(self) -> None:
        conversation = make_conversation()
        before = stored(conversation)
        conflicts = [cancelled("TransactionConflict", "None")] * 10
        with answering("TransactWriteItems", conflicts), pytest.raises(Contended):
            say(conversation, "Hello")
        assert stored(conversation) == before

    def test_another_error_is_not_retried(self) -> None:
        conversation = make_conversation()
        with (
            answering("TransactWriteItems", [cancelled("ValidationError", "None")]),
            recorded() as sent,
            pytest.raises(TransactWriteError),
        ):
            say(conversation, "Hello")
        assert [each.operation for each in sent] == ["GetItem", "TransactWriteItems"]

    @pytest.mark.usefixtures("without_retries")
    def test_a_transaction_that_is_still_running_is_retried_with_its_own_token(self) -> None:
        conversation = make_conversation()
        with answering("TransactWriteItems", [IN_PROGRESS] * 3, doing=True), recorded() as sent:
            say(conversation, "Hello")
        tokens = [each.body["ClientRequestToken"] for each in sent if each.operation == "TransactWriteItems"]
        assert (len(tokens), len(set(tokens))) == (4, 1)
        opened = open_conversation(conversation.user_id, conversation.conversation_id, 10)
        assert [message.content for message in opened.messages] == ["Hello"]
        assert opened.conversation.message_count == 1

    def test_two_transactions_never_share_a_token(self) -> None:
        conversation = make_conversation()
        with recorded() as sent:
            say(conversation, "a")
            say(conversation, "a")
        tokens = [each.body["ClientRequestToken"] for each in sent if each.operation == "TransactWriteItems"]
        assert len(set(tokens)) == 2

    def test_an_update_that_makes_an_item_too_large_is_refused_by_name(self) -> None:
        user = make_user(name="x" * 200_000)
        transaction = Transaction()
        transaction.update("profile", user, [User.email.set("x" * 250_000)], is_active())
        with past_the_models(), pytest.raises(ItemTooLarge) as refusal:
            transaction.commit()
        assert refusal.value.field == "profile"


class TestBatch:
    def keys(self, count: int) -> list[tuple[str, str]]:
        made = append(make_conversation(), [Draft("user", "x")] * count)
        return [(message.PK, message.SK) for message in made]

    @pytest.mark.parametrize(("count", "requests"), [(0, 0), (1, 1), (25, 1), (26, 2), (75, 3)])
    def test_a_request_deletes_up_to_25_items(self, count: int, requests: int) -> None:
        keys = self.keys(count)
        with past_the_models(), recorded() as sent:
            delete_batch(keys)
        assert [each.operation for each in sent] == ["BatchWriteItem"] * requests
        assert not whole_table().keys() & set(keys)

    def test_missing_items_are_not_an_error(self) -> None:
        keys = self.keys(2)
        with past_the_models():
            delete_batch(keys)
            delete_batch(keys)

    @contextmanager
    def left_unprocessed(self, times: int) -> Iterator[None]:
        """Let DynamoDB leave an item of each request unprocessed, as it does under load."""
        left = iter(range(times))

        def take_one_out(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
            requests = params["RequestItems"][settings().name]
            if next(left, None) is not None:
                context["left"] = requests.pop()
                if not requests:
                    requests.append({"DeleteRequest": {"Key": {"PK": {"S": "CONV#x"}, "SK": {"S": "MSG#x"}}}})

        def report_it(parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
            if "left" in context:
                parsed["UnprocessedItems"] = {settings().name: [context["left"]]}

        with ExitStack() as stack:
            for event, handler in (
                ("provide-client-params.dynamodb.BatchWriteItem", take_one_out),
                ("after-call.dynamodb.BatchWriteItem", report_it),
            ):
                client().meta.events.register(event, handler)
                stack.callback(client().meta.events.unregister, event, handler)
            yield

    def test_unprocessed_deletes_are_retried(self) -> None:
        keys = self.keys(30)
        with past_the_models(), self.left_unprocessed(times=3):
            delete_batch(keys)
        assert not whole_table().keys() & set(keys)

    def test_deletes_that_are_never_processed_are_an_error(self) -> None:
        keys = self.keys(1)
        with past_the_models(), self.left_unprocessed(times=1000), pytest.raises(Contended):
            delete_batch(keys)


def test_a_lost_response_to_a_batch_is_not_an_error() -> None:
    made = append(make_conversation(), [Draft("user", "x")] * 3)
    keys = [(message.PK, message.SK) for message in made]
    with past_the_models(), lost_answers("BatchWriteItem") as lost:
        delete_batch(keys)
    assert lost
    assert not whole_table().keys() & set(keys)


def test_a_check_needs_an_existing_item() -> None:
    email = new_email()
    transaction = Transaction()
    transaction.check("user", User.from_key(user_id="usr_none"), is_active())
    transaction.create("email", EmailClaim(email=email, user_id="usr_none"))
    with past_the_models(), pytest.raises(ConditionFailed):
        transaction.commit()
    assert stored(EmailClaim(email=email)) == {}
