"""State: any JSON under a key, of a user or of a conversation, written by compare-and-set."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from models.access_patterns.conversations import get_conversation, owned_by
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.retention import expires_after, shorter
from models.access_patterns.users import is_active
from models.conversation import Conversation
from models.state import KINDS, ConversationState, StateKind, UserState, writable_key
from models.table import clock
from models.table.changes import set_or_remove, text_actions
from models.table.errors import Contended, InvalidValue, ItemNotFound, VersionMismatch
from models.table.item import expiry
from models.table.long_text import discard, load
from models.table.reading import Page, get, get_many, keys, query
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.side_by_side import both
from models.table.tenancy import UserId
from models.table.values import number_value, one_of
from models.table.writing import ConditionFailed, Transaction
from models.user import User

State = UserState | ConversationState


@dataclass(frozen=True)
class Owner:
    """Whose state it is: the user's own, or that of one of the user's conversations."""

    user_id: UserId
    conversation_id: str | None = None

    @property
    def entity(self) -> type[State]:
        """The item type of this owner's state."""
        return UserState if self.conversation_id is None else ConversationState

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the partition key."""
        if self.conversation_id is None:
            return {"user_id": self.user_id}
        return {"conversation_id": self.conversation_id}

    def ensure(self) -> None:
        """Check that the conversation belongs to this user. Cost: 1 GetItem for a conversation, nothing for a user.

        Raises:
            ItemNotFound: it does not.
        """
        if self.conversation_id is not None:
            get_conversation(self.user_id, self.conversation_id)

    def check(self, transaction: Transaction) -> None:
        """Add to a transaction the check that the owner exists and is this user, or belongs to this user."""
        if self.conversation_id is None:
            transaction.check("owner", User.from_key(user_id=self.user_id), is_active())
        else:
            header = Conversation.from_key(conversation_id=self.conversation_id)
            transaction.check("owner", header, owned_by(self.user_id))

    @property
    def what(self) -> str:
        """The kind of item that is missing if the owner is."""
        return "user" if self.conversation_id is None else "conversation"


_ROUTES = ("/api/v1/users/me/state/{key}", "/api/v1/conversations/{conversation_id}/state/{key}")
_OWNER = Request("GetItem", (Conversation,), consistent=True, optional=True)


@access_pattern(
    "AP-60",
    "State by key",
    question="What did the bot remember under this key?",
    requests=(
        Request("BatchGetItem", (ConversationState, Conversation), consistent=True),
        Request("GetItem", (UserState,), consistent=True, alone=True),
    ),
    budget=Budget(1, 2, 0, "a value and a header of up to 4 KB each; 1 unit for a user's own"),
    routes=tuple(f"GET {route}" for route in _ROUTES),
)
def get_state(owner: Owner, kind: StateKind, key: str) -> State:
    """Return the state under a key.

    Raises:
        ItemNotFound: there is none, its TTL has passed, or the conversation is not this user's.
    """
    found, _ = _stored(owner, kind, key)
    if found is None:
        raise ItemNotFound("state")
    load([found])
    return found


@access_pattern(
    "AP-61",
    "Put state",
    question="Remember this under this key, unless somebody has changed it since I read it.",
    requests=(
        Request("BatchGetItem", (ConversationState, Conversation), consistent=True, optional=True),
        Request("GetItem", (UserState,), consistent=True, optional=True),
        Request(
            "TransactWriteItems",
            writes=(
                Write("ConditionCheck", Conversation, optional=True),
                Write("ConditionCheck", User, optional=True),
                Write("Put", ConversationState, optional=True),
                Write("Put", UserState, optional=True),
                Write("Update", ConversationState, optional=True),
                Write("Update", UserState, optional=True),
            ),
        ),
    ),
    budget=Budget(2, 2, 4, "a value and its owner of up to 1 KB each; 1 RCU for a user's own"),
    routes=tuple(f"PUT {route}" for route in _ROUTES),
)
def put_state(
    owner: Owner,
    kind: StateKind,
    key: str,
    value: Any,
    *,
    if_version: int | None = None,
    ttl: timedelta | None = None,
) -> State:
    """Store a value under a key and increment its version. Without `ttl`, an earlier TTL is removed.

    Args:
        owner: whose state it is.
        kind: session or application.
        key: up to 128 letters, digits and `_.:-`, and not only dots, because it is a segment of a URL's path.
        value: any JSON value; whole numbers keep all their digits, others are IEEE 754 doubles.
        if_version: write only if the stored version is this one; 0 means only if there is none; None means always.
        ttl: the time after which it expires, longer than zero; it expires earlier if the conversation's retention is
            shorter.

    Raises:
        InvalidKeyField: the key is not allowed.
        InvalidValue: the kind is unknown, the version is not a whole number, the value is not JSON, or the TTL is not
            positive.
        ItemNotFound: the owner does not exist, or the conversation is not this user's.
        VersionMismatch: the stored version is another one.
        ItemTooLarge: the value does not fit in an item, and there is no bucket.
        ContentUnavailable: the value goes to the bucket, which did not store it.
        Contended: other writers kept changing it.
    """
    writable_key(key)
    one_of("kind", kind, KINDS)
    if if_version is not None:
        number_value("if_version", if_version, 0)
    for attempt in range(MAX_ATTEMPTS):
        stored, header = _stored(owner, kind, key)
        version = int(stored.version) if stored else 0
        if if_version is not None and if_version != version:
            raise VersionMismatch(version)
        moment = clock.now()
        ends = [_end(moment, ttl), expires_after(header, moment) if header else None]
        state = owner.entity(
            kind=kind,
            key=key,
            value=value,
            version=version + 1,
            created_at=stored.created_at if stored else moment,
            updated_at=moment,
            expires_at=shorter(*ends),
            **owner.fields,
        )
        transaction = Transaction()
        owner.check(transaction)
        _write(transaction, state, version)
        try:
            transaction.commit()
        except ConditionFailed as error:
            if "owner" in error.parts:
                raise ItemNotFound(owner.what) from error
            pause(attempt)
        else:
            discard(stored)
            return state
    raise Contended("Other writers kept changing this state; nothing was written.")


def _end(moment: datetime, ttl: timedelta | None) -> int | None:
    if ttl is None:
        return None
    if not isinstance(ttl, timedelta) or ttl <= timedelta(0):
        raise InvalidValue("ttl", "must be longer than zero; without a TTL, the state is kept")
    try:
        return expiry(moment + ttl)
    except OverflowError as error:
        raise InvalidValue("ttl", "must end before the year 10000") from error


def _stored(owner: Owner, kind: StateKind, key: str) -> tuple[State | None, Conversation | None]:
    """Return the state under a key, and its conversation if it belongs to one.

    Raises:
        ItemNotFound: the conversation is not this user's.
    """
    if owner.conversation_id is None:
        return get(UserState, whole=False, kind=kind, key=key, user_id=owner.user_id), None
    wanted = [
        ConversationState.from_key(kind=kind, key=key, conversation_id=owner.conversation_id),
        Conversation.from_key(conversation_id=owner.conversation_id),
    ]
    stored, header = get_many(wanted, consistent=True, whole=False)
    if header is None or header.user_id != owner.user_id:
        raise ItemNotFound("conversation")
    return stored, header


def _write(transaction: Transaction, state: State, stored_version: int) -> None:
    if not stored_version:
        transaction.create("state", state)
        return
    entity = type(state)
    transaction.pack(state)
    actions = [
        *text_actions(state),
        entity.version.set(state.version),
        entity.updated_at.set(state.updated_at),
        set_or_remove(entity.expires_at, state.expires_at),
    ]
    transaction.update("state", state, actions, entity.version == stored_version)


@access_pattern(
    "AP-62",
    "Delete state",
    question="Forget what is under this key.",
    requests=(
        Request("GetItem", (ConversationState, UserState), consistent=True),
        _OWNER,
        Request(
            "TransactWriteItems",
            writes=(
                Write("ConditionCheck", Conversation, optional=True),
                Write("ConditionCheck", User, optional=True),
                Write("Delete", ConversationState, optional=True),
                Write("Delete", UserState, optional=True),
            ),
        ),
    ),
    budget=Budget(2, 1, 4, "a value and its owner of up to 1 KB each"),
    routes=tuple(f"DELETE {route}" for route in _ROUTES),
)
def delete_state(owner: Owner, kind: StateKind, key: str, *, if_version: int | None = None) -> None:
    """Delete the state under a key; if `if_version` is given, only that version.

    Raises:
        ItemNotFound: there is none, or the conversation is not this user's.
        VersionMismatch: the stored version is another one.
        Contended: other writers kept changing it.
    """
    for attempt in range(MAX_ATTEMPTS):
        stored: State | None = get(owner.entity, whole=False, kind=kind, key=key, **owner.fields)
        if stored is None:
            owner.ensure()
            raise ItemNotFound("state")
        if if_version is not None and if_version != stored.version:
            owner.ensure()
            raise VersionMismatch(int(stored.version))
        transaction = Transaction()
        owner.check(transaction)
        transaction.delete("state", stored, type(stored).version == stored.version)
        try:
            transaction.commit()
        except ConditionFailed as error:
            if "owner" in error.parts:
                raise ItemNotFound(owner.what) from error
            pause(attempt)
        else:
            discard(stored)
            return
    raise Contended("Other writers kept changing this state; nothing was deleted.")


@access_pattern(
    "AP-63",
    "List state",
    question="What does the bot remember?",
    requests=(
        _OWNER,
        Request(
            "Query",
            (ConversationState, UserState),
            sort_key="begins_with KV# or KV#{kind}#",
            consistent=True,
            order="ascending",
            page="1 to 1,000 and one more",
        ),
    ),
    budget=Budget(2, 15, 0, "a page of 50 values of 1 KB; one more Query for each MB"),
    routes=(
        "GET /api/v1/users/me/state",
        "GET /api/v1/conversations/{conversation_id}/state",
        "GET /api/v1/users/{user_id}/export",
    ),
)
def list_states(
    owner: Owner, limit: int, *, kind: StateKind | None = None, after: tuple[StateKind, str] | None = None
) -> Page[State]:
    """Return the owner's state, of one kind or both, sorted by kind and key, starting after `after`.

    Cost: 1 Query, and in parallel 1 GetItem for a conversation.

    Raises:
        ItemNotFound: the conversation is not this user's.
    """
    entity = owner.entity
    prefix = entity.SK.template.prefix + (f"{kind}#" if kind else "")
    start = keys(entity.from_key(kind=after[0], key=after[1], **owner.fields)) if after else None
    read = partial(
        query,
        entity.PK.template.render(**owner.fields),
        entity.SK.startswith(prefix),
        limit=limit,
        after=start,
        consistent=True,
        whole=False,
    )
    page: Page[State] = read() if owner.conversation_id is None else both(owner.ensure, read)[1]
    load(page.items)
    return page
