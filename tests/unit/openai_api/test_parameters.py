"""Every parameter of the installed SDK belongs to one of three classes, so that a new SDK shows what is new."""

from typing import Annotated

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase, CompletionCreateParamsStreaming
from openai.types.responses.input_token_count_params import InputTokenCountParams
from openai.types.responses.response_create_params import ResponseCreateParamsBase, ResponseCreateParamsStreaming
from pydantic import BaseModel, JsonValue, ValidationError

from bot.openai_api.documented import PAGE, parameters_page
from bot.openai_api.parameters import accepted, parameters, refused
from bot.openai_api.shapes.chat import ChatCompletionCreate
from bot.openai_api.shapes.responses import InputTokensCount, ResponseCreate
from tests.processes import ROOT

# Open Responses has these two, OpenAI's responses have not.
OPEN_RESPONSES = {"presence_penalty", "frequency_penalty"}
REQUESTS: list[tuple[type[BaseModel], set[str]]] = [
    (
        ChatCompletionCreate,
        {*CompletionCreateParamsBase.__annotations__, *CompletionCreateParamsStreaming.__annotations__},
    ),
    (
        ResponseCreate,
        {*ResponseCreateParamsBase.__annotations__, *ResponseCreateParamsStreaming.__annotations__, *OPEN_RESPONSES},
    ),
    (InputTokensCount, {*InputTokenCountParams.__annotations__}),
]


@pytest.mark.parametrize(("request_model", "known"), REQUESTS)
def test_every_parameter_of_the_sdk_is_declared_and_no_others_are(
    request_model: type[BaseModel], known: set[str]
) -> None:
    assert {name for name, _ in parameters(request_model)} == known


@pytest.mark.parametrize(("request_model", "known"), REQUESTS)
def test_every_parameter_without_an_effect_says_why(request_model: type[BaseModel], known: set[str]) -> None:
    for name, support in parameters(request_model):
        assert support.level == "honoured" or support.note, name


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / PAGE).read_text() == parameters_page(), "run `make docs`"


class Request(BaseModel):
    """One parameter of each class."""

    seed: int | None = None
    user: Annotated[str | None, accepted("it has no effect")] = None
    n: refused("it cannot be done", 1, [], False) = None  # type: ignore[valid-type]


def test_the_classes_are_read_from_the_declarations() -> None:
    assert [(name, support.level) for name, support in parameters(Request)] == [
        ("seed", "honoured"),
        ("user", "accepted"),
        ("n", "refused"),
    ]
    assert dict(parameters(Request))["n"].note == "it cannot be done; `1`, `[]`, `false` are accepted"


@pytest.mark.parametrize("harmless", [None, 1, [], False])
def test_a_refused_parameter_may_ask_for_nothing(harmless: JsonValue) -> None:
    assert Request.model_validate({"n": harmless})


@pytest.mark.parametrize("value", [True, 0, 2, "", "1", {}, [1], 1.0])
def test_a_refused_parameter_may_have_no_other_value(value: JsonValue) -> None:
    with pytest.raises(ValidationError) as error:
        Request.model_validate({"n": value})
    assert error.value.errors()[0]["type"] == "unsupported_parameter"
    assert "it cannot be done" in str(error.value)
