"""The model requests of turns: the provider, the credentials and the context."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from bot.access.secrets import Vault
from bot.errors import NotConfigured
from bot.llm.providers import Providers, UnknownProvider
from bot.llm.tokens import REPLY_PRIMING, count_message, count_tools
from bot.llm.types import ChatMessage, ModelRequest, Provider
from bot.turns.context import asked_of, build_context
from bot.turns.credentials import lent_credentials, own_credentials
from bot.turns.quotas import ANSWER_TOKENS as LONGEST_ANSWER
from models.access_patterns.reasoning import read_reasoning
from models.access_patterns.turn_beginnings import Begun
from models.access_patterns.users import get_user
from models.agent import Agent
from models.message import Message
from models.table.tenancy import UserId

WINDOW = 20
CONTEXT_TOKENS = 16_000
# Tokens of the context reserved for the answer if the agent sets no max_tokens; never more than half of it.
ANSWER_TOKENS = 512


class ModelRequests:
    """Builds the requests to models; one per process."""

    def __init__(self, providers: Providers, vault: Vault, *, embedded_context: int) -> None:
        """Take the available providers; `embedded_context` is the embedded model's context, in tokens."""
        self._providers = providers
        self._vault = vault
        self._embedded_context = embedded_context

    def provider(self, agent: Agent, user_id: UserId) -> Provider:
        """Return the provider for an agent in a user's turn.

        Cost: AP-02 if the credentials are a user's own, or the agent owner's.

        Raises:
            NotConfigured: this deployment has no such provider.
            CredentialsMissing: the user has none, and neither has the deployment.
            SecretsUnavailable: KMS does not answer.
        """
        try:
            # Other providers take no credentials, whatever the agent's settings say.
            if agent.provider != "openai":
                return self._providers.get(agent.provider)
            if agent.user_id != user_id:
                return self._providers.get("openai", lent_credentials(agent, self._vault))
            if agent.credentials == "own" or "openai" not in self._providers.names():
                user = get_user(user_id)
                return self._providers.get("openai", own_credentials(user, "openai", self._vault))
            return self._providers.get("openai")
        except UnknownProvider as error:
            raise NotConfigured(f"This deployment has no provider '{agent.provider}'.") from error

    def request(self, agent: Agent, provider: Provider, begun: Begun) -> ModelRequest:
        """Return the model request of a turn that has begun."""
        tools = tuple(agent.functions or ()) if provider.supports_tools else ()
        settings = model_settings(agent, tools)
        asked = asked_of(begun.earlier, begun.messages)
        shown = None if provider.takes_images(agent.model) else asked
        context = self._context(agent, tools, begun.earlier, begun.messages, older=begun.older, shown=shown)
        if begun.lease.claim is not None and begun.lease.claim.tokens:
            settings["max_tokens"] = settings.get("max_tokens") or LONGEST_ANSWER
        reasoning = partial(_reasoning_of, [*begun.earlier, *begun.messages])
        return ModelRequest(agent.model, context, tools=tools, asked=asked, reasoning=reasoning, **settings)

    def estimate(self, agent: Agent, earlier: Sequence[Message], current: Sequence[Message], older: bool) -> int:
        """Return an upper estimate of the tokens of a turn: its context as we count it, plus its longest answer."""
        tools = tuple(agent.functions or ())
        context = self._context(agent, tools, earlier, current, older=older)
        answer = agent.settings.get("max_tokens") or LONGEST_ANSWER
        return size_of(context, tools, agent.model) + int(answer)

    def _context(
        self,
        agent: Agent,
        tools: tuple[dict[str, Any], ...],
        earlier: Sequence[Message],
        current: Sequence[Message],
        *,
        older: bool,
        shown: frozenset[str] | None = None,
    ) -> tuple[ChatMessage, ...]:
        limit = agent.settings.get("context_tokens") or CONTEXT_TOKENS
        if agent.provider == "embedded":
            limit = min(limit, self._embedded_context)
        answer = min(agent.settings.get("max_tokens") or ANSWER_TOKENS, limit // 2)
        return build_context(
            agent.system_message,
            earlier,
            current,
            model=agent.model,
            functions={str(tool.get("name")) for tool in tools},
            shown=() if agent.settings.get("images") is False else shown,
            window=window_of(agent),
            budget=limit - answer - count_tools(tools, agent.model),
            cut=older,
        )


def model_settings(agent: Agent, tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the agent's settings that are fields of a `ModelRequest`, for a request that offers these functions."""
    settings = dict(agent.settings)
    for name in ("window", "context_tokens", "retention_days", "images", "keep_streams"):
        settings.pop(name, None)
    if not tools:
        settings.pop("tool_choice", None)
        settings.pop("parallel_tool_calls", None)
    settings["stop"] = tuple(settings.get("stop") or ())
    return settings


def window_of(agent: Agent) -> int:
    """Return how many messages of a conversation an agent sees."""
    return int(agent.settings.get("window") or WINDOW)


def size_of(messages: Sequence[ChatMessage], tools: tuple[dict[str, Any], ...], model: str) -> int:
    """Return how many tokens a request takes, as we count them."""
    return REPLY_PRIMING + sum(count_message(message, model) for message in messages) + count_tools(tools, model)


def _reasoning_of(messages: Sequence[Message]) -> Mapping[str, str]:
    """Return the reasoning of messages by their ids, as far as it exists and can be fetched now.

    Cost: AP-44.
    """
    read_reasoning(messages)
    found = {message.message_id: message.reasoning for message in messages if message.reasoning is not None}
    return {message_id: each.text for message_id, each in found.items() if each.unavailable is None}
