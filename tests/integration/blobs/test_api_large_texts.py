"""Large messages through the API: complete if available, and a clear error if not."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask_openapi import OpenAPI

from bot.turns.model_requests import WINDOW
from models.access_patterns.messages import get_message
from models.table import blobs
from models.table.blobs import BlobSettings
from models.table.connection import TableSettings
from models.table.tenancy import acting_for
from tests.factories import noise
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import make_app

LARGE = noise(700_000)


@pytest.fixture(scope="module")
def app(table: TableSettings, _bucket: BlobSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAPI]:
    made = make_app(
        table,
        tmp_path_factory.mktemp("data"),
        message_bucket=_bucket.bucket,
        s3_endpoint_url=_bucket.endpoint_url,
        access_key_id="test",
    )
    yield made
    made.extensions["bot"].providers.close()


@pytest.fixture
def ann(app: OpenAPI, bucket: BlobSettings) -> Caller:
    return Caller(app)


@pytest.fixture
def conversation(ann: Caller) -> str:
    return f"/conversations/{ann.conversation()}"


def lose(ann: Caller, conversation: str, message_id: str) -> None:
    found = get_message(acting_for(ann.id), conversation.rpartition("/")[2], message_id)
    blobs.delete([found.blob.key])


def test_a_large_message_is_complete_everywhere(ann: Caller, conversation: str) -> None:
    made = ann.make(f"{conversation}/messages", content=LARGE, reply=False)["input"][0]
    shown = [
        made,
        ann.get(conversation)["messages"][0],
        ann.get(f"{conversation}/messages")["data"][0],
        ann.get(f"{conversation}/messages/{made['id']}"),
    ]
    assert [(each["content"], each["unavailable"]) for each in shown] == [(LARGE, None)] * 4


def test_a_turn_gets_a_large_message_and_stores_an_equally_long_answer(ann: Caller, conversation: str) -> None:
    said = ann.make(f"{conversation}/messages", content=LARGE[:200_000])
    assert said["turn"]["status"] == "completed"
    stored = ann.get(f"{conversation}/messages")["data"]
    assert [each["content"] for each in stored] == [said["input"][0]["content"], said["output"][0]["content"]]
    assert LARGE[:200_000] in stored[1]["content"], "the echo"


def test_large_parts_come_back_as_parts(ann: Caller, conversation: str) -> None:
    parts = [{"type": "text", "text": noise(90_000, seed=number)} for number in range(3)]
    made = ann.make(f"{conversation}/messages", content=parts, reply=False)["input"][0]
    assert ann.get(f"{conversation}/messages/{made['id']}")["content"] == parts


def test_a_lost_text_is_reported_in_its_place_and_the_page_is_no_500(ann: Caller, conversation: str) -> None:
    for content in ("before", LARGE, "after"):
        ann.say(conversation.removeprefix("/conversations/"), content)
    lost = ann.get(f"{conversation}/messages")["data"][1]["id"]
    lose(ann, conversation, lost)

    page = ann.get(f"{conversation}/messages")["data"]

    assert [each["content"] for each in page] == ["before", None, "after"]
    assert page[1]["unavailable"] == {
        "code": "lost",
        "detail": "This text is unavailable: it is missing from the bucket.",
        "preview": LARGE[:200],
        "size": 700_000,
    }
    answer = ann.call("GET", f"{conversation}/messages/{lost}")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "content_unavailable")
    assert "Retry-After" not in answer.headers, "trying again will not help"


def test_a_lost_text_fails_no_later_turn(ann: Caller, conversation: str) -> None:
    message_id = ann.say(conversation.removeprefix("/conversations/"), noise(60_000))
    lose(ann, conversation, message_id)
    for content in ("And now?", "Now?"):
        assert ann.make(f"{conversation}/messages", content=content)["output"][0]["content"] == f"You said: {content}"


def test_a_window_of_large_messages_is_cut_and_the_turn_runs(ann: Caller, conversation: str) -> None:
    for number in range(WINDOW):
        ann.say(conversation.removeprefix("/conversations/"), noise(700_000, seed=number))
    said = ann.make(f"{conversation}/messages", content="Hello")
    assert said["turn"]["status"] == "completed"
    opened = ann.get(conversation, messages=100)["messages"]
    left_out = [each for each in opened if each["unavailable"]]
    assert {each["unavailable"]["code"] for each in left_out} == {"left_out"}
    assert len(opened) - len(left_out) >= 10
    for each in left_out[:2]:
        assert len(ann.get(f"{conversation}/messages/{each['id']}")["content"]) == 700_000


def test_without_a_bucket_it_is_413(ann: Caller, conversation: str) -> None:
    blobs.configure(None)
    for body in ({"content": LARGE}, {"content": LARGE, "reply": False}):
        fields = ann.refused(413, "too_large", "POST", f"{conversation}/messages", body)
        assert fields == {"content": "at most 401,408 bytes after compression"}


def test_an_unreachable_bucket_is_503_with_retry_after(ann: Caller, conversation: str, bucket: BlobSettings) -> None:
    blobs.configure(replace(bucket, endpoint_url="http://127.0.0.1:1", max_attempts=1))
    answer = ann.call("POST", f"{conversation}/messages", {"content": LARGE})
    assert (answer.status_code, answer.get_json()["code"]) == (503, "content_unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert ann.get(conversation)["message_count"] == 0


@pytest.fixture(params=["/users/me/state", "{conversation}/state"])
def state(request: pytest.FixtureRequest, conversation: str) -> str:
    return str(request.param).format(conversation=conversation)


def test_large_state_is_returned_and_deleted(ann: Caller, state: str, stored: Callable[[], dict[str, bytes]]) -> None:
    value: Any = {"text": LARGE}
    assert ann.put(f"{state}/cart", value=value)["value"] == value
    assert ann.get(f"{state}/cart")["value"] == value
    (listed,) = ann.get(state)["data"]
    assert (listed["value"], listed["unavailable"]) == (value, None)

    blobs.delete(list(stored()))
    (listed,) = ann.get(state)["data"]
    assert (listed["value"], listed["unavailable"]["code"]) == (None, "lost")
    assert ann.refused(503, "content_unavailable", "GET", f"{state}/cart") == {}

    ann.put(f"{state}/cart", value=1)
    assert ann.get(f"{state}/cart")["value"] == 1
    ann.delete(f"{state}/cart")
    assert stored() == {}


def test_an_export_has_all_large_texts_complete(ann: Caller, conversation: str) -> None:
    conversation_id = conversation.removeprefix("/conversations/")
    texts = [noise(700_000, seed=number) for number in range(14)]
    for text in texts:
        ann.say(conversation_id, text)
    answer = ann.call("GET", "/users/me/export")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["content"] for each in lines if each["type"] == "message"] == texts
    assert {each.get("unavailable") for each in lines} == {None}
    assert lines[-1]["type"] == "end"


def test_a_share_link_shows_a_large_message_and_says_which_one_is_lost(ann: Caller, conversation: str) -> None:
    for content in ("before", LARGE):
        ann.say(conversation.removeprefix("/conversations/"), content)
    path = ann.make(f"{conversation}/links")["path"].removeprefix("/api/v1")
    assert [each["content"] for each in ann.get(path)["data"]] == ["before", LARGE]

    lose(ann, conversation, ann.get(f"{conversation}/messages")["data"][1]["id"])

    shown = ann.get(path)["data"]
    assert [(each["content"], each["unavailable"]) for each in shown] == [("before", None), (None, "lost")]
    assert LARGE[:50] not in str(shown)


def test_a_share_link_serves_many_large_messages_in_smaller_pages(ann: Caller, conversation: str) -> None:
    for number in range(13):
        ann.say(conversation.removeprefix("/conversations/"), noise(700_000, seed=number))
    path = ann.make(f"{conversation}/links")["path"].removeprefix("/api/v1")
    assert {each["unavailable"] for each in ann.get(path)["data"]} == {None, "left_out"}
    assert [each["unavailable"] for page in ann.pages(path, limit=5) for each in page] == [None] * 13
