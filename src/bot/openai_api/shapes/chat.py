"""The body of a chat completion: each parameter is honoured, or declared as accepted or refused."""

from typing import Annotated, Any, Literal

from pydantic import Field

from bot.http.types import WHOLE, Body, Json
from bot.llm.types import Provider
from bot.openai_api.offers import check_functions, check_limit, refuse
from bot.openai_api.parameters import accepted, refused
from bot.openai_api.shapes.messages import AnyMessage, FunctionName, chat_messages, images_in, reasoning_of
from bot.turns.completions import Inquiry
from models.agent import Agent

_TEXT_ONLY = "the agents' models generate text only"
_TokenLimit = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]
_Stop = Annotated[str, Field(min_length=1, max_length=200)]


class ChatFunction(Body):
    """A function that the model may call; the client runs it."""

    name: FunctionName
    description: Annotated[str, Field(max_length=4096)] | None = None
    parameters: dict[str, Json] | None = Field(None, description="A JSON Schema of the arguments.")
    strict: bool | None = None


class ChatTool(Body):
    """A function that is offered to the model."""

    type: Literal["function"]
    function: ChatFunction


class ChatChosenFunction(Body):
    """Which function."""

    name: FunctionName


class ChatToolChoice(Body):
    """The one function that the model must call."""

    type: Literal["function"]
    function: ChatChosenFunction


class ChatTextFormat(Body):
    """Text: the default."""

    type: Literal["text"]


class ChatJsonFormat(Body):
    """Any JSON object."""

    type: Literal["json_object"]


class ChatJsonSchema(Body):
    """The JSON Schema of an answer."""

    name: FunctionName
    description: str | None = None
    schema_: dict[str, Json] | None = Field(None, alias="schema")
    strict: bool | None = None


class ChatSchemaFormat(Body):
    """JSON in this form."""

    type: Literal["json_schema"]
    json_schema: ChatJsonSchema


class ChatStreamOptions(Body):
    """What a stream contains beyond the answer."""

    include_usage: bool | None = Field(None, description="The tokens, in one more chunk before the end.")
    include_obfuscation: Annotated[bool | None, accepted("nothing is added to hide the lengths of texts")] = None


