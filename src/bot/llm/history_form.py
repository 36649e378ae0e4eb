"""Forms of a context that only some servers require, beyond the normal form; learned from their refusals.

No single form works for all: Mistral requires call ids of nine characters, but Kimi reads the function's name from the
id; and only a server without a system role should get the agent's instructions in the user's message. So each rule is
used for one server and model, after a refusal that calls for it. All refusals quoted here were observed.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .content import images_of, pieces_of, user_message
from .normal_form import normal_form
from .types import ChatMessage, ModelRequest, ToolCall

_SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")
# Mistral: "Tool call id was call_0fypS1hVX but must be a-z, A-Z, 0-9, with a length of 9." OpenAI: "Invalid
# 'messages[2].tool_calls[0].id': string too long." Anthropic: "messages.1.content.0.tool_use.id: String should match
# pattern '^[a-zA-Z0-9_-]+$'". Bedrock: "toolUseId … must satisfy regular expression pattern".
_CALL_ID = re.compile(r"tool_?\s?(call|use)s?(\W{0,4}\d*\W{0,3}|_)?id\b")
_OF_A_VALUE = ("length", "too long", "pattern", "must be", "characters", "alphanumeric", "regular expression")
# Llama 3.1's template: "This model only supports single tool-calls at once!"
_ONE_CALL = re.compile(r"(single|one) tool.?call")
# Gemma 2: "System role not supported". Gemini's Gemma: "Developer instruction is not enabled". Older Mistral templates
# count the system message: "Conversation roles must alternate user/assistant/…". Others know no tool: "Unexpected role
# 'tool'". What is sent alternates already, so such a server counts a role that it does not support.
_ROLE = re.compile(
    r"alternat|\broles?\b.{0,60}\b(supported|allowed|enabled|expected)"
    r"|(unexpected|unsupported|invalid|unknown) role|(system|developer) (instruction|message)"
)
# Gemini 3: "Function call is missing a thought_signature". A server that refuses both reasoning and its absence:
# "Missing `reasoning_content` field in the assistant message". mistral-common: "Assistant message must have either
# content or tool_calls, but not both".
_NO_CALLS = re.compile(r"thought_signature|reasoning[_ ]content|but not both")
# OpenAI: "image_url is only supported by certain models". OpenRouter: "No endpoints found that support image input".
# vLLM: "… is not a multimodal model". llama.cpp: "image input is not supported". DeepSeek: "unknown variant
# `image_url`, expected `text`".
_ABOUT_IMAGES = re.compile(r"\bimages?\b|image_url|multi-?modal|\bvision\b|invalid_image")
_NO_IMAGES = re.compile(
    r"supports? images?\b|images? inputs?\b|not support (the )?images?|images? (is|are) (not|only) "
    r"|image_url.{0,30} only|not a multi-?modal|multi-?modal.{0,40}not|vision|unknown variant .?image_url"
    r"|only text|text.only|at most 0 image"
)


@dataclass(frozen=True, slots=True)
class HistoryForm:
    """The form in which one model at one server accepts a conversation.

    Attributes:
        short_ids: Ids of calls have nine letters and digits.
        calls_apart: Each call is a message of its own, followed by its result.
        system_in_user: Instructions are at the beginning of the first user's message.
        calls_in_words: Past calls are sent as plain text, although functions are declared.
        past_images: Images of earlier messages are sent; if not, notes replace them.
    """

    short_ids: bool = False
    calls_apart: bool = False
    system_in_user: bool = False
    calls_in_words: bool = False
    past_images: bool = True

    def apply(self, request: ModelRequest) -> tuple[ChatMessage, ...]:
        """Return the messages of a request in this form."""
        if self == AS_IT_IS:
            return request.messages
        messages = normal_form(
            request.messages,
            functions=() if self.calls_in_words else declared(request),
            shown=None if self.past_images else asked(request),
        )
        if self.calls_apart:
            messages = _calls_apart(messages)
        if self.short_ids:
            messages = tuple(_short_ids(message) for message in messages)
        return _system_in_user(messages) if self.system_in_user else messages

    def after_refusal(self, request: ModelRequest, refusal: str) -> "HistoryForm | None":
        """Return the form to try after the server refused `request`, or None if the refusal calls for none.

        `refusal` is in lower case.
        """
        messages = self.apply(request)
        calls = [message.tool_calls for message in messages if message.tool_calls]
        images = [piece for message in messages for piece in images_of(message)]
        system = bool(messages) and messages[0].role == "system"
        if images and about_images(refusal):
            past = any(piece.source not in asked(request) for piece in images)
            return replace(self, past_images=False) if past and self.past_images else None
        if calls and not self.short_ids and _CALL_ID.search(refusal) and any(word in refusal for word in _OF_A_VALUE):
            return replace(self, short_ids=True)
        if not self.calls_apart and _ONE_CALL.search(refusal) and any(len(made) > 1 for made in calls):
            return replace(self, calls_apart=True)
        role = _ROLE.search(refusal) is not None
        if system and role and not (calls and "tool" in refusal):
            return replace(self, system_in_user=True)
        if calls and (role or _NO_CALLS.search(refusal)):
            return replace(self, calls_in_words=True)
        return None


AS_IT_IS = HistoryForm()
"""The normal form, with nothing changed."""


def about_images(refusal: str) -> bool:
    """Return whether a refusal, in lower case, is about an image."""
    return _ABOUT_IMAGES.search(refusal) is not None


def takes_no_images(refusal: str) -> bool:
    """Return whether a refusal, in lower case, says that the model accepts no images at all."""
    return _NO_IMAGES.search(refusal) is not None


def declared(request: ModelRequest) -> frozenset[str]:
    """Return the names of the functions that a request declares."""
    return frozenset(str(tool.get("name")) for tool in request.tools)


def asked(request: ModelRequest) -> frozenset[str]:
    """Return the ids of the stored messages that a request is about."""
    last = request.messages[-1].sources if request.messages else ()
    return request.asked or frozenset(source for source in last if source)


def _calls_apart(messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    apart: list[ChatMessage] = []
    results = {message.tool_call_id: message for message in messages if message.role == "tool"}
    for message in messages:
        if message.role == "tool":
            continue
        for position, call in enumerate(message.tool_calls):
            content = None if position else message.content
            apart += [replace(message, content=content, tool_calls=(call,)), results[call.id]]
        if not message.tool_calls:
            apart.append(message)
    return tuple(apart)


def _short_ids(message: ChatMessage) -> ChatMessage:
    calls = tuple(ToolCall(_short(call.id), call.name, call.arguments) for call in message.tool_calls)
    answers = None if message.tool_call_id is None else _short(message.tool_call_id)
    return replace(message, tool_calls=calls, tool_call_id=answers)


def _short(call_id: str) -> str:
    return call_id if _SHORT_ID.fullmatch(call_id) else hashlib.sha256(call_id.encode()).hexdigest()[:9]


def _system_in_user(messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    if not messages or messages[0].role != "system":
        return tuple(messages)
    system, first, *rest = messages
    return (user_message([*pieces_of(system), *pieces_of(first)]), *rest)
