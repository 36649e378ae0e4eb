"""The services that routes use."""

from dataclasses import dataclass

from flask import current_app

from bot.access.agent_cache import AgentCache, ConversationAgents
from bot.access.auth_failures import AuthFailureLog
from bot.access.authentication import Authentication
from bot.access.cursors import Cursors
from bot.access.last_used import LastUsedRecorder
from bot.access.secrets import Vault
from bot.access.sign_in_log import SignInLog
from bot.erasures import Erasures
from bot.llm.providers import Providers
from bot.settings import Settings
from bot.turns.completions import CompletionService
from bot.turns.follower_room import FollowerRoom
from bot.turns.leases import LeaseKeeper
from bot.turns.recovery import TurnRecovery
from bot.turns.service import TurnService
from bot.turns.streams import TurnStreams


@dataclass(frozen=True)
class Services:
    """Everything that is created once per process, by `bot.app.create_app`."""

    settings: Settings
    authentication: Authentication
    last_used: LastUsedRecorder
    sign_in_log: SignInLog
    auth_failures: AuthFailureLog
    cursors: Cursors
    agent_cache: AgentCache
    conversation_agents: ConversationAgents
    vault: Vault
    providers: Providers
    leases: LeaseKeeper
    recovery: TurnRecovery
    turns: TurnService
    completions: CompletionService
    streams: TurnStreams
    followers: FollowerRoom
    erasures: Erasures


EXTENSION = "bot"


def services() -> Services:
    """Return the services of the running application."""
    found: Services = current_app.extensions[EXTENSION]
    return found


def settings() -> Settings:
    """Return the deployment's settings."""
    return services().settings


def vault() -> Vault:
    """Return what encrypts integration details."""
    return services().vault
