"""The embedded DynamoDB engine keeps what it acknowledged, whatever ends it, and is open to this machine only."""

import http.client
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bot.local.engine import EmbeddedEngine, EngineUnavailable
from tests.processes import ROOT, environment, lives, only_linux, open_addresses, wait_until

TABLE = "conversations"
SERVER = """
import sys, time
from pathlib import Path
from bot.local.engine import EmbeddedEngine

engine = EmbeddedEngine(Path(sys.argv[1]))
engine.start()
print(engine.pid, engine.endpoint_url, flush=True)
time.sleep(600)
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def engine(data_dir: Path) -> Iterator[EmbeddedEngine]:
    with EmbeddedEngine(data_dir) as started:
        create_table(client(started))
        yield started


def client(engine: EmbeddedEngine | str, region: str = "eu-west-1") -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=engine if isinstance(engine, str) else engine.endpoint_url,
        region_name=region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=20),
    )


def create_table(dynamodb: Any, name: str = TABLE) -> None:
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("PK", "SK", "who")],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_who",
                "KeySchema": [{"AttributeName": "who", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        Tags=[{"Key": "team", "Value": "bots"}],
    )


def item(pk: str, sk: str, **attributes: Any) -> dict[str, Any]:
    return {"PK": {"S": pk}, "SK": {"S": sk}, **attributes}


def put(dynamodb: Any, pk: str, sk: str, table: str = TABLE, **attributes: Any) -> None:
    dynamodb.put_item(TableName=table, Item=item(pk, sk, **attributes))


def keys(dynamodb: Any, table: str = TABLE) -> list[str]:
    """The sort keys of all items of the table."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [found["SK"]["S"] for page in pages for found in page["Items"]]


def killed(engine: EmbeddedEngine) -> None:
    pid = engine.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not lives(pid))


def state(data_dir: Path) -> Path:
    return data_dir / "engine" / "state.sqlite3"


def test_a_clean_stop_keeps_items_of_every_kind_and_the_tables_settings(engine: EmbeddedEngine, data_dir: Path) -> None:
    dynamodb = client(engine)
    everything: dict[str, Any] = {
        "who": {"S": "Zoë 🎶\u0000\n"},
        "number": {"N": "-12345678901234567890.123456789"},
        "bytes": {"B": bytes(range(256))},
        "nothing": {"NULL": True},
        "map": {"M": {"list": {"L": [{"BOOL": False}, {"SS": ["a", "b"]}]}}},
    }
    put(dynamodb, "a", "1", **everything)
    put(dynamodb, "a", "2")
    dynamodb.delete_item(TableName=TABLE, Key=item("a", "2"))
    dynamodb.update_time_to_live(TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})
    before = dynamodb.describe_table(TableName=TABLE)["Table"]

    engine.stop()
    engine.start()

    dynamodb = client(engine)
    assert dynamodb.get_item(TableName=TABLE, Key=item("a", "1"))["Item"] == item("a", "1", **everything)
    assert keys(dynamodb) == ["1"]
    by_who = dynamodb.query(
        TableName=TABLE,
        IndexName="by_who",
        KeyConditionExpression="who = :who",
        ExpressionAttributeValues={":who": everything["who"]},
    )
    assert by_who["Count"] == 1
    assert dynamodb.describe_table(TableName=TABLE)["Table"] == before
    ttl = dynamodb.describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    assert dynamodb.list_tags_of_resource(ResourceArn=before["TableArn"])["Tags"] == [{"Key": "team", "Value": "bots"}]


def test_a_killed_engine_keeps_every_acknowledged_write_and_no_part_of_another(engine: EmbeddedEngine) -> None:
    dynamodb = client(engine)
    acknowledged: list[int] = []

    def write() -> None:
        for number in range(100_000):
            pair = [
                {"Put": {"TableName": TABLE, "Item": item(side, f"{number:06}", text={"S": "x" * 1000})}}
                for side in ("left", "right")
            ]
            try:
                dynamodb.transact_write_items(TransactItems=pair)
            except (BotoCoreError, ClientError):
                return
            acknowledged.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: len(acknowledged) >= 50)
    killed(engine)
    writer.join()

    wait_until(engine.ensure_running)
    kept = keys(client(engine))
    assert {f"{number:06}" for number in acknowledged} <= set(kept)
    assert len(kept) == 2 * len(set(kept)), "a transaction is there in part"
    assert len(set(kept)) <= len(acknowledged) + 1


