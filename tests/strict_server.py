"""A model server that keeps the rules of real ones: each rule answers 400 in the words of a server that has it.

with strict_server(rules=["alternate"]) as server:
    server.say(calls=[("look", "{}")])   # the next answer; without one it is "Fine."
    ...  # OPENAI_BASE_URL is server.base_url
    server.refusals, server.bodies
"""

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.integration.llm.raw_server import Exchange, RawServer, raw_server

Body = dict[str, Any]
Rule = Callable[[Body], str | None]


def texts(message: Body) -> list[str]:
    """Return the texts of a message."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    return [part["text"] for part in parts if isinstance(part.get("text"), str)]


def images(message: Body) -> list[str]:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return [part["image_url"]["url"] for part in parts if part.get("type") == "image_url"]


def calls(message: Body) -> list[Body]:
    return message.get("tool_calls") or []


def spoken(body: Body) -> list[Body]:
    return [message for message in body["messages"] if message["role"] != "system"]


def system_first(body: Body) -> str | None:
    wrong = any(message["role"] == "system" for message in body["messages"][1:])
    return "Jinja Exception: System message must be at the beginning." if wrong else None


def alternate(body: Body) -> str | None:
    """As in Mistral's templates: calls and results do not count."""
    counted = [message["role"] for message in spoken(body) if message["role"] != "tool" and not calls(message)]
    wrong = any((role == "user") != (position % 2 == 0) for position, role in enumerate(counted))
    return "Conversation roles must alternate user/assistant/user/assistant/..." if wrong else None


def order(body: Body) -> str | None:
    """As at Mistral, and at Anthropic once results have become user messages."""
    allowed = {None: ("user",), "user": ("assistant",), "assistant": ("user", "tool"), "tool": ("tool", "assistant")}
    before = None
    for message in spoken(body):
        if message["role"] not in allowed[before]:
            return f"Unexpected role '{message['role']}' after role '{before}'"
        before = message["role"]
    return None


def last_word(body: Body) -> str | None:
    if body["messages"] and body["messages"][-1]["role"] in ("user", "tool"):
        return None
    return "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant"


def not_blank(body: Body) -> str | None:
    for position, message in enumerate(body["messages"]):
        if any(not text.strip() for text in texts(message)) or message.get("content") == []:
            return f"messages.{position}: text content blocks must contain non-whitespace text"
        if message.get("content") is None and not calls(message):
            return f"messages.{position}: Each message must have at least one content element"
    return None


def objects(body: Body) -> str | None:
    for position, message in enumerate(body["messages"]):
        for number, call in enumerate(calls(message)):
            if not is_object(call["function"]["arguments"]):
                return f"messages[{position}].tool_calls[{number}].function.arguments: cannot unmarshal into an object"
    return None


def is_object(text: str) -> bool:
    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        return isinstance(json.loads(text, parse_constant=refuse), dict)
    except (ValueError, RecursionError):
        return False


def tools_declared(body: Body) -> str | None:
    used = any(calls(message) or message["role"] == "tool" for message in body["messages"])
    if used and not body.get("tools"):
        return "The toolConfig field must be defined when using toolUse and toolResult content blocks."
    return None


def names_declared(body: Body) -> str | None:
    known = {tool["function"]["name"] for tool in body.get("tools", [])}
    for message in body["messages"]:
        for call in calls(message):
            if call["function"]["name"] not in known or not re.fullmatch(
                r"[a-zA-Z0-9_-]{1,64}", call["function"]["name"]
            ):
                return f"tool '{call['function']['name']}' which was not in request.tools"
    return None


def paired(body: Body) -> str | None:
    messages = body["messages"]
    position = 0
    while position < len(messages):
        message = messages[position]
        position += 1
        if message["role"] == "tool":
            return "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
        wanted = [call["id"] for call in calls(message)]
        if not wanted:
            continue
        given = [each["tool_call_id"] for each in messages[position : position + len(wanted)] if each["role"] == "tool"]
        if sorted(given) != sorted(wanted):
            return "An assistant message with 'tool_calls' must be followed by tool messages responding to each one"
        position += len(wanted)
    return None


def own_ids(body: Body) -> str | None:
    ids = [call["id"] for message in body["messages"] for call in calls(message)]
    wrong = [each for each in ids if not re.fullmatch(r"[a-zA-Z0-9_.:-]{1,64}", each)]
    if wrong:
        return f"tool_use.id: String should match pattern: {wrong[0]}"
    return "messages: `tool_use` ids must be unique" if len(ids) != len(set(ids)) else None


def plain_texts(body: Body) -> str | None:
    """Content is a string unless it has an image, and only users send images."""
    for position, message in enumerate(body["messages"]):
        if isinstance(message.get("content"), list) and not (message["role"] == "user" and images(message)):
            return f"messages[{position}].content: must be a string"
    return None


