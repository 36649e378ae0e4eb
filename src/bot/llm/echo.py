"""A provider without a model: it repeats the user's message. For tests, and for trying the API without a model."""

import re
import uuid
from collections.abc import Generator

from .tokens import REPLY_PRIMING, count_message, count_tokens
from .types import Completion, ModelRequest, TextDelta, Usage


class EchoProvider:
    """Answers "You said: …" to the last user message, a word at a time, without network or state."""

    @property
    def name(self) -> str:
        """`echo`."""
        return "echo"

    @property
    def supports_tools(self) -> bool:
        """False: it calls no functions, and ignores their declarations."""
        return False

    def takes_images(self, model: str) -> bool:  # noqa: ARG002
        """True: it answers `[image]`."""
        return True

    def stream(self, request: ModelRequest) -> Generator[TextDelta | Completion, None, None]:
        """Answer a request: see `Provider.stream`. Never fails; settings have no effect."""
        answer = "You said: " + _last_said(request)
        # Words with the spaces around them; joined, the deltas are exactly the answer.
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


def _last_said(request: ModelRequest) -> str:
    last = next((message for message in reversed(request.messages) if message.role == "user"), None)
    if last is None or not isinstance(last.content, list):
        return str(last.content) if last is not None and last.content else "nothing"
    # Earlier messages that got no answer are merged into this one.
    sources = last.sources if len(last.sources) == len(last.content) else ("",) * len(last.content)
    asked = [part for part, source in zip(last.content, sources, strict=True) if source in request.asked]
    parts = asked or last.content
    return " ".join(text if isinstance(text := part.get("text"), str) else "[image]" for part in parts)
