"""`bot agents`: agents, from the operator's side."""

import click

from bot.cli.local import with_table
from bot.settings import Settings
from models.access_patterns.agents import find_agent_owner, get_agent
from models.tenancy import acting_for


@click.group()
def agents() -> None:
    """Look at agents."""


@agents.command()
@click.argument("agent_id")
@with_table
def show(settings: Settings, agent_id: str) -> None:  # noqa: ARG001
    """Show whose an agent is and how it is set up; its system message stays its owner's."""
    owner = find_agent_owner(agent_id)
    agent = get_agent(acting_for(owner), agent_id)
    click.echo(f"{agent.agent_id}  {agent.name}")
    click.echo(f"  owner      {owner}")
    click.echo(f"  provider   {agent.provider}, {agent.model}, with the credentials: {agent.credentials}")
    click.echo(f"  settings   {', '.join(f'{name}={value}' for name, value in agent.settings.items()) or 'none'}")
    click.echo(f"  functions  {', '.join(each['name'] for each in agent.functions or []) or 'none'}")
    click.echo(f"  version    {int(agent.version)}, changed {agent.updated_at:%Y-%m-%d %H:%M} UTC")
