"""Reading along a branch's path: its own messages, and those of the conversations that it continues.

Timestamps increase along the path, so pages, times and positions work as in a single item collection. Only the
segments that a read reaches are queried, one after the other.
"""

from collections.abc import Sequence
from datetime import datetime

from models.conversation import Conversation
from models.message import Message
from models.table import clock
from models.table.reading import Page, query

PREFIX = Message.SK.template.prefix


def before_own(header: Conversation, said: Page[Message], limit: int) -> Page[Message]:
    """Continue a branch's own newest messages, newest first, with those before them on its path.

    Cost: 1 Query for each segment that the page reaches; one more, of 1 message, if the page ends where one begins.
    """
    items, more = list(said.items), said.more
    for segment in reversed(header.path):
        if more:
            break
        more = _extend(items, segment.conversation_id, (PREFIX, _key(segment.until)), limit, descending=True)
    return Page(tuple(items), more)


def page_of_path(
    header: Conversation, own: Page[Message], lower: str, upper: str, limit: int, *, descending: bool
) -> Page[Message]:
    """Return the page of a path's messages between two sort keys.

    `own` is the same page of the branch's own item collection, which has been read already.

    Cost: 1 Query for each segment that the page reaches; one more, of 1 message, if the page ends where one begins.
    """
    if descending:
        ranges = _ranges(header, lower, upper)[::-1]
        items, more = list(own.items), own.more
    else:
        ranges, items, more = _ranges(header, lower, upper), [], False
    for conversation_id, bounds in ranges:
        if more:
            break
        more = _extend(items, conversation_id, bounds, limit, descending=descending)
    if not descending and not more:
        free = limit - len(items)
        more = own.more or len(own.items) > free
        items += own.items[:free]
    return Page(tuple(items), more)


def holder_of(header: Conversation, moment: datetime) -> str:
    """Return the id of the conversation on a path whose item collection has the messages of a moment."""
    for segment in header.path:
        if moment <= segment.until:
            return segment.conversation_id
    return str(header.conversation_id)


def _ranges(header: Conversation, lower: str, upper: str) -> Sequence[tuple[str, tuple[str, str]]]:
    """Return the ranges of sort keys to read in the segments before the branch's own, oldest first."""
    found = []
    for segment in header.path:
        last = min(_key(segment.until), upper)
        if lower <= last:
            found.append((segment.conversation_id, (lower, last)))
        lower = max(lower, _key(segment.until) + "~")
    return found


def _extend(
    items: list[Message], conversation_id: str, bounds: tuple[str, str], limit: int, *, descending: bool
) -> bool:
    """Add messages from a range of an item collection up to the page's limit; return whether there are more."""
    missing = limit - len(items)
    page = query(
        Message.PK.template.render(conversation_id=conversation_id),
        Message.SK.between(*bounds),
        limit=max(missing, 1),
        descending=descending,
        consistent=True,
        peek=missing > 0,
        whole=False,
    )
    if not missing:
        return bool(page.items)
    items += page.items
    return page.more


def _key(moment: datetime) -> str:
    return PREFIX + clock.to_timestamp(moment)
