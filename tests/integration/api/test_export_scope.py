"""All of a user's data is in their export, or is left out for a documented reason."""

from collections import Counter
from pathlib import Path

from flask_openapi import OpenAPI

from bot.api.export_scope import EXPORTED, LEFT_OUT
from models.table.item import Item, decode
from tests.factories import make_agent
from tests.integration.api.caller import Caller
from tests.integration.api.test_api_exports import lines_of
from tests.one_of_each import make_one_of_each
from tests.raw import whole_table

GUIDE = Path(__file__).parents[3] / "docs" / "erasure.md"


def test_an_item_of_each_entity_is_in_the_export_or_its_entity_is_left_out(app: OpenAPI) -> None:
    others = make_agent()
    before = whole_table().keys()
    ann = Caller(app, make_one_of_each(others))

    lines = lines_of(ann)

    of_others = f"AUDIT#{others.user_id}"
    added = [raw for keys, raw in whole_table().items() if keys not in before and keys[0] != of_others]
    assert {raw["entity"]["S"] for raw in added} == set(Item.entities()), "make one of each new entity, too"
    there = Counter(type(item) for item in map(decode, added) if item is not None)
    shown = Counter(line["type"] for line in lines)
    assert shown.pop("end") == 1
    assert shown == {EXPORTED[entity]: there[entity] for entity in there if entity not in LEFT_OUT}


def test_every_entity_is_exported_or_listed_as_left_out() -> None:
    assert EXPORTED.keys() | LEFT_OUT.keys() == set(Item.entities().values())
    assert not EXPORTED.keys() & LEFT_OUT.keys()


def test_the_guide_names_every_line_and_gives_every_reason() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for kind in EXPORTED.values():
        assert f"`{kind}`" in guide
    for entity, reason in LEFT_OUT.items():
        assert f"| {entity.ENTITY} | {reason} |" in guide
