"""An application inside a command, which serves no external requests."""

from pydantic import SecretStr

from bot.app import create_app
from bot.http.openapi import Application
from bot.settings import Settings


def guest_application(settings: Settings | None = None) -> Application:
    """Return an application with a dummy secret, so that none is read or generated."""
    return create_app((settings or Settings()).model_copy(update={"secret_key": SecretStr("x" * 32)}))
