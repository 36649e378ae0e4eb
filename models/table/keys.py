"""Key templates: each key attribute of the table is declared once, as a template of the item's own fields.

`PK = Key("CONV#{conversation_id}", hash_key=True)` is rendered when the item is written; when the item is read, its
fields are filled from it. A field that is declared as a `KeyField` is stored only in the keys: storing it twice would
add a fifth to a message of 300 characters.
"""

import re
from datetime import datetime
from functools import cached_property
from typing import Any, Self, overload

from pynamodb.attributes import Attribute, UnicodeAttribute

from models.table import clock
from models.table.errors import InvalidKeyField

SEPARATOR = "#"
MAX_KEY_BYTES = 1024  # DynamoDB allows 2,048 for a partition key and 1,024 for a sort key; ours are far below both.
_REFUSED = re.compile(r"[#\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FIELD = re.compile(r"\{(\w+)\}")


def checked(field: str, value: object) -> str:
    """Return `value` after checking that it is allowed in a key.

    Raises:
        InvalidKeyField: it is not a non-empty string, or it contains `#` or a control character.
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
        """The text before the first field: `MSG#` for `MSG#{ts}`."""
        return self.text.partition("{")[0]

    def render(self, **values: object) -> str:
        """Return the key for these field values.

        Raises:
            InvalidKeyField: a value is missing or not allowed in a key, or the key would be longer than 1,024 bytes.
        """
        key = self.text.format(**{field: checked(field, values.get(field)) for field in self.fields})
        if len(key.encode()) > MAX_KEY_BYTES:
            raise InvalidKeyField(self.fields[-1], f"the key would be longer than {MAX_KEY_BYTES} bytes")
        return key

    def parse(self, key: str) -> dict[str, str] | None:
        """Return the fields of a rendered key, or None if `key` does not match this template."""
        match = self._pattern.fullmatch(key)
        return match.groupdict() if match else None

    def __repr__(self) -> str:
        """Show the template's text."""
        return f"KeyTemplate({self.text!r})"


class KeyField(Attribute[str]):
    """A field that is stored only in the item's keys."""

    attr_type = "S"
    null = True

    def serialize(self, value: Any) -> None:  # noqa: ARG002 - PynamoDB's signature
        """Store nothing: the value is in the keys."""
        return


class KeyMoment(Attribute[datetime]):
    """Like `KeyField`, for a time: a `datetime` in Python, 27 characters in the key."""

    attr_type = "S"
    null = True

    def serialize(self, value: Any) -> None:  # noqa: ARG002 - PynamoDB's signature
        """Store nothing: the value is in the keys."""
        return


class Key(UnicodeAttribute):
    """A key attribute whose value is always rendered from its template and the item's fields.

    Only reads assign to it, which fills the fields that the key contains. With `null=True` (index keys) it is absent
    while one of its fields has no value, which keeps the index sparse.
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
        """Fill the fields from a key that was read, unless they already have a value.

        So a read of an index that projects few attributes still fills the fields in its keys.
        """
        if value is None:
            return
        fields = self.template.parse(value)
        if fields is None:
            raise ValueError(f"{self.attr_name} {value!r} does not match {self.template.text!r}")
        attributes = instance.get_attributes()
        for field, text in fields.items():
            if getattr(instance, field) is None:
                moment = isinstance(attributes[field], KeyMoment)
                setattr(instance, field, clock.from_timestamp(text) if moment else text)


def _as_text(field: str, value: object) -> object:
    return clock.to_timestamp(value, field) if isinstance(value, datetime) else value
