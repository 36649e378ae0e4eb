"""`bot agents`: agents, for the operator."""

import click

from bot.cli.local import with_table
from bot.printable import printable_line
from bot.settings import Settings
from models.access_patterns import sharing
from models.access_patterns.agents import find_agent_owner, get_agent
from models.access_patterns.users import get_user_by_email
from models.table.tenancy import UserId, acting_for


@click.group()
def agents() -> None:
    """Show agents, and share them with users."""


def _owner_of(agent_id: str) -> UserId:
    return acting_for(find_agent_owner(agent_id))


def _one_of(email: str | None, everyone: bool) -> None:
    if (email is None) == (not everyone):
        raise click.UsageError("Choose one of --with and --everyone.")


@agents.command()
@click.argument("agent_id")
@with_table
def show(settings: Settings, agent_id: str) -> None:  # noqa: ARG001
    """Show an agent's owner, configuration and shares, but not its system message."""
    owner = _owner_of(agent_id)
    agent = get_agent(owner, agent_id)
    friends = ", ".join(sorted(agent.shared_with_users))
    lent = ", lent to others" if agent.share_credentials else ""
    for line in (
        f"{agent.agent_id}  {agent.name}",
        f"  owner      {owner}",
        f"  shared     {'with everyone' if agent.published else friends or 'with nobody'}",
        f"  provider   {agent.provider}, {agent.model}, with the credentials: {agent.credentials}{lent}",
        f"  settings   {', '.join(f'{name}={value}' for name, value in agent.settings.items()) or 'none'}",
        f"  functions  {', '.join(each['name'] for each in agent.functions or []) or 'none'}",
        f"  version    {int(agent.version)}, changed {agent.updated_at:%Y-%m-%d %H:%M} UTC",
    ):
        click.echo(printable_line(line))


@agents.command()
@click.argument("agent_id")
@click.option("--with", "email", help="Share it with the user who has this email.")
@click.option("--everyone", is_flag=True, help="Publish it to all users of this deployment.")
@with_table
def share(settings: Settings, agent_id: str, email: str | None, everyone: bool) -> None:  # noqa: ARG001
    """Share an agent with one user, or with everyone. They never see its configuration."""
    _one_of(email, everyone)
    owner = _owner_of(agent_id)
    if email is None:
        sharing.publish_agent(owner, agent_id, published=True)
        click.echo(f"Published {agent_id}.")
    else:
        grantee = get_user_by_email(email).user_id
        if grantee == owner:
            raise click.UsageError("That user owns the agent.")
        sharing.share_agent(owner, agent_id, grantee)
        click.echo(f"Shared {agent_id} with {grantee}.")


@agents.command()
@click.argument("agent_id")
@click.option("--with", "email", help="Revoke the share of the user who has this email.")
@click.option("--everyone", is_flag=True, help="Unpublish it; users it is shared with individually keep access.")
@with_table
def unshare(settings: Settings, agent_id: str, email: str | None, everyone: bool) -> None:  # noqa: ARG001
    """Stop sharing an agent, effective immediately. Users keep their conversations with it."""
    _one_of(email, everyone)
    owner = _owner_of(agent_id)
    if email is None:
        sharing.publish_agent(owner, agent_id, published=False)
        click.echo(f"Unpublished {agent_id}.")
    else:
        grantee = get_user_by_email(email).user_id
        sharing.unshare_agent(owner, agent_id, grantee)
        click.echo(f"Revoked the share of {agent_id} with {grantee}.")
