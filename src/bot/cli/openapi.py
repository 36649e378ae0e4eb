"""`bot openapi`: the OpenAPI document, without a server."""

import json

import click

from bot.cli.guest import guest_application


@click.command()
def openapi() -> None:
    """Print the OpenAPI document as JSON."""
    click.echo(json.dumps(guest_application().api_doc, indent=2))
