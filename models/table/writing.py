"""Transactions with named parts: all of it is written or none, and a refusal says which part's condition failed.

All tries of a transaction carry one ClientRequestToken, so one whose acknowledgement was lost is recognised by DynamoDB
and not done twice.
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

# The part that makes a request with an idempotency key happen once; its name is that of the header.
ONCE = "Idempotency-Key"

# Room in a request for what stands around an item: its condition, the table's name.
_PART_BYTES = 1024
_BATCH = 25
_AT_ONCE = 4
_CONFLICTS = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


class ConditionFailed(Exception):
    """The condition of at least one part did not hold; nothing was written. `parts` are the names of those parts."""

    def __init__(self, parts: frozenset[str]) -> None:
        """Carry the names of the parts whose condition failed."""
        super().__init__(", ".join(sorted(parts)))
        self.parts = parts


class Transaction:
    """What is to be written together. PynamoDB keeps the kinds of operation apart and sends them in the order checks,
    deletes, puts, updates; the reasons of a cancellation come in that order too.
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
        """Ask that `condition` holds for an item that is not written. Cost: 2 WCU for each KB."""
        self._checks.append((part, item, condition))

    def create(self, part: str, item: Item) -> None:
        """Put an item that must not be there yet. Cost: 2 WCU for each KB, and those of its indexes.

        An item whose TTL has passed is not there, though DynamoDB may not have removed it yet.

        Raises:
            ItemTooLarge: it is over 400 KB.
            TransactionTooLarge: all that is to be created is over 4 MB.
        """
        if isinstance(item, LongItem):
            self.pack(item)
        stored = item.serialize()
        size = item_size(stored)
        if size > MAX_ITEM_BYTES:
            raise ItemTooLarge(part, size, MAX_ITEM_BYTES)
        # Counted as it is sent: DynamoDB counts the items, which are smaller, others count the request.
        self._size += sent_size(stored) + _PART_BYTES
        if self._size > MAX_TRANSACTION_BYTES:
            raise TransactionTooLarge(self._size, MAX_TRANSACTION_BYTES)
        entity = type(item)
        absent = entity.PK.does_not_exist() | (entity.expires_at <= int(clock.now().timestamp()))
        self._puts.append((part, item, absent))

    def put(self, part: str, item: Item) -> None:
        """Put a small item, also in the place of one of its kind that says the same. Cost: 2 WCU for each KB."""
        entity = type(item)
        self._puts.append((part, item, entity.PK.does_not_exist() | (entity.entity == entity.ENTITY)))

    def pack(self, item: LongItem) -> None:
        """Choose where the text of an item goes that is to be written; what goes to S3 is stored by `commit`.

        Raises:
            ItemTooLarge: it does not fit in an item, and there is no bucket.
        """
        self._bodies |= item.pack()

    def update(self, part: str, item: Item, actions: Sequence[Action], condition: Condition) -> None:
        """Change attributes of an item that is there. Cost: 2 WCU for each KB of the larger of before and after."""
        self._updates.append((part, item, actions, type(item).PK.exists() & condition))

    def delete(self, part: str, item: Item, condition: Condition | None = None) -> None:
        """Delete an item; without a condition a missing one is no error. Cost: 2 WCU for each KB."""
        self._deletes.append((part, item, condition))

    def on_commit(self, act: Callable[[], object]) -> None:
        """Have `act` called when all of it is known to be written."""
        self._on_commit.append(act)

    def commit(self, attempts: int = MAX_ATTEMPTS) -> None:
        """Write all of it, in one request; what goes to S3 before it. If it is refused, nothing stays in S3.

        Raises:
            TooManyWrites: it has more than 100 parts; nothing was sent.
            ContentUnavailable: S3 did not take what goes there; nothing was written.
            ConditionFailed: a condition did not hold.
            DoneBefore: another request with the same idempotency key was first.
            ItemTooLarge: an update would make its item larger than 400 KB.
            Contended: other transactions kept getting in the way, `attempts` tries long.
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
                # An earlier try of this one still runs: only under the same token can its end be learned.
                runs_still = response_error(error).get("Code") == "TransactionInProgressException"
                if _CONFLICTS.intersection(codes.values()):
                    token = str(uuid4())
                elif not runs_still or attempt == MAX_ATTEMPTS - 1:
                    raise
                try:
                    pause(attempt)
                except Contended:
                    # Which would say that nothing was written, and nobody knows that yet.
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
    """Return the `Code` and the `Message` of DynamoDB's answer behind an error; nothing where there was no answer.

    PynamoDB's own `cause_response_code` raises AttributeError after a timeout, whose `response` is None.
    """
    response: Mapping[str, Mapping[str, str]] = getattr(error.cause, "response", None) or {}
    return response.get("Error", {})


def too_large(message: str | None) -> bool:
    """Whether DynamoDB refused a write because the item would become too large."""
    return "Item size" in (message or "")


def delete_batch(keys: Sequence[tuple[str, str]]) -> None:
    """Delete items by their keys, 25 a request and four requests at a time.

    What DynamoDB leaves unprocessed is sent again, with pauses. The order in which the items go is not defined.

    Cost: 1 BatchWriteItem for each 25 keys; 1 WCU for each KB of each item. Missing items are no error.

    Raises:
        Contended: DynamoDB kept leaving some unprocessed.
    """
    batches = [keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH)]
    if len(batches) <= 1:
        for batch in batches:
            _delete(batch)
        return
    # Each thread is told which access pattern it works for.
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