def test_an_engine_that_died_is_started_again_at_the_same_address(engine: EmbeddedEngine) -> None:
    dynamodb = client(engine)
    put(dynamodb, "a", "1")
    address = engine.endpoint_url
    assert not engine.ensure_running()

    killed(engine)

    wait_until(engine.ensure_running)
    assert engine.endpoint_url == address
    assert keys(client(engine)) == ["1"]
    engine.stop()
    assert not engine.ensure_running(), "a stopped engine stays stopped"


def test_a_killed_server_takes_the_engine_with_it_and_loses_nothing(data_dir: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(data_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    with server:
        assert server.stdout
        pid, endpoint_url = server.stdout.readline().split()
        create_table(client(endpoint_url))
        put(client(endpoint_url), "a", "1")
        server.kill()
    wait_until(lambda: not lives(int(pid)))

    with EmbeddedEngine(data_dir) as again:
        assert keys(client(again)) == ["1"]


def test_interrupts_are_for_the_server(engine: EmbeddedEngine) -> None:
    assert engine.pid
    os.kill(engine.pid, signal.SIGINT)
    put(client(engine), "a", "1")
    assert keys(client(engine)) == ["1"]


def test_stopping_leaves_no_process(engine: EmbeddedEngine) -> None:
    pid = engine.pid
    assert pid
    engine.stop()
    engine.stop()
    assert not lives(pid)
    assert engine.pid is None


def test_a_dropped_table_stays_dropped_and_a_new_one_of_its_name_is_empty(engine: EmbeddedEngine) -> None:
    dynamodb = client(engine)
    create_table(dynamodb, "other")
    put(dynamodb, "a", "1")
    put(dynamodb, "a", "2", table="other")
    dynamodb.delete_table(TableName="other")
    dynamodb.delete_table(TableName=TABLE)
    create_table(dynamodb)

    killed(engine)
    wait_until(engine.ensure_running)

    dynamodb = client(engine)
    assert dynamodb.list_tables()["TableNames"] == [TABLE]
    assert keys(dynamodb) == []


def test_writes_by_statement_and_whole_tables_from_a_backup_are_kept(engine: EmbeddedEngine) -> None:
    dynamodb = client(engine)
    dynamodb.execute_statement(Statement=f"INSERT INTO {TABLE} VALUE {{'PK': 'a', 'SK': '1'}}")
    dynamodb.batch_write_item(RequestItems={TABLE: [{"PutRequest": {"Item": item("a", "2")}}]})
    backup = dynamodb.create_backup(TableName=TABLE, BackupName="nightly")["BackupDetails"]["BackupArn"]
    dynamodb.restore_table_from_backup(TargetTableName="restored", BackupArn=backup)
    # This transaction fails in its second part, after the engine applied the first.
    with pytest.raises(ClientError, match="TransactionCanceled"):
        dynamodb.execute_transaction(
            TransactStatements=[
                {"Statement": f"INSERT INTO {TABLE} VALUE {{'PK': 'a', 'SK': '3'}}"},
                {"Statement": f"INSERT INTO {TABLE} VALUE {{'PK': 'a', 'SK': '1'}}"},
            ]
        )

    killed(engine)
    wait_until(engine.ensure_running)

    assert keys(client(engine)) == ["1", "2"]
    assert keys(client(engine), "restored") == ["1", "2"]


def test_regions_are_kept_apart(engine: EmbeddedEngine) -> None:
    elsewhere = client(engine, "ap-southeast-2")
    create_table(elsewhere)
    put(elsewhere, "a", "there")
    put(client(engine), "a", "here")

    engine.stop()
    engine.start()

    assert keys(client(engine)) == ["here"]
    assert keys(client(engine, "ap-southeast-2")) == ["there"]


def test_a_write_that_cannot_be_stored_is_not_acknowledged(engine: EmbeddedEngine, data_dir: Path) -> None:
    dynamodb = client(engine)
    with closing(sqlite3.connect(state(data_dir), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ClientError, match="InternalServerError"):
            put(dynamodb, "a", "1")
        other.execute("ROLLBACK")
    put(dynamodb, "a", "2")

    killed(engine)
    wait_until(engine.ensure_running)

    assert keys(client(engine)) == ["1", "2"], "what was refused is stored with the next write"


def damage_middle(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100:] = b"\xff" * len(content[100:])
    file.write_bytes(content)


def damage_all(file: Path) -> None:
    file.write_bytes(b"not a database" * 100)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [damage_middle, damage_all, empty, Path.unlink])
def test_damaged_state_falls_back_to_the_older_copy_and_says_so(
    engine: EmbeddedEngine, data_dir: Path, caplog: pytest.LogCaptureFixture, damage: Any
) -> None:
    put(client(engine), "a", "1")
    engine.stop()
    engine.start()  # each start makes a copy of what it found
    wait_until(lambda: copied(data_dir) == ["1"])
    put(client(engine), "a", "2")
    engine.stop()
    damage(state(data_dir))

    engine.start()

    assert keys(client(engine)) == ["1"]
    assert "using the copy of" in caplog.text
    put(client(engine), "a", "3")
    engine.stop()
    engine.start()
    assert keys(client(engine)) == ["1", "3"]


def copied(data_dir: Path) -> list[str]:
    """The sort keys in the older copy."""
    copy = data_dir / "engine" / "previous.sqlite3"
    with closing(sqlite3.connect(copy)) as connection:
        return [sk for (sk,) in connection.execute("SELECT sk FROM items ORDER BY sk")]


def test_state_that_cannot_be_read_at_all_stops_the_start_rather_than_starting_empty(
    engine: EmbeddedEngine, data_dir: Path
) -> None:
    put(client(engine), "a", "1")
    engine.stop()
    damage_all(state(data_dir))
    damage_all(data_dir / "engine" / "previous.sqlite3")

    with pytest.raises(EngineUnavailable, match=r"Neither .*state\.sqlite3 nor .*previous\.sqlite3 can be read"):
        EmbeddedEngine(data_dir).start()


def test_a_directory_in_use_is_refused_by_name_and_pid(engine: EmbeddedEngine, data_dir: Path) -> None:
    with pytest.raises(EngineUnavailable) as refusal:
        EmbeddedEngine(data_dir).start()

    assert str(data_dir / "engine") in str(refusal.value)
    assert f"pid {engine.pid}" in str(refusal.value)
    assert keys(client(engine)) == []


def test_a_port_in_use_is_refused_in_one_line(engine: EmbeddedEngine, tmp_path: Path) -> None:
    port = urlsplit(engine.endpoint_url).port
    assert port

    with pytest.raises(EngineUnavailable, match=rf"^The embedded engine cannot listen on 127\.0\.0\.1:{port}: [^\n]+$"):
        EmbeddedEngine(tmp_path / "second", port).start()


def test_streams_are_served(engine: EmbeddedEngine) -> None:
    dynamodb = client(engine)
    put(dynamodb, "a", "1")
    streams = boto3.client(
        "dynamodbstreams",
        endpoint_url=engine.endpoint_url,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    arn = dynamodb.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    (record,) = streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    assert record["dynamodb"]["NewImage"] == item("a", "1")


@only_linux
def test_it_listens_on_one_loopback_port_and_nothing_else(engine: EmbeddedEngine) -> None:
    put(client(engine), "a", "1")
    assert engine.pid
    assert open_addresses(engine.pid) == {("tcp", "127.0.0.1", urlsplit(engine.endpoint_url).port)}


@only_linux
def test_it_is_given_no_secrets(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with EmbeddedEngine(data_dir) as engine:
        assert engine.pid
        assert not {"OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY"} & environment(engine.pid).keys()


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 200),
        ("POST", {"Host": "rebound.example", "X-Amz-Target": "DynamoDB_20120810.ListTables"}, 403),
        ("POST", {"X-Amz-Target": "AmazonSQS.ListQueues"}, 400),
        ("POST", {}, 400),
        ("OPTIONS", {"Origin": "https://page.example"}, 400),
    ],
)
def test_it_answers_nobody_but_programs_that_speak_dynamodb(
    engine: EmbeddedEngine, method: str, headers: dict[str, str], status: int
) -> None:
    with closing(http.client.HTTPConnection(urlsplit(engine.endpoint_url).netloc)) as connection:
        connection.request(method, "/", headers=headers)
        answer = connection.getresponse()
        assert answer.status == status
        assert "access-control-allow-origin" not in answer.headers
