"""A user's conversations as the base table has them: all of them, at this moment, whatever the indexes say."""

from models.access_patterns.declare import Budget, Request, access_pattern
from models.conversation import ConversationEntry
from models.reading import Page, keys, query
from models.tenancy import UserId


@access_pattern(
    "AP-78",
    "All conversations of a user",
    question="Which conversations have I, none left out? Asked by an export.",
    requests=(
        Request(
            "Query",
            (ConversationEntry,),
            sort_key="begins_with CONV#",
            consistent=True,
            order="ascending",
            page="1 to 100 and one more",
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
