"""The base of all items: their type, their TTL, and how a raw item becomes one of them."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.connection import TableConnection
from pynamodb.models import Model

from models.table import clock
from models.table.connection import connection, settings
from models.table.keys import Key

log = logging.getLogger(__name__)

# DynamoDB's limit is 409,600 bytes with all names and keys; the rest of an item never takes this much.
MAX_TEXT_BYTES = 393_216

# The status of an item whose removal has begun: unreachable at once, removed step by step.
DELETING = "deleting"


class _TableName:
    """The configured table's name, asked for anew each time, so that `configure` has nothing to tell the entities."""

    def __get__(self, instance: Any, owner: Any) -> str:
        return settings().name


class EntityAttribute(UnicodeAttribute):
    """The item's type, written with each item and never assigned: it is the class's own `ENTITY`."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Return the class's `ENTITY`."""
        return self if instance is None else instance.ENTITY

    def __set__(self, instance: Any, value: Any) -> None:
        """Ignore what was read: `decode` has chosen the class by it."""


class Item(Model):
    """Base of all items: the type, the TTL and the one connection that all share.

    PynamoDB's own discriminator is not used: a query through it hides items of a type that this version does not know,
    without a word (`models.table.reading` says so and passes on).
    """

    class Meta:
        """PynamoDB's settings: the table alone, as `configure` named it last."""

        table_name = _TableName()

    ENTITY: ClassVar[str]
    entity = EntityAttribute()
    # Epoch seconds, as DynamoDB's TTL wants it; absent means that the item stays.
    expires_at = NumberAttribute(null=True)

    if TYPE_CHECKING:  # Each entity declares its own.
        PK: Key
        SK: Key

    _types: ClassVar[dict[str, "type[Item]"]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        """Register the entity under its name, so that a mixed page can be decoded."""
        super().__init_subclass__(**options)
        if "ENTITY" in cls.__dict__:
            if cls.ENTITY in Item._types:
                raise TypeError(f"two entities are called {cls.ENTITY}")
            Item._types[cls.ENTITY] = cls

    @classmethod
    def entities(cls) -> Mapping[str, "type[Item]"]:
        """Return all entities by name."""
        return dict(Item._types)

    @classmethod
    def keyed(cls, **fields: Any) -> Self:
        """Return an instance that has only its key fields: enough to update, delete or check the item."""
        instance: Self = cls(**fields)
        return instance

    @classmethod
    def _get_connection(cls) -> TableConnection:
        return connection()

    @property
    def expired(self) -> bool:
        """Whether the TTL has passed. DynamoDB deletes late, so every read asks."""
        return self.expires_at is not None and self.expires_at <= clock.now().timestamp()

    @property
    def gone(self) -> bool:
        """Whether a reader must not see the item any more: it has expired, or its removal has begun."""
        return self.expired or getattr(self, "status", None) == DELETING


def decode(raw: Mapping[str, Any], entity: type[Item] | None = None, *, even_gone: bool = False) -> Item | None:
    """Return a raw item as an instance of its entity, or None where its type is unknown (logged) or it is gone.

    `entity` is for items of an index that does not carry the type; `even_gone` is for who must tell why it is missing.
    """
    name = raw.get("entity", {}).get("S", "")
    entity = entity or Item._types.get(name)
    if entity is None:
        log.warning("passed over an item of unknown type %r at %s / %s", name, raw.get("PK"), raw.get("SK"))
        return None
    item = entity.from_raw_data(dict(raw))
    return None if item.gone and not even_gone else item


def expiry(moment: datetime | None) -> int | None:
    """Return a moment as the TTL attribute wants it, in epoch seconds, rounded up so that nothing goes early."""
    return None if moment is None else -int(-moment.timestamp() // 1)
