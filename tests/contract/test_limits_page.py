"""docs/limits.md matches the code: each figure is taken from the code, or was tried."""

import re
from collections.abc import Mapping

import pytest

from bot.api import conversations
from bot.api.limits import LimitsPatch
from bot.api.states import StatePut
from bot.cli.guest import guest_application
from bot.http.images import MAX_IMAGE_BYTES
from bot.http.types import DEFAULT_LIMIT, MAX_LIMIT
from bot.settings import Settings
from bot.turns.quotas import ANSWER_TOKENS
from bot.turns.tools import MAX_CALLS
from models.emails import MAX_LENGTH, MAX_LOCAL_PART
from models.state import MAX_KEY
from models.table.item import MAX_TEXT_BYTES
from models.table.long_text import MAX_PACKED_WITHOUT_BUCKET, MAX_TEXTS
from tests.processes import ROOT

PAGE = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Sizes")[2].partition("\n## ")[0]
ROWS = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|", SECTION, re.MULTILINE))
YEARS = StatePut.model_json_schema()["properties"]["ttl_seconds"]["anyOf"][0]
DOCUMENT = guest_application().api_doc
MIB = 1024 * 1024
SIZES = {
    "a request's body": f"`BOT_MAX_BODY_BYTES`, {Settings.model_fields['max_body_bytes'].default:,} bytes",
    "a message's content, a function's result, a value of state": f"{MAX_PACKED_WITHOUT_BUCKET:,} bytes after",
    "an image in a message": f"{MAX_IMAGE_BYTES // MIB} MiB before base64",
    "long texts and images of one page, or of a turn's window": f"{MAX_TEXTS // MIB} MiB,",
    "the text of a turn that did not complete": f"{MAX_TEXT_BYTES:,} bytes",
    "a page of a list": f"`limit` from 1 to {MAX_LIMIT:,}, by default {DEFAULT_LIMIT}",
    "messages with an opened conversation": f"`messages` from 0 to 1,000, by default {conversations.NEWEST}",
    "results of function calls in one request": f"{MAX_CALLS}",
    "a state's key": f"{MAX_KEY} letters",
    "a state's time to live": f"from {YEARS['minimum']} second to {YEARS['maximum']:,},",
    "an email": f"{MAX_LENGTH} characters, {MAX_LOCAL_PART} of them",
    "depth of a JSON value": "32 levels",
    "a whole number in a body": "4,300 digits",
    "a number with a fraction or an exponent in a body": "17 significant digits",
}


def parameters(name: str) -> Mapping[str, dict[str, object]]:
    """Return every query parameter with a name, by route, from the OpenAPI document."""
    return {
        f"{method.upper()} {path}": each["schema"]
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
        for each in operation.get("parameters", [])
        if (each["in"], each["name"]) == ("query", name)
    }


def test_the_page_has_each_size_and_no_other() -> None:
    assert set(ROWS) - {"what", "---"} == set(SIZES)


@pytest.mark.parametrize("what", SIZES)
def test_each_size_is_that_of_the_code(what: str) -> None:
    assert ROWS[what].startswith(SIZES[what])


def test_every_list_is_paged_alike() -> None:
    found = parameters("limit")
    assert len(found) > 5
    # Anybody can ask for this one.
    public = found.pop("GET /api/v1/shared-conversations/{token}")
    assert (public["minimum"], public["maximum"], public["default"]) == (1, 100, DEFAULT_LIMIT)
    for route, schema in found.items():
        assert (schema["minimum"], schema["maximum"], schema["default"]) == (1, MAX_LIMIT, DEFAULT_LIMIT), route


def test_an_opened_conversation_has_as_many_messages_as_the_page_says() -> None:
    (schema,) = parameters("messages").values()
    assert (schema["minimum"], schema["maximum"], schema["default"]) == (0, 1000, conversations.NEWEST)


def test_every_limit_that_can_be_set_is_on_the_page() -> None:
    settings = {f"{field.alias}" for field in Settings.model_fields.values() if not field.exclude}
    named = set(re.findall(r"`(BOT_[A-Z_]+)`", PAGE))
    assert named <= settings
    assert {each for each in settings if re.match("BOT_(QUOTA|LIMIT)_", each)} <= named
    for name in LimitsPatch.model_fields:
        assert f"`{name}`" in PAGE


def test_an_answer_without_max_tokens_is_as_long_as_the_page_says() -> None:
    assert f"answers with at most {ANSWER_TOKENS:,}" in PAGE
