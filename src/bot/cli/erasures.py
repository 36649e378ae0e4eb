"""`bot erasures`: running and completed erasures, for the operator."""

from collections.abc import Callable

import click

from bot.api.shapes.erasures import show_erasure as view
from bot.cli.local import with_table
from bot.erasures import Erasures
from bot.settings import Settings
from models.access_patterns.erasure import find_erasure, list_pending_erasures
from models.erasure import Erasure

# The `asked_by` in the receipt of an operator's command.
OPERATOR = "operator"
_PAGE = 100


@click.group()
def erasures() -> None:
    """List, show and resume erasures of conversations, agents and users."""


@erasures.command(name="list")
@with_table
def list_(settings: Settings) -> None:  # noqa: ARG001
    """List erasures that are not complete: id, kind, target, when requested, whether a worker is on it."""
    after = None
    while True:
        page = list_pending_erasures(_PAGE, after)
        for pending in page.items:
            after = pending.erasure_id
            job = find_erasure(after)
            state = "running" if job.leased else "waiting"
            click.echo(f"{after}  {job.kind}  {job.target_id}  {job.asked_at:%Y-%m-%dT%H:%M:%SZ}  {state}")
        if not page.more:
            return


@erasures.command()
@click.argument("erasure_id")
@with_table
def show_erasure(settings: Settings, erasure_id: str) -> None:  # noqa: ARG001
    """Show an erasure as JSON: its progress, or its receipt."""
    click.echo(view(find_erasure(erasure_id)).model_dump_json(indent=2))


@erasures.command()
@with_table
def run(settings: Settings) -> None:
    """Resume all waiting erasures: those whose worker has died."""
    service = Erasures(settings.lease)
    jobs = list(service.remaining(_report))
    for job in jobs:
        click.echo(f"{job.erasure_id}  {'completed' if job.completed else 'postponed'}  {_counts(job)}")
    if not all(job.completed for job in jobs):
        raise SystemExit(1)


def remove(settings: Settings, ask: Callable[[Erasures], Erasure]) -> Erasure:
    """Remove something completely, and report progress on standard error.

    Raises:
        SystemExit: another worker has taken it over, or DynamoDB failed.
    """
    service = Erasures(settings.lease, within_request=0, background=False)
    job = ask(service)
    for own in service.remaining(_report, others=False):
        job = own
    if not job.completed:
        click.echo(f"Erasure {job.erasure_id} is not complete; `bot erasures run` resumes it.", err=True)
        raise SystemExit(1)
    return job


def _report(job: Erasure) -> None:
    click.echo(f"{job.erasure_id}: {_counts(job)}", err=True)


def _counts(job: Erasure) -> str:
    return ", ".join(f"{int(count):,} {name}" for name, count in job.removed.items()) or "nothing yet"
