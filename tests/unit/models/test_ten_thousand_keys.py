"""Ten thousand ids, as people and attackers write them: every key rendered from one keeps its owner's prefix.

Seeded, so that a failure can be reproduced.
"""

from collections.abc import Iterator
from random import Random

import pytest

from models import schema  # noqa: F401 - it imports every entity
from models.table.errors import InvalidKeyField
from models.table.item import Item
from models.table.keys import MAX_KEY_BYTES, Key, KeyTemplate

SEED = 20261122
COUNT = 10_000

_PIECES = (
    *("usr_01k9zc3v9te8rbt8w4mhkt5m2x", "conv_01k9zc3v9te8rbt8w4mhkt5m2x", "agt_1", "key_1", "me", "x", "0", "-", "_"),
    # Parts of our keys.
    *(
        "#",
        "USER#",
        "#AGENT#",
        "PROFILE",
        "CONV#",
        "MSG#",
        "THREAD",
        "KV#",
        "APIKEY#",
        "IDENTITY#",
        "TURN#",
        "##",
        "{user_id}",
    ),
    # Look-alikes: full-width, small and combined number signs, a Cyrillic U, a Greek Rho.
    *("\uff03", "\ufe5f", "#\u20e3", "\u266f", "\u0405ER", "US\u0395R#", "\u0410GENT", "\u200b#", "\u2060"),
    # Control characters, surrogate halves, other planes, right-to-left text, characters that case folding lengthens.
    *("\x00", "\n", "\r\n", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\ud800", "\udfff", "\U0001f600", "\U0010ffff"),
    *(
        "\u202e",
        "\u0130",
        "\u00df",
        "e\u0301",
        "\u00e9",
        " ",
        "\u00a0",
        "%23",
        "%00",
        "..",
        "/",
        "\\",
        "'",
        '"',
        "$",
        "*",
    ),
)
_WHOLE = ("", "#", "##", "\x00", " ", "x" * 2000, "\u00e9" * 600, "#" * 1024, "USER#", "\ud83d", "\uff03" * 10)


def identifiers() -> Iterator[str]:
    random = Random(SEED)
    yield from _WHOLE
    for number in range(COUNT - len(_WHOLE)):
        if number % 50 == 0:
            yield "x" * random.randint(900, 1100)
        elif number % 3 == 0:
            yield "".join(chr(random.randint(0, 0x2FF)) for _ in range(random.randint(1, 12)))
        else:
            yield "".join(random.choice(_PIECES) for _ in range(random.randint(1, 5)))


IDENTIFIERS = tuple(identifiers())
TEMPLATES = tuple(
    sorted(
        {
            attribute.template.text
            for entity in Item.entities().values()
            for attribute in entity.get_attributes().values()
            if isinstance(attribute, Key) and attribute.template.fields
        }
    )
)


def test_there_are_ten_thousand_of_every_kind() -> None:
    assert len(IDENTIFIERS) == COUNT
    assert sum("#" in each for each in IDENTIFIERS) > 1000
    assert sum(not each.isascii() for each in IDENTIFIERS) > 1000
    assert sum(len(each.encode(errors="replace")) > MAX_KEY_BYTES for each in IDENTIFIERS) > 50


@pytest.mark.parametrize("text", TEMPLATES)
def test_every_key_has_its_owners_prefix(text: str) -> None:
    template = KeyTemplate(text)
    owner = dict.fromkeys(template.fields, "fine")
    others = [KeyTemplate(other) for other in TEMPLATES if other != text]
    made = 0
    for field in template.fields:
        before = text.partition(f"{{{field}}}")[0].format(**owner)
        for identifier in IDENTIFIERS:
            values = {**owner, field: identifier}
            try:
                key = template.render(**values)
            except InvalidKeyField:
                continue
            made += 1
            assert key.startswith(before)
            # It parses to the fields that it was rendered from, so no part of a field became a part of the key ...
            assert template.parse(key) == values
            assert key.count("#") == text.count("#")
            # ... and it matches no other template, unless that has the same text.
            for other in others:
                if other.prefix != template.prefix and (found := other.parse(key)) is not None:
                    assert other.render(**found) == key
                    assert template.prefix == "" or other.prefix == "", f"{text} could be a key of {other.text}"
    assert made > 1000 * len(template.fields)


def test_an_identifier_makes_a_key_exactly_if_it_is_allowed_in_one() -> None:
    template = KeyTemplate("USER#{user_id}")
    for identifier in IDENTIFIERS:
        sound = (
            identifier != ""
            and not any(c == "#" or ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in identifier)
            and len(f"USER#{identifier}".encode(errors="replace")) <= MAX_KEY_BYTES
        )
        try:
            template.render(user_id=identifier)
        except InvalidKeyField:
            assert not sound, f"{identifier!r} was refused"
        else:
            assert sound, f"{identifier!r} was taken"


def test_no_two_identifiers_make_one_key() -> None:
    template = KeyTemplate("USER#{user_id}#AGENT#{agent_id}")
    seen: dict[str, tuple[str, str]] = {}
    pairs = zip(IDENTIFIERS, reversed(IDENTIFIERS), strict=True)
    for user_id, agent_id in pairs:
        try:
            key = template.render(user_id=user_id, agent_id=agent_id)
        except InvalidKeyField:
            continue
        assert seen.setdefault(key, (user_id, agent_id)) == (user_id, agent_id)
    assert len(seen) > 500
