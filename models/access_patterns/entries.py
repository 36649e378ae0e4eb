"""All of a user's conversations and turns, read from the base table, so that a stale index cannot hide any."""

from models.access_patterns.declare import Budget, Request, access_pattern
from models.conversation import ConversationEntry
from models.table.reading import Page, keys, query
from models.table.tenancy import UserId
from models.turn import Turn, TurnCount


@access_pattern(
    "AP-78",
    "List a user's conversation entries",
    question="Which conversations do I have, without exception? For an export.",
    requests=(
        Request(
            "Query",
            (ConversationEntry,),
            sort_key="begins_with CONV#",
            consistent=True,
            order="ascending",
            page="1 to 1,000 and one more",
        ),
    ),
    budget=Budget(1, 2, 0, "a page of 50 entries of 150 bytes"),
    routes=("GET /api/v1/users/{user_id}/export",),
)
def list_conversation_entries(
    user_id: UserId, limit: int, after: ConversationEntry | None = None
) -> Page[ConversationEntry]:
    """Return the entries of the user's conversations, by agent and then by creation, starting after `after`.

    An entry may outlive a conversation whose header has expired.
    """
    return query(
        ConversationEntry.PK.template.render(user_id=user_id),
        ConversationEntry.SK.startswith(ConversationEntry.SK.template.prefix),
        limit=limit,
        after=keys(after) if after else None,
        consistent=True,
    )


@access_pattern(
    "AP-79",
    "List a user's turns",
    question="How did all my turns end? For an export.",
    requests=(
        Request(
            "Query",
            (Turn,),
            sort_key="begins_with TURN#",
            consistent=True,
            order="ascending",
            page="1 to 1,000 and one more",
        ),
    ),
    budget=Budget(1, 5, 0, "a page of 50 turns of 400 bytes"),
    routes=("GET /api/v1/users/{user_id}/export",),
)
def list_turns(user_id: UserId, limit: int, after: str | None = None) -> Page[Turn]:
    """Return the user's turns in the order in which they began, starting after the id `after`."""
    return query(
        Turn.PK.template.render(user_id=user_id),
        Turn.SK.startswith(Turn.SK.template.prefix),
        limit=limit,
        after=keys(Turn.from_key(user_id=user_id, turn_id=after)) if after else None,
        consistent=True,
    )


@access_pattern(
    "AP-110",
    "List a user's turn counts",
    question="How many tokens did my deleted and expiring turns use? For an export.",
    requests=(
        Request(
            "Query",
            (TurnCount,),
            sort_key="begins_with COUNTED#",
            consistent=True,
            order="ascending",
            page="1 to 1,000 and one more",
        ),
    ),
    budget=Budget(1, 3, 0, "a page of 50 counts of 200 bytes"),
    routes=("GET /api/v1/users/{user_id}/export",),
)
def list_turn_counts(user_id: UserId, limit: int, after: str | None = None) -> Page[TurnCount]:
    """Return the counts of the user's turns, in the order in which they began, starting after the id `after`.

    A turn that expires gets its count when it ends, next to its record.
    """
    return query(
        TurnCount.PK.template.render(user_id=user_id),
        TurnCount.SK.startswith(TurnCount.SK.template.prefix),
        limit=limit,
        after=keys(TurnCount.from_key(user_id=user_id, turn_id=after)) if after else None,
        consistent=True,
    )