class ChatCompletionCreate(Body):
    """A conversation, of which an agent's model writes the next message. Nothing of it is stored."""

    model: str = Field(min_length=1, max_length=400, description="The agent: its slug, or its id.")
    messages: Annotated[list[AnyMessage], Field(min_length=1)] = Field(
        description="The whole conversation. The agent's system message is put before it."
    )
    stream: bool | None = Field(None, description="Answer with server-sent events.")
    stream_options: ChatStreamOptions | None = Field(None, description="Only with `stream`.")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="By default the agent's.")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(None, description="By default the agent's.")
    max_completion_tokens: _TokenLimit | None = Field(
        None, description="By default the agent's `max_tokens`, which only its owner can exceed."
    )
    max_tokens: _TokenLimit | None = Field(None, description="The older name of `max_completion_tokens`.")
    stop: _Stop | Annotated[list[_Stop], Field(max_length=4)] | None = Field(
        None, description="By default the agent's."
    )
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = Field(None, description="By default the agent's.")
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = Field(None, description="By default the agent's.")
    seed: Annotated[int, Field(ge=-(2**53), le=2**53), WHOLE] | None = Field(
        None, description="By default the agent's; not all model servers use it."
    )
    tools: Annotated[list[ChatTool], Field(max_length=128)] | None = Field(
        None, description="Functions, which replace those of the agent. None, or an empty list: those of the agent."
    )
    tool_choice: Literal["none", "auto", "required"] | ChatToolChoice | None = Field(
        None, description="By default the agent's. `none`: the model calls no functions, not even the agent's."
    )
    parallel_tool_calls: bool | None = Field(None, description="By default the agent's.")
    response_format: (
        Annotated[ChatTextFormat | ChatJsonFormat | ChatSchemaFormat, Field(discriminator="type")] | None
    ) = Field(None, description="Passed to the model server, which decides whether it can do that.")

    user: Annotated[str | None, accepted("the user is the one of the API key")] = None
    safety_identifier: Annotated[str | None, accepted("the user is the one of the API key")] = None
    prompt_cache_key: Annotated[str | None, accepted("model servers cache as they see fit")] = None
    service_tier: Annotated[
        Literal["auto", "default"] | None, accepted("there is one tier; the answer says `default`")
    ] = None

    n: refused("one choice is generated", 1) = None  # type: ignore[valid-type]
    store: refused("chat completions are not stored yet", False) = None  # type: ignore[valid-type]
    metadata: refused("it belongs to stored completions", {}) = None  # type: ignore[valid-type]
    logprobs: refused("log probabilities are not passed on", False) = None  # type: ignore[valid-type]
    top_logprobs: refused("log probabilities are not passed on", 0) = None  # type: ignore[valid-type]
    logit_bias: refused("token ids differ between models", {}) = None  # type: ignore[valid-type]
    modalities: refused(_TEXT_ONLY, ["text"]) = None  # type: ignore[valid-type]
    audio: refused(_TEXT_ONLY) = None  # type: ignore[valid-type]
    functions: refused("use `tools`", []) = None  # type: ignore[valid-type]
    function_call: refused("use `tool_choice`") = None  # type: ignore[valid-type]
    reasoning_effort: refused("it is not passed on to model servers") = None  # type: ignore[valid-type]
    verbosity: refused("it is not passed on to model servers", "medium") = None  # type: ignore[valid-type]
    prediction: refused("it is not passed on to model servers") = None  # type: ignore[valid-type]
    prompt_cache_retention: refused("model servers cache as they see fit", "in_memory") = None  # type: ignore[valid-type]
    prompt_cache_options: refused("model servers cache as they see fit", {}) = None  # type: ignore[valid-type]
    web_search_options: refused("there are no hosted tools") = None  # type: ignore[valid-type]
    moderation: refused("nothing is moderated") = None  # type: ignore[valid-type]

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with the tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def check(self, agent: Agent, provider: Provider, *, owned: bool) -> None:
        """Check the parameters in combination, and against the agent; `owned`: it is the caller's.

        Raises:
            ValidationFailed: a parameter is not allowed here.
            TooLarge: an image is too large.
        """
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            refuse("max_tokens", "must not differ from max_completion_tokens")
        if self.stream_options is not None and not self.stream:
            refuse("stream_options", "is allowed only with stream: true")
        name = "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"
        check_limit(name, self._limit, agent, owned=owned)
        for image in images_in(self.messages):
            if agent.settings.get("images") is False:
                refuse(image, "this agent accepts no images", "unsupported_value")
        chosen = self.tool_choice.function.name if isinstance(self.tool_choice, ChatToolChoice) else None
        check_functions(agent, provider, self.inquiry(), self.tool_choice, chosen, "tool_choice.function.name")

    @property
    def _limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    def inquiry(self) -> Inquiry:
        """Return what is asked of the agent."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        choice = self.tool_choice
        settings = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self._limit,
            "stop": None if stop is None else tuple(stop),
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "seed": self.seed,
            "tool_choice": choice.model_dump() if isinstance(choice, ChatToolChoice) else choice,
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": _format(self.response_format),
        }
        return Inquiry(
            messages=chat_messages(self.messages),
            settings={name: value for name, value in settings.items() if value is not None},
            tools=tuple(tool.function.model_dump(exclude_none=True) for tool in self.tools or ()),
            reasoning=reasoning_of(self.messages),
        )


def _format(given: ChatTextFormat | ChatJsonFormat | ChatSchemaFormat | None) -> dict[str, Any] | None:
    # Some servers know the field, but not its default.
    if given is None or isinstance(given, ChatTextFormat):
        return None
    return given.model_dump(by_alias=True, exclude_none=True)
