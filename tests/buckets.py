"""A bucket for large texts: LocalStack's if the tests run on LocalStack, else moto's, in this process."""

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import boto3
from moto import mock_aws

from models.table import blobs
from models.table.blobs import BlobSettings
from tests.which_engine import engine_name


@contextmanager
def new_bucket() -> Iterator[BlobSettings]:
    """Create a bucket with a unique name, point the items at it, and remove it at the end."""
    before = blobs.settings()
    with ExitStack() as stack:
        endpoint = os.environ["TEST_DYNAMODB_ENDPOINT"] if engine_name() == "localstack" else None
        if endpoint is None:
            stack.enter_context(mock_aws())
        name = f"test-{uuid.uuid4()}"
        made = BlobSettings(name, endpoint_url=endpoint, access_key_id="test", secret_access_key="test")
        s3_of(made).create_bucket(Bucket=made.bucket)
        blobs.configure(made)
        stack.callback(blobs.configure, before)
        yield made


def s3_of(settings: BlobSettings) -> Any:
    """Return a separate client for the test."""
    return boto3.client(
        "s3",
        region_name=settings.region,
        endpoint_url=settings.endpoint_url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def objects(settings: BlobSettings) -> dict[str, bytes]:
    """Return everything in the bucket."""
    s3 = s3_of(settings)
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=settings.bucket).get("Contents", [])]
    return {key: s3.get_object(Bucket=settings.bucket, Key=key)["Body"].read() for key in keys}
