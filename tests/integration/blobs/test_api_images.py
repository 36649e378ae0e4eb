"""Images as `data:` URLs: accepted, stored with their message, shown to the model, and deleted with it."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from flask_openapi import OpenAPI

from bot.cli import cli
from bot.http.images import MAX_IMAGE_BYTES
from models.access_patterns.messages import get_message
from models.table import blobs, clock
from models.table.blobs import BlobSettings
from models.table.connection import TableSettings
from models.table.tenancy import acting_for
from models.table.writing import delete_batch
from tests import wire
from tests.buckets import objects
from tests.contract_watch import past_the_models
from tests.erasing import delete_user
from tests.images import MAGIC, image_part, text_part
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import make_app
from tests.model_server import ModelServer, _model_server, model_server

__all__ = ["_model_server", "model_server"]

Stored = Callable[[], dict[str, bytes]]
ASK = text_part("What is this?")
PHOTO = 4_000_000


@pytest.fixture(scope="module")
def app(
    table: TableSettings,
    _bucket: BlobSettings,
    _model_server: ModelServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OpenAPI]:
    made = make_app(
        table,
        tmp_path_factory.mktemp("data"),
        message_bucket=_bucket.bucket,
        s3_endpoint_url=_bucket.endpoint_url,
        access_key_id="test",
        openai_api_key="sk-test-0123456789abcdef",
        openai_base_url=_model_server.base_url,
    )
    yield made
    made.extensions["bot"].providers.close()


@pytest.fixture
def ann(app: OpenAPI, bucket: BlobSettings) -> Caller:
    return Caller(app)


@pytest.fixture
def conversation(ann: Caller) -> str:
    return f"/conversations/{ann.conversation()}"


def store(ann: Caller, conversation: str, *parts: Any) -> Any:
    """Store a message of parts; return the answer's message."""
    return ann.make(f"{conversation}/messages", content=list(parts), reply=False)["input"][0]


@pytest.mark.parametrize("media_type", MAGIC)
def test_an_image_comes_back_as_it_was_sent(ann: Caller, conversation: str, media_type: str) -> None:
    parts = [ASK, image_part(3000, media_type, detail="low")]
    made = store(ann, conversation, *parts)
    read = ann.get(f"{conversation}/messages/{made['id']}")
    listed = ann.get(f"{conversation}/messages")["data"][0]
    assert [each["content"] for each in (made, read, listed)] == [parts] * 3
    assert read["type"] == "parts"


def test_a_message_may_be_one_image_or_several_with_a_url_between(ann: Caller, conversation: str) -> None:
    address = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    for parts in ([image_part()], [image_part(seed=1), address, image_part(seed=2), image_part(seed=1), ASK]):
        assert store(ann, conversation, *parts)["content"] == parts


def test_the_media_type_is_kept_in_lower_case(ann: Caller, conversation: str) -> None:
    part = image_part()
    shouted = {"type": "image_url", "image_url": {"url": part["image_url"]["url"].replace("image/jpeg", "IMAGE/JPG")}}
    assert store(ann, conversation, shouted)["content"] == [part]


def test_the_wrong_one_of_several_is_named(ann: Caller, conversation: str) -> None:
    good = image_part()
    bad = {"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,PHN2Zz4="}}
    urlsafe = {"type": "image_url", "image_url": {"url": good["image_url"]["url"].replace("/", "_", 3)}}
    path = f"{conversation}/messages"
    fields = ann.refused(422, "validation_failed", "POST", path, {"content": [ASK, good, bad]})
    assert list(fields) == ["content.2.image_url.url"]
    assert "PNG, JPEG, WebP or GIF" in fields["content.2.image_url.url"]
    fields = ann.refused(422, "validation_failed", "POST", path, {"content": [urlsafe]})
    assert list(fields) == ["content.0.image_url.url"]
    assert ann.get(path)["data"] == []


def test_an_image_over_the_limit_is_413_and_named(ann: Caller, conversation: str) -> None:
    path = f"{conversation}/messages"
    store(ann, conversation, image_part(MAX_IMAGE_BYTES))
    content = [ASK, image_part(), image_part(MAX_IMAGE_BYTES + 1)]
    fields = ann.refused(413, "too_large", "POST", path, {"content": content})
    assert fields == {"content.2.image_url.url": "an image of at most 5,242,880 bytes"}
    assert ann.get(conversation)["message_count"] == 1


