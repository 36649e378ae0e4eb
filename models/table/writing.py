"""Transactions with named parts: all parts are written or none, and a failure says which parts' conditions failed.

All attempts of a transaction carry one ClientRequestToken, so DynamoDB recognises a retry whose first acknowledgement
was lost and does not apply it twice.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any
from uuid import uuid4

from pynamodb.exceptions import PynamoDBException, TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from models.table import blobs, clock
from models.table.connection import client, low_level, settings
from models.table.errors import Contended, DoneBefore, ItemTooLarge, TooManyWrites, TransactionTooLarge
from models.table.item import Item
from models.table.long_text import LongItem
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.sizes import MAX_ITEM_BYTES, MAX_TRANSACTION_BYTES, MAX_TRANSACTION_ITEMS, item_size, sent_size

log = logging.getLogger(__name__)

# The part that makes a request with an idempotency key take effect once; it is named after the header.
ONCE = "Idempotency-Key"

# Allowance for the rest of a part in the request: its condition and the table's name.
_PART_BYTES = 1024
_BATCH = 25
_AT_ONCE = 4
_CONFLICTS = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


class ConditionFailed(Exception):
    """The condition of at least one part did not hold; nothing was written. `parts` are the names of those parts."""

    def __init__(self, parts: frozenset[str]) -> None:
        """Take the names of the parts whose condition failed."""
        super().__init__(", ".join(sorted(parts)))
        self.parts = parts


class Transaction:
    """Writes that take effect together. PynamoDB groups the operations and sends them in the order checks, deletes,
    puts, updates; the cancellation reasons have the same order.
    """

    def __init__(self) -> None:
        """Start with nothing to write."""
        self._checks: list[tuple[str, Item, Condition]] = []
        self._deletes: list[tuple[str, Item, Condition | None]] = []
        self._puts: list[tuple[str, Item, Condition]] = []
        self._updates: list[tuple[str, Item, Sequence[Action], Condition]] = []
        self._size = 0
        self._bodies: dict[str, bytes] = {}
        self._on_commit: list[Callable[[], object]] = []

    def check(self, part: str, item: Item, condition: Condition) -> None:
        """Require that `condition` holds for an item that is not written. Cost: 2 WCU for each KB."""
        self._checks.append((part, item, condition))

    def create(self, part: str, item: Item) -> None:
        """Put an item that must not exist yet. Cost: 2 WCU for each KB, and those of its indexes.

        An item whose TTL has passed counts as missing, even if DynamoDB has not deleted it yet.

        Raises:
            ItemTooLarge: it is over 400 KB.
            TransactionTooLarge: the items to create are over 4 MB together.
        """
        if isinstance(item, LongItem):
            self.pack(item)
        stored = item.serialize()
        size = item_size(stored)
        if size > MAX_ITEM_BYTES:
            raise ItemTooLarge(part, size, MAX_ITEM_BYTES)
        # The size of the request: DynamoDB counts the items, which are smaller; other engines count the request.
        self._size += sent_size(stored) + _PART_BYTES
        if self._size > MAX_TRANSACTION_BYTES:
            raise TransactionTooLarge(self._size, MAX_TRANSACTION_BYTES)
        entity = type(item)
        absent = entity.PK.does_not_exist() | (entity.expires_at <= int(clock.now().timestamp()))
        self._puts.append((part, item, absent))

    def put(self, part: str, item: Item, condition: Condition | None = None) -> None:
        """Put a small item, even if an equal one of the same type exists. Cost: 2 WCU for each KB.

        With a condition, it replaces an item for which that holds.
        """
        entity = type(item)
        if condition is None:
            condition = entity.PK.does_not_exist() | (entity.entity == entity.ENTITY)
        self._puts.append((part, item, condition))

    def pack(self, item: LongItem) -> None:
        """Choose where to store the long text of an item to be written; `commit` stores it in S3 if it goes there.

        Raises:
            ItemTooLarge: it does not fit in an item, and there is no bucket.
        """
        self._bodies |= item.pack()

    def update(self, part: str, item: Item, actions: Sequence[Action], condition: Condition) -> None:
        """Change attributes of an existing item. Cost: 2 WCU for each KB of the larger of its old and new size."""
        self._updates.append((part, item, actions, type(item).PK.exists() & condition))

    def delete(self, part: str, item: Item, condition: Condition | None = None) -> None:
        """Delete an item; without a condition, a missing one is not an error. Cost: 2 WCU for each KB."""
        self._deletes.append((part, item, condition))

    def on_commit(self, act: Callable[[], object]) -> None:
        """Register `act` to be called once the transaction is known to be committed."""
        self._on_commit.append(act)

    def commit(self, attempts: int = MAX_ATTEMPTS) -> None:
        """Store the texts for S3, then write all parts in one request. If it fails, the texts are removed from S3.

        They stay if it is unknown whether the parts were written.

        Raises:
            TooManyWrites: it has more than 100 parts; nothing was sent.
            ContentUnavailable: S3 did not store a text; nothing was written.
            ConditionFailed: a condition did not hold.
            DoneBefore: another request with the same idempotency key was first.
            ItemTooLarge: an update would make its item larger than 400 KB.
            Contended: it conflicted with other transactions in all `attempts`.
        """
        if len(self._parts) > MAX_TRANSACTION_ITEMS:
            raise TooManyWrites("items", len(self._parts), MAX_TRANSACTION_ITEMS)
        with blobs.stored(self._bodies, refused=(ConditionFailed, ItemTooLarge, Contended)):
            self._write(attempts)

    def _write(self, attempts: int) -> None:
        token = str(uuid4())
        for attempt in range(attempts):
            try:
                self._send(token)
            except TransactWriteError as error:
                reasons = dict(zip(self._parts, error.cancellation_reasons, strict=False))
                codes = {part: reason.code for part, reason in reasons.items() if reason}
                failed = frozenset(part for part, code in codes.items() if code == "ConditionalCheckFailed")
                if ONCE in failed:
                    raise DoneBefore("Another request with the same idempotency key was first.") from error
                if failed:
                    raise ConditionFailed(failed) from error
                for part, reason in reasons.items():
                    if reason and too_large(reason.message):
                        raise ItemTooLarge(part, None, MAX_ITEM_BYTES) from error
                if too_large(response_error(error).get("Message")):
                    # DynamoDB Local reports it for the whole transaction.
                    raise ItemTooLarge("item", None, MAX_ITEM_BYTES) from error
                # An earlier attempt still runs: only a retry with the same token learns its outcome.
                runs_still = response_error(error).get("Code") == "TransactionInProgressException"
                if _CONFLICTS.intersection(codes.values()):
                    token = str(uuid4())
                elif not runs_still or attempt == MAX_ATTEMPTS - 1:
                    raise
                try:
                    pause(attempt)
                except Contended:
                    # Contended means that nothing was written, which is not known yet.
                    if runs_still:
                        raise error from None
                    raise
            else:
                for act in self._on_commit:
                    act()
                return
        raise Contended("Other writers kept changing the same items; nothing was written.")

    @property
    def _parts(self) -> list[str]:
        return [each[0] for kind in (self._checks, self._deletes, self._puts, self._updates) for each in kind]

    def _send(self, token: str) -> Any:
        with TransactWrite(connection=low_level(), client_request_token=token) as write:
            for _, item, condition in self._checks:
                write.condition_check(type(item), item.PK, item.SK, condition=condition)
            for _, item, maybe in self._deletes:
                write.delete(item, condition=maybe)
            for _, item, condition in self._puts:
                write.save(item, condition=condition)
            for _, item, actions, condition in self._updates:
                write.update(item, actions=list(actions), condition=condition)


def response_error(error: PynamoDBException) -> Mapping[str, str]:
    """Return the `Code` and the `Message` of DynamoDB's response to a failed request; empty if there was none.

    PynamoDB's own `cause_response_code` raises AttributeError after a timeout, whose `response` is None.
    """
    response: Mapping[str, Mapping[str, str]] = getattr(error.cause, "response", None) or {}
    return response.get("Error", {})


def too_large(message: str | None) -> bool:
    """Whether DynamoDB refused a write because the item would become too large."""
    return "Item size" in (message or "")


def delete_batch(keys: Sequence[tuple[str, str]]) -> None:
    """Delete items by their keys, 25 per request and up to four requests in parallel, in no particular order.

    Deletes that DynamoDB leaves unprocessed are retried with backoff.

    Cost: 1 BatchWriteItem for each 25 keys; 1 WCU for each KB of each item. Missing items are not an error.

    Raises:
        Contended: DynamoDB kept leaving some unprocessed.
    """
    batches = [keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH)]
    if len(batches) <= 1:
        for batch in batches:
            _delete(batch)
        return
    # The context tells each thread which access pattern it works for.
    tasks = [(copy_context(), batch) for batch in batches]
    with ThreadPoolExecutor(min(_AT_ONCE, len(batches)), thread_name_prefix="delete") as pool:
        for done in [pool.submit(context.run, _delete, batch) for context, batch in tasks]:
            done.result()


def _delete(batch: Sequence[tuple[str, str]]) -> None:
    pending: Any = {
        settings().name: [{"DeleteRequest": {"Key": {"PK": {"S": pk}, "SK": {"S": sk}}}} for pk, sk in batch]
    }
    for attempt in range(MAX_ATTEMPTS):
        pending = client().batch_write_item(RequestItems=pending).get("UnprocessedItems") or {}
        if not pending:
            return
        pause(attempt)
    raise Contended("DynamoDB kept leaving deletes unprocessed; try again.")
