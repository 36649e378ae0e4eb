"""The table: how items connect to it, and the base of all its items."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.connection import Connection, TableConnection
from pynamodb.connection.base import MetaTable
from pynamodb.models import Model

from models import clock
from models.keys import Key

log = logging.getLogger(__name__)

# DynamoDB's limit is 409,600 bytes with all names and keys; the rest of an item never takes this much.
MAX_TEXT_BYTES = 393_216

# The status of an item whose removal has begun: unreachable at once, removed step by step.
DELETING = "deleting"


@dataclass(frozen=True)
class TableSettings:
    """Where the table is. Credentials come from the usual AWS chain unless they are given here.

    `endpoint_url` None means AWS itself; `read_timeout` and `connect_timeout` are in seconds; `max_attempts` counts
    the first try. `audit_days` is how long records of the audit trail are kept.
    """

    name: str = "turntable"
    region: str = "us-east-1"
    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    connect_timeout: float = 3.0
    read_timeout: float = 10.0
    max_attempts: int = 4
    max_connections: int = 160
    audit_days: int = 365


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
    without a word (`models.reading` says so and passes on).
    """

    class Meta:
        """PynamoDB's settings; `configure` sets them."""

        table_name = "turntable"

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


class _Connections:
    """The connection of this process, made on first use and again when the settings change."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._settings = TableSettings()
        self._connection: TableConnection | None = None

    def configure(self, settings: TableSettings) -> None:
        with self._lock:
            self._settings, self._connection = settings, None
            Item.Meta.table_name = settings.name

    @property
    def settings(self) -> TableSettings:
        return self._settings

    def get(self) -> TableConnection:
        if self._connection is None:
            with self._lock:
                if self._connection is None:
                    self._connection = _connect(self._settings)
        return self._connection


def _connect(settings: TableSettings) -> TableConnection:
    from models.schema import key_schema

    made = TableConnection(
        settings.name,
        meta_table=MetaTable({"TableName": settings.name, **key_schema()}),
        region=settings.region,
        host=settings.endpoint_url,
        connect_timeout_seconds=settings.connect_timeout,
        read_timeout_seconds=settings.read_timeout,
        max_retry_attempts=settings.max_attempts - 1,
        max_pool_connections=settings.max_connections,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
    )
    # Making a botocore client is not thread-safe; using one is. So it is made here, under the lock.
    made.connection.client.meta.events.register("after-call.dynamodb", _observe_clock)
    return made


def _observe_clock(http_response: Any, **_: Any) -> None:
    clock.observe(http_response.headers.get("date"))


_connections = _Connections()


def configure(settings: TableSettings) -> None:
    """Point all items of this process at a table."""
    _connections.configure(settings)


def settings() -> TableSettings:
    """Return what `configure` was given last."""
    return _connections.settings


def connection() -> TableConnection:
    """Return PynamoDB's connection to the table: one client, shared by all entities and threads."""
    return _connections.get()


def client() -> Any:
    """Return the botocore client under the connection, for what PynamoDB has no word for."""
    return connection().connection.client


def low_level() -> Connection:
    """Return PynamoDB's table-less connection, as its transactions want it."""
    return connection().connection


def expiry(moment: datetime | None) -> int | None:
    """Return a moment as the TTL attribute wants it, in epoch seconds, rounded up so that nothing goes early."""
    return None if moment is None else -int(-moment.timestamp() // 1)
