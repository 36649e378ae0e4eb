"""Assembles an answer from the chunks of a Chat Completions stream."""

from bot.errors import ProviderError, ProviderIncomplete

from .characters import CharacterJoiner, whole_characters
from .tool_calls import ToolCallJoiner
from .types import Completion, FinishReason, ReasoningDelta, TextDelta, Usage

# The finish reasons with which compatible servers end a complete answer. Any other ("abort" of vLLM, "error" of
# OpenRouter and Mistral, DeepSeek's "insufficient_system_resource") means that it is incomplete.
_FINISHED: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class _Text:
    """A text that arrives in pieces; `add` returns whole characters only."""

    def __init__(self) -> None:
        self._characters = CharacterJoiner()
        self._pieces: list[str] = []

    def add(self, piece: str) -> str:
        """Add a piece, and return the text that it completes."""
        if text := self._characters.add(piece):
            self._pieces.append(text)
        return text

    @property
    def rest(self) -> str:
        """The end of the text if no more pieces come, usually `""`."""
        return self._characters.rest

    @property
    def whole(self) -> str:
        """The complete text."""
        return "".join(self._pieces) + self.rest


class Answer:
    """Collects chunks, and knows whether the answer is complete.

    Chunks are not trusted: a field of an unexpected type is ignored.
    """

    def __init__(self, requested_model: str, *, provider: str = "The model provider", salt: str = "") -> None:
        """Start an empty answer of `requested_model`; `provider` is for errors, for `salt` see `ToolCallJoiner`."""
        self._provider = provider
        self._model = requested_model
        self._calls = ToolCallJoiner(salt)
        self._text, self._reasoning, self._refusal = _Text(), _Text(), _Text()
        self._finish_reason: str | None = None
        self._response_id: str | None = None
        self._usage: Usage | None = None
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether a chunk has been received."""
        return self._begun

    @property
    def finished(self) -> bool:
        """Whether the finish reason has been received; no more of the answer itself can follow."""
        return self._finish_reason is not None

    def add(self, chunk: dict[str, object]) -> list[TextDelta | ReasoningDelta]:
        """Add a chunk and return its deltas, usually none or one."""
        self._begun = True
        if isinstance(response_id := chunk.get("id"), str) and response_id:
            self._response_id = self._response_id or whole_characters(response_id)
        # llama.cpp sends the path of its weights file, which is not a model's name and should not be disclosed.
        if isinstance(model := chunk.get("model"), str) and model and not model.startswith("/"):
            self._model = whole_characters(model)
        self._usage = _usage(chunk.get("usage")) or self._usage
        choices = chunk.get("choices")
        added: list[TextDelta | ReasoningDelta] = []
        for choice in choices if isinstance(choices, list) else []:
            added += self._add_choice(choice)
        return added

    def _add_choice(self, choice: object) -> list[TextDelta | ReasoningDelta]:
        if not isinstance(choice, dict) or choice.get("index") not in (0, None):
            return []
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            self._finish_reason = whole_characters(reason)
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return []
        self._calls.add(delta.get("tool_calls"))
        if isinstance(refusal := delta.get("refusal"), str):
            self._refusal.add(refusal)
        return _deltas(self._reasoning.add(_reasoning(delta)), self._text.add(_content(delta.get("content"))))

    def rest(self) -> list[TextDelta | ReasoningDelta]:
        """Return the last deltas: U+FFFD for half a character whose other half never came."""
        return _deltas(self._reasoning.rest, self._text.rest)

    def completion(self) -> Completion:
        """Return the complete answer.

        Raises:
            ProviderIncomplete: The stream ended without a finish reason, or with one that means it was cut off.
            ProviderError: The finish reason announces function calls but there are none, or a call has no name.
        """
        if self._finish_reason is None:
            raise self._failure(ProviderIncomplete, "ended its stream before the answer was complete")
        finish_reason = _FINISHED.get(self._finish_reason.lower())
        if finish_reason is None:
            raise self._failure(ProviderIncomplete, f"broke the answer off: {self._finish_reason[:100]!r}")
        calls = self._calls.calls()
        if any(not call.name.strip() for call in calls):
            raise self._failure(ProviderError, "sent a function call without a name")
        if finish_reason == "tool_calls" and not calls:
            raise self._failure(ProviderError, "announced function calls but sent none")
        # Some servers, and OpenAI itself after a forced choice, report "stop" although the model waits for results.
        if finish_reason == "stop" and calls:
            finish_reason = "tool_calls"
        return Completion(
            text=self._text.whole,
            tool_calls=calls,
            finish_reason=finish_reason,
            response_id=self._response_id,
            model=self._model,
            usage=self._usage,
            refusal=self._refusal.whole or None,
            reasoning=self._reasoning.whole or None,
        )

    def _failure(self, kind: type[ProviderError], what: str) -> ProviderError:
        return kind(f"{self._provider} {what}.", extra={"provider": self._provider})


def _deltas(reasoning: str, text: str) -> list[TextDelta | ReasoningDelta]:
    """Return the deltas of one chunk, reasoning first."""
    added: list[TextDelta | ReasoningDelta] = [ReasoningDelta(reasoning)] if reasoning else []
    return [*added, TextDelta(text)] if text else added


def _reasoning(delta: dict[str, object]) -> str:
    """Return the reasoning in a delta, from the first field that is not empty.

    DeepSeek, llama.cpp, SGLang, Qwen and older vLLM stream `reasoning_content`; OpenRouter, Groq, Ollama and newer vLLM
    `reasoning`. Some send the same text under both names.
    """
    for name in ("reasoning_content", "reasoning"):
        if isinstance(text := delta.get(name), str) and text:
            return text
    return "".join(_content(part.get("thinking")) for part in _parts(delta.get("content"), "thinking"))


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    texts = [part.get("text") for part in _parts(content, "text")]
    return "".join(text for text in texts if isinstance(text, str))


def _parts(content: object, kind: str) -> list[dict[str, object]]:
    # Mistral's reasoning models stream lists of typed parts: `text` parts are the answer, `thinking` parts are not.
    parts = content if isinstance(content, list) else []
    return [part for part in parts if isinstance(part, dict) and part.get("type") == kind]


def _usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    counted, generated = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(counted, int) or not isinstance(generated, int):
        return None
    return Usage(input_tokens=counted, output_tokens=generated)
