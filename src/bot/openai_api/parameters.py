"""The three classes of parameters, declared with each parameter of a request.

Honoured: it has its effect; every parameter is unless its declaration says otherwise. Accepted: clients send it, and it
has no effect here (`Accepted`). Refused: 400 with its name, except for values that ask for nothing (`refused`). Unknown
parameters are refused as well, so nothing is ignored silently. `docs/openai.md` has a table made from this.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, JsonValue, WithJsonSchema
from pydantic_core import PydanticCustomError

Class = Literal["honoured", "accepted", "refused"]


@dataclass(frozen=True)
class Support:
    """How a parameter is treated, and a note for the table."""

    level: Class
    note: str


def accepted(note: str) -> Support:
    """Return the mark of a parameter without effect; goes into its `Annotated`."""
    return Support("accepted", note)


def refused(why: str, *harmless: JsonValue) -> Any:
    """Return the type of a parameter that is refused.

    Args:
        why: the end of the error's message, and the note in the table.
        harmless: values that ask for nothing, such as the default; null is always one.
    """
    allowed = [None, *harmless]

    def check(value: JsonValue) -> JsonValue:
        # In Python 1 == True, so the types are compared too.
        if any(type(value) is type(each) and value == each for each in allowed):
            return value
        # Curly brackets would be placeholders.
        raise PydanticCustomError("unsupported_parameter", "{why}", {"why": why})

    schema = WithJsonSchema({"enum": allowed, "description": f"Not supported: {why}."})
    return Annotated[JsonValue, AfterValidator(check), schema, Support("refused", _note(why, harmless))]


def _note(why: str, harmless: tuple[JsonValue, ...]) -> str:
    if not harmless:
        return why
    values = ", ".join("`" + repr(each).replace("'", '"').lower() + "`" for each in harmless)
    return f"{why}; {values} {'is' if len(harmless) == 1 else 'are'} accepted"


def parameters(model: type[BaseModel]) -> Iterator[tuple[str, Support]]:
    """Yield the parameters of a request with their classes, in the order of their declaration."""
    for name, field in model.model_fields.items():
        marks = [mark for mark in field.metadata if isinstance(mark, Support)]
        yield field.alias or name, marks[0] if marks else Support("honoured", field.description or "")
