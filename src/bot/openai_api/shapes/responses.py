"""The body of a response: each parameter is honoured, or declared as accepted or refused."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from bot.http.types import WHOLE, Body, Json
from bot.llm.types import ChatMessage, Provider
from bot.openai_api.offers import check_functions, check_limit, refuse
from bot.openai_api.parameters import accepted, refused
from bot.openai_api.shapes.items import InputItem, attachments_in, chat_messages, reasoning_of
from bot.openai_api.shapes.messages import FunctionName
from bot.turns.completions import Inquiry
from models.agent import Agent

_NOT_STORED = "responses are not stored yet, so send the whole conversation as `input`"
_TokenLimit = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]
_MetadataName = Annotated[str, Field(min_length=1, max_length=64)]
_MetadataValue = Annotated[str, Field(max_length=512)]
_Included = Literal["reasoning.encrypted_content"]


class FunctionTool(Body):
    """A function that the model may call; the client runs it."""

    type: Literal["function"]
    name: FunctionName
    description: Annotated[str, Field(max_length=4096)] | None = None
    parameters: dict[str, Json] | None = Field(None, description="A JSON Schema of the arguments.")
    strict: bool | None = None


def _no_hosted_tools(tool: Any) -> Any:
    kind = tool.get("type") if isinstance(tool, dict) else "function"
    if isinstance(kind, str) and kind != "function":
        # Curly brackets would be placeholders.
        why = "there are no hosted tools, only functions"
        raise PydanticCustomError("unsupported_parameter", "{why}", {"why": why})
    return tool


Tool = Annotated[FunctionTool, BeforeValidator(_no_hosted_tools)]


class ChosenFunction(Body):
    """The one function that the model must call."""

    type: Literal["function"]
    name: FunctionName


class TextFormat(Body):
    """Text: the default."""

    type: Literal["text"]


class JsonObjectFormat(Body):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchemaFormat(Body):
    """JSON in this form."""

    type: Literal["json_schema"]
    name: FunctionName
    schema_: dict[str, Json] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextConfig(Body):
    """The form of the answer's text."""

    format: Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")] | None = Field(
        None, description="Passed to the model server, which decides whether it can do that."
    )
    verbosity: refused("it is not passed on to model servers", "medium") = None  # type: ignore[valid-type]


class ResponseStreamOptions(Body):
    """What a stream contains beyond the answer."""

    include_obfuscation: Annotated[bool | None, accepted("nothing is added to hide the lengths of texts")] = None


class _Asked(Body):
    """What a response is asked for."""

    model: str = Field(min_length=1, max_length=400, description="The agent: its slug, or its id.")
    input: str | list[InputItem] = Field(description="A message of the user, or the whole conversation as items.")
    instructions: str | None = Field(None, description="They follow the agent's system message.")
    tools: Annotated[list[Tool], Field(max_length=128)] | None = Field(
        None, description="Functions, which replace those of the agent. None, or an empty list: those of the agent."
    )
    tool_choice: Literal["none", "auto", "required"] | ChosenFunction | None = Field(
        None, description="By default the agent's. `none`: the model calls no functions, not even the agent's."
    )
    parallel_tool_calls: bool | None = Field(None, description="By default the agent's.")
    text: TextConfig | None = None
    truncation: refused("all of the input is sent", "disabled") = None  # type: ignore[valid-type]
    reasoning: refused("it is not passed on to model servers", {}) = None  # type: ignore[valid-type]
    conversation: refused(_NOT_STORED) = None  # type: ignore[valid-type]
    previous_response_id: refused(_NOT_STORED) = None  # type: ignore[valid-type]


class InputTokensCount(_Asked):
    """A response whose input tokens are counted; no model is asked."""

    personality: refused("the agent's system message describes it") = None  # type: ignore[valid-type]


