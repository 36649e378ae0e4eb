"""Key templates: each key attribute of the table is declared once, as a template of the item's own fields.

`PK = Key("CONV#{conversation_id}", hash_key=True)` renders itself when the item is written and, when it is read, fills
the fields that stand in it. A field that is declared as a `KeyField` lives in the keys alone and is not stored twice:
on a message of 300 characters that would be a fifth of its size.
"""

import re
from datetime import datetime
from functools import cached_property
from typing import Any, Self, overload

from pynamodb.attributes import Attribute, UnicodeAttribute

from models.table import clock
from models.table.errors import InvalidKeyField

SEPARATOR = "#"
MAX_KEY_BYTES = 1024  # DynamoDB allows a partition key 2,048 and a sort key 1,024; ours are far below either.
_REFUSED = re.compile(r"[#\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FIELD = re.compile(r"\{(\w+)\}")


def checked(field: str, value: object) -> str:
    """Return `value` as it may stand in a key.

    Raises:
        InvalidKeyField: it is not a non-empty string, or it holds `#` or a control character.
    """
    if not isinstance(value, str) or not value:
        raise InvalidKeyField(field, "a key field must be a non-empty string")
    if _REFUSED.search(value):
        raise InvalidKeyField(field, "'#' and control characters are not allowed in a key field")
    return value


class KeyTemplate:
    """A key with named fields, such as `MSG#{ts}`."""

    def __init__(self, text: str) -> None:
        """Take the template's `text`; a template without fields is a constant."""
        self.text = text
        self.fields: tuple[str, ...] = tuple(_FIELD.findall(text))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = _FIELD.split(self.text)
        return re.compile(
            "".join(f"(?P<{part}>[^#]+)" if position % 2 else re.escape(part) for position, part in enumerate(parts))
        )

    @property
    def prefix(self) -> str:
        """What stands before the first field: `MSG#` for `MSG#{ts}`."""
        return self.text.partition("{")[0]

    def render(self, **values: object) -> str:
        """Return the key for these field values.

        Raises:
            InvalidKeyField: a value is missing or may not stand in a key, or the key would be over DynamoDB's limit.
        """
        key = self.text.format(**{field: checked(field, values.get(field)) for field in self.fields})
        if len(key.encode()) > MAX_KEY_BYTES:
            raise InvalidKeyField(self.fields[-1], f"the key would be over {MAX_KEY_BYTES} bytes")
        return key

    def parse(self, key: str) -> dict[str, str] | None:
        """Return the fields of a rendered key, or None where `key` was not made from this template."""
        match = self._pattern.fullmatch(key)
        return match.groupdict() if match else None

    def __repr__(self) -> str:
        """Show the template's text."""
        return f"KeyTemplate({self.text!r})"


class KeyField(Attribute[str]):
    """A field of an item that is kept in its keys and nowhere else."""

    attr_type = "S"
    null = True

    def serialize(self, value: Any) -> None:  # noqa: ARG002 - PynamoDB's signature
        """Store nothing: the key templates have it."""
        return


class KeyMoment(Attribute[datetime]):
    """Like `KeyField`, for a time: a `datetime` in Python, 27 characters in the key."""

    attr_type = "S"
    null = True

    def serialize(self, value: Any) -> None:  # noqa: ARG002 - PynamoDB's signature
        """Store nothing: the key templates have it."""
        return


class Key(UnicodeAttribute):
    """A key attribute whose value is always the rendering of its template from the item's own fields.

    It cannot be assigned: assigning is what a read does, and then it fills the fields that stand in the key. With
    `null=True` (index keys) it is left out as long as one of its fields has no value, which keeps the index sparse.
    """

    def __init__(self, template: str, **options: Any) -> None:
        """Take the template's text; `options` are PynamoDB's (`hash_key`, `range_key`, `null`)."""
        super().__init__(**options)
        self.template = KeyTemplate(template)

    @overload
    def __get__(self, instance: None, owner: Any) -> Self: ...

    @overload
    def __get__(self, instance: Any, owner: Any) -> Any: ...

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Render the key from the item's fields."""
        if instance is None:
            return self
        values = {field: getattr(instance, field) for field in self.template.fields}
        if self.null and any(value is None for value in values.values()):
            return None
        return self.template.render(**{field: _as_text(field, value) for field, value in values.items()})

    def __set__(self, instance: Any, value: Any) -> None:
        """Fill the fields that stand in a key which was read, as far as the read brings them in no other way.

        An index that projects little still gives what its keys say.
        """
        if value is None:
            return
        fields = self.template.parse(value)
        if fields is None:
            raise ValueError(f"{self.attr_name} {value!r} is not of the form {self.template.text!r}")
        attributes = instance.get_attributes()
        for field, text in fields.items():
            if getattr(instance, field) is None:
                moment = isinstance(attributes[field], KeyMoment)
                setattr(instance, field, clock.from_timestamp(text) if moment else text)


def _as_text(field: str, value: object) -> object:
    return clock.to_timestamp(value, field) if isinstance(value, datetime) else value
