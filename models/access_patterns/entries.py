"""All of a user's conversations and turns as the base table has them at this moment, whatever the indexes say."""

from models.access_patterns.declare import Budget, Request, access_pattern
from models.conversation import ConversationEntry
from models.table.reading import Page, keys, query
from models.table.tenancy import UserId
from models.turn import Turn, TurnCount


@access_pattern(
    "AP-78",
    "List a user's conversation entries",
    question="Which conversations have I, none left out? Asked by an export.",
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
    """Return what leads to the user's conversations, by agent and then by their making, from the one after `after`.

    A conversation whose header has expired may still be led to.
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
    question="How did all my turns end? Asked by an export.",
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
    """Return the user's turns in the order of their beginning, from the one after the id `after`."""
    return query(
        Turn.PK.template.render(user_id=user_id),
        Turn.SK.startswith(Turn.SK.template.prefix),
        limit=limit,
        after=keys(Turn.keyed(user_id=user_id, turn_id=after)) if after else None,
        consistent=True,
    )


@access_pattern(
    "AP-110",
    "List a user's turn counts",
    question="What did those of my turns take that are gone, or will expire? Asked by an export.",
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
    """Return what the user's turns have left in sums, in the order of their beginning, from the one after `after`.

    A turn that may expire has its count beside it from its end on.
    """
    return query(
        TurnCount.PK.template.render(user_id=user_id),
        TurnCount.SK.startswith(TurnCount.SK.template.prefix),
        limit=limit,
        after=keys(TurnCount.keyed(user_id=user_id, turn_id=after)) if after else None,
        consistent=True,
    )
