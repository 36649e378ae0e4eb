"""`bot openapi`: the OpenAPI document, without a server."""

import json

import click
from pydantic import SecretStr

from bot.app import create_app
from bot.settings import Settings


@click.command()
def openapi() -> None:
    """Print the OpenAPI document as JSON."""
    # The document holds no secret, so none is made or read for it.
    settings = Settings().model_copy(update={"secret_key": SecretStr("unused")})
    click.echo(json.dumps(create_app(settings).api_doc, indent=2))
