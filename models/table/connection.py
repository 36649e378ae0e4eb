"""The connection of this process to its table: one client, shared by all entities and threads."""

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from pynamodb.connection import Connection, TableConnection
from pynamodb.connection.base import MetaTable

from models.table import answers, clock
from models.table.indexes import key_schema


@dataclass(frozen=True)
class TableSettings:
    """Where the table is. Credentials come from the usual AWS chain unless they are given here.

    `endpoint_url` None means AWS; `read_timeout` and `connect_timeout` are in seconds; `max_attempts` includes the
    first attempt. `audit_days` is how long records of the audit trail are kept.
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


class _Connections:
    """The connection of this process, created on first use and again when the settings change."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._settings = TableSettings()
        self._connection: TableConnection | None = None

    def configure(self, settings: TableSettings) -> None:
        with self._lock:
            self._settings, self._connection = settings, None

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
    answers.prepare(made.connection.session)
    # Creating a botocore client is not thread-safe; using one is. So it is created here, under the lock.
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
    """Return the botocore client of the connection, for operations that PynamoDB does not offer."""
    return connection().connection.client


def low_level() -> Connection:
    """Return PynamoDB's connection without a table, which its transactions need."""
    return connection().connection
