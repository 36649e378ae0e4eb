"""An application inside a command, which serves no requests from outside."""

from pydantic import SecretStr

from bot.app import create_app
from bot.http.openapi import Application
from bot.settings import Settings


def guest_application(settings: Settings | None = None) -> Application:
    """Make an application without the deployment's secret: none is read or generated for it."""
    return create_app((settings or Settings()).model_copy(update={"secret_key": SecretStr("x" * 32)}))
