"""What routes take from the application that runs them."""

from dataclasses import dataclass

from flask import current_app

from bot.access.authentication import Authentication
from bot.access.cursors import Cursors
from bot.access.hints import AgentHints, Partners
from bot.access.refusals import Refusals
from bot.access.secrets import Vault
from bot.access.sign_ins import SignIns
from bot.access.uses import KeyUses
from bot.erasures import Erasures
from bot.llm.providers import Providers
from bot.settings import Settings
from bot.turns.leases import LeaseKeeper
from bot.turns.service import TurnService
from bot.turns.settling import Settler
from bot.turns.streams import TurnStreams


@dataclass(frozen=True)
class Services:
    """Everything that is made once for a process, by `bot.app.create_app`."""

    settings: Settings
    authentication: Authentication
    uses: KeyUses
    sign_ins: SignIns
    refusals: Refusals
    cursors: Cursors
    hints: AgentHints
    partners: Partners
    vault: Vault
    providers: Providers
    leases: LeaseKeeper
    settler: Settler
    turns: TurnService
    streams: TurnStreams
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
