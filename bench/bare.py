"""The other side: what one would write with Flask, boto3 and the openai SDK alone, making the same requests.

It knows the caller by the key and the conversation by its owner, and answers with the same fields. It validates
nothing, logs nothing, limits nothing, renews no lease and stores no events.
"""

import json
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, cast

import boto3
from flask import Flask, Response, abort, request

_TABLE = os.environ.get("BOT_TABLE_NAME", "turntable")


def create_app() -> Flask:
    """Make the application, with a client for each service as boto3 and the SDK make them by default."""
    app = Flask("bare")
    app.json.sort_keys = False  # type: ignore[attr-defined]
    dynamodb = boto3.client("dynamodb")
    openai = None
    if os.environ.get("OPENAI_BASE_URL"):
        from openai import OpenAI  # it takes a while to import, and is not always needed

        openai = OpenAI()
    agents: dict[str, tuple[str, str]] = {}

    def user_id() -> str:
        found = dynamodb.get_item(TableName=_TABLE, Key=_key(f"APIKEY#{_hash()}", "KEY"), ConsistentRead=True)
        if "Item" not in found:
            abort(401)
        return str(found["Item"]["user_id"]["S"])

    def opened(conversation_id: str) -> list[dict[str, Any]]:
        return dynamodb.query(
            TableName=_TABLE,
            KeyConditionExpression="PK = :p AND SK BETWEEN :a AND :b",
            ExpressionAttributeValues={
                ":p": {"S": f"CONV#{conversation_id}"},
                ":a": {"S": "MSG#"},
                ":b": {"S": "THREAD"},
            },
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=22,
        )["Items"]

    def write(*parts: Any) -> None:
        dynamodb.transact_write_items(TransactItems=list(parts), ClientRequestToken=secrets.token_hex(16))

    @app.get("/api/v1/conversations/<conversation_id>/messages")
    def messages(conversation_id: str) -> Any:
        caller = user_id()
        header = dynamodb.get_item(
            TableName=_TABLE, Key=_key(f"CONV#{conversation_id}", "THREAD"), ConsistentRead=True
        )["Item"]
        if header["user_id"]["S"] != caller:
            abort(404)
        found = dynamodb.query(
            TableName=_TABLE,
            KeyConditionExpression="PK = :p AND begins_with(SK, :m)",
            ExpressionAttributeValues={":p": {"S": f"CONV#{conversation_id}"}, ":m": {"S": "MSG#"}},
            ConsistentRead=True,
            Limit=51,
        )
        return {"data": [_message(item) for item in found["Items"]], "next_cursor": None}

    @app.get("/api/v1/conversations/<conversation_id>")
    def conversation(conversation_id: str) -> Any:
        caller = user_id()
        header, *newest = opened(conversation_id)
        if header["user_id"]["S"] != caller:
            abort(404)
        return {
            "id": conversation_id,
            "user_id": header["user_id"]["S"],
            "agent_id": header["agent_id"]["S"],
            "title": header["title"]["S"],
            "status": header["status"]["S"],
            "started_at": header["started_at"]["S"],
            "last_active_at": header["last_active_at"]["S"],
            "metadata": {name: json.loads(value["S"]) for name, value in header["metadata"]["M"].items()},
            "message_count": int(header["message_count"]["N"]),
            "turn_count": int(header["turn_count"]["N"]),
            "usage": {
                "input_tokens": int(header["input_tokens"]["N"]),
                "output_tokens": int(header["output_tokens"]["N"]),
            },
            "active_turn_id": None,
            "root_id": None,
            "parent_id": None,
            "from_message_id": None,
            "active_branch_id": None,
            "messages": [_message(item) for item in reversed(newest)],
            "has_more": False,
        }

    @app.post("/api/v1/conversations/<conversation_id>/messages")
    def send(conversation_id: str) -> Any:
        body = request.get_json()
        if conversation_id in agents:
            caller, agent_id = agents[conversation_id]
            wanted = [_key(f"APIKEY#{_hash()}", "KEY"), _key(f"USER#{caller}", f"AGENT#{agent_id}")]
            read = dynamodb.batch_get_item(RequestItems={_TABLE: {"Keys": wanted}})["Responses"][_TABLE]
            agent = next(item for item in read if item["entity"]["S"] == "Agent")
        else:
            caller = user_id()
            header = opened(conversation_id)[0]
            agents[conversation_id] = caller, header["agent_id"]["S"]
            key = _key(f"USER#{caller}", f"AGENT#{header['agent_id']['S']}")
            agent = dynamodb.get_item(TableName=_TABLE, Key=key)["Item"]
        _, *newest = opened(conversation_id)
        turn_id = secrets.token_hex(16)
        asked = _new(conversation_id, turn_id, "user", body["content"])
        write(_put(asked), _header(conversation_id, "SET lease_turn = :t", {":t": {"S": turn_id}}))

        def end(text: str) -> dict[str, Any]:
            answered = _new(conversation_id, turn_id, "agent", text)
            turn = {
                "PK": {"S": f"USER#{caller}#TURNS"},
                "SK": {"S": f"TURN#{turn_id}"},
                "status": {"S": "completed"},
                "conversation_id": {"S": conversation_id},
            }
            write(_put(answered), _put(turn), _header(conversation_id, "REMOVE lease_turn", None))
            return {
                "turn": {"id": turn_id, "conversation_id": conversation_id, "status": "completed"},
                "input": [_message(asked)],
                "output": [_message(answered)],
            }

        if agent["provider"]["S"] == "echo":
            return end(body["content"]), 201
        said = [{"role": item["role"]["S"], "content": item["content"]["S"]} for item in reversed(newest)]
        asking = [
            {"role": "system", "content": agent["system_message"]["S"]},
            *said,
            {"role": "user", "content": body["content"]},
        ]
        assert openai is not None

        def events() -> Iterator[str]:
            pieces: list[str] = []
            model, messages = agent["model"]["S"], cast("Any", asking)
            stream = openai.chat.completions.create(model=model, messages=messages, stream=True)
            for chunk in stream:
                piece = chunk.choices[0].delta.content if chunk.choices else None
                if piece:
                    pieces.append(piece)
                    yield f"event: message.delta\ndata: {json.dumps({'text': piece})}\n\n"
            yield f"event: turn.completed\ndata: {json.dumps(end(''.join(pieces)))}\n\n"

        return Response(events(), content_type="text/event-stream; charset=utf-8")

    return app


