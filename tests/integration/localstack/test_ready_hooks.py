"""The ready hooks on a running LocalStack: what they make, that it is as declared, and that they may run again.

`make test-localstack` runs these; its address and its sessions come from `localstack-client`.
"""

import json
import os
import subprocess
import sys
from typing import Any
from urllib.request import urlopen

import pytest
from localstack_client.session import Session

from models.table.indexes import INDEXES, STREAM_VIEW, TTL_ATTRIBUTE, key_schema
from tests.processes import ROOT, only_linux, open_addresses
from tests.which_engine import engine_name

pytestmark = pytest.mark.skipif(
    engine_name() != "localstack", reason="looks at what LocalStack's hooks made: make test-localstack"
)
ENDPOINT = os.environ.get("TEST_DYNAMODB_ENDPOINT", "")
HOME = ROOT / ".turntable" / "localstack"
TABLE = os.environ.get("BOT_TABLE_NAME") or "turntable"


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(localstack_host=ENDPOINT.removeprefix("http://"), region_name="us-east-1")


def hooks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "localstack/run.py", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def made(session: Session) -> dict[str, Any]:
    """Everything that the hooks make, as the services describe it."""
    dynamodb, s3, kms = (session.client(name) for name in ("dynamodb", "s3", "kms"))
    table = dynamodb.describe_table(TableName=TABLE)["Table"]
    return {
        "table": table["TableId"],
        "keys": table["KeySchema"],
        "indexes": sorted(each["IndexName"] for each in table["GlobalSecondaryIndexes"]),
        "stream": table["StreamSpecification"],
        "ttl": dynamodb.describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"],
        "buckets": [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]],
        "keys of KMS": [alias for alias in kms.list_aliases()["Aliases"] if alias["AliasName"] == f"alias/{TABLE}"],
    }


def test_every_hook_has_succeeded() -> None:
    with urlopen(f"{ENDPOINT}/_localstack/init/ready") as answer:
        found = json.load(answer)

    assert found["completed"]
    assert {script["state"] for script in found["scripts"]} == {"SUCCESSFUL"}


def test_the_table_has_the_declared_keys_indexes_ttl_and_stream(session: Session) -> None:
    found = made(session)

    assert found["keys"] == key_schema()["KeySchema"]
    assert found["indexes"] == sorted(index.name for index in INDEXES)
    assert found["ttl"]["AttributeName"] == TTL_ATTRIBUTE
    assert found["ttl"]["TimeToLiveStatus"] == "ENABLED"
    assert found["stream"] == {"StreamEnabled": True, "StreamViewType": STREAM_VIEW}


def test_the_bucket_takes_an_object_and_the_key_encrypts(session: Session) -> None:
    s3, kms = session.client("s3"), session.client("kms")

    s3.put_object(Bucket=f"{TABLE}-messages", Key="test", Body=b"large")
    sealed = kms.encrypt(KeyId=f"alias/{TABLE}", Plaintext=b"secret")["CiphertextBlob"]

    assert s3.get_object(Bucket=f"{TABLE}-messages", Key="test")["Body"].read() == b"large"
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"secret"


@pytest.mark.skipif(not (HOME / "localstack.pid").exists(), reason="LocalStack runs in Docker: its hooks run there")
def test_running_the_hooks_again_changes_nothing(session: Session) -> None:
    before = made(session)

    done = hooks("hooks")

    assert (done.returncode, done.stderr) == (0, "")
    assert made(session) == before


@only_linux
@pytest.mark.skipif(not (HOME / "localstack.pid").exists(), reason="LocalStack runs in Docker: its port is Docker's")
def test_nothing_of_it_listens_beyond_the_loopback_address() -> None:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
    parents = {int(pid): int(parent) for pid, parent in map(str.split, listed.splitlines())}
    family = [int((HOME / "localstack.pid").read_text())]
    for member in family:
        family += [pid for pid, parent in parents.items() if parent == member]

    addresses = {address for pid in family for _, address, _ in open_addresses(pid)}

    # LocalStack itself, and DynamoDB Local under it.
    assert len(family) >= 2

    # An IPv4 address in IPv6 dress, as /proc writes it: ::ffff:127.0.0.1.
    assert addresses
    assert addresses <= {"127.0.0.1", "0000000000000000FFFF00000100007F"}


def test_the_records_of_a_change_come_out_of_the_stream(session: Session) -> None:
    dynamodb, streams = session.client("dynamodb"), session.client("dynamodbstreams")
    arn = dynamodb.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    dynamodb.put_item(TableName=TABLE, Item={"PK": {"S": "TEST#stream"}, "SK": {"S": "TEST"}})
    dynamodb.delete_item(TableName=TABLE, Key={"PK": {"S": "TEST#stream"}, "SK": {"S": "TEST"}})

    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    place = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    records = streams.get_records(ShardIterator=place["ShardIterator"])["Records"]

    assert [each["eventName"] for each in records if each["dynamodb"]["Keys"]["PK"]["S"] == "TEST#stream"][-2:] == [
        "INSERT",
        "REMOVE",
    ]