def test_a_photo_takes_about_its_own_size_in_the_bucket(ann: Caller, conversation: str, stored: Stored) -> None:
    parts = [ASK, image_part(PHOTO)]
    made = store(ann, conversation, *parts)
    (body,) = stored().values()
    assert PHOTO <= len(body) < PHOTO * 1.02, "compressing takes back what base64 adds"
    assert ann.get(f"{conversation}/messages/{made['id']}")["content"] == parts
    found = get_message(acting_for(ann.id), conversation.rpartition("/")[2], made["id"])
    assert found.blob.preview == "What is this? [image]"


def test_without_a_bucket_an_image_must_fit_the_item_or_its_part_is_named(ann: Caller, conversation: str) -> None:
    blobs.configure(None)
    path = f"{conversation}/messages"
    parts = [ASK, image_part(380_000)]
    assert store(ann, conversation, *parts)["content"] == parts
    for extra in ({"reply": False}, {}, {"stream": True}, {"background": True}):
        body = {"content": [image_part(1000), ASK, image_part(420_000)], **extra}
        fields = ann.refused(413, "too_large", "POST", path, body)
        assert list(fields) == ["content.2.image_url.url"]
        assert "401,408 bytes" in fields["content.2.image_url.url"]
    assert ann.get(path)["data"][0]["content"] == parts
    assert ann.get(conversation)["message_count"] == 1


def test_a_page_has_8_mb_of_photos_and_a_preview_of_the_others(ann: Caller, conversation: str) -> None:
    made = [store(ann, conversation, text_part(f"Photo {number}"), image_part(2_500_000)) for number in range(4)]
    ann.say(conversation.removeprefix("/conversations/"), "after")

    data = ann.get(f"{conversation}/messages")["data"]

    assert [each["content"] is None for each in data] == [False, False, True, True, False]
    assert data[0]["content"] == made[0]["content"]
    assert [each["unavailable"]["preview"] for each in data[2:4]] == ["Photo 2 [image]", "Photo 3 [image]"]
    assert {each["unavailable"]["code"] for each in data[2:4]} == {"left_out"}
    for each, whole in zip(data[2:4], made[2:], strict=True):
        assert ann.get(f"{conversation}/messages/{each['id']}")["content"] == whole["content"]
    newest = ann.get(f"{conversation}/messages", order="desc")["data"]
    assert [each["content"] is None for each in newest] == [False, False, False, True, True]


def test_an_export_has_every_image(ann: Caller, conversation: str) -> None:
    made = [store(ann, conversation, image_part(2_500_000, seed=number)) for number in range(4)]
    answer = ann.call("GET", "/users/me/export")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    told = [each["content"] for each in lines if each["type"] == "message"]
    assert told == [each["content"] for each in made]


