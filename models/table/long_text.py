"""Items with one text of any length: plain while it is short, then compressed, then in S3.

The text is stored in one of three places, each with its own attribute:

- up to 4 KB: as it is, in its own attribute (`content`, `value`);
- longer: compressed (zlib) in `packed`;
- more than 16 KB compressed, if a bucket is configured: in S3. `blob` has the object's key, the length of the text, its
  beginning, and its SHA-256, which every read checks. Without a bucket an item holds 392 KB compressed, and more is
  refused.

The threshold is 16 KB because a page of 50 such items stays under the 1 MB of one Query, and because 1 KB in a
transaction costs as much as a third of a PutObject: S3 is cheaper from a few KB on, though not faster.

PynamoDB's own methods (`save`, `batch_write`, `TransactWrite`, `get`, `refresh` …) support the first two places: a text
is compressed when the item is serialized, and unpacked when it is accessed. They do not use S3, so they refuse a text
that does not fit in an item. A text that is already in S3 stays there until another text is set.
"""

import hashlib
import zlib
from collections.abc import Iterable
from copy import copy
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NoReturn, Self, cast, overload

from pynamodb.attributes import Attribute, BinaryAttribute
from pynamodb.constants import STRING

from models.table import blobs
from models.table.attributes import to_json
from models.table.errors import ContentUnavailable, InvalidValue, ItemTooLarge
from models.table.item import Item
from models.table.sizes import MAX_ITEM_BYTES
from models.table.values import from_json, readable, text_value

# Maximum bytes of a plain text, of a compressed text on the item, and of a compressed text if there is no bucket.
MAX_PLAIN = 4096
MAX_PACKED = 16_384
MAX_PACKED_WITHOUT_BUCKET = MAX_ITEM_BYTES - 8192
PREVIEW = 200
# The maximum bytes of long texts in one page or window, because a small item may have a large text in S3. Texts beyond
# it are left out, and marked as left out.
MAX_TEXTS = 8 * 1024 * 1024


@dataclass(frozen=True)
class Blob:
    """Where a text is in the bucket. `size` and `sha256` are those of its UTF-8 bytes; `preview` is its beginning.

    For a message of parts, `preview` is the beginning of its texts.
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
        """Return the `Blob` that was stored."""
        return Blob(**from_json(value))


class _LongAttribute(Attribute[Any]):
    """The attribute of a long text, which is stored here only while it is short. Accessing it raises if the text could
    not be fetched.
    """

    attr_type = STRING

    @overload
    def __get__(self, instance: None, owner: Any) -> Self: ...

    @overload
    def __get__(self, instance: Any, owner: Any) -> Any: ...

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Return the value; a compressed one is unpacked first.

        Raises:
            ContentUnavailable: it is in S3 and was not fetched.
        """
        if instance is not None and instance.unavailable is not None:
            if not instance.only_packed:
                raise instance.unavailable
            instance.unpack(None)
        return super().__get__(instance, owner)

    def text_of(self, value: Any) -> str:
        """Return the text of a value."""
        raise NotImplementedError

    def serialize(self, value: Any) -> str:
        """Return the text for a condition on it.

        Raises:
            InvalidValue: it is too long to be stored in this attribute, so no condition can compare it.
        """
        text = self.text_of(value)
        if len(text.encode()) > MAX_PLAIN:
            raise InvalidValue(self.attr_name, f"a condition can compare at most {MAX_PLAIN:,} bytes of it")
        return text

    def set(self, value: Any) -> NoReturn:  # noqa: ARG002 - PynamoDB's signature
        """Refuse, because setting only this attribute would leave an old text in `packed` or `blob`.

        Raises:
            InvalidValue: always; it says what to use instead.
        """
        raise self._refusal()

    def remove(self) -> NoReturn:
        """Refuse, as `set` does.

        Raises:
            InvalidValue: always; it says what to use instead.
        """
        raise self._refusal()

    def _refusal(self) -> InvalidValue:
        return InvalidValue(
            self.attr_name,
            "a long text is stored in one of several attributes. Set it on the item, then save() the item, "
            "or update() it with the actions of models.table.changes.text_actions(item)",
        )


class LongTextAttribute(_LongAttribute):
    """A text of any length."""

    def text_of(self, value: str) -> str:
        """Return the text itself.

        Raises:
            InvalidValue: it is not a string, or contains half of a surrogate pair.
        """
        return text_value(self.attr_name or "text", value)

    def deserialize(self, value: str) -> str:
        """Return the text that was stored, with U+FFFD for each half of a surrogate pair."""
        return readable(value)


class LongJsonAttribute(_LongAttribute):
    """Any JSON value, of any length."""

    def text_of(self, value: Any) -> str:
        """Return the value as compact JSON.

        Raises:
            InvalidValue: it is not JSON.
        """
        return to_json(value, self.attr_name or "value")

    def deserialize(self, value: str) -> Any:
        """Return the value that was stored."""
        return from_json(value)


