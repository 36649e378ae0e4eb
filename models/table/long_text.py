"""Items with one text of any length: plain while it is short, then compressed, then in S3.

Where the text is, the item's attributes say, and each has one type:

- up to 4 KB in its own attribute (`content`, `value`), as it is;
- longer, compressed (zlib) in `packed`;
- compressed to more than 16 KB where a bucket is configured, in S3; `blob` then says where, how long the text is, how
  it begins, and its SHA-256, which every read checks. Without a bucket an item holds 392 KB, and more is refused.

16 KB, because a page of 50 such items stays under the 1 MB of one Query, and because 1 KB in a transaction costs as
much as a third of a PutObject: S3 is the cheaper place from a few KB on, though not the faster one.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self, cast, overload

from pynamodb.attributes import Attribute, BinaryAttribute
from pynamodb.constants import STRING

from models.table import blobs
from models.table.attributes import to_json
from models.table.errors import ContentUnavailable, ItemTooLarge
from models.table.item import Item
from models.table.sizes import MAX_ITEM_BYTES

# In bytes: of a text that stays plain; of a compressed one that stays on the item; of one without a bucket.
MAX_PLAIN = 4096
MAX_PACKED = 16_384
MAX_PACKED_WITHOUT_BUCKET = MAX_ITEM_BYTES - 8192
PREVIEW = 200
# How many bytes of long texts one page or window brings at the most: a small item may hold a large one. Those beyond it
# are left out, and say so.
MAX_TEXTS = 8 * 1024 * 1024


@dataclass(frozen=True)
class Blob:
    """Where in the bucket a text is. `size` and `sha256` are of the text in UTF-8, `preview` is how it begins.

    Of a message of parts, `preview` is how its texts begin.
    """

    key: str
    size: int
    sha256: str
    preview: str


class BlobAttribute(Attribute[Blob]):
    """A `Blob` as JSON text."""

    attr_type = STRING

    def serialize(self, value: Blob) -> str:
        """Return the JSON text that is stored."""
        return to_json(asdict(value))

    def deserialize(self, value: str) -> Blob:
        """Return what was stored."""
        return Blob(**json.loads(value))


class _Long(Attribute[Any]):
    """The attribute that a long text leaves empty on the table. Reading it raises where it could not be fetched."""

    attr_type = STRING

    @overload
    def __get__(self, instance: None, owner: Any) -> Self: ...

    @overload
    def __get__(self, instance: Any, owner: Any) -> Any: ...

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Return the value.

        Raises:
            ContentUnavailable: it is in S3, and was not fetched.
        """
        if instance is not None and instance.unavailable is not None:
            raise instance.unavailable
        return super().__get__(instance, owner)

    def text_of(self, value: Any) -> str:
        """Return the text of a value."""
        raise NotImplementedError

    def serialize(self, value: Any) -> str | None:
        """Return the text that is stored here, or None where it is too long for that."""
        text = self.text_of(value)
        return text if len(text.encode()) <= MAX_PLAIN else None


class LongTextAttribute(_Long):
    """A text of any length."""

    def text_of(self, value: str) -> str:
        """Return the text itself."""
        return value

    def deserialize(self, value: str) -> str:
        """Return the text that was stored."""
        return value


class LongJsonAttribute(_Long):
    """Any JSON value, of any length."""

    def text_of(self, value: Any) -> str:
        """Return the value as compact JSON.

        Raises:
            InvalidValue: it is not JSON.
        """
        return to_json(value, self.attr_name or "value")

    def deserialize(self, value: str) -> Any:
        """Return the value that was stored."""
        return json.loads(value)


