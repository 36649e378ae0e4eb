"""The items that both sides read, and the bytes of DynamoDB's answers about them; the same for both."""

import binascii
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.access.keys import hash_of
from models.agent import Agent
from models.api_key import ApiKey
from models.conversation import Conversation
from models.message import Message
from models.table.item import Item

TABLE = "turntable"
KEY = "tt_bench00000000000000000000000000000000000000"
USER = "usr_01k9zc3v9te8rbt8w4mhkt5m2x"
# One conversation with an agent that repeats what it is told, one with an agent of a provider.
ECHO = "conv_01k9zc3v9te8rbt8w4mhkt5m2a"
MODEL = "conv_01k9zc3v9te8rbt8w4mhkt5m2b"
AGENTS = {ECHO: "agt_01k9zc3v9te8rbt8w4mhkt5m2a", MODEL: "agt_01k9zc3v9te8rbt8w4mhkt5m2b"}
MESSAGES = 20
TEXT_BYTES = 1024

_START = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
_TEXT = ("The capital of France is Paris, and that of Italy is Rome. " * 18)[:TEXT_BYTES]


def _key() -> Item:
    return ApiKey(key_hash=hash_of(KEY), key_id="key_01k9zc3v9te8rbt8w4mhkt5m2x", user_id=USER, role="user")


def _agent(conversation_id: str, model: str) -> Item:
    provider = "echo" if conversation_id == ECHO else "openai"
    agent = Agent(
        user_id=USER,
        agent_id=AGENTS[conversation_id],
        name="Guide",
        provider=provider,
        model=model,
        system_message="You answer in one short sentence.",
        created_at=_START,
        updated_at=_START,
    )
    agent.status = "active"
    return agent


def _header(conversation_id: str) -> Item:
    header = Conversation(
        conversation_id=conversation_id,
        user_id=USER,
        agent_id=AGENTS[conversation_id],
        title="Capitals",
        started_at=_START,
        last_active_at=_START,
        listed_at=_START,
        last_message_at=_START + timedelta(seconds=MESSAGES),
        message_count=MESSAGES,
        turn_count=MESSAGES // 2,
        input_tokens=1234,
        output_tokens=567,
        fence=MESSAGES // 2,
    )
    header.status = "active"
    return header


def _messages(conversation_id: str) -> list[Item]:
    return [
        Message(
            conversation_id=conversation_id,
            ts=_START + timedelta(seconds=number),
            message_id=f"msg_01k9zc3v9te8rbt8w4mhkt5m{number:02}",
            sender="agent" if number % 2 else "user",
            role="assistant" if number % 2 else "user",
            content=_TEXT,
            turn_id=f"turn_01k9zc3v9te8rbt8w4mhkt5m{number // 2:02}",
            llm_response_id=f"chatcmpl-bench{number:02}" if number % 2 else None,
        )
        for number in range(MESSAGES)
    ]


def _raw(item: Item) -> dict[str, Any]:
    return dict(item.serialize())


def _answer(body: dict[str, Any]) -> bytes:
    """Return a whole answer with the headers that DynamoDB itself sends."""
    data = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    head = (
        "HTTP/1.1 200 OK\r\nServer: Server\r\nDate: {date}\r\nContent-Type: application/x-amz-json-1.0\r\n"
        f"Content-Length: {len(data)}\r\nConnection: keep-alive\r\n"
        "x-amzn-RequestId: 5LQO6JBMPLVQHEBGHQG9GGSRMRVV4KQNSO5AEMVJF66Q9ASUAAJG\r\n"
        f"x-amz-crc32: {binascii.crc32(data)}\r\n\r\n"
    )
    return head.encode() + data


class Answers:
    """DynamoDB's answers, made once."""

    def __init__(self, model: str) -> None:
        """Make them, for an agent with this model."""
        key = _raw(_key())
        self._key = _answer({"Item": key})
        self._nothing = _answer({})
        self._updated = _answer({"Attributes": {}})
        self._none_of_many = _answer({"Responses": {TABLE: []}, "UnprocessedKeys": {}})
        self._of: dict[bytes, dict[str, bytes]] = {}
        for conversation_id, agent_id in AGENTS.items():
            header, agent = _raw(_header(conversation_id)), _raw(_agent(conversation_id, model))
            messages = [_raw(message) for message in _messages(conversation_id)]
            opened = [header, *reversed(messages)]
            self._of[conversation_id.encode()] = {
                "header": _answer({"Item": header}),
                "updated": _answer({"Attributes": header}),
                "messages": _answer({"Items": messages, "Count": MESSAGES, "ScannedCount": MESSAGES}),
                "opened": _answer({"Items": opened, "Count": len(opened), "ScannedCount": len(opened)}),
            }
            self._of[agent_id.encode()] = {
                "agent": _answer({"Item": agent}),
                "key and agent": _answer({"Responses": {TABLE: [key, agent]}, "UnprocessedKeys": {}}),
            }

    def to(self, operation: bytes, body: bytes) -> bytes:
        """Return the answer to a request, with `{date}` in the place of the time.

        Raises:
            LookupError: no benchmark sends such a request.
        """
        match operation:
            case b"GetItem" if b"APIKEY#" in body:
                return self._key
            case b"GetItem" if b"AGENT#" in body:
                return self._about(body, "agent")
            case b"GetItem" if b'"THREAD"' in body:
                return self._about(body, "header")
            case b"Query":
                return self._about(body, "opened" if b'"THREAD"' in body else "messages")
            case b"BatchGetItem":
                return self._about(body, "key and agent") if b"APIKEY#" in body else self._none_of_many
            case b"UpdateItem":
                return self._about(body, "updated") if b'"THREAD"' in body else self._updated
            case b"TransactWriteItems" | b"PutItem":
                return self._nothing
        raise LookupError(f"no answer to {operation.decode()} {body[:200].decode()}")

    def _about(self, body: bytes, what: str) -> bytes:
        return next(found[what] for name, found in self._of.items() if what in found and name in body)
