"""DynamoDB's responses are parsed as botocore parses them, whatever they contain."""

import base64
import json
from typing import Any
from unittest import mock

import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.parsers import JSONParser
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from models.table import answers
from models.table.connection import client as client_of_the_models

HEADERS = HeadersDict({"X-Amzn-RequestId": "R1", "Content-Type": "application/x-amz-json-1.0", "x-amz-crc32": "1"})
SERVICE = Session().get_service_model("dynamodb")

binary = st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode())
plain = st.one_of(
    st.builds(lambda text: {"S": text}, st.text(max_size=20)),
    st.builds(lambda number: {"N": str(number)}, st.integers()),
    st.builds(lambda data: {"B": data}, binary),
    st.builds(lambda data: {"BS": data}, st.lists(binary, max_size=3)),
    st.builds(lambda texts: {"SS": texts}, st.lists(st.text(max_size=5), max_size=3)),
    st.builds(lambda numbers: {"NS": [str(each) for each in numbers]}, st.lists(st.integers(), max_size=3)),
    st.builds(lambda value: {"BOOL": value}, st.booleans()),
    st.just({"NULL": True}),
)
names = st.sampled_from(["PK", "SK", "B", "BS", "M", "content"])
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.builds(lambda entries: {"M": entries}, st.dictionaries(names, inner, max_size=3)),
        st.builds(lambda entries: {"L": entries}, st.lists(inner, max_size=3)),
    ),
    max_leaves=8,
)
items = st.dictionaries(names, values, max_size=4)


def both(operation: str, body: bytes, status: int = 200) -> tuple[Any, Any]:
    shape = SERVICE.operation_model(operation).output_shape
    response = {"headers": HEADERS, "status_code": status, "body": body, "context": {}}
    return answers.ItemParser().parse(response, shape), JSONParser().parse(response, shape)


@given(items)
def test_an_item(item: dict[str, Any]) -> None:
    ours, botocores = both("GetItem", json.dumps({"Item": item}).encode())
    assert ours == botocores


@given(st.lists(items, max_size=4), items)
def test_a_page(found: list[dict[str, Any]], last: dict[str, Any]) -> None:
    body = {"Items": found, "Count": len(found), "ScannedCount": len(found), "LastEvaluatedKey": last}
    ours, botocores = both("Query", json.dumps(body).encode())
    assert ours == botocores


@given(st.lists(items, max_size=4), st.lists(items, max_size=2))
def test_a_batch(found: list[dict[str, Any]], left: list[dict[str, Any]]) -> None:
    body = {"Responses": {"turntable": found}, "UnprocessedKeys": {"turntable": {"Keys": left}}}
    ours, botocores = both("BatchGetItem", json.dumps(body).encode())
    assert ours == botocores


@pytest.mark.parametrize(
    ("operation", "status", "body"),
    [
        ("GetItem", 200, b"{}"),
        ("GetItem", 200, b""),
        ("GetItem", 200, b"<html>a proxy's own page</html>"),
        ("GetItem", 200, b"[]"),
        ("Query", 200, b'{"Items": [], "Count": 0, "ScannedCount": 0, "ConsumedCapacity": {"CapacityUnits": 0.5}}'),
        ("Query", 400, b'{"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "message": "no"}'),
        ("Query", 503, b"<html>busy</html>"),
        ("TransactWriteItems", 200, b"{}"),
        ("UpdateItem", 200, b'{"Attributes": {"a": {"B": "AAE="}}}'),
        ("DescribeTable", 200, b'{"Table": {"CreationDateTime": 1795000000.5, "TableStatus": "ACTIVE"}}'),
    ],
)
def test_every_other_response_is_left_to_botocore(operation: str, status: int, body: bytes) -> None:
    try:
        expected = both(operation, body, status)[1]
    except Exception as refused:
        with pytest.raises(type(refused)):
            both(operation, body, status)
        return
    assert both(operation, body, status)[0] == expected


def test_a_client_of_a_prepared_session_uses_the_parser() -> None:
    session = Session()
    answers.prepare(session)
    client = session.create_client("dynamodb", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    sent: list[bytes] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        sent.append(request.headers["User-Agent"])
        raw = mock.Mock(stream=lambda *_a, **_k: iter([b'{"Item": {"b": {"B": "AAE="}}, "OfTomorrow": 1}']))
        return AWSResponse(request.url, 200, HeadersDict(), raw)

    client.meta.events.register("before-send.dynamodb.GetItem", answer)
    try:
        found = client.get_item(TableName="turntable", Key={"PK": {"S": "a"}, "SK": {"S": "b"}})
    finally:
        client.close()
    assert found["Item"] == {"b": {"B": b"\x00\x01"}}
    assert found["OfTomorrow"] == 1, "botocore's own parser drops what its model does not know"
    assert sent == [session.user_agent().encode()]


def test_the_models_client_uses_the_parser() -> None:
    assert client_of_the_models().meta.config.user_agent == Session().user_agent()