def test_the_model_is_shown_the_images_of_the_conversation(
    ann: Caller, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By default llmock does not record a body as large as a photo.
    monkeypatch.setattr("llmock.middleware._MAX_JOURNALED_BODY", 10**8)
    agent = ann.agent(provider="openai", model="gpt-test")
    path = f"/conversations/{ann.conversation(agent)}/messages"
    first, second = [ASK, image_part(PHOTO)], [image_part(5000, "image/png"), image_part(5000, "image/gif")]
    for content in (first, "And now?", second):
        assert ann.make(path, content=content)["turn"]["status"] == "completed"
    asked = model_server.requests()[-1].body["messages"]
    assert [each["content"] for each in asked if each["role"] == "user"] == [first, "And now?", second]


def test_a_stream_begins_with_the_image_and_a_turn_in_the_background_sees_it(ann: Caller, conversation: str) -> None:
    parts = [ASK, image_part(50_000)]
    answer = ann.call("POST", f"{conversation}/messages", {"content": parts, "stream": True})
    started = json.loads(answer.text.partition("data: ")[2].partition("\n")[0])
    assert started["input"][0]["content"] == parts
    assert "You said: What is this? [image]" in answer.text


def test_an_image_counts_as_an_image_in_a_quota_and_not_as_its_letters(
    table: TableSettings, bucket: BlobSettings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    app = make_app(
        table,
        tmp_path_factory.mktemp("quota"),
        message_bucket=bucket.bucket,
        s3_endpoint_url=bucket.endpoint_url,
        access_key_id="test",
        quota_tokens_per_day=10_000,
    )
    try:
        caller = Caller(app)
        path = f"/conversations/{caller.conversation()}/messages"
        usage = caller.make(path, content=[ASK, image_part(2_000_000)])["turn"]["usage"]
        assert 1105 < usage["input_tokens"] < 1130
    finally:
        app.extensions["bot"].providers.close()


def test_a_window_of_images_on_items_reads_a_megabyte_in_a_query(ann: Caller, conversation: str) -> None:
    blobs.configure(None)
    for number in range(8):
        store(ann, conversation, image_part(380_000, seed=number))
    with wire.recorded() as sent:
        assert ann.make(f"{conversation}/messages", content="Hello")["turn"]["status"] == "completed"
    assert [each.operation for each in sent].count("Query") == 4, "three items of 385 KB a Query"


def test_with_a_bucket_the_window_is_one_query(ann: Caller, conversation: str) -> None:
    for number in range(8):
        store(ann, conversation, image_part(380_000, seed=number))
    with wire.recorded() as sent:
        assert ann.make(f"{conversation}/messages", content="Hello")["turn"]["status"] == "completed"
    assert [each.operation for each in sent].count("Query") == 1


def test_the_same_key_and_image_is_one_message_however_its_json_is_written(ann: Caller, conversation: str) -> None:
    body = {"content": [ASK, image_part(50_000)], "reply": False}
    plain = json.dumps(body)
    answers = [
        ann.call(
            "POST",
            f"{conversation}/messages",
            data=data,
            content_type="application/json",
            headers={"Idempotency-Key": "photo"},
        )
        for data in (plain, plain.replace("/", "\\/"))
    ]
    assert plain != plain.replace("/", "\\/")
    assert [each.status_code for each in answers] == [201, 201]
    assert answers[0].get_json() == answers[1].get_json()
    other = {"content": [ASK, image_part(50_000, seed=2)], "reply": False}
    headers = {"Idempotency-Key": "photo"}
    ann.refused(422, "idempotency_key_reused", "POST", f"{conversation}/messages", other, headers=headers)
    assert ann.get(conversation)["message_count"] == 1


def test_a_refused_message_leaves_no_image(ann: Caller, conversation: str, stored: Stored) -> None:
    ann.patch(conversation, status="completed")
    for body in ({"reply": False}, {}):
        content = [image_part(50_000)]
        ann.refused(409, "conversation_closed", "POST", f"{conversation}/messages", {"content": content, **body})
    assert stored() == {}


def test_images_are_deleted_with_their_message_conversation_or_user(
    ann: Caller, conversation: str, stored: Stored
) -> None:
    first, _ = (store(ann, conversation, image_part(50_000, seed=number)) for number in range(2))
    other = f"/conversations/{ann.conversation()}"
    store(ann, other, image_part(50_000), image_part(60_000))
    assert len(stored()) == 3
    ann.delete(f"{conversation}/messages/{first['id']}")
    assert len(stored()) == 2
    assert ann.call("DELETE", conversation).status_code == 204
    assert len(stored()) == 1
    delete_user(acting_for(ann.id))
    assert stored() == {}


def test_an_image_whose_message_has_expired_is_swept_and_others_are_not(
    ann: Caller, conversation: str, table: TableSettings, bucket: BlobSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, expired = (store(ann, conversation, image_part(50_000, seed=number)) for number in range(2))
    found = get_message(acting_for(ann.id), conversation.rpartition("/")[2], expired["id"])
    # Like DynamoDB's TTL, which deletes the item without the application.
    with past_the_models():
        delete_batch([(found.PK, found.SK)])
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("BOT_TABLE_NAME", table.name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", table.endpoint_url or "")
    monkeypatch.setenv("BOT_MESSAGE_BUCKET", bucket.bucket)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.endpoint_url or "")
    moment = clock.now() + timedelta(days=2)
    monkeypatch.setattr("models.table.clock.now", lambda: moment)
    CliRunner().invoke(cli, ["blobs", "sweep"], catch_exceptions=False)
    assert len(objects(bucket)) == 1
    assert ann.get(f"{conversation}/messages/{kept['id']}")["content"] == kept["content"]