def _hash() -> str:
    return sha256(request.headers["Authorization"].removeprefix("Bearer ").encode()).hexdigest()


def _key(partition: str, sort: str) -> dict[str, Any]:
    return {"PK": {"S": partition}, "SK": {"S": sort}}


def _put(item: dict[str, Any]) -> dict[str, Any]:
    return {"Put": {"TableName": _TABLE, "Item": item, "ConditionExpression": "attribute_not_exists(PK)"}}


def _header(conversation_id: str, update: str, values: dict[str, Any] | None) -> dict[str, Any]:
    given = {"ExpressionAttributeValues": values} if values else {}
    key = _key(f"CONV#{conversation_id}", "THREAD")
    return {
        "Update": {
            "TableName": _TABLE,
            "Key": key,
            "UpdateExpression": update,
            "ConditionExpression": "attribute_exists(PK)",
            **given,
        }
    }


def _new(conversation_id: str, turn_id: str, sender: str, content: str) -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {
        **_key(f"CONV#{conversation_id}", f"MSG#{moment}"),
        "entity": {"S": "Message"},
        "message_id": {"S": f"msg_{secrets.token_hex(16)}"},
        "sender": {"S": sender},
        "role": {"S": "user" if sender == "user" else "assistant"},
        "type": {"S": "text"},
        "content": {"S": content},
        "turn_id": {"S": turn_id},
    }


def _message(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": item["message_id"]["S"],
        "conversation_id": item["PK"]["S"].removeprefix("CONV#"),
        "sender": item["sender"]["S"],
        "role": item["role"]["S"],
        "type": item["type"]["S"],
        "content": item["content"]["S"],
        "unavailable": None,
        "attributes": {name: json.loads(value["S"]) for name, value in item.get("attributes", {"M": {}})["M"].items()},
        "turn_id": item["turn_id"]["S"],
        "llm_response_id": item.get("llm_response_id", {}).get("S"),
        "created_at": item["SK"]["S"].removeprefix("MSG#"),
        "reasoning": None,
        "reasoning_unavailable": None,
    }
