"""`bot openapi`: the OpenAPI document, without a server."""

import json

import click

from bot.app import create_app


@click.command()
def openapi() -> None:
    """Print the OpenAPI document as JSON."""
    click.echo(json.dumps(create_app().api_doc, indent=2))
