"""Allowances: a user's limits and claims, and the release of claims that orphaned turns left behind."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from models.access_patterns.audit_records import event, record
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.orphans import running_turn
from models.access_patterns.users import is_active
from models.allowance import Allowance, Limits, kept_until
from models.audit import AuditEvent
from models.conversation import Conversation
from models.table import clock
from models.table.changes import actions_for, update_present
from models.table.errors import Contended, ItemNotFound
from models.table.reading import get, get_many
from models.table.retries import MAX_ATTEMPTS
from models.table.tenancy import UserId
from models.table.values import checked_map, number_value, one_of
from models.table.writing import ConditionFailed, Transaction
from models.turn import Turn
from models.user import User

_BATCH = 100
_CREATING = Request(
    "TransactWriteItems", writes=(Write("ConditionCheck", User), Write("Put", Allowance)), optional=True
)


@access_pattern(
    "AP-80",
    "User's allowance",
    question="How much may this user still use? On every turn, if turns are limited.",
    requests=(Request("GetItem", (Allowance,), consistent=True), _CREATING),
    budget=Budget(2, 1, 4, "the first read; after that 1 request and 1 RCU for an allowance of up to 4 KB"),
    routes=(
        "GET /api/v1/users/{user_id}/limits",
        "POST /api/v1/conversations/{conversation_id}/messages with a limit",
        "POST /api/v1/conversations/{conversation_id}/turns with a limit",
        "POST /v1/chat/completions with a limit",
        "POST /v1/responses with a limit",
        "POST /api/v1/conversations/{conversation_id}/branches with a limit",
    ),
)
def get_allowance(user_id: UserId) -> Allowance:
    """Return a user's allowance; the first read creates it.

    Raises:
        ItemNotFound: there is no such user.
    """
    for _ in range(MAX_ATTEMPTS):
        found: Allowance | None = get(Allowance, user_id=user_id)
        if found is not None:
            return found
        made = Allowance(user_id=user_id)
        transaction = Transaction()
        transaction.check("user", User.from_key(user_id=user_id), is_active())
        transaction.create("allowance", made)
        try:
            transaction.commit()
        except ConditionFailed as failed:
            if "user" in failed.parts:
                raise ItemNotFound("user") from failed
        else:
            return made
    raise Contended("The allowance of this user was created and deleted repeatedly; try again.")


@access_pattern(
    "AP-81",
    "Change a user's limits",
    question="Give this user higher or lower limits than the deployment's. For administrators.",
    requests=(
        Request("GetItem", (Allowance,), consistent=True),
        _CREATING,
        Request("TransactWriteItems", writes=(Write("Put", AuditEvent), Write("Update", Allowance))),
    ),
    budget=Budget(3, 1, 8, "the first time; after that 2 requests and 4 WCU for an allowance of up to 1 KB"),
    routes=("PATCH /api/v1/users/{user_id}/limits",),
)
def change_limits(user_id: UserId, changes: Mapping[str, Any]) -> Allowance:
    """Set a user's own limits by name; None removes one, so that the deployment's limit applies again.

    Raises:
        InvalidValue: a name is not that of a limit, or a limit is not a whole number.
        ItemNotFound: there is no such user.
    """
    for name, value in checked_map("changes", changes).items():
        one_of("changes", name, [each.name for each in fields(Limits)])
        if value is not None:
            number_value(name, value, 0)
    allowance = get_allowance(user_id)
    if changes:
        transaction = Transaction()
        transaction.update("allowance", allowance, actions_for(Allowance, {"limits": changes}), Allowance.PK.exists())
        record(transaction, event(user_id, "limits.changed", user_id, names=sorted(changes)))
        try:
            transaction.commit()
        except ConditionFailed as error:
            raise ItemNotFound("user") from error
        merged = {**allowance.limits, **changes}
        allowance.limits = {name: value for name, value in merged.items() if value is not None}
    return allowance


@access_pattern(
    "AP-82",
    "Release ended turns",
    question="Are the turns that hold this user's allowance still running? Before a turn is refused.",
    requests=(
        Request("GetItem", (Allowance,), consistent=True),
        Request("BatchGetItem", (Conversation,), consistent=True, optional=True),
        Request("UpdateItem", (Allowance,), optional=True),
    ),
    budget=Budget(3, 3, 1, "two running turns, one of them in a conversation that has since been deleted"),
    routes=(
        "POST /api/v1/conversations/{conversation_id}/messages with a limit that is reached",
        "POST /api/v1/conversations/{conversation_id}/turns with a limit that is reached",
        "POST /v1/chat/completions with a limit that is reached",
        "POST /v1/responses with a limit that is reached",
        "POST /api/v1/conversations/{conversation_id}/branches with a limit that is reached",
    ),
)
def release_ended_turns(user_id: UserId) -> tuple[list[Turn], bool]:
    """Free the slots of turns that were deleted with their conversations, and find orphaned turns.

    The slot of a completion is freed when its time is over. The reservations of deleted turns and of such completions
    stay claimed: their user may have received the answer.

    Returns:
        The turns to reconcile, and whether a slot was freed.
    """
    found: Allowance | None = get(Allowance, user_id=user_id)
    slots = sorted(found.running or ()) if found is not None else []
    ends = {each: kept_until(each.partition(" ")[0]) for each in slots}
    moment = clock.table_now()
    dead, over = [], {each for each, end in ends.items() if end is not None and end <= moment}
    running = [each for each, end in ends.items() if end is None]
    for start in range(0, len(running), _BATCH):
        some = [each.partition(" ") for each in running[start : start + _BATCH]]
        headers = get_many([Conversation.from_key(conversation_id=name) for name, _, _ in some], consistent=True)
        for (name, _, turn_id), header in zip(some, headers, strict=True):
            if header is None or header.lease_turn != turn_id:
                over.add(f"{name} {turn_id}")
            elif not header.leased():
                dead.append(running_turn(header))
    if found is not None and over:
        update_present(found, [Allowance.running.delete(over)], None, "user")
    return dead, bool(over)
