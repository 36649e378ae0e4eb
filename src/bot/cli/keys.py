"""`bot keys`: API keys, for the operator."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import click

from bot.access.keys import issue_key, revoke_key
from bot.cli.local import with_table
from bot.printable import printable_line
from bot.settings import Settings
from models.access_patterns.api_keys import list_api_keys
from models.access_patterns.users import get_user_by_email
from models.api_key import Scope
from models.table import clock
from models.table.tenancy import acting_for

_PAGE = 100


@click.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command()
@click.option("--email", required=True, help="The email of the key's user.")
@click.option("--name", help="What it is for.")
@click.option("--days", type=click.IntRange(1, 3650), help="Days until it expires; never if not set.")
@click.option(
    "--scope",
    type=click.Choice(get_args(Scope)),
    default="full",
    show_default=True,
    help="What it may be used for: everything the user may do, reads only, or one agent.",
)
@click.option("--agent", "agent_id", help="The agent, with the scope 'agent'.")
@with_table
def create(
    settings: Settings,  # noqa: ARG001
    email: str,
    name: str | None,
    days: int | None,
    scope: Scope,
    agent_id: str | None,
) -> None:
    """Create an API key and print it, and nothing else, on standard output. It is not shown again."""
    if (scope == "agent") != (agent_id is not None):
        raise click.UsageError("--scope agent and --agent must be used together.")
    expires = clock.now() + timedelta(days=days) if days else None
    key, _ = issue_key(get_user_by_email(email), name=name, expires=expires, scope=scope, agent_id=agent_id)
    click.echo(key)


@keys.command(name="list")
@click.option("--email", required=True, help="The email of the keys' user.")
@with_table
def list_(settings: Settings, email: str) -> None:  # noqa: ARG001
    """List a user's keys: id, last characters, when created, expiry, last use, scope, name."""
    user, after = get_user_by_email(email), None
    while True:
        page = list_api_keys(acting_for(user.user_id), _PAGE, after)
        for entry in page.items:
            end = datetime.fromtimestamp(entry.expires_at, UTC).date() if entry.expires_at else "never"
            used = f"{entry.last_used_at:%Y-%m-%dT%H}" if entry.last_used_at else "unused"
            scope = entry.agent_id or entry.scope
            line = (
                f"{entry.key_id}  …{entry.hint}  {entry.created_at.date()}  {end}  {used}  {scope}  {entry.name or ''}"
            )
            click.echo(printable_line(line).rstrip())
        if not page.more:
            return
        after = page.items[-1].key_id


@keys.command()
@click.option("--email", required=True, help="The email of the keys' user.")
@click.argument("key_id")
@with_table
def revoke(settings: Settings, email: str, key_id: str) -> None:  # noqa: ARG001
    """Revoke a key, effective immediately."""
    revoke_key(acting_for(get_user_by_email(email).user_id), key_id)
    click.echo(f"Revoked {key_id}.")
