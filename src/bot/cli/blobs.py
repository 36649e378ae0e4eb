"""`bot blobs`: large texts in the bucket, for the operator."""

import sys
from collections.abc import Sequence
from datetime import timedelta
from itertools import islice

import click

from bot.cli.local import with_table
from bot.settings import Settings
from models.access_patterns.large_texts import MAX_OBJECTS, named_objects
from models.table import blobs as bucket
from models.table import clock


@click.group()
def blobs() -> None:
    """Manage the texts in S3 that are too large for an item."""


@blobs.command()
@click.option(
    "--older-than",
    type=click.IntRange(1),
    default=24,
    show_default=True,
    help="Hours. A younger object may belong to an item that is still being written.",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; report what would be removed.")
@with_table
def sweep(settings: Settings, older_than: int, dry_run: bool) -> None:
    """Remove orphaned objects, which no item references: left behind by crashes and expired items.

    It lists the whole bucket, 1,000 objects per request, and reads the items of 100 objects per request. It can be
    stopped at any time and run again. Objects that are not Turntable's are left alone.
    """
    if settings.message_bucket is None:
        raise ValueError("There is no bucket: set BOT_MESSAGE_BUCKET.")
    before = clock.now() - timedelta(hours=older_than)
    seen = foreign = young = removed = size = 0
    everything = bucket.every()
    with click.progressbar(length=0, label="Objects", show_eta=False, show_percent=False, file=sys.stderr) as bar:
        while found := list(islice(everything, MAX_OBJECTS)):
            ours = [each for each in found if bucket.item_of(each.key)]
            old = [each for each in ours if each.made < before]
            unnamed = _unnamed(old)
            if not dry_run:
                bucket.delete([each.key for each in unnamed])
            seen, foreign, young = seen + len(found), foreign + len(found) - len(ours), young + len(ours) - len(old)
            removed, size = removed + len(unnamed), size + sum(each.size for each in unnamed)
            bar.label = f"Objects: {seen:,}, without an item: {removed:,}"
            bar.update(0)
    done = "would be removed" if dry_run else "removed"
    click.echo(
        f"{seen:,} objects: {removed:,} ({size:,} bytes) {done}, {young:,} too young to tell, {foreign:,} not ours."
    )


def _unnamed(found: Sequence[bucket.Found]) -> list[bucket.Found]:
    named = named_objects(each.key for each in found) if found else set()
    return [each for each in found if each.key not in named]
