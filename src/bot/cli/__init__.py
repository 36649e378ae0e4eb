"""The `bot` command."""

import sys

import click
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError
from pynamodb.exceptions import PynamoDBException

from bot import __version__
from bot.cli.agents import agents
from bot.cli.chat import chat
from bot.cli.keys import keys
from bot.cli.openapi import openapi
from bot.cli.serve import serve
from bot.cli.table import table
from bot.cli.users import users
from bot.errors import BotError
from bot.local.children import EmbeddedUnavailable
from models.errors import TableError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bot")
def cli() -> None:
    """Turntable: every turn of every conversation, on one DynamoDB table.

    Settings come from the environment (docs/settings.md lists them). Start with `bot serve --local`, then `bot chat`.
    """


for command in (serve, chat, table, users, keys, agents, openapi):
    cli.add_command(command)


def main() -> None:
    """Run the command; what a person can mend is said in one line, without a traceback."""
    try:
        cli()
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            name = ".".join(str(part) for part in each["loc"])
            click.echo(f"Error: the setting {name}: {each['msg']}", err=True)
        sys.exit(2)
    except (BotError, TableError, EmbeddedUnavailable, ValueError) as error:
        _give_up(str(error))
    except PynamoDBException as error:
        _give_up(_reason(error.cause or error))
    except (ClientError, BotoCoreError) as error:
        _give_up(_reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ResourceNotFoundException":
        return "There is no such table. `bot table create` makes it; BOT_TABLE_NAME says which."
    return f"DynamoDB: {error}"


def _give_up(sentence: str) -> None:
    click.echo(f"Error: {sentence}", err=True)
    sys.exit(1)
