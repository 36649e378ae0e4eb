"""The differences between servers that all speak Chat Completions, and how they are learned.

A few differences can be told from the address. The others show in a refusal: the server names the field that it does
not accept. A refused request did not run, so it is sent again in the other form, which is remembered for that server
and model. A table of model names would be out of date with the next model.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from .history_form import AS_IT_IS, HistoryForm
from .types import ModelRequest

TokenLimitField = Literal["max_completion_tokens", "max_tokens"]

# OpenAI's own models refuse `max_tokens` from o1 and gpt-5 on. All other servers accept `max_tokens`: Ollama silently
# ignores `max_completion_tokens` (its issue 7125), llama.cpp did until February 2026 (its pull request 19831), and
# without a limit an answer may not end. Bedrock documents `max_completion_tokens`.
_HOSTS_OF_OPENAI_MODELS = re.compile(
    r"(.+\.)?openai\.com"
    r"|.+\.(openai|services\.ai|cognitiveservices)\.azure\.com"
    r"|bedrock[^.]*\..+\.(amazonaws\.com|api\.aws)"
)
# DeepSeek: "The `reasoning_content` in the thinking mode must be passed back to the API." Kimi: "thinking is enabled
# but reasoning_content is missing in assistant tool call message at index 2".
_REASONING = re.compile(r"reasoning[_ ]content")
_UNKNOWN = ("unsupported", "not supported", "unrecognized", "unknown", "unexpected", "extra", "not permitted")


@dataclass(frozen=True, slots=True)
class Dialect:
    """The form in which one model at one server accepts requests.

    Attributes:
        limit_field: The name of the field that limits an answer's length.
        tools_without_reasoning: Whether requests with functions must say `"reasoning_effort": "none"`.
        reasoning_back: Whether each of the model's messages is sent with its reasoning.
        history: The form in which it accepts a conversation.
    """

    limit_field: TokenLimitField
    tools_without_reasoning: bool = False
    reasoning_back: bool = False
    history: HistoryForm = AS_IT_IS

    def after_refusal(self, request: ModelRequest, message: str, tried: Collection["Dialect"] = ()) -> "Dialect | None":
        """Return the dialect to try after the server refused `request` with `message`, or None if there is none.

        `tried` has the dialects that were refused before, so that none is tried twice.
        """
        text = message.lower()
        # OpenAI, for gpt-5.6 and gpt-6, which reason by default: "Function tools with reasoning_effort are not
        # supported for gpt-6-luna in /v1/chat/completions. To use function tools, use /v1/responses or set
        # reasoning_effort to 'none'."
        if request.tools and "reasoning_effort" in text and "none" in text and not self.tools_without_reasoning:
            return replace(self, tools_without_reasoning=True)
        # Only if the server does not know the field, not if it refuses the value.
        if request.max_tokens is not None and self.limit_field in text and any(word in text for word in _UNKNOWN):
            return replace(self, limit_field=_OTHER[self.limit_field])
        about_reasoning = _REASONING.search(text) is not None
        if about_reasoning and any(message.role == "assistant" for message in request.messages):
            refused = any(word in text for word in (*_UNKNOWN, "not allowed"))
            other = replace(self, reasoning_back=not self.reasoning_back)
            if refused == self.reasoning_back and other not in tried:
                return other
        history = self.history.after_refusal(request, text)
        if history is None:
            return None
        return replace(self, reasoning_back=self.reasoning_back and not about_reasoning, history=history)


_OTHER: dict[TokenLimitField, TokenLimitField] = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
}


def first_guess(base_url: str) -> Dialect:
    """Return the dialect that the address of a server suggests."""
    host = urlsplit(base_url).hostname or ""
    openai_models = _HOSTS_OF_OPENAI_MODELS.fullmatch(host) is not None
    return Dialect(
        limit_field="max_completion_tokens" if openai_models else "max_tokens",
        history=HistoryForm(short_ids=host == "mistral.ai" or host.endswith(".mistral.ai")),
    )


class Dialects:
    """The learned dialects of the last `capacity` pairs of server and model. Safe to share between threads."""

    def __init__(self, capacity: int = 256) -> None:
        """Start empty."""
        self._capacity = capacity
        self._learnt: OrderedDict[tuple[str, str], Dialect] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, base_url: str, model: str) -> Dialect:
        """Return the learned dialect, or the first guess."""
        with self._lock:
            learnt = self._learnt.get((base_url, model))
        return learnt or first_guess(base_url)

    def learn(self, base_url: str, model: str, dialect: Dialect) -> None:
        """Remember a dialect in which a request was accepted."""
        with self._lock:
            self._learnt[base_url, model] = dialect
            self._learnt.move_to_end((base_url, model))
            if len(self._learnt) > self._capacity:
                self._learnt.popitem(last=False)
