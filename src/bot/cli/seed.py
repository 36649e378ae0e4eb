"""`bot seed`: sample data for development and demonstrations."""

import sys

import click

from bot.cli.local import with_table
from bot.llm.providers import DEFAULT_OPENAI_MODEL, ECHO_MODEL
from bot.seed.content import person
from bot.seed.writer import Plan, write
from bot.settings import Settings
from models import schema


@click.command()
@click.option("--users", type=click.IntRange(1, 10_000), default=3, show_default=True, help="How many users.")
@click.option(
    "--conversations", type=click.IntRange(0, 10_000), default=4, show_default=True, help="How many per user."
)
@click.option(
    "--messages",
    type=click.IntRange(0, 1_000_000),
    default=12,
    show_default=True,
    help="How many per conversation.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same number gives the same texts.")
@click.option("--who", is_flag=True, help="Write nothing; print only the first user's email on standard output.")
@with_table
def seed(settings: Settings, users: int, conversations: int, messages: int, seed: int, who: bool) -> None:
    """Fill the table with sample users, agents and conversations; the table is created if it does not exist.

    Names, emails, titles and texts depend only on --seed; ids and times are new. A second run adds only what is
    missing, so it can be repeated, interrupted and enlarged.
    """
    first, _ = person(seed, 0)
    if who:
        click.echo(first)
        return
    with_openai = settings.openai_api_key or settings.openai_base_url
    provider, model = (
        ("openai", settings.default_model or DEFAULT_OPENAI_MODEL) if with_openai else ("echo", ECHO_MODEL)
    )
    schema.create_table()
    plan = Plan(users, conversations, messages, seed, provider, model)
    with click.progressbar(length=plan.steps, label="Seeding", file=sys.stderr) as bar:
        written = write(plan, bar.update)
    click.echo(
        f"Added {written.users:,} users, {written.agents:,} agents, {written.conversations:,} conversations and "
        f"{written.messages:,} messages. The first user is {first}."
    )
