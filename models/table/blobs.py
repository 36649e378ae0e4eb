"""Texts that are too large for an item, as objects in S3: created before their item, deleted after it.

An object's key consists of its item's keys and a random token. So each object identifies its item, the objects of a
partition share a prefix, and nothing is ever overwritten. The order keeps every item readable: a crash can only leave
an object that no item refers to, which `bot blobs sweep` finds.

`configure` sets the bucket; without one, texts that do not fit in an item are refused.
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

# How many objects of one page are fetched in parallel, and how many S3 deletes in one request.
_PARALLEL = 8
_DELETE_BATCH = 1000


@dataclass(frozen=True)
class BlobSettings:
    """Where objects are. Credentials come from the usual AWS chain unless they are given here.

    `endpoint_url` None means AWS; the timeouts are in seconds; `max_attempts` includes the first attempt.
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
    """An object in the bucket: its key, its size in bytes and its creation time."""

    key: str
    size: int
    made: datetime


class _Bucket:
    """The bucket of this process. Client and threads are created on first use, the client again for new settings."""

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
    # Each client has its own session: the default one is not thread-safe. boto3 is imported only here, because it
    # imports the machinery for large files, and most deployments have no bucket.
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
            # An emulator on loopback has no host name per bucket.
            s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
        ),
    )
    return made


_bucket = _Bucket()


def configure(settings: BlobSettings | None) -> None:
    """Set the bucket of this process, or None for no bucket."""
    _bucket.configure(settings)


def settings() -> BlobSettings | None:
    """Return what `configure` was given last."""
    return _bucket.settings


def new_key(partition: str, sort: str) -> str:
    """Return a new key for an object of the item with these keys."""
    return f"{_segment(partition)}/{_segment(sort)}/{secrets.token_hex(8)}"


def item_of(key: str) -> tuple[str, str] | None:
    """Return the keys of the item that an object was created for, or None if the object's key is not one of ours."""
    match key.split("/"):
        case [partition, sort, token] if partition and sort and token:
            return _key(partition), _key(sort)
        case _:
            return None


def key_of(raw: Mapping[str, Any]) -> str | None:
    """Return the key of the object that a raw item refers to in `blob`, or None."""
    stored = raw.get("blob", {}).get("S")
    return str(json.loads(stored)["key"]) if stored else None


def _segment(key: str) -> str:
    # `!` is safe in an S3 key, `#` is not. A literal `!` is quoted, so the mapping is reversible.
    return quote(key, safe=":").replace("%23", "!")


def _key(segment: str) -> str:
    return unquote(segment.replace("!", "%23"))


def get(key: str) -> bytes:
    """Return an object. Cost: 1 GetObject.

    Raises:
        ContentUnavailable: it does not exist, or S3 does not answer.
    """
    try:
        return _bucket.client.get_object(Bucket=_bucket.name, Key=key)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "NoSuchKey":
            raise ContentUnavailable("it is missing from the bucket", lasting=True) from error
        raise _unreachable(error) from error


def put(bodies: Mapping[str, bytes]) -> None:
    """Store objects by their keys, in parallel. Cost: 1 PutObject each.

    Raises:
        ContentUnavailable: S3 did not store one; the others are removed again.
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
    """Delete objects by their keys; missing ones are not an error. Cost: 1 DeleteObjects for each 1,000.

    Raises:
        ContentUnavailable: S3 has not deleted all of them; repeat the call.
    """
    for start in range(0, len(keys), _DELETE_BATCH):
        together = keys[start : start + _DELETE_BATCH]
        try:
            answer = _bucket.client.delete_objects(
                Bucket=_bucket.name, Delete={"Objects": [{"Key": key} for key in together], "Quiet": True}
            )
        except (ClientError, BotoCoreError) as error:
            raise _unreachable(error) from error
        if errors := answer.get("Errors"):
            log.error("S3 did not delete %d objects; first error: %s", len(errors), errors[0].get("Code"))
            raise ContentUnavailable("S3 did not delete all objects")


def discard(keys: Sequence[str]) -> None:
    """Try to delete objects that no item refers to any more; `bot blobs sweep` finds those that remain."""
    if not keys:
        return
    try:
        delete(keys)
    except ContentUnavailable as error:
        log.warning("%d objects remain in the bucket, though no item refers to them: %s", len(keys), error)


def of_partition(partition: str) -> list[str]:
    """Return the keys of the first 1,000 objects of one partition, in order, even those that no item refers to.

    Without a bucket there are none. Cost: 1 ListObjectsV2.

    Raises:
        ContentUnavailable: S3 does not answer.
    """
    if _bucket.settings is None:
        return []
    return [each.key for each in islice(every(prefix=f"{_segment(partition)}/"), _DELETE_BATCH)]


def every(prefix: str = "") -> Iterator[Found]:
    """Yield the objects whose keys begin with `prefix`, in key order. Cost: 1 ListObjectsV2 for each 1,000.

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
    """Yield the contents of objects in the order of `keys`, fetched 8 at a time; for an unreadable one, the reason.

    Cost: 1 GetObject each.
    """
    waiting = list(keys)
    for start in range(0, len(waiting), _PARALLEL):
        yield from _bucket.threads.map(_get_or_error, waiting[start : start + _PARALLEL])


def _get_or_error(key: str) -> bytes | ContentUnavailable:
    try:
        return get(key)
    except ContentUnavailable as error:
        return error


@contextmanager
def stored(bodies: Mapping[str, bytes], refused: tuple[type[Exception], ...]) -> Iterator[None]:
    """Store objects, then run the block that writes the items that refer to them.

    The objects are removed if the block raises one of `refused`, which mean that no item was written. After any other
    error they are kept, because an item may refer to them.

    Raises:
        ContentUnavailable: S3 did not store one; all are removed.
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
