"""A provider that is no model: it repeats what it was told. For tests, and for trying the API without any model."""

import re
import uuid
from collections.abc import Generator

from .tokens import REPLY_PRIMING, count_message, count_tokens
from .types import ChatMessage, Completion, ModelRequest, TextDelta, Usage


class EchoProvider:
    """Answers "You said: …" to the last user message, a word at a time, without network and without memory."""

    @property
    def name(self) -> str:
        """`echo`."""
        return "echo"

    @property
    def supports_tools(self) -> bool:
        """False: it calls no functions, and leaves their declarations unread."""
        return False

    def stream(self, request: ModelRequest) -> Generator[TextDelta | Completion, None, None]:
        """Answer a request: see `Provider.stream`. Never fails; of the settings none has an effect."""
        answer = "You said: " + _last_said(request.messages)
        # A word with the spaces after it; joined, the deltas are the answer, whatever it is made of.
        for word in re.findall(r"\s*\S+\s*|\s+", answer):
            yield TextDelta(word)
        yield Completion(
            text=answer,
            tool_calls=(),
            finish_reason="stop",
            response_id=f"echo-{uuid.uuid4().hex}",
            model=request.model,
            usage=Usage(
                input_tokens=sum(map(count_message, request.messages)) + REPLY_PRIMING,
                output_tokens=count_tokens(answer),
            ),
        )


def _last_said(messages: tuple[ChatMessage, ...]) -> str:
    said = next((message.content for message in reversed(messages) if message.role == "user"), None)
    if isinstance(said, list):
        return " ".join(text if isinstance(text := part.get("text"), str) else "[image]" for part in said)
    return said or "nothing"
