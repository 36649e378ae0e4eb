"""The base of all items: their type, their TTL, and how a raw item becomes one of them."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from pynamodb.attributes import Attribute, UnicodeAttribute
from pynamodb.connection import TableConnection
from pynamodb.constants import NULL
from pynamodb.exceptions import AttributeNullError
from pynamodb.models import Model

from models.table import clock
from models.table.attributes import JsonMapAttribute, WholeNumberAttribute
from models.table.connection import connection, settings
from models.table.errors import InvalidValue
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


class _Field(NamedTuple):
    """An attribute of an entity: its name in Python; and whether reading it does nothing but keep the value."""

    name: str
    attribute: Attribute[Any]
    plain: bool


def _same(value: Any) -> Any:
    return value


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

    Change an item with `update(actions=…)`, which leaves all else alone. `save()` puts the whole item, over whatever
    others have written since it was read; give it a condition. It keeps what a newer version has written, as that was
    when the item was read, and refuses an item of which only a part was read.
    """

    class Meta:
        """PynamoDB's settings: the table alone, as `configure` named it last."""

        table_name = _TableName()

    ENTITY: ClassVar[str]
    # What a partial update may change; all else has access patterns of its own, or never changes.
    CHANGEABLE: ClassVar[tuple[str, ...]] = ()
    entity = EntityAttribute()
    # Epoch seconds, as DynamoDB's TTL wants it; absent means that the item stays.
    expires_at = WholeNumberAttribute(null=True)

    if TYPE_CHECKING:  # Each entity declares its own.
        PK: Key
        SK: Key

    _types: ClassVar[dict[str, "type[Item]"]] = {}
    _fields: ClassVar[Any]

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

    def _set_attributes(self, **attributes: Any) -> None:
        for name in attributes:
            if name not in self.get_attributes():
                raise InvalidValue(name, f"is no field of a {type(self).__name__}")
        super()._set_attributes(**attributes)

    @classmethod
    def from_key(cls, **fields: Any) -> Self:
        """Return an instance that has only its key fields: enough to update, delete or check the item."""
        instance: Self = cls(**fields)
        return instance

    # Whether it was read, and then only in part; and what was read that this version does not know.
    _read = _partial = False
    _unknown: Mapping[str, Any] = MappingProxyType({})

    def _container_deserialize(self, attribute_values: dict[str, dict[str, Any]]) -> None:
        super()._container_deserialize(attribute_values)
        self._note(attribute_values)

    def _note(self, stored: Mapping[str, Any]) -> None:
        known, _ = self._stored_fields()
        self._read = True
        self._unknown = {name: value for name, value in stored.items() if name not in known}
        # Every item has its type; no index has it, and a read of single attributes does not ask for it.
        self._partial = "entity" not in stored

    def _container_serialize(self, null_check: bool = True) -> dict[str, dict[str, Any]]:
        """Serialize the item, with what was read that this version does not know.

        Raises:
            InvalidValue: a field that it needs has no value, or only a part of it was read.
            MapTooLarge: a map of a new item has more names or bytes than it may.
        """
        if null_check and self._partial:
            raise InvalidValue(self.ENTITY, "only a part of it was read: read it whole, or update() single attributes")
        if null_check and not self._read:
            for name, attribute in self.get_attributes().items():
                if isinstance(attribute, JsonMapAttribute) and attribute.limit and (value := getattr(self, name)):
                    attribute.check(value)
        try:
            stored: dict[str, dict[str, Any]] = super()._container_serialize(null_check)
        except AttributeNullError as error:
            raise InvalidValue(error.attr_path, "must have a value") from error
        return {**self._unknown, **stored}

    @classmethod
    def from_raw_data(cls, data: Mapping[str, Any]) -> Self:
        """Return an instance from what DynamoDB gave, as PynamoDB makes one; in a third of the time.

        PynamoDB sets the defaults twice, and asks each attribute of the class whether it is in the item. Here the
        item's own attributes are walked, and those of the class are looked at once in a process.
        """
        fields, defaults = cls._stored_fields()
        item = cls.__new__(cls)
        values = item.attribute_values = {name: make() for name, make in defaults}
        keys = []
        for name, value in data.items():
            field = fields.get(name)
            if field is None or NULL in value:
                continue
            content = field.attribute.deserialize(field.attribute.get_value(value))
            if field.plain:
                values[field.name] = content
            else:
                keys.append((field.name, content))
        # At last: a key fills only the fields that come in no other way.
        for name, content in keys:
            setattr(item, name, content)
        item._note(data)
        return item

    @classmethod
    def _stored_fields(cls) -> tuple[dict[str, "_Field"], list[tuple[str, Callable[[], Any]]]]:
        """Return the attributes by their names in the table, and what makes the values of those that have a default."""
        found: tuple[dict[str, _Field], list[tuple[str, Callable[[], Any]]]] | None = cls.__dict__.get("_fields")
        if found is None:
            fields = {
                attribute.attr_name: _Field(name, attribute, type(attribute).__set__ is Attribute.__set__)
                for name, attribute in cls.get_attributes().items()
            }
            defaults = [
                (name, default if callable(default) else partial(_same, default))
                for name, attribute in cls.get_attributes().items()
                if (default := attribute.default) is not None
            ]
            found = cls._fields = fields, defaults
        return found

    @classmethod
    def _get_connection(cls) -> TableConnection:
        return connection()

    @property
    def expired(self) -> bool:
        """Whether the TTL has passed. DynamoDB deletes late, so every read asks."""
        return self.expires_at is not None and self.expires_at <= clock.now().timestamp()

    @property
    def hidden(self) -> bool:
        """Whether a reader must not see the item any more: it has expired, or its removal has begun."""
        return self.expired or getattr(self, "status", None) == DELETING


def decode(raw: Mapping[str, Any], entity: type[Item] | None = None, *, including_hidden: bool = False) -> Item | None:
    """Return a raw item as an instance of its entity, or None if its type is unknown (logged) or it is hidden.

    `entity` is for items of an index that does not carry the type; `including_hidden` is for callers that must know why
    an item is missing.
    """
    name = raw.get("entity", {}).get("S", "")
    entity = entity or Item._types.get(name)
    if entity is None:
        log.warning("passed over an item of unknown type %r at %s / %s", name, raw.get("PK"), raw.get("SK"))
        return None
    item = entity.from_raw_data(raw)
    return None if item.hidden and not including_hidden else item


def expiry(moment: datetime | None) -> int | None:
    """Return a moment as the TTL attribute wants it, in epoch seconds, rounded up so that nothing goes early.

    Raises:
        InvalidValue: it is no time with a time zone.
    """
    if moment is None:
        return None
    clock.to_timestamp(moment, "expires_at")
    return -int(-moment.timestamp() // 1)
