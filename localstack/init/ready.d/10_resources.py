#!/usr/bin/env python3
"""Ready hook: the table with its indexes, stream and TTL, the key for secrets, the bucket for large messages.

LocalStack runs this file inside its own process when it is ready, in Docker and without. What the table is like stands
in `table.json` beside the hooks, which is written from the project's declarations (`make localstack-table`) and held to
them by a test. Everything is made only where it is missing, so it may run any number of times.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import boto3

from localstack import config

TABLE = os.environ.get("BOT_TABLE_NAME") or "turntable"
REGION = os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
BUCKET = f"{TABLE}-messages".lower().replace("_", "-")
KEY_ALIAS = f"alias/{TABLE}".replace(".", "-")


def client(service: str) -> Any:
    """Return a client for this LocalStack, whatever the environment says of others."""
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=config.internal_service_url(),
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - LocalStack takes any
    )


def make_table() -> None:
    """Make the table as declared, and turn its TTL on."""
    # LocalStack runs hooks without a `__file__`; its own configuration knows where they are.
    declared = json.loads((Path(config.dirs.init) / "table.json").read_text())
    dynamodb = client("dynamodb")
    with contextlib.suppress(dynamodb.exceptions.ResourceInUseException):
        dynamodb.create_table(TableName=TABLE, **declared["create_table"])
    dynamodb.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    found = dynamodb.describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"]
    if found["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        dynamodb.update_time_to_live(TableName=TABLE, TimeToLiveSpecification=declared["time_to_live"])


def make_bucket() -> None:
    """Make the bucket that large messages go to."""
    s3 = client("s3")
    if BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        place = {} if REGION == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
        s3.create_bucket(Bucket=BUCKET, **place)


def make_key() -> None:
    """Make the key that secrets are encrypted under, and its alias."""
    kms = client("kms")
    pages = kms.get_paginator("list_aliases").paginate()
    if KEY_ALIAS not in [alias["AliasName"] for page in pages for alias in page["Aliases"]]:
        made = kms.create_key(Description=f"Secrets of {TABLE}")["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=KEY_ALIAS, TargetKeyId=made)


make_table()
make_bucket()
make_key()
