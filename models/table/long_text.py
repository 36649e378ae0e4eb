"""Items with one text of any length: plain while it is short, then compressed, then in S3.

Where the text is, the item's attributes say, and each has one type:

- up to 4 KB in its own attribute (`content`, `value`), as it is;
- longer, compressed (zlib) in `packed`;
- compressed to more than 16 KB where a bucket is configured, in S3; `blob` then says where, how long the text is, how
  it begins, and its SHA-256, which every read checks. Without a bucket an item holds 392 KB, and more is refused.

16 KB, because a page of 50 such items stays under the 1 MB of one Query, and because 1 KB in a transaction costs as
much as a third of a PutObject: S3 is the cheaper place from a few KB on, though not the faster one.

PynamoDB's own ways of writing and reading (`save`, `batch_write`, `TransactWrite`, `get`, `refresh` …) know the first
two places: a text is compressed as the item is serialized, and unpacked when it is looked at. They do not reach S3, so
they refuse what fits in no item; what is there already stays where it is, as long as nobody sets another text.
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
        return Blob(**from_json(value))


class _Long(Attribute[Any]):
    """The attribute that a long text leaves empty on the table. Reading it raises where it could not be fetched."""

    attr_type = STRING

    @overload
    def __get__(self, instance: None, owner: Any) -> Self: ...

    @overload
    def __get__(self, instance: Any, owner: Any) -> Any: ...

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Return the value; a compressed one is unpacked now.

        Raises:
            ContentUnavailable: it is in S3, and was not fetched.
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
        """Return the text that is stored here, for a condition on it.

        Raises:
            InvalidValue: it is too long to be stored here, so nothing can be compared with it.
        """
        text = self.text_of(value)
        if len(text.encode()) > MAX_PLAIN:
            raise InvalidValue(self.attr_name, f"no condition can hold more than {MAX_PLAIN:,} bytes of it")
        return text

    def set(self, value: Any) -> NoReturn:  # noqa: ARG002 - PynamoDB's signature
        """Refuse: a text that is set here alone would leave another one beside it, in `packed` or `blob`.

        Raises:
            InvalidValue: always; it says what to use.
        """
        raise self._several()

    def remove(self) -> NoReturn:
        """Refuse, as `set` does.

        Raises:
            InvalidValue: always; it says what to use.
        """
        raise self._several()

    def _several(self) -> InvalidValue:
        return InvalidValue(
            self.attr_name,
            "a text of any length takes one of several attributes. Set it on the item, then save() the item, "
            "or update() it with the actions of models.table.changes.text_actions(item)",
        )


class LongTextAttribute(_Long):
    """A text of any length."""

    def text_of(self, value: str) -> str:
        """Return the text itself.

        Raises:
            InvalidValue: it is none, or holds half of a surrogate pair.
        """
        return text_value(self.attr_name or "text", value)

    def deserialize(self, value: str) -> str:
        """Return the text that was stored, with U+FFFD for what is no character."""
        return readable(value)


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
        return from_json(value)


class LongItem(Item):
    """Base of the items that have a text of any length; `LONG` names its attribute."""

    LONG: ClassVar[str]

    packed = BinaryAttribute(legacy_encoding=False, null=True)
    blob = BlobAttribute(null=True)

    # What else writes the text, S3 included; told to whoever saves one that fits in no item.
    WRITER: ClassVar[str]

    _why: ContentUnavailable | None = None
    _packed_from: bytes | None = None

    @property
    def unavailable(self) -> ContentUnavailable | None:
        """Why the text is not here; None where it is, or where there is none. A text that is set is here."""
        if self.LONG in self.attribute_values:
            return None
        if self._why is not None or (self.packed is None and self.blob is None):
            return self._why
        return ContentUnavailable("it was not fetched; models.table.long_text.load fetches it")

    @unavailable.setter
    def unavailable(self, why: ContentUnavailable) -> None:
        self.attribute_values.pop(self.LONG, None)
        self._why = why

    @property
    def only_packed(self) -> bool:
        """Whether the text only needs to be unpacked: it is on the item, and nothing is wrong with it."""
        return self.blob is None and self._why is None

    def pack(self) -> dict[str, bytes]:
        """Choose where the text goes, and set the attributes so; return what goes to S3, by its key.

        Raises:
            ItemTooLarge: it does not fit in an item, and there is no bucket.
        """
        # Reading it raises where it is not here: what cannot be had cannot be stored again.
        value = getattr(self, self.LONG)
        text = "" if value is None else self._long().text_of(value)
        data = text.encode()
        self.packed = self.blob = None
        if blobs.settings() is None or len(data) <= MAX_PLAIN:
            self._pack_here(data)
            return {}
        packed = zlib.compress(data)
        if len(packed) <= MAX_PACKED:
            self.packed, self._packed_from = packed, hashlib.sha256(data).digest()
            return {}
        key = blobs.new_key(self.PK, self.SK)
        self.blob = Blob(key, len(data), hashlib.sha256(data).hexdigest(), self.preview(text)[:PREVIEW])
        return {key: packed}

    def _pack_here(self, data: bytes, hint: str | None = None) -> None:
        """Set the attributes so that the text is on the item; it stays in S3 if it is there."""
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

    # All of PynamoDB's ways to read and write an item go through these two, and `from_raw_data`.

    def _container_serialize(self, null_check: bool = True) -> dict[str, dict[str, Any]]:
        """Serialize the item with its text where it belongs; one that was not read stays where it is.

        Raises:
            ItemTooLarge: the text does not fit in an item.
        """
        text = None
        if self.unavailable is None:
            value = self.attribute_values.get(self.LONG)
            text = None if value is None else self._long().text_of(value)
            self._pack_here((text or "").encode(), f"Where there is a bucket, {self.WRITER} stores it in S3.")
        # The text itself is left to us: PynamoDB would store it in its own attribute, or miss it there.
        others = copy(self)
        others.attribute_values = {**self.attribute_values, self.LONG: None}
        stored: dict[str, dict[str, Any]] = super(LongItem, others)._container_serialize(null_check)
        if text is not None and self.packed is None and self.blob is None:
            stored[self.LONG] = {STRING: text}
        return stored

    def _container_deserialize(self, attribute_values: dict[str, dict[str, Any]]) -> None:
        """Take what was read, as it replaces all that was here."""
        self._why = self._packed_from = None
        super()._container_deserialize(attribute_values)

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
        self.unavailable = left_out()

    @classmethod
    def _long(cls) -> _Long:
        return cast("_Long", cls.get_attributes()[cls.LONG])

    def _set_text(self, data: bytes) -> None:
        self._why = None
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
