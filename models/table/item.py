"""The base class of all items: their type, their TTL, and decoding."""

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

# DynamoDB's limit is 409,600 bytes including names and keys; the other attributes always fit into the difference.
MAX_TEXT_BYTES = 393_216

# The status of an item whose removal has begun: it is hidden at once, and removed step by step.
DELETING = "deleting"


class _TableName:
    """The configured table's name, looked up each time, so that `configure` need not update the entities."""

    def __get__(self, instance: Any, owner: Any) -> str:
        return settings().name


class _Field(NamedTuple):
    """An attribute of an entity. `name` is its Python name; `plain` means that setting it only stores the value."""

    name: str
    attribute: Attribute[Any]
    plain: bool


def _same(value: Any) -> Any:
    return value


class EntityAttribute(UnicodeAttribute):
    """The item's type, written with each item and never assigned: the class's `ENTITY`."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Return the class's `ENTITY`."""
        return self if instance is None else instance.ENTITY

    def __set__(self, instance: Any, value: Any) -> None:
        """Ignore the value that was read: `decode` has already chosen the class by it."""


class Item(Model):
    """Base class of all items: the type, the TTL and the shared connection.

    PynamoDB's discriminator is not used: its queries silently hide items of types that this version does not know
    (`decode` logs them and skips them).

    Change an item with `update(actions=…)`, which leaves other attributes alone. `save()` puts the whole item and
    overwrites what others have written since it was read, so give it a condition. It keeps attributes of a newer
    version with the values that were read, and refuses an item that was only partly read.
    """

    class Meta:
        """PynamoDB's settings: only the name of the configured table."""

        table_name = _TableName()

    ENTITY: ClassVar[str]
    # The attributes that a partial update may change; others have their own access patterns, or never change.
    CHANGEABLE: ClassVar[tuple[str, ...]] = ()
    entity = EntityAttribute()
    # Epoch seconds, as DynamoDB's TTL requires; an item without it is kept.
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
                raise InvalidValue(name, f"is not a field of {type(self).__name__}")
        super()._set_attributes(**attributes)

    @classmethod
    def from_key(cls, **fields: Any) -> Self:
        """Return an instance that has only its key fields: enough to update, delete or check the item."""
        instance: Self = cls(**fields)
        return instance

    # Whether it was read, and if so only in part; and the attributes that this version does not know.
    _read = _partial = False
    _unknown: Mapping[str, Any] = MappingProxyType({})

    def _container_deserialize(self, attribute_values: dict[str, dict[str, Any]]) -> None:
        super()._container_deserialize(attribute_values)
        self._note(attribute_values)

    def _note(self, stored: Mapping[str, Any]) -> None:
        known, _ = self._stored_fields()
        self._read = True
        self._unknown = {name: value for name, value in stored.items() if name not in known}
        # Every item has its type, but indexes do not project it, and reads of single attributes do not request it.
        self._partial = "entity" not in stored

    def _container_serialize(self, null_check: bool = True) -> dict[str, dict[str, Any]]:
        """Serialize the item, including attributes that were read and that this version does not know.

        Raises:
            InvalidValue: a required field has no value, or the item was only partly read.
            MapTooLarge: a map of a new item has more names or bytes than its limit.
        """
        if null_check and self._partial:
            raise InvalidValue(self.ENTITY, "only a part of it was read: read all of it, or update() single attributes")
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
        """Return an instance made from a raw item, as PynamoDB does, in a third of the time.

        PynamoDB sets the defaults twice and looks up each attribute of the class in the item. This loops over the
        item's own attributes, and inspects those of the class once per process.
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
        # The keys come last, because they fill only fields that have no value yet.
        for name, content in keys:
            setattr(item, name, content)
        item._note(data)
        return item

    @classmethod
    def _stored_fields(cls) -> tuple[dict[str, "_Field"], list[tuple[str, Callable[[], Any]]]]:
        """Return the attributes by their names in the table, and the factories of default values."""
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
        """Whether the TTL has passed. DynamoDB deletes expired items late, so every read checks this."""
        return self.expires_at is not None and self.expires_at <= clock.now().timestamp()

    @property
    def hidden(self) -> bool:
        """Whether readers must no longer see the item: it has expired, or its removal has begun."""
        return self.expired or getattr(self, "status", None) == DELETING


def decode(raw: Mapping[str, Any], entity: type[Item] | None = None, *, including_hidden: bool = False) -> Item | None:
    """Return a raw item as an instance of its entity, or None if its type is unknown (logged) or it is hidden.

    `entity` is for index entries, which do not have the type; `including_hidden` is for callers that must know why an
    item is missing.
    """
    name = raw.get("entity", {}).get("S", "")
    entity = entity or Item._types.get(name)
    if entity is None:
        log.warning("skipped an item of unknown type %r at %s / %s", name, raw.get("PK"), raw.get("SK"))
        return None
    item = entity.from_raw_data(raw)
    return None if item.hidden and not including_hidden else item


def expiry(moment: datetime | None) -> int | None:
    """Return a time as the TTL attribute requires it, in epoch seconds, rounded up so that no item expires early.

    Raises:
        InvalidValue: it is not a `datetime` with a time zone.
    """
    if moment is None:
        return None
    clock.to_timestamp(moment, "expires_at")
    return -int(-moment.timestamp() // 1)
