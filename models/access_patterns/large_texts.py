"""The objects in the bucket that an item still refers to: for the operator, who removes the others."""

from collections.abc import Iterable

from models.access_patterns.declare import Budget, Request, access_pattern
from models.message import Message, MessageReasoning
from models.state import ConversationState, UserState
from models.table.blobs import item_of, key_of
from models.table.reading import get_raw

# DynamoDB's limit for one BatchGetItem.
MAX_OBJECTS = 100


@access_pattern(
    "AP-97",
    "S3 objects in use",
    question="Which of these objects in the bucket are still in use? For the operator.",
    requests=(Request("BatchGetItem", (Message, MessageReasoning, ConversationState, UserState), consistent=True),),
    budget=Budget(1, 50, 0, "50 objects of items of up to 4 KB"),
)
def named_objects(keys: Iterable[str]) -> set[str]:
    """Return those of up to 100 object keys that their items still refer to.

    Raises:
        Contended: DynamoDB kept leaving some unprocessed.
    """
    wanted = {item for key in keys if (item := item_of(key))}
    found = get_raw(sorted(wanted), ["PK", "SK", "blob"]) if wanted else []
    return {key for raw in found if (key := key_of(raw))}
