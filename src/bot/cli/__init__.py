"""The `bot` command."""

import sys
from importlib import import_module

import click
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from pydantic import ValidationError
from pynamodb.exceptions import PynamoDBException

from bot import __version__
from bot.errors import BotError
from bot.local.children import EmbeddedUnavailable
from bot.printable import printable
from bot.startup import uncollected
from models.table.errors import TableError

# Each is imported on demand: `bot chat` need not wait for the imports of `bot serve`.
COMMANDS = (
    *("serve", "chat", "seed", "table", "users", "keys", "agents", "audit", "usage"),
    *("secrets", "blobs", "erasures", "patterns", "docs", "openapi"),
)


class Commands(click.Group):
    """The commands; each is the function in `bot.cli` with the same name as its module."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, or None if there is none with that name."""
        if cmd_name not in COMMANDS:
            return None
        with uncollected():
            found: click.Command = getattr(import_module(f"bot.cli.{cmd_name}"), cmd_name)
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bot")
def cli() -> None:
    """Turntable: every turn of every conversation, on one DynamoDB table.

    Settings come from the environment (docs/settings.md lists them). Start with `bot serve --local`, then `bot chat`.
    """


def main() -> None:
    """Run the command; errors that a person can fix are reported in one line, without a traceback."""
    try:
        cli()
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            name = ".".join(str(part) for part in each["loc"])
            click.echo(f"Error: the setting {name}: {printable(each['msg'])}", err=True)
        sys.exit(2)
    except (BotError, TableError, EmbeddedUnavailable, ValueError, OSError) as error:
        _give_up(str(error))
    except PynamoDBException as error:
        _give_up(_reason(error.cause or error))
    except (ClientError, BotoCoreError) as error:
        _give_up(_reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ResourceNotFoundException":
        return "The table does not exist. Create it with `bot table create`; BOT_TABLE_NAME is its name."
    if isinstance(error, NoCredentialsError):
        return (
            "No AWS credentials were found. Set them as for any AWS program, or add --local for the table of "
            "`bot serve --local`."
        )
    return f"DynamoDB: {error}"


def _give_up(sentence: str) -> None:
    click.echo(f"Error: {printable(sentence)}", err=True)
    sys.exit(1)
