"""The documentation matches the code: nothing is missing or outdated, and no link is broken."""

import html
import json
import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from bot.api.shapes.messages import MessageView
from bot.api.shapes.turns import TurnResult
from bot.cli.docs import pages, routes, stale
from bot.errors import BotError
from bot.settings import Settings
from models.access_patterns import patterns
from models.export.fields import describe
from models.table.item import Item

DOCS = Path(__file__).parents[2] / "docs"
MARKDOWN = sorted(DOCS.rglob("*.md"))
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
GENERATED = pages(DOCS)


@pytest.mark.parametrize("name", GENERATED)
def test_what_is_generated_is_what_is_committed(name: str) -> None:
    assert (DOCS / name).exists(), "run `make docs`"
    assert (DOCS / name).read_text(encoding="utf-8") == GENERATED[name], "run `make docs`"


def test_no_outdated_generated_file_is_left() -> None:
    assert stale(DOCS, GENERATED) == []


def test_the_same_declarations_give_the_same_pages() -> None:
    assert pages(DOCS) == GENERATED


def test_the_first_conversation_shows_answers_as_they_are() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", (DOCS / "first-conversation.md").read_text(), re.DOTALL)
    shown = json.loads(block)
    assert TurnResult.model_validate(shown).model_dump(mode="json") == shown
    for message in (*shown["input"], *shown["output"]):
        assert message.keys() == MessageView.model_fields.keys()


class TestNothingIsMissing:
    def test_every_entity_and_attribute(self) -> None:
        for name, entity in Item.entities().items():
            text = GENERATED[f"table/entities/{name.lower()}.md"]
            for attribute in entity.get_attributes():
                assert f"`{attribute}`" in text, f"{name}.{attribute}"
                assert describe(entity, attribute)
            assert f"[{name}](entities/{name.lower()}.md)" in GENERATED["table/index.md"]
            assert f">{name}<" in GENERATED["table/relations.svg"]

    def test_an_attribute_that_nobody_described_is_found(self) -> None:
        with pytest.raises(LookupError, match=r"User\.shoe_size is not described"):
            describe(Item.entities()["User"], "shoe_size")

    def test_every_pattern(self) -> None:
        for pattern in patterns():
            assert f"# {pattern.id} {pattern.title}" in GENERATED[f"table/patterns/{pattern.id.lower()}.md"]
            assert f"| [{pattern.id}](" in GENERATED["table/patterns/index.md"]

    def test_every_route(self) -> None:
        for route in routes():
            assert f"`{route.method} {route.path}`" in GENERATED["table/routes.md"]

    def test_every_route_that_a_pattern_names_exists(self) -> None:
        known = "|".join(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(f"{each.method} {each.path}")) for each in routes())
        for pattern in patterns():
            for route in pattern.routes:
                path = re.split(r"\?| with ", route)[0]
                assert re.fullmatch(known, path) or " /" not in route, (
                    f"{pattern.id} names {route}, and there is no such route"
                )

    def test_every_route_that_knows_its_caller_runs_a_pattern(self) -> None:
        named = {re.split(r"\?| with ", route)[0] for pattern in patterns() for route in pattern.routes}
        for route in routes():
            if route.needs_caller:
                assert f"{route.method} {route.path}" in named

    def test_every_setting(self) -> None:
        text = (DOCS / "settings.md").read_text()
        for name, field in Settings.model_fields.items():
            if not field.exclude:
                alias = field.validation_alias
                for each in getattr(alias, "choices", [alias]):
                    assert f"`{each}`" in text, f"the setting {name} ({each}) is not in docs/settings.md"

    def test_every_error_code(self) -> None:
        text = (DOCS / "errors.md").read_text()
        for error in _all(BotError):
            assert f"`{error.code}`" in text, f"the error code {error.code} is not in docs/errors.md"


def _all(kind: type[BotError]) -> list[type[BotError]]:
    return [kind, *(found for each in kind.__subclasses__() for found in _all(each))]


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_links_are_not_broken(path: Path) -> None:
    for target in _LINK.findall(_FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        found = (path.parent / name).resolve() if name else path
        assert found.exists(), f"{path.relative_to(DOCS)} links to {target}, which is not there"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), f"{path.relative_to(DOCS)} links to {target}, which has no such heading"


def test_the_threat_model_names_existing_files() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", (DOCS / "threat-model.md").read_text()))
    tests = {path.name for path in (DOCS.parent / "tests").rglob("test_*.py")}
    assert len(named) > 20
    assert [each for each in sorted(named) if not (each in tests or (DOCS.parent / each).is_file())] == []


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (path.parent / unquote(target).partition("#")[0]).resolve()
        for path in MARKDOWN
        for target in _LINK.findall(_FENCE.sub("", path.read_text(encoding="utf-8")))
        if not target.startswith("#")
    }
    for path in MARKDOWN:
        assert path == DOCS / "README.md" or path in linked, f"nothing links to {path.relative_to(DOCS)}"


def test_the_navigation_of_the_site_has_no_broken_links() -> None:
    site = tomllib.loads((DOCS.parent / "zensical.toml").read_text())["project"]
    for target in re.findall(r"'([^']+\.md)'", str(site["nav"])):
        assert (DOCS / target).exists(), target
    for entity in Item.entities():
        assert f"table/entities/{entity.lower()}.md" in str(site["nav"]), f"{entity} is not in zensical.toml"


def test_the_site_fetches_nothing_from_elsewhere() -> None:
    assert tomllib.loads((DOCS.parent / "zensical.toml").read_text())["project"]["theme"]["font"] is False
    for path in (*DOCS.rglob("*.css"), *DOCS.rglob("*.svg")):
        assert not re.search(r"url\((?!#)|@import|<script|<image|href=", path.read_text()), path


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", html.unescape(head).lower()).replace(" ", "-") for head in heads}
