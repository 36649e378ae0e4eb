"""`bot users`: users, for the operator."""

from typing import Any, TextIO, get_args

import click
from pydantic import ValidationError

from bot.api.limits import LimitsPatch
from bot.api.limits import show as limits_view
from bot.cli.erasures import OPERATOR, remove
from bot.cli.local import with_table
from bot.printable import printable_line
from bot.settings import Settings
from models.access_patterns.allowances import change_limits, get_allowance
from models.access_patterns.identities import readmit_identity
from models.access_patterns.roles import change_role
from models.access_patterns.users import create_user, get_user_by_email, list_users
from models.table.errors import EmailTaken
from models.table.tenancy import acting_for
from models.user import Role

_PAGE = 100


@click.group()
def users() -> None:
    """Create, list, limit, export and delete users."""


@users.command()
@click.option("--email", required=True, help="The email; no other user may have it, in any spelling.")
@click.option("--name", help="The user's display name.")
@click.option("--admin", is_flag=True, help="The user may manage users.")
@with_table
def create(settings: Settings, email: str, name: str | None, admin: bool) -> None:  # noqa: ARG001
    """Create a user and print the id."""
    try:
        user = create_user(email, name=name, role="admin" if admin else "user")
    except EmailTaken as error:
        raise click.ClickException(f"{error} Choose another email; `bot users list` shows who has it.") from error
    click.echo(user.user_id)


@users.command(name="list")
@with_table
def list_(settings: Settings) -> None:  # noqa: ARG001
    """List all users: id, email, role, name."""
    after = None
    while True:
        page = list_users(_PAGE, after)
        for user in page.items:
            line = f"{user.user_id}  {user.email or 'no email'}  {user.role}  {user.name or ''}"
            click.echo(printable_line(line).rstrip())
        if not page.more:
            return
        after = page.items[-1].user_id


@users.command()
@click.option("--email", required=True, help="The user's email.")
@click.option(
    "--output", type=click.File("w", encoding="utf-8", lazy=False), default="-", help="The file; - is standard output."
)
@with_table
def export(settings: Settings, email: str, output: TextIO) -> None:
    """Export all of a user's data as JSON Lines; the last line says that the export is complete."""
    # Imported here: no other command of this group needs the application.
    from bot.api.export_lines import export as lines_of
    from bot.app import create_app

    user = get_user_by_email(email)
    with create_app(settings).app_context():
        output.writelines(lines_of(user, acting_for(user.user_id)))


@users.command()
@click.option("--email", required=True, help="The user's email.")
@click.confirmation_option(prompt="Delete this user with all agents, conversations, messages, state and keys?")
@with_table
def delete(settings: Settings, email: str) -> None:
    """Delete a user and all their data."""
    user = get_user_by_email(email)
    job = remove(settings, lambda erasures: erasures.user(acting_for(user.user_id), asked_by=OPERATOR))
    click.echo(f"The receipt is {job.erasure_id}.", err=True)
    click.echo(f"Deleted {user.user_id}.")


@users.command()
@click.option("--email", required=True, help="The user's email.")
@click.argument("role", metavar="ROLE", type=click.Choice(get_args(Role)))
@with_table
def role(settings: Settings, email: str, role: Role) -> None:  # noqa: ARG001
    """Grant a user administrator rights (ROLE admin) or revoke them (ROLE user), effective immediately.

    A key that was created before its user became an administrator never gets these rights: create a new one.
    """
    user = get_user_by_email(email)
    changed = change_role(acting_for(user.user_id), role)
    click.echo(f"{user.user_id} is now {role}." if changed else f"{user.user_id} is already {role}.")


@users.command()
@click.option("--email", required=True, help="The user's email.")
@click.option(
    "--set", "wanted", multiple=True, metavar="LIMIT=NUMBER", help="Set a limit; LIMIT=none restores the deployment's."
)
@with_table
def limits(settings: Settings, email: str, wanted: tuple[str, ...]) -> None:
    """Show a user's limits and their current use, as JSON.

    With --set, override one of the deployment's limits: tokens_per_day, tokens_per_month or turns_at_once.
    """
    changes = _limits(wanted)
    owner = acting_for(get_user_by_email(email).user_id)
    allowance = change_limits(owner, changes) if changes else get_allowance(owner)
    click.echo(limits_view(allowance, settings.limits).model_dump_json(indent=2))


def _limits(wanted: tuple[str, ...]) -> dict[str, Any]:
    """Return the limits from the options, validated like a request to the API."""
    given = (each.partition("=")[::2] for each in wanted)
    read = {name: None if said == "none" else int(said) if said.isdecimal() else said for name, said in given}
    try:
        return LimitsPatch.model_validate(read).model_dump(exclude_unset=True)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        raise click.BadParameter(f"{wrong['loc'][0]}: {wrong['msg']}", param_hint="--set") from error


@users.command()
@click.option("--issuer", required=True, help="The tokens' issuer, `iss`.")
@click.option("--subject", required=True, help="The tokens' subject, `sub`.")
@with_table
def readmit(settings: Settings, issuer: str, subject: str) -> None:  # noqa: ARG001
    """Let the subject of a deleted user sign in again: the next token creates a new user, without the old data."""
    readmit_identity(issuer, subject)
    click.echo("Readmitted.")
