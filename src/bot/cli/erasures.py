"""`bot erasures`: what is being removed, and what was, from the operator's side."""

from collections.abc import Callable

import click

from bot.api.shapes.erasures import show_erasure as view
from bot.cli.local import with_table
from bot.erasures import Erasures
from bot.settings import Settings
from models.access_patterns.erasure import find_erasure, list_pending_erasures
from models.erasure import Erasure

# Who asked, in the receipt of what an operator's command removes.
OPERATOR = "operator"
_PAGE = 100


@click.group()
def erasures() -> None:
    """List, show and go on with the removal of conversations, agents and users."""


@erasures.command(name="list")
@with_table
def list_(settings: Settings) -> None:  # noqa: ARG001
    """List what is not completely removed: id, kind, what, since when, whether somebody goes on with it."""
    after = None
    while True:
        page = list_pending_erasures(_PAGE, after)
        for pending in page.items:
            after = pending.erasure_id
            job = find_erasure(after)
            state = "goes on" if job.leased else "waits"
            click.echo(f"{after}  {job.kind}  {job.target_id}  {job.asked_at:%Y-%m-%dT%H:%M:%SZ}  {state}")
        if not page.more:
            return


@erasures.command()
@click.argument("erasure_id")
@with_table
def show_erasure(settings: Settings, erasure_id: str) -> None:  # noqa: ARG001
    """Show an erasure, as JSON: how far it is, or its receipt."""
    click.echo(view(find_erasure(erasure_id)).model_dump_json(indent=2))


@erasures.command()
@with_table
def run(settings: Settings) -> None:
    """Go on with all that waits: the jobs whose worker has died."""
    service = Erasures(settings.lease)
    jobs = list(service.remaining(_tell))
    for job in jobs:
        click.echo(f"{job.erasure_id}  {'completed' if job.completed else 'put off'}  {_counts(job)}")
    if not all(job.completed for job in jobs):
        raise SystemExit(1)


def remove(settings: Settings, ask: Callable[[Erasures], Erasure]) -> Erasure:
    """Remove something to its end, and tell how far it is on standard error.

    Raises:
        SystemExit: another worker goes on with it, or DynamoDB put it off.
    """
    service = Erasures(settings.lease, within_request=0, background=False)
    job = ask(service)
    for own in service.remaining(_tell, others=False):
        job = own
    if not job.completed:
        click.echo(f"Erasure {job.erasure_id} is not completed; `bot erasures run` goes on with it.", err=True)
        raise SystemExit(1)
    return job


def _tell(job: Erasure) -> None:
    click.echo(f"{job.erasure_id}: {_counts(job)}", err=True)


def _counts(job: Erasure) -> str:
    return ", ".join(f"{int(count):,} {name}" for name, count in job.removed.items()) or "nothing yet"