class LongItem(Item):
    """Base of the items that have a text of any length; `LONG` names its attribute."""

    LONG: ClassVar[str]

    packed = BinaryAttribute(legacy_encoding=False, null=True)
    blob = BlobAttribute(null=True)

    # Why the text was not fetched; set by a read.
    unavailable: ContentUnavailable | None = None

    @classmethod
    def from_raw_data(cls, data: Mapping[str, Any]) -> Self:
        """Return an instance from what DynamoDB gave; a long text is there after `load`."""
        item = super().from_raw_data(data)
        if item.packed is not None or item.blob is not None:
            item.unavailable = ContentUnavailable("it was not fetched")
        return item

    def pack(self) -> dict[str, bytes]:
        """Choose where the text goes, and set the attributes so; return what goes to S3, by its key.

        Raises:
            ItemTooLarge: it does not fit in an item, and there is no bucket.
        """
        self.packed = self.blob = None
        value = getattr(self, self.LONG)
        text = "" if value is None else self._long().text_of(value)
        data = text.encode()
        if len(data) <= MAX_PLAIN:
            return {}
        packed = zlib.compress(data)
        bucket = blobs.settings() is not None
        if len(packed) <= (MAX_PACKED if bucket else MAX_PACKED_WITHOUT_BUCKET):
            self.packed = packed
            return {}
        if not bucket:
            raise ItemTooLarge(self.LONG, len(data), MAX_PACKED_WITHOUT_BUCKET, compressed=len(packed))
        key = blobs.new_key(self.PK, self.SK)
        self.blob = Blob(key, len(data), hashlib.sha256(data).hexdigest(), self.preview(text)[:PREVIEW])
        return {key: packed}

    def preview(self, text: str) -> str:
        """Return what to show of a text that cannot be had; its first 200 characters are kept."""
        return text

    def unpack(self, most: int | None) -> int:
        """Set the text from `packed`, if it has no more bytes than `most`; return how many it has (then one more)."""
        data = zlib.decompressobj().decompress(self.packed, 0 if most is None else most + 1)
        if most is not None and len(data) > most:
            self.unavailable = left_out()
        else:
            self._set_text(data)
        return len(data)

    def take(self, body: bytes) -> None:
        """Set the text from what was fetched, after holding it against the checksum."""
        try:
            # Never more than was stored, whatever somebody has put into the bucket.
            data = zlib.decompressobj().decompress(body, self.blob.size + 1)
        except zlib.error:
            data = b""
        if hashlib.sha256(data).hexdigest() == self.blob.sha256:
            self._set_text(data)
        else:
            self.unavailable = ContentUnavailable("it is not what was stored: its checksum differs", lasting=True)

    def drop(self) -> None:
        """Let go of the text, to make room for others."""
        self.attribute_values.pop(self.LONG, None)
        self.unavailable = left_out()

    @classmethod
    def _long(cls) -> _Long:
        return cast("_Long", cls.get_attributes()[cls.LONG])

    def _set_text(self, data: bytes) -> None:
        self.unavailable = None
        setattr(self, self.LONG, self._long().deserialize(data.decode()))


def left_out() -> ContentUnavailable:
    """Return why a text is not there that is too much beside the others."""
    return ContentUnavailable("it was left out beside other large ones; read it alone", left_out=True)


def load(items: Iterable[Item]) -> None:
    """Unpack and fetch the long texts, in the order of the items, up to 8 MB of them; the first in any case.

    An item whose text is missing, damaged, out of reach or left out says so in `unavailable`, and is no error here.

    Cost: 1 GetObject for each item with a `blob`, 8 at a time.
    """
    wanted: list[LongItem] = []
    room = MAX_TEXTS
    first = True
    for item in items:
        if not isinstance(item, LongItem) or item.unavailable is None:
            continue
        if item.blob is None:
            room -= item.unpack(None if first else max(room, 0))
        elif first or item.blob.size <= room:
            room -= item.blob.size
            wanted.append(item)
        else:
            item.unavailable = left_out()
        first = False
    for item, body in zip(wanted, blobs.fetch(item.blob.key for item in wanted), strict=True):
        if isinstance(body, ContentUnavailable):
            item.unavailable = body
        else:
            item.take(body)


def discard(*items: Item | None) -> None:
    """Remove from S3 what deleted or replaced items have named, as far as S3 lets us now (see `blobs.discard`)."""
    blobs.discard([item.blob.key for item in items if isinstance(item, LongItem) and item.blob is not None])