class ResponseCreate(_Asked):
    """A response: an agent's model answers the input."""

    stream: bool | None = Field(None, description="Answer with server-sent events.")
    stream_options: ResponseStreamOptions | None = Field(None, description="Only with `stream`.")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="By default the agent's.")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(None, description="By default the agent's.")
    max_output_tokens: _TokenLimit | None = Field(
        None, description="By default the agent's `max_tokens`, which only its owner can exceed."
    )
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = Field(None, description="By default the agent's.")
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = Field(None, description="By default the agent's.")
    metadata: Annotated[dict[_MetadataName, _MetadataValue], Field(max_length=16)] | None = Field(
        None, description="Up to 16 names and values, which come back with the response."
    )

    include: Annotated[list[_Included] | None, accepted("reasoning is sent as text, never encrypted")] = None
    user: Annotated[str | None, accepted("the user is the one of the API key")] = None
    safety_identifier: Annotated[str | None, accepted("the user is the one of the API key")] = None
    prompt_cache_key: Annotated[str | None, accepted("model servers cache as they see fit")] = None
    service_tier: Annotated[
        Literal["auto", "default"] | None, accepted("there is one tier; the answer says `default`")
    ] = None

    store: refused("responses are not stored yet", False) = None  # type: ignore[valid-type]
    background: refused("responses are not stored yet", False) = None  # type: ignore[valid-type]
    background_options: refused("responses are not stored yet") = None  # type: ignore[valid-type]
    top_logprobs: refused("log probabilities are not passed on", 0) = None  # type: ignore[valid-type]
    max_tool_calls: refused("it limits hosted tools, and there are none") = None  # type: ignore[valid-type]
    prompt: refused("prompts are kept with agents") = None  # type: ignore[valid-type]
    prompt_cache_retention: refused("model servers cache as they see fit", "in_memory") = None  # type: ignore[valid-type]
    prompt_cache_options: refused("model servers cache as they see fit", {}) = None  # type: ignore[valid-type]
    context_management: refused("all of the input is sent", []) = None  # type: ignore[valid-type]
    moderation: refused("nothing is moderated") = None  # type: ignore[valid-type]
    access_programs: refused("there are none") = None  # type: ignore[valid-type]
    image: refused("the agents' models generate text only") = None  # type: ignore[valid-type]

    def check(self, agent: Agent, provider: Provider, *, owned: bool) -> None:
        """Check the parameters in combination, and against the agent; `owned`: it is the caller's.

        Raises:
            ValidationFailed: a parameter is not allowed here.
            TooLarge: an image is too large.
        """
        if not self.input:
            refuse("input", "must not be empty")
        if self.stream_options is not None and not self.stream:
            refuse("stream_options", "is allowed only with stream: true")
        check_limit("max_output_tokens", self.max_output_tokens, agent, owned=owned)
        for place, message in attachments_in(self.input):
            if message.role != "user":
                refuse(place, "only the user's messages may have images and files", "unsupported_value")
            if agent.settings.get("images") is False:
                refuse(place, "this agent accepts no images and files", "unsupported_value")
        chosen = self.tool_choice.name if isinstance(self.tool_choice, ChosenFunction) else None
        check_functions(agent, provider, inquiry_of(self), self.tool_choice, chosen, "tool_choice.name")

    def settings(self) -> dict[str, Any]:
        """Return what replaces the agent's settings, by the fields of a `ModelRequest`."""
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_output_tokens,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
        }


def inquiry_of(body: _Asked) -> Inquiry:
    """Return what is asked of the agent."""
    choice = body.tool_choice
    settings = {
        "tool_choice": {"type": "function", "function": {"name": choice.name}}
        if isinstance(choice, ChosenFunction)
        else choice,
        "parallel_tool_calls": body.parallel_tool_calls,
        "response_format": _format(body.text),
        **(body.settings() if isinstance(body, ResponseCreate) else {}),
    }
    instructions = (ChatMessage("system", body.instructions, sources=("instructions",)),) if body.instructions else ()
    return Inquiry(
        messages=(*instructions, *chat_messages(body.input)),
        settings={name: value for name, value in settings.items() if value is not None},
        tools=tuple(tool.model_dump(exclude={"type"}, exclude_none=True) for tool in body.tools or ()),
        reasoning=reasoning_of(body.input),
    )


def _format(text: TextConfig | None) -> dict[str, Any] | None:
    given = text.format if text else None
    # Some servers know the field, but not its default.
    if given is None or isinstance(given, TextFormat):
        return None
    if isinstance(given, JsonObjectFormat):
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": given.model_dump(by_alias=True, exclude={"type"}, exclude_none=True)}
