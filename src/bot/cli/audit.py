"""`bot audit`: a user's audit trail."""

import json

import click

from bot.cli.local import with_table
from bot.printable import printable_line
from bot.settings import Settings
from models.access_patterns.audit import list_events
from models.access_patterns.users import get_user_by_email
from models.table.tenancy import acting_for


@click.command()
@click.option("--email", help="The user with this email.")
@click.option("--user-id", help="The user with this id, even if deleted.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many records.")
@with_table
def audit(settings: Settings, email: str | None, user_id: str | None, limit: int) -> None:  # noqa: ARG001
    """Show a user's audit trail, newest first: time, action, actor, target, address, details."""
    if (email is None) == (user_id is None):
        raise click.UsageError("Choose one of --email and --user-id.")
    whose = acting_for(user_id if user_id is not None else get_user_by_email(email or "").user_id)
    for event in list_events(whose, limit).items:
        who = f"{event.actor_id} ({event.key_id})" if event.key_id else event.actor_id
        details = json.dumps(event.details) if event.details else ""
        words = (f"{event.at:%Y-%m-%d %H:%M:%S}", event.action, who, event.target_id, event.address, details)
        click.echo(printable_line("  ".join(word for word in words if word)))
