"""What a request may ask of an agent: its functions, and the length of its answers."""

from typing import Any, NoReturn

from bot.errors import FieldError, FieldRule, ValidationFailed
from bot.llm.types import Provider
from bot.turns.completions import Inquiry, functions_for
from models.agent import Agent


def check_limit(name: str, limit: int | None, agent: Agent, *, owned: bool) -> None:
    """Check the longest answer of a request; only an agent's owner can ask for more than the agent's own limit.

    Raises:
        ValidationFailed: it is higher than the agent's, which is another user's.
    """
    most = agent.settings.get("max_tokens")
    if not owned and limit is not None and most is not None and limit > most:
        refuse(name, f"must be at most {most}, the limit of this agent")


def check_functions(
    agent: Agent, provider: Provider, inquiry: Inquiry, choice: Any, chosen: str | None, field: str
) -> None:
    """Check the functions of a request, and its choice among them.

    Args:
        agent: the agent.
        provider: its provider.
        inquiry: what is asked.
        choice: the request's `tool_choice`.
        chosen: the name of the one function that it chooses, if it does.
        field: where that name is in the request.

    Raises:
        ValidationFailed: the agent's model calls no functions, or the choice is not among those that are offered.
    """
    if inquiry.tools and not provider.supports_tools:
        refuse("tools", "the model of this agent calls no functions", "unsupported")
    offered = [str(tool.get("name")) for tool in functions_for(agent, provider, inquiry)]
    if inquiry.tools and len(set(offered)) < len(offered):
        refuse("tools", "two functions have the same name")
    if choice == "required" and not offered:
        refuse("tool_choice", "there are no functions to call: send tools")
    if chosen is not None and chosen not in offered:
        refuse(field, "must be the name of one of the tools")


def refuse(field: str, message: str, rule: FieldRule = "other") -> NoReturn:
    """Refuse a parameter by its name.

    Raises:
        ValidationFailed: always.
    """
    raise ValidationFailed(f"{field}: {message}", fields=(FieldError(field, message, rule),))
