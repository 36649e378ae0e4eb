"""Share links: created, listed and revoked by the owner of a conversation, and read by anyone who has one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from models.access_patterns.audit_records import event, record
from models.access_patterns.conversations import get_conversation, owned_by
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.idempotency import Once
from models.access_patterns.paths import PREFIX, holder_of, page_of_path
from models.access_patterns.retention import shorter
from models.audit import AuditEvent
from models.branch import MAX_HOPS
from models.conversation import Conversation
from models.idempotency import IdempotencyRecord
from models.message import ID_PREFIX as MESSAGE_PREFIX
from models.message import Message
from models.share_link import DEFAULT_DAYS, ID_PREFIX, MAX_DAYS, ShareLink, ShareLinkEntry
from models.table import clock
from models.table.errors import ItemNotFound
from models.table.ids import moment_of, new_id
from models.table.item import Item, expiry
from models.table.long_text import load
from models.table.reading import Page, get, get_many, keys, query
from models.table.side_by_side import both
from models.table.tenancy import UserId
from models.table.values import number_value
from models.table.writing import ConditionFailed, Transaction
from models.user import User


@dataclass(frozen=True)
class Shared:
    """What a share link shows: the title that the conversation had, and a page of its messages."""

    link: ShareLink
    messages: Page[Message]


@access_pattern(
    "AP-86",
    "Share a conversation by link",
    question="Let anyone with this link read my conversation up to here.",
    requests=(
        Request("GetItem", (Conversation,), consistent=True),
        Request("GetItem", (Message,), consistent=True, optional=True),
        Request(
            "TransactWriteItems",
            writes=(
                Write("Put", ShareLink),
                Write("Put", ShareLinkEntry),
                Write("Put", IdempotencyRecord, optional=True),
                Write("Put", AuditEvent),
                Write("Update", Conversation),
            ),
        ),
    ),
    budget=Budget(
        3,
        2,
        8,
        "a header and a message of up to 4 KB each, the link's two items and the audit record; 2 requests without a "
        "message's id; the header takes 2 WCU for each KB",
    ),
    routes=("POST /api/v1/conversations/{conversation_id}/links",),
)
def create_share_link(
    user_id: UserId,
    conversation_id: str,
    *,
    token_hash: str,
    up_to_message_id: str | None = None,
    days: int = DEFAULT_DAYS,
    once: Once | None = None,
) -> ShareLinkEntry:
    """Store a link to a conversation as it is now, or up to one of its messages.

    Args:
        user_id: the conversation's owner.
        conversation_id: the conversation, a root or a branch; completed and archived ones too.
        token_hash: the hash that the link is looked up by; the token itself is never stored.
        up_to_message_id: the last message that it shows; None for the newest. It may be one that a branch continues.
        days: days after which the link expires, up to 365. It expires earlier if retention lets its last message expire
            earlier.
        once: the request's idempotency key.

    Raises:
        InvalidValue: the number of days is not allowed.
        ItemNotFound: the user has no such conversation, or it has no such message or no message at all.
        DoneBefore: another request with the same idempotency key was first.
    """
    number_value("days", days, 1, MAX_DAYS)
    header = get_conversation(user_id, conversation_id)
    until, ends = _end(header, up_to_message_id)
    moment = clock.now()
    entry = ShareLinkEntry(
        conversation_id=conversation_id,
        link_id=new_id(ID_PREFIX, moment),
        token_hash=token_hash,
        until=until,
        created_at=moment,
        expires_at=shorter(expiry(moment + timedelta(days=days)), ends),
    )
    link = ShareLink(
        token_hash=token_hash,
        link_id=entry.link_id,
        user_id=user_id,
        tree=_tree(header),
        title=header.title,
        until=until,
        expires_at=entry.expires_at,
    )
    transaction = Transaction()
    transaction.create("link", link)
    transaction.create("entry", entry)
    if once:
        once.add(transaction, entry.link_id, entry)
    record(transaction, event(user_id, "link.created", entry.link_id, conversation_id=conversation_id))
    # It costs what a check would cost, and spares exports a Query for each conversation without links.
    transaction.update("conversation", header, [Conversation.linked.set(True)], owned_by(user_id))
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise ItemNotFound("conversation") from error
    return entry


def _end(header: Conversation, message_id: str | None) -> tuple[datetime, int | None]:
    """Return the time of the last message to be shown, and when retention ends what is shown.

    A link that lived longer would show nothing, and could outlive the item collection that leads to it.

    Cost: 1 GetItem with a message's id.
    """
    moment = header.last_message_at if message_id is None else moment_of(message_id, MESSAGE_PREFIX)
    if moment is None:
        raise ItemNotFound("message")
    if message_id is None:
        return moment, _ends(header)
    found: Message | None = get(Message, conversation_id=holder_of(header, moment), ts=moment, whole=False)
    if found is None or found.message_id != message_id:
        raise ItemNotFound("message")
    return moment, shorter(_ends(found), _ends(header))


def _ends(item: Item) -> int | None:
    return None if item.expires_at is None else int(item.expires_at)


def _tree(header: Conversation) -> list[str]:
    """Return the ids of the conversations that a conversation depends on, itself first."""
    others = [header.root_id, header.parent_id, *(each.conversation_id for each in header.path)]
    return list(dict.fromkeys(each for each in [header.conversation_id, *others] if each is not None))


@access_pattern(
    "AP-87",
    "List a conversation's share links",
    question="Which links to this conversation of mine are there?",
    requests=(
        Request("GetItem", (Conversation,), consistent=True),
        Request(
            "Query",
            (ShareLinkEntry,),
            sort_key="begins_with LINK#",
            consistent=True,
            order="ascending",
            page="1 to 1,000 and one more",
        ),
    ),
    budget=Budget(2, 6, 0, "a header of up to 4 KB, and a page of 50 entries of 300 bytes"),
    routes=("GET /api/v1/conversations/{conversation_id}/links", "GET /api/v1/users/{user_id}/export"),
)
def list_share_links(
    user_id: UserId, conversation_id: str, limit: int, after: str | None = None
) -> Page[ShareLinkEntry]:
    """Return the links to a conversation that have not expired, oldest first, starting after the id `after`.

    Raises:
        ItemNotFound: the user has no such conversation.
    """
    last = ShareLinkEntry.from_key(conversation_id=conversation_id, link_id=after) if after else None
    read = partial(
        query,
        ShareLinkEntry.PK.template.render(conversation_id=conversation_id),
        ShareLinkEntry.SK.startswith(ShareLinkEntry.SK.template.prefix),
        limit=limit,
        after=keys(last) if last else None,
        consistent=True,
    )
    page: Page[ShareLinkEntry] = both(partial(get_conversation, user_id, conversation_id), read)[1]
    return page


@access_pattern(
    "AP-88",
    "Revoke a share link",
    question="Make this link to my conversation invalid.",
    requests=(
        Request("BatchGetItem", (Conversation, ShareLinkEntry), consistent=True),
        Request(
            "TransactWriteItems",
            writes=(Write("Delete", ShareLink), Write("Delete", ShareLinkEntry), Write("Put", AuditEvent)),
        ),
    ),
    budget=Budget(2, 2, 6, "a header of up to 4 KB, the link's two items and the audit record"),
    routes=("DELETE /api/v1/conversations/{conversation_id}/links/{link_id}",),
)
def revoke_share_link(user_id: UserId, conversation_id: str, link_id: str) -> None:
    """Delete a link; it stops working immediately.

    Raises:
        ItemNotFound: the user has no such conversation, or it has no such link.
    """
    wanted: list[Item] = [
        Conversation.from_key(conversation_id=conversation_id),
        ShareLinkEntry.from_key(conversation_id=conversation_id, link_id=link_id),
    ]
    header, entry = get_many(wanted, consistent=True)
    if header is None or header.user_id != user_id:
        raise ItemNotFound("conversation")
    if entry is None:
        raise ItemNotFound("link")
    transaction = Transaction()
    transaction.delete("link", ShareLink.from_key(token_hash=entry.token_hash))
    transaction.delete("entry", entry, ShareLinkEntry.PK.exists())
    record(transaction, event(user_id, "link.revoked", link_id, conversation_id=conversation_id))
    try:
        transaction.commit()
    except ConditionFailed as error:
        # Another request has revoked it since; one audit record is enough.
        raise ItemNotFound("link") from error


@access_pattern(
    "AP-89",
    "Read a shared conversation",
    question="What does this link show? For anyone who has it.",
    requests=(
        Request("GetItem", (ShareLink,), consistent=True),
        Request("BatchGetItem", (User, Conversation), consistent=True, optional=True),
        Request(
            "Query",
            (Message,),
            sort_key="between MSG#{ts} and MSG#{ts}",
            consistent=True,
            order="ascending",
            page="1 to 100 and one more",
            optional=True,
        ),
        Request(
            "Query",
            (Message,),
            sort_key="between MSG#{ts} and MSG#{ts}",
            consistent=True,
            order="ascending",
            page="what is missing and one more",
            optional=True,
            in_a_branch=True,
        ),
    ),
    budget=Budget(
        3,
        18,
        0,
        "a link, its owner's profile and a header of up to 4 KB each, and a page of 50 messages of 1 KB; 1 request for "
        "an unknown link; one more Query for each MB, and in a branch for each conversation on its path that the page "
        "reaches, which also takes 1 RCU for each header there",
        in_a_branch=MAX_HOPS,
    ),
    routes=("GET /api/v1/shared-conversations/{token}",),
)
def read_shared(token_hash: str, limit: int, after: datetime | None = None) -> Shared:
    """Return what a link shows, oldest message first, starting after the time `after`.

    All reads are strongly consistent: a link that was revoked, or whose conversation or owner is being deleted, shows
    nothing from that moment on.

    Raises:
        ItemNotFound: no link has this hash, or it is dead.
    """
    link: ShareLink | None = get(ShareLink, token_hash=token_hash)
    if link is None:
        raise ItemNotFound("shared conversation")
    conversation_id = link.tree[0]
    lower = PREFIX + (clock.to_timestamp(after) + "~" if after else "")
    upper = PREFIX + clock.to_timestamp(link.until)
    if lower > upper:
        # The page that gave this position was the last one, and said so.
        raise ItemNotFound("shared conversation")
    read = partial(
        query,
        Message.PK.template.render(conversation_id=conversation_id),
        Message.SK.between(lower, upper),
        limit=limit,
        consistent=True,
        whole=False,
    )
    header, own = both(partial(_living, link), read)
    page = page_of_path(header, own, lower, upper, limit, descending=False)
    load(page.items)
    return Shared(link, page)


def _living(link: ShareLink) -> Conversation:
    """Return the header of a shared conversation.

    Cost: 1 BatchGetItem.

    Raises:
        ItemNotFound: its owner, the conversation or one that it depends on is being deleted.
    """
    depends: list[Item] = [Conversation.from_key(conversation_id=each) for each in link.tree]
    header, *others = get_many([*depends, User.from_key(user_id=link.user_id)], consistent=True)
    if header is None or None in others or header.user_id != link.user_id:
        raise ItemNotFound("shared conversation")
    conversation: Conversation = header
    return conversation