def whole_characters(body: Body) -> str | None:
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "lone leading surrogate in hex escape"
    return None


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        system_first,
        alternate,
        order,
        last_word,
        not_blank,
        objects,
        tools_declared,
        names_declared,
        paired,
        own_ids,
        plain_texts,
        whole_characters,
    )
}
"""Rules that one form keeps."""


def no_system(body: Body) -> str | None:
    return "System role not supported" if body["messages"][0]["role"] == "system" else None


def no_system_counted(body: Body) -> str | None:
    """As in the templates of Mistral's first models, where the system message takes part in the alternation."""
    return "Conversation roles must alternate user/assistant/user/assistant/..." if no_system(body) else None


def nine(body: Body) -> str | None:
    for message in body["messages"]:
        for call in calls(message):
            if not re.fullmatch(r"[a-zA-Z0-9]{9}", call["id"]):
                return f"Tool call id was {call['id']} but must be a-z, A-Z, 0-9, with a length of 9."
    return None


def short(body: Body) -> str | None:
    for position, message in enumerate(body["messages"]):
        for call in calls(message):
            if len(call["id"]) > 20:
                return (
                    f"Invalid 'messages[{position}].tool_calls[0].id': string too long. Expected a string with maximum "
                    f"length 20, but got a string with length {len(call['id'])} instead."
                )
    return None


def single(body: Body) -> str | None:
    wrong = any(len(calls(message)) > 1 for message in body["messages"])
    return "This model only supports single tool-calls at once!" if wrong else None


def no_tool_role(body: Body) -> str | None:
    return "Unexpected role 'tool'" if any(message["role"] == "tool" for message in body["messages"]) else None


def thoughts(body: Body) -> str | None:
    wrong = any(calls(message) for message in body["messages"])
    return "Function call is missing a thought_signature in functionCall parts." if wrong else None


def reasoning_back(body: Body) -> str | None:
    """As at DeepSeek and Kimi; some of their models also refuse an empty one."""
    for position, message in enumerate(body["messages"]):
        if message["role"] == "assistant" and not message.get("reasoning_content"):
            return f"Missing `reasoning_content` field in the assistant message at message index {position}"
    return None


def not_both(body: Body) -> str | None:
    wrong = any(calls(message) and message.get("content") for message in body["messages"])
    return "Assistant message must have either content or tool_calls, but not both." if wrong else None


def no_images(body: Body) -> str | None:
    wrong = any(images(message) for message in body["messages"])
    return "Invalid content type. image_url is only supported by certain models." if wrong else None


def no_expired_images(body: Body) -> str | None:
    expired = next((url for message in body["messages"] for url in images(message) if "expired" in url), None)
    return f"Error while downloading the image {expired}." if expired else None


LEARNT: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        no_system,
        no_system_counted,
        nine,
        short,
        single,
        no_tool_role,
        thoughts,
        reasoning_back,
        not_both,
        no_images,
        no_expired_images,
    )
}
"""Rules that are learnt when they are met."""


class StrictServer:
    """The server's rules, its scripted answers and its requests."""

    def __init__(self, rules: Iterable[str]) -> None:
        known = RULES | LEARNT
        self.rules = {name: known[name] for name in rules}
        self.bodies: list[Body] = []
        self.refusals: list[str] = []
        self.base_url = ""
        self._answers: deque[Callable[[Exchange], object]] = deque()

    def say(self, text: str = "", calls: Iterable[tuple[str, str, str]] = ()) -> None:
        """Set the next answer: a text, and calls by id, name and arguments."""
        deltas = [
            {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
            for index, (call_id, name, arguments) in enumerate(calls)
        ]

        def answer(exchange: Exchange) -> None:
            exchange.begin().event(text, delta={"tool_calls": deltas} if deltas else {})
            exchange.event(finish="tool_calls" if deltas else "stop").send("data: [DONE]\n\n").end()

        self._answers.append(answer)

    def fail(self, status: int = 502) -> None:
        """Make the next valid request fail."""
        self._answers.append(lambda exchange: exchange.answer(status, {"error": {"message": "It is on fire"}}))

    def forget(self) -> None:
        """Drop the unused answers."""
        self._answers.clear()

    def __call__(self, exchange: Exchange) -> None:
        """Answer a request."""
        self.bodies.append(exchange.body)
        for rule in self.rules.values():
            if (refusal := rule(exchange.body)) is not None:
                self.refusals.append(refusal)
                exchange.answer(400, {"error": {"message": refusal, "type": "invalid_request_error", "param": None}})
                return
        if self._answers:
            self._answers.popleft()(exchange)
        else:
            exchange.whole("Fine.")


@contextmanager
def strict_server(rules: Iterable[str]) -> Iterator[StrictServer]:
    """Run a server for a test."""
    strict = StrictServer(rules)
    with raw_server(strict) as server:
        server_: RawServer = server
        strict.base_url = server_.base_url
        yield strict
