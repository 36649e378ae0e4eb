"""An application inside of a command, which serves nobody."""

from pydantic import SecretStr

from bot.app import create_app
from bot.http.openapi import Application
from bot.settings import Settings


def guest_application(settings: Settings | None = None) -> Application:
    """Make an application without a secret of the deployment: none is read or made for it."""
    return create_app((settings or Settings()).model_copy(update={"secret_key": SecretStr("x" * 32)}))
