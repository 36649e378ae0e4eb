"""The interface between the application and models: plain values, and the methods of a provider.

It does not depend on a provider's SDK, so a turn can be tested with a provider of ten lines.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One function call that a model asks for.

    Attributes:
        id: The provider's id of the call, or a made-up one if the provider gave none. The result has the same id.
        name: The function's name.
        arguments: The JSON text as the model wrote it. It may be broken JSON; only an empty text becomes `{}`.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the context.

    Attributes:
        role: Who speaks; `tool` for the result of a function call.
        content: Text, or OpenAI-style parts (`{"type": "text", …}`, `{"type": "image_url", …}`), or None for an
            assistant's message that only calls functions.
        tool_calls: The calls that an assistant's message made.
        tool_call_id: For a `tool` message, the call that it answers.
        name: A name for the speaker, passed on as it is.
        sources: The ids of the stored messages that it was made from, for error messages; one for each part, and `""`
            for a part that was not stored. They are not sent.
    """

    role: Role
    content: str | list[dict[str, object]] | None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    sources: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request to a model. None or an empty tuple means the provider's default: the field is not sent.

    Attributes:
        model: The model's name at the provider.
        messages: The context, oldest first.
        temperature: Sampling temperature.
        top_p: Nucleus sampling.
        max_tokens: The maximum number of tokens in the answer.
        stop: Texts at which the model stops.
        presence_penalty: As OpenAI defines it.
        frequency_penalty: As OpenAI defines it.
        seed: For providers that can repeat an answer.
        tools: Function declarations: `{"name", "description", "parameters"}`, and optionally `"strict"`.
        tool_choice: `auto`, `none`, `required`, or an OpenAI-style choice of one function.
        parallel_tool_calls: Whether the model may ask for several calls at once.
        response_format: An OpenAI-style `response_format`.
        user: A stable id of the end user for the provider's abuse monitoring.
        asked: The ids of the stored messages that this request is about, as opposed to earlier ones. Empty: it is about
            the last message.
        reasoning: Reads the model's reasoning for stored messages of the context, by message id. Called only for a
            server that requires it, and then once.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    tools: tuple[dict[str, object], ...] = ()
    tool_choice: str | dict[str, object] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, object] | None = None
    user: str | None = None
    asked: frozenset[str] = frozenset()
    reasoning: Callable[[], Mapping[str, str]] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer's text; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """The next piece of the model's reasoning; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that the provider counted."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """The complete answer, after its last delta.

    Attributes:
        text: All deltas of the text joined.
        tool_calls: The function calls in the order in which the model made them. With `finish_reason` `length` the
            last one may be cut: do not run it.
        finish_reason: Why the model stopped. An answer with function calls that stopped normally is `tool_calls`,
            whatever the provider called it.
        response_id: The provider's id of the response, if it gave one.
        model: The model that answered, in the provider's words.
        usage: None if the provider gave no count.
        refusal: The provider's separate refusal text, if any.
        reasoning: All deltas of the reasoning joined; None if the model gave none.
    """

    text: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    response_id: str | None
    model: str
    usage: Usage | None
    refusal: str | None = None
    reasoning: str | None = None


class Provider(Protocol):
    """A source of answers. Safe to share between threads."""

    @property
    def name(self) -> str:
        """Its name in `Providers`: `openai`, `embedded`, `echo`."""

    @property
    def supports_tools(self) -> bool:
        """Whether its models call functions. If not, `tools` of a request are left out."""

    def takes_images(self, model: str) -> bool:
        """Return whether a model accepts images; True if that is not known."""

    def stream(self, request: ModelRequest) -> Generator[TextDelta | ReasoningDelta | Completion, None, None]:
        """Answer a request: any number of deltas, then exactly one `Completion`.

        No text has half of a surrogate pair.

        The request is sent at the first `next()`. Closing the generator closes the connection at once.

        Raises:
            bot.errors.ProviderError: Or a subclass of it. The deltas before it are a valid partial answer.
        """


@dataclass(frozen=True, slots=True)
class Credentials:
    """A provider's key and address. The repr never contains the key.

    Attributes:
        api_key: The secret; empty if the server needs none.
        base_url: The root of an OpenAI-compatible API (`https://…/v1`), or None for the deployment's own.
    """

    api_key: str = field(repr=False)
    base_url: str | None = None