class LongItem(Item):
    """Base class of items with a text of any length; `LONG` names its attribute."""

    LONG: ClassVar[str]

    packed = BinaryAttribute(legacy_encoding=False, null=True)
    blob = BlobAttribute(null=True)

    # The function that also writes to S3; the error for a text that does not fit in an item names it.
    WRITER: ClassVar[str]

    _reason: ContentUnavailable | None = None
    _packed_from: bytes | None = None

    @property
    def unavailable(self) -> ContentUnavailable | None:
        """Why the text is not loaded; None if it is, or if there is no text."""
        if self.LONG in self.attribute_values:
            return None
        if self._reason is not None or (self.packed is None and self.blob is None):
            return self._reason
        return ContentUnavailable("it was not fetched; call models.table.long_text.load")

    @unavailable.setter
    def unavailable(self, reason: ContentUnavailable) -> None:
        self.attribute_values.pop(self.LONG, None)
        self._reason = reason

    @property
    def only_packed(self) -> bool:
        """Whether the text only needs to be unpacked: it is on the item, and not marked as unavailable."""
        return self.blob is None and self._reason is None

    def pack(self) -> dict[str, bytes]:
        """Choose where to store the text and set the attributes; return the object for S3 by its key, if any.

        Raises:
            ItemTooLarge: it does not fit in an item, and there is no bucket.
        """
        # This raises if the text is not loaded: an unavailable text cannot be stored again.
        value = getattr(self, self.LONG)
        text = "" if value is None else self._long().text_of(value)
        data = text.encode()
        self.packed = self.blob = None
        if blobs.settings() is None or len(data) <= MAX_PLAIN:
            self._pack_on_item(data)
            return {}
        packed = zlib.compress(data)
        if len(packed) <= MAX_PACKED:
            self.packed, self._packed_from = packed, hashlib.sha256(data).digest()
            return {}
        key = blobs.new_key(self.PK, self.SK)
        self.blob = Blob(key, len(data), hashlib.sha256(data).hexdigest(), self.preview(text)[:PREVIEW])
        return {key: packed}

    def _pack_on_item(self, data: bytes, hint: str | None = None) -> None:
        """Set the attributes to store the text on the item, or to keep it in S3 if it is there unchanged."""
        if len(data) <= MAX_PLAIN:
            self.packed = self.blob = None
            return
        digest = hashlib.sha256(data)
        if self.blob is not None and digest.hexdigest() == self.blob.sha256:
            self.packed = None
        elif self.packed is None or self._packed_from != digest.digest():
            packed = zlib.compress(data)
            if len(packed) > MAX_PACKED_WITHOUT_BUCKET:
                raise ItemTooLarge(self.LONG, len(data), MAX_PACKED_WITHOUT_BUCKET, compressed=len(packed), hint=hint)
            self.packed, self._packed_from, self.blob = packed, digest.digest(), None

    # All of PynamoDB's methods that read or write an item call these two, or `from_raw_data`.

    def _container_serialize(self, null_check: bool = True) -> dict[str, dict[str, Any]]:
        """Serialize the item with its text in the right attribute; a text that was not loaded stays where it is.

        Raises:
            ItemTooLarge: the text does not fit in an item.
        """
        text = None
        if self.unavailable is None:
            value = self.attribute_values.get(self.LONG)
            text = None if value is None else self._long().text_of(value)
            self._pack_on_item((text or "").encode(), f"With a bucket, {self.WRITER} stores it in S3.")
        # PynamoDB must not see the text: it would store it in its own attribute, or report it missing there.
        others = copy(self)
        others.attribute_values = {**self.attribute_values, self.LONG: None}
        stored: dict[str, dict[str, Any]] = super(LongItem, others)._container_serialize(null_check)
        if text is not None and self.packed is None and self.blob is None:
            stored[self.LONG] = {STRING: text}
        return stored

    def _container_deserialize(self, attribute_values: dict[str, dict[str, Any]]) -> None:
        """Replace the whole content of this instance with what was read."""
        self._reason = self._packed_from = None
        super()._container_deserialize(attribute_values)

    def preview(self, text: str) -> str:
        """Return what to show of a text that is unavailable; its first 200 characters are kept."""
        return text

    def unpack(self, most: int | None) -> int:
        """Set the text from `packed`, or mark it as left out if it has more than `most` bytes.

        Returns:
            How many bytes were unpacked, at most `most` + 1.
        """
        data = zlib.decompressobj().decompress(self.packed, 0 if most is None else most + 1)
        if most is not None and len(data) > most:
            self.unavailable = left_out()
        else:
            self._set_text(data)
        return len(data)

    def take(self, body: bytes) -> None:
        """Set the text from a fetched object if its checksum matches, else mark it as unavailable."""
        try:
            # The size limits what is unpacked, whatever somebody has put into the bucket.
            data = zlib.decompressobj().decompress(body, self.blob.size + 1)
        except zlib.error:
            data = b""
        if hashlib.sha256(data).hexdigest() == self.blob.sha256:
            self._set_text(data)
        else:
            self.unavailable = ContentUnavailable("its checksum differs from the one that was stored", lasting=True)

    def drop(self) -> None:
        """Unload the text, to make room for others."""
        self.unavailable = left_out()

    @classmethod
    def _long(cls) -> _LongAttribute:
        return cast("_LongAttribute", cls.get_attributes()[cls.LONG])

    def _set_text(self, data: bytes) -> None:
        self._reason = None
        setattr(self, self.LONG, self._long().deserialize(data.decode()))


def left_out() -> ContentUnavailable:
    """Return the reason for a text that was left out because the texts of its page are too large together."""
    return ContentUnavailable("it was left out because the page has other large texts; read it alone", left_out=True)


def load(items: Iterable[Item]) -> None:
    """Unpack and fetch the long texts in the order of the items, up to 8 MB in total; the first one in any case.

    A text that is missing, damaged, unreachable or left out is not an error here; its item's `unavailable` has the
    reason.

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
    """Try to delete the S3 objects of deleted or replaced items (see `blobs.discard`)."""
    blobs.discard([item.blob.key for item in items if isinstance(item, LongItem) and item.blob is not None])
