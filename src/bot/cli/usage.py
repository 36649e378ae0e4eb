"""`bot usage`: a user's token usage."""

from calendar import monthrange
from datetime import datetime

import click

from bot.api.usage import UsageView, show
from bot.cli.local import with_table
from bot.printable import printable_line
from bot.settings import Settings
from models.access_patterns.users import get_user, get_user_by_email
from models.table.tenancy import acting_for


@click.command()
@click.argument("user")
@click.option(
    "--month", type=click.DateTime(["%Y-%m"]), help="The month (UTC), such as 2026-11; by default the current one."
)
@click.option("--json", "as_json", is_flag=True, help="Print the JSON of `GET /api/v1/usage`.")
@with_table
def usage(settings: Settings, user: str, month: datetime | None, as_json: bool) -> None:  # noqa: ARG001
    """Show the token usage of USER, an id or an email, in a month: by day, agent and model."""
    owner = acting_for((get_user_by_email(user) if "@" in user else get_user(acting_for(user))).user_id)
    first = month.date() if month else None
    found = show(owner, first, first.replace(day=monthrange(first.year, first.month)[1]) if first else None)
    click.echo(found.model_dump_json(indent=2) if as_json else _table(found))


def _table(found: UsageView) -> str:
    """Return the usage in columns, numbers right-aligned, with totals below."""
    rows = [("day", "agent", "model", "turns", "input tokens", "output tokens")]
    rows += [
        (
            f"{each.day}",
            each.agent_id,
            printable_line(each.model or ""),
            *_numbers(each.turns, each.input_tokens, each.output_tokens),
        )
        for each in found.data
    ]
    rows.append(("total", "", "", *_numbers(found.turns, found.input_tokens, found.output_tokens)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join([f"{found.since} to {found.until} (UTC)", *lines])


def _numbers(*numbers: int) -> tuple[str, str, str]:
    turns, input_tokens, output_tokens = (f"{number:,}" for number in numbers)
    return turns, input_tokens, output_tokens
