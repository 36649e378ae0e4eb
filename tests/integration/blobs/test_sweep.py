"""`bot blobs sweep` removes only objects that no item names."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result

from bot.cli import cli
from models.access_patterns.states import Owner, put_state
from models.table import blobs, clock
from models.table.blobs import BlobSettings
from models.table.connection import TableSettings, configure
from models.table.tenancy import acting_for
from tests.buckets import s3_of
from tests.factories import make_conversation, noise, say

Stored = Callable[[], dict[str, bytes]]
LARGE = noise(30_000)


@pytest.fixture(autouse=True)
def _environment(table: TableSettings, bucket: BlobSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("BOT_TABLE_NAME", table.name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", table.endpoint_url or "")
    monkeypatch.setenv("BOT_MESSAGE_BUCKET", bucket.bucket)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.endpoint_url or "")
    yield
    configure(table)


def sweep(*options: str) -> Result:
    return CliRunner().invoke(cli, ["blobs", "sweep", *options], catch_exceptions=False)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two days pass since the objects were created."""
    moment = clock.now() + timedelta(days=2)
    monkeypatch.setattr("models.table.clock.now", lambda: moment)


def a_mixed_bucket(bucket: BlobSettings) -> tuple[set[str], set[str]]:
    """Return the keys of needed and of unneeded objects."""
    conversation = make_conversation()
    messages = say(conversation, LARGE, "small", LARGE)
    state = put_state(Owner(acting_for(conversation.user_id)), "session", "key", LARGE)
    of_a_crash = [blobs.new_key(messages[0].PK, "MSG#2026-01-01T00:00:00.000000Z") for _ in range(120)]
    replaced = blobs.new_key(state.PK, state.SK)
    blobs.put(dict.fromkeys([*of_a_crash, replaced], b"left behind"))
    s3_of(bucket).put_object(Bucket=bucket.bucket, Key="somebody/elses", Body=b"")
    return {messages[0].blob.key, messages[2].blob.key, state.blob.key, "somebody/elses"}, {*of_a_crash, replaced}


@pytest.mark.usefixtures("later")
def test_only_objects_that_no_item_names_are_removed(bucket: BlobSettings, stored: Stored) -> None:
    needed, left = a_mixed_bucket(bucket)

    dry = sweep("--dry-run")
    assert "125 objects: 121 (1,331 bytes) would be removed, 0 too young to tell, 1 not ours." in dry.stdout
    assert stored().keys() == needed | left

    done = sweep()
    assert (done.exit_code, "121 (1,331 bytes) removed" in done.stdout) == (0, True)
    assert stored().keys() == needed
    assert "4 objects: 0 (0 bytes) removed" in sweep().stdout


def test_a_young_object_may_belong_to_an_item_that_is_being_written(bucket: BlobSettings, stored: Stored) -> None:
    needed, left = a_mixed_bucket(bucket)
    assert "0 (0 bytes) removed, 124 too young to tell, 1 not ours" in sweep().stdout
    assert stored().keys() == needed | left


def test_without_a_bucket_there_is_nothing_to_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOT_MESSAGE_BUCKET")
    with pytest.raises(ValueError, match="set BOT_MESSAGE_BUCKET"):
        sweep()
