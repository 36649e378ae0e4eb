"""Pydantic's errors as ours: each invalid field by its path in the request, and by the rule that it breaks."""

import re

from pydantic import ValidationError

from bot import errors
from bot.errors import BotError, FieldError, FieldRule

# What pydantic puts at the end of a location for the branch of a union, or for a name instead of its value.
_BRANCH = re.compile(r"str|int|float|bool|none|\[key\]|(list|dict|function-|tagged-union|constrained-|nullable).*")
# What pydantic calls the errors that have a rule of their own; `bot.openai_api` raises the last one.
_RULES: dict[str, FieldRule] = {
    "missing": "missing",
    "extra_forbidden": "unknown",
    "literal_error": "unsupported_value",
    "union_tag_invalid": "unsupported_value",
    "unsupported_parameter": "unsupported",
}
_TYPES = re.compile(r".*_type|.*_parsing|is_instance_of")


def from_validation(error: ValidationError, body: object) -> BotError:
    """Return a pydantic error as one of ours, each field by its path in `body` (or by its name elsewhere)."""
    messages: dict[str, list[str]] = {}
    rules: dict[str, FieldRule] = {}
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        path = _path(each["loc"], body)
        messages.setdefault(path, []).append(each["msg"].removeprefix("Value error, "))
        rules.setdefault(path, _rule(each["type"]))
    fields = tuple(
        FieldError(field, "; or: ".join(found), rules[field])
        for field, found in messages.items()
        # In a union, the branch that was meant is the one with the deeper error.
        if not any(other.startswith(f"{field}.") for other in messages)
    )
    return errors.ValidationFailed(
        "; ".join(f"{each.field}: {each.message}" for each in fields[:5]),
        fields=fields,
    )


def _rule(kind: str) -> FieldRule:
    return _RULES.get(kind) or ("type" if _TYPES.fullmatch(kind) else "other")


def _path(location: tuple[int | str, ...], body: object) -> str:
    """Return a location without the names of branches that pydantic mixes in: those that lead nowhere in the body."""
    found = _followed(location, body)
    return ".".join(str(part) for part in (location if found is None else found)) or "body"


def _followed(location: tuple[int | str, ...], here: object) -> list[int | str] | None:
    """Return the parts of a location that lead from `here` to a value, or to a field that is missing there."""
    if not location:
        return []
    part, rest = location[0], location[1:]
    there = (isinstance(here, dict) and part in here) or (isinstance(here, list) and part in range(len(here)))
    if there and (found := _followed(rest, here[part])) is not None:  # type: ignore[index]
        return [part, *found]
    if rest:
        return _followed(rest, here)
    if _BRANCH.fullmatch(str(part)):
        return []
    return [part] if isinstance(here, dict) else None
