"""Texts that are too large for an item, as objects in S3: made before their item, removed after it.

An object's key is made of its item's keys and a token of its own, so an object leads back to its item, one partition's
objects stand together, and nothing is ever overwritten. The order keeps every item readable; what a crash leaves behind
is an object that no item names, which `bot blobs sweep` finds.

`configure` sets the bucket; without one, items keep what they can hold and nothing goes to S3.
"""

import json
import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from models.table.errors import ContentUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

# How many requests to S3 a process has open for one page, and how many objects S3 deletes in one request.
_PARALLEL = 8
_DELETED_TOGETHER = 1000


@dataclass(frozen=True)
class BlobSettings:
    """Where objects are. Credentials come from the usual AWS chain unless they are given here.

    `endpoint_url` None means AWS itself; the timeouts are in seconds; `max_attempts` counts the first try.
    """

    bucket: str
    region: str = "us-east-1"
    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    connect_timeout: float = 3.0
    read_timeout: float = 10.0
    max_attempts: int = 3


@dataclass(frozen=True)
class Found:
    """An object in the bucket: its key, its size in bytes and when it was made."""

    key: str
    size: int
    made: datetime


class _Bucket:
    """The bucket of this process; its client and threads are made on first use, and again when the settings change."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.settings: BlobSettings | None = None
        self._client: S3Client | None = None
        self._threads: ThreadPoolExecutor | None = None

    def configure(self, settings: BlobSettings | None) -> None:
        with self._lock:
            self.settings, self._client = settings, None

    @property
    def name(self) -> str:
        if self.settings is None:
            raise ContentUnavailable("no bucket is configured")
        return self.settings.bucket

    @property
    def client(self) -> "S3Client":
        with self._lock:
            if self._client is None and self.settings is not None:
                self._client = _connect(self.settings)
            if self._client is None:
                raise ContentUnavailable("no bucket is configured")
            return self._client

    @property
    def threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(4 * _PARALLEL, thread_name_prefix="blobs")
            return self._threads


def _connect(settings: BlobSettings) -> "S3Client":
    # Each client has a session of its own: the default one is not thread-safe.
    # boto3 brings along what moves large files; most deployments have no bucket.
    import boto3

    made: S3Client = boto3.session.Session().client(
        "s3",
        region_name=settings.region,
        endpoint_url=settings.endpoint_url,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        config=Config(
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
            max_pool_connections=4 * _PARALLEL,
            # An emulator on loopback has no host name for each bucket.
            s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
        ),
    )
    return made


_bucket = _Bucket()


def configure(settings: BlobSettings | None) -> None:
    """Set the bucket of this process; None: there is none."""
    _bucket.configure(settings)


def settings() -> BlobSettings | None:
    """Return what `configure` was given last."""
    return _bucket.settings


def new_key(partition: str, sort: str) -> str:
    """Return a new key for an object of the item with these keys."""
    return f"{_segment(partition)}/{_segment(sort)}/{secrets.token_hex(8)}"


def item_of(key: str) -> tuple[str, str] | None:
    """Return the keys of the item that an object was made for, or None where the key is not one of ours."""
    match key.split("/"):
        case [partition, sort, token] if partition and sort and token:
            return _key(partition), _key(sort)
        case _:
            return None


def key_of(raw: Mapping[str, Any]) -> str | None:
    """Return the key of the object that a raw item names in `blob`, or None."""
    stored = raw.get("blob", {}).get("S")
    return str(json.loads(stored)["key"]) if stored else None


def _segment(key: str) -> str:
    # `!` is safe in a key of S3, `#` is not; one that stands in the text is quoted, so the way back is certain.
    return quote(key, safe=":").replace("%23", "!")


def _key(segment: str) -> str:
    return unquote(segment.replace("!", "%23"))


def get(key: str) -> bytes:
    """Return an object. Cost: 1 GetObject.

    Raises:
        ContentUnavailable: it is not there, or S3 does not answer.
    """
    try:
        return _bucket.client.get_object(Bucket=_bucket.name, Key=key)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "NoSuchKey":
            raise ContentUnavailable("it is missing from the bucket", lasting=True) from error
        raise _unreachable(error) from error


def put(bodies: Mapping[str, bytes]) -> None:
    """Store objects by their keys, some at the same time. Cost: 1 PutObject each.

    Raises:
        ContentUnavailable: S3 does not take one; those that it has taken are removed.
    """
    try:
        list(_bucket.threads.map(_put, bodies.items()))
    except ContentUnavailable:
        discard(list(bodies))
        raise


def _put(item: tuple[str, bytes]) -> None:
    key, body = item
    try:
        _bucket.client.put_object(Bucket=_bucket.name, Key=key, Body=body, ContentType="application/zlib")
    except (ClientError, BotoCoreError) as error:
        raise _unreachable(error) from error


def delete(keys: Sequence[str]) -> None:
    """Delete objects by their keys; missing ones are no error. Cost: 1 DeleteObjects for each 1,000.

    Raises:
        ContentUnavailable: S3 has not deleted all of them; the same call again will.
    """
    for start in range(0, len(keys), _DELETED_TOGETHER):
        together = keys[start : start + _DELETED_TOGETHER]
        try:
            answer = _bucket.client.delete_objects(
                Bucket=_bucket.name, Delete={"Objects": [{"Key": key} for key in together], "Quiet": True}
            )
        except (ClientError, BotoCoreError) as error:
            raise _unreachable(error) from error
        if errors := answer.get("Errors"):
            log.error("S3 did not delete %d objects, the first for %s", len(errors), errors[0].get("Code"))
            raise ContentUnavailable("S3 did not delete all of it")


def discard(keys: Sequence[str]) -> None:
    """Delete objects that no item names any more, as far as S3 lets us now; `bot blobs sweep` finds what stays."""
    if not keys:
        return
    try:
        delete(keys)
    except ContentUnavailable as error:
        log.warning("%d objects stay in the bucket, though no item names them: %s", len(keys), error)


def of_partition(partition: str) -> list[str]:
    """Return the keys of the first 1,000 objects of one partition's items, in order, those too that no item names.

    Without a bucket there are none. Cost: 1 ListObjectsV2.

    Raises:
        ContentUnavailable: S3 does not answer.
    """
    if _bucket.settings is None:
        return []
    return [each.key for each in islice(every(prefix=f"{_segment(partition)}/"), _DELETED_TOGETHER)]


def every(prefix: str = "") -> Iterator[Found]:
    """Give the objects whose keys begin with `prefix`, in their order. Cost: 1 ListObjectsV2 for each 1,000.

    Raises:
        ContentUnavailable: S3 does not answer.
    """
    try:
        for page in _bucket.client.get_paginator("list_objects_v2").paginate(Bucket=_bucket.name, Prefix=prefix):
            for each in page.get("Contents", []):
                yield Found(each["Key"], each["Size"], each["LastModified"])
    except (ClientError, BotoCoreError) as error:
        raise _unreachable(error) from error


def fetch(keys: Iterable[str]) -> Iterator[bytes | ContentUnavailable]:
    """Give the objects in the order of their keys, read some at a time; for one that cannot be read, why.

    Cost: 1 GetObject each.
    """
    waiting = list(keys)
    for start in range(0, len(waiting), _PARALLEL):
        yield from _bucket.threads.map(_got, waiting[start : start + _PARALLEL])


def _got(key: str) -> bytes | ContentUnavailable:
    try:
        return get(key)
    except ContentUnavailable as error:
        return error


@contextmanager
def stored(bodies: Mapping[str, bytes], refused: tuple[type[Exception], ...]) -> Iterator[None]:
    """Store objects, then write the items that name them inside; if that is refused for certain, remove them.

    After an error that leaves open whether the items were written, the objects stay: an item may name them.

    Raises:
        ContentUnavailable: S3 does not take one; nothing stays.
    """
    if bodies:
        put(bodies)
    try:
        yield
    except refused:
        discard(list(bodies))
        raise


def _unreachable(error: ClientError | BotoCoreError) -> ContentUnavailable:
    log.error("S3 failed: %s", error)
    return ContentUnavailable("the bucket cannot be reached now")
