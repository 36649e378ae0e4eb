"""Large messages in the S3 of a running LocalStack, in the bucket that its hook has made.

`make test-localstack` runs these, and those of `tests/integration/blobs` on LocalStack's S3 instead of moto's.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from localstack_client.session import Session

from models.table import blobs
from models.table.blobs import item_of
from models.table.connection import TableSettings
from tests.factories import noise
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import make_app
from tests.which_engine import engine_name

pytestmark = pytest.mark.skipif(engine_name() != "localstack", reason="needs LocalStack's S3: make test-localstack")
ENDPOINT = os.environ.get("TEST_DYNAMODB_ENDPOINT", "")
BUCKET = f"{os.environ.get('BOT_TABLE_NAME') or 'turntable'}-messages"


@pytest.fixture
def ann(table: TableSettings, tmp_path: Path) -> Iterator[Caller]:
    app = make_app(table, tmp_path, message_bucket=BUCKET, s3_endpoint_url=ENDPOINT)
    yield Caller(app)
    blobs.configure(None)


def test_a_message_of_two_megabytes_goes_to_the_hooks_bucket_and_comes_back(ann: Caller) -> None:
    s3 = Session(localstack_host=ENDPOINT.removeprefix("http://"), region_name="us-east-1").client("s3")
    conversation_id, text = ann.conversation(), noise(2_000_000)

    stored = ann.make(f"/conversations/{conversation_id}/messages", content=text)

    assert stored["turn"]["status"] == "completed"
    page = ann.get(f"/conversations/{conversation_id}/messages")["data"]
    assert [each["content"] for each in page] == [text, stored["output"][0]["content"]]
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"CONV!{conversation_id}/")["Contents"]
    assert {item_of(each["Key"])[0] for each in found} == {f"CONV#{conversation_id}"}

    ann.delete(f"/conversations/{conversation_id}/messages/{page[0]['id']}")
    ann.delete(f"/conversations/{conversation_id}")

    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"CONV!{conversation_id}/")
