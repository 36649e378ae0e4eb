"""One answer, put together from the chunks of a Chat Completions stream."""

from bot.errors import ProviderError, ProviderIncomplete

from .tool_calls import ToolCallJoiner
from .types import Completion, FinishReason, Usage

# What compatible servers call the four ways in which an answer is whole. Everything else ("abort" of vLLM, "error" of
# OpenRouter and Mistral, DeepSeek's "insufficient_system_resource") means that it is not.
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


class Answer:
    """Collects chunks; knows whether the answer is whole.

    A chunk is trusted in nothing: a field of an unexpected type is passed over, as if it had not been sent.
    """

    def __init__(self, requested_model: str, *, provider: str = "The model provider", salt: str = "") -> None:
        """Start an empty answer of `requested_model`; `provider` is for errors, for `salt` see `ToolCallJoiner`."""
        self._provider = provider
        self._model = requested_model
        self._calls = ToolCallJoiner(salt)
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._finish_reason: str | None = None
        self._response_id: str | None = None
        self._usage: Usage | None = None
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether anything has come."""
        return self._begun

    @property
    def finished(self) -> bool:
        """Whether the provider has said why the model stopped: nothing of the answer itself can follow."""
        return self._finish_reason is not None

    def add(self, chunk: dict[str, object]) -> str:
        """Take one chunk and return the text that it adds, often `""`."""
        self._begun = True
        if isinstance(response_id := chunk.get("id"), str) and response_id:
            self._response_id = self._response_id or response_id
        # llama.cpp names the path of the weights' file on its own disk: not a model's name, and nobody's business.
        if isinstance(model := chunk.get("model"), str) and model and not model.startswith("/"):
            self._model = model
        self._usage = _usage(chunk.get("usage")) or self._usage
        choices = chunk.get("choices")
        text = "".join([self._add_choice(choice) for choice in choices] if isinstance(choices, list) else [])
        if text:
            self._text.append(text)
        return text

    def _add_choice(self, choice: object) -> str:
        if not isinstance(choice, dict) or choice.get("index") not in (0, None):
            return ""
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            self._finish_reason = reason
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return ""
        self._calls.add(delta.get("tool_calls"))
        if isinstance(refusal := delta.get("refusal"), str):
            self._refusal.append(refusal)
        return _content(delta.get("content"))

    def completion(self) -> Completion:
        """Return the whole answer.

        Raises:
            ProviderIncomplete: The stream ended without a finish reason, or with one that says it was cut.
            ProviderError: The function calls cannot be run: none came though announced, or one has no name.
        """
        if self._finish_reason is None:
            raise self._failure(ProviderIncomplete, "ended its stream before the answer was complete")
        finish_reason = _FINISHED.get(self._finish_reason.lower())
        if finish_reason is None:
            raise self._failure(ProviderIncomplete, f"broke the answer off: {self._finish_reason[:100]!r}")
        calls = self._calls.calls()
        if any(not call.name.strip() for call in calls):
            raise self._failure(ProviderError, "sent a function call without a function's name")
        if finish_reason == "tool_calls" and not calls:
            raise self._failure(ProviderError, "announced function calls and sent none")
        # Some servers, and OpenAI itself after a forced choice, report "stop" although the model waits for results.
        if finish_reason == "stop" and calls:
            finish_reason = "tool_calls"
        return Completion(
            text="".join(self._text),
            tool_calls=calls,
            finish_reason=finish_reason,
            response_id=self._response_id,
            model=self._model,
            usage=self._usage,
            refusal="".join(self._refusal) or None,
        )

    def _failure(self, kind: type[ProviderError], what: str) -> ProviderError:
        return kind(f"{self._provider} {what}.", extra={"provider": self._provider})


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    # Mistral's reasoning models stream lists of typed parts; only those of type text are the answer.
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str))


def _usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    counted, generated = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(counted, int) or not isinstance(generated, int):
        return None
    return Usage(input_tokens=counted, output_tokens=generated)
