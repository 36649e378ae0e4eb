"""A faster parser for DynamoDB's responses, with the same results as botocore's.

botocore walks a response along the service model, member by member; for a page of items that is a third of the time of
the whole read. But DynamoDB's JSON already has the structure that botocore returns, except that binary values are
base64. This module uses only public parts of botocore: a session's components, the parser's one public method, and the
client configuration. Everything except a successful read goes to botocore's own parser.
"""

import json
from base64 import b64decode
from typing import Any

from botocore.config import Config
from botocore.parsers import JSONParser, ResponseParserFactory
from botocore.session import Session

# The responses that contain items; only these take long to parse.
_READS = frozenset({"GetItemOutput", "QueryOutput", "BatchGetItemOutput"})
_UNCHANGED = frozenset({"S", "N", "BOOL", "NULL", "SS", "NS"})


def prepare(session: Session) -> None:
    """Make this session's clients parse DynamoDB's responses with `ItemParser`, and fix their `User-Agent`.

    botocore would otherwise build the `User-Agent` twice for each request.
    """
    session.register_component("response_parser_factory", _Parsers())
    session.set_default_client_config(Config(user_agent=session.user_agent()))


class _Parsers(ResponseParserFactory):
    """botocore's factory, except for DynamoDB's protocol."""

    def create_parser(self, protocol_name: str) -> Any:
        """Return the parser of a protocol."""
        return ItemParser() if protocol_name == "json" else super().create_parser(protocol_name)


class ItemParser(JSONParser):
    """botocore's parser, except for successful reads of items."""

    def parse(self, response: Any, shape: Any) -> Any:
        """Return what botocore's own parser returns."""
        if shape is None or shape.name not in _READS or response["status_code"] >= 300:
            return super().parse(response, shape)
        try:
            parsed = json.loads(response["body"])
            _unpack(parsed)
        except (ValueError, TypeError, AttributeError):  # not DynamoDB's format; botocore handles it
            return super().parse(response, shape)
        headers = {name.lower(): value for name, value in response["headers"].items()}
        metadata: dict[str, Any] = {"HTTPStatusCode": response["status_code"], "HTTPHeaders": headers}
        if "x-amzn-requestid" in headers:
            metadata["RequestId"] = headers["x-amzn-requestid"]
        parsed["ResponseMetadata"] = metadata
        return parsed


def _unpack(answer: dict[str, Any]) -> None:
    """Decode the base64 of binary values in all items and keys of a response."""
    if "Item" in answer:
        _unpack_values(answer["Item"].values())
    for item in answer.get("Items", ()):
        _unpack_values(item.values())
    if "LastEvaluatedKey" in answer:
        _unpack_values(answer["LastEvaluatedKey"].values())
    for items in answer.get("Responses", {}).values():
        for item in items:
            _unpack_values(item.values())
    for unprocessed in answer.get("UnprocessedKeys", {}).values():
        for key in unprocessed["Keys"]:
            _unpack_values(key.values())


def _unpack_values(values: Any) -> None:
    for value in values:
        for kind, content in value.items():
            if kind in _UNCHANGED:
                continue
            if kind == "B":
                value[kind] = b64decode(content)
            elif kind == "BS":
                value[kind] = [b64decode(each) for each in content]
            elif kind == "M":
                _unpack_values(content.values())
            elif kind == "L":
                _unpack_values(content)
