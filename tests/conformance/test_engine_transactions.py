"""Transactions: all or nothing, with reasons in order, and a token that makes a repeated one harmless."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.conformance.conftest import Wire, refusal, sort_keys

ABSENT = {"ConditionExpression": "attribute_not_exists(PK)"}
PRESENT = {"ConditionExpression": "attribute_exists(PK)"}


def add_one(wire: Wire, sk: str, **more: Any) -> tuple[str, dict[str, Any]]:
    values = {":one": {"N": "1"}}
    return "Update", {
        "Key": wire.key(sk),
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": values,
    } | more


def test_one_failed_condition_cancels_all_parts(wire: Wire) -> None:
    refusal(
        lambda: wire.transact(
            ("Put", {"Item": wire.item("A")}),
            ("ConditionCheck", {"Key": wire.key("missing")} | PRESENT),
        )
    )

    assert wire.get("A") is None


def test_cancellation_reasons_are_in_the_order_of_the_parts(wire: Wire) -> None:
    wire.put(wire.item("there"))

    refused = refusal(
        lambda: wire.transact(
            ("ConditionCheck", {"Key": wire.key("missing")} | PRESENT),
            ("Delete", {"Key": wire.key("there")}),
            ("Put", {"Item": wire.item("new")}),
            add_one(wire, "gone", **PRESENT),
        )
    )

    codes = [reason["Code"] for reason in refused["CancellationReasons"]]
    assert refused["Error"]["Code"] == "TransactionCanceledException"
    assert codes == ["ConditionalCheckFailed", "None", "None", "ConditionalCheckFailed"]


def test_a_token_makes_a_repeated_request_harmless(wire: Wire) -> None:
    token = str(uuid.uuid4())

    wire.transact(add_one(wire, "A"), ClientRequestToken=token)
    wire.transact(add_one(wire, "A"), ClientRequestToken=token)

    assert wire.get("A")["n"] == {"N": "1"}


def test_a_token_with_different_parts_is_refused(wire: Wire) -> None:
    token = str(uuid.uuid4())
    wire.transact(add_one(wire, "A"), ClientRequestToken=token)

    refused = refusal(lambda: wire.transact(add_one(wire, "B"), ClientRequestToken=token))

    assert refused["Error"]["Code"] == "IdempotentParameterMismatchException"


def test_a_transaction_of_100_parts_is_accepted(wire: Wire) -> None:
    wire.transact(*[("Put", {"Item": wire.item(f"{n:03}")}) for n in range(100)])

    assert wire.query()["Count"] == 100


def test_a_transaction_of_101_parts_is_refused(wire: Wire) -> None:
    parts = [("Put", {"Item": wire.item(f"{n:03}")}) for n in range(101)]

    assert refusal(lambda: wire.transact(*parts))["Error"]["Code"] == "ValidationException"


def test_two_parts_on_one_item_are_refused(wire: Wire) -> None:
    refused = refusal(lambda: wire.transact(add_one(wire, "A"), ("Put", {"Item": wire.item("A")})))

    assert refused["Error"]["Code"] == "ValidationException"


def test_a_transaction_over_4_mb_is_refused(wire: Wire) -> None:
    parts = [("Put", {"Item": wire.item(f"{n:02}", size=400_000)}) for n in range(11)]

    refusal(lambda: wire.transact(*parts))

    assert wire.query()["Count"] == 0


def test_appends_of_optimistic_writers_are_kept_once_and_in_order(wire: Wire) -> None:
    wire.put(wire.key("THREAD") | {"last": {"N": "0"}})

    def append(writer: int) -> list[str]:
        kept: list[str] = []
        for _ in range(400):
            last = int(wire.get("THREAD")["last"]["N"])
            name = f"MSG#{last + 1:04}"
            header = {
                "Key": wire.key("THREAD"),
                "UpdateExpression": "SET #l = :next",
                "ConditionExpression": "#l = :seen",
                "ExpressionAttributeNames": {"#l": "last"},
                "ExpressionAttributeValues": {":next": {"N": str(last + 1)}, ":seen": {"N": str(last)}},
            }
            try:
                wire.transact(
                    ("Put", {"Item": wire.item(name, by=str(writer))} | ABSENT),
                    ("Update", header),
                )
            except wire.client.exceptions.TransactionCanceledException:
                continue
            kept.append(name)
            if len(kept) == 5:
                break
        return kept

    with ThreadPoolExecutor(4) as pool:
        kept = sorted(name for names in pool.map(append, range(4)) for name in names)

    assert kept == [f"MSG#{n:04}" for n in range(1, 21)]
    assert sort_keys(wire.query()) == [*kept, "THREAD"]
