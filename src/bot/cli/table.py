"""`bot table`: the table itself."""

import click

from bot.cli.browse import browse
from bot.cli.local import with_table
from bot.settings import Settings
from models import schema
from models.table.indexes import INDEXES


@click.group()
def table() -> None:
    """Create, describe and browse the table."""


table.add_command(browse)


@table.command()
@with_table
def create(settings: Settings) -> None:
    """Create the table with its indexes, TTL and stream; an existing table is checked and left unchanged."""
    created = schema.create_table()
    click.echo(f"{'Created' if created else 'Found'} the table {settings.table_name}.")


@table.command()
@with_table
def describe(settings: Settings) -> None:
    """Show the table's keys, indexes, TTL, stream and size."""
    found = schema.describe_table()
    ttl = found["TimeToLive"]
    stream = found.get("StreamSpecification", {})
    billing = found.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    where = settings.endpoint_url or f"AWS, {settings.region}"
    click.echo(f"{found['TableName']}  ({found['TableStatus'].lower()}, at {where})")
    click.echo(f"  keys      {_keys(found['KeySchema'])}")
    click.echo(f"  billing   {'on demand' if billing == 'PAY_PER_REQUEST' else 'provisioned'}")
    click.echo(
        f"  items     {found.get('ItemCount', 0):,} in {found.get('TableSizeBytes', 0):,} bytes, as last counted"
    )
    on = ttl["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
    click.echo(f"  TTL       {'on ' + ttl.get('AttributeName', '') if on else 'off'}")
    click.echo(f"  stream    {stream.get('StreamViewType', 'off')}")
    click.echo("  indexes")
    purposes = {index.name: index.purpose for index in INDEXES}
    for index in sorted(found.get("GlobalSecondaryIndexes", []), key=lambda each: str(each["IndexName"])):
        projection = index["Projection"]
        copied = ", ".join(sorted(projection.get("NonKeyAttributes", []))) or projection["ProjectionType"].lower()
        click.echo(f"    {index['IndexName']}: {_keys(index['KeySchema'])}; with {copied}")
        click.echo(f"      {purposes.get(index['IndexName'], 'not one of ours')}")


def _keys(schema_: list[dict[str, str]]) -> str:
    kinds = {"HASH": "partition", "RANGE": "sort"}
    return ", ".join(f"{key['AttributeName']} ({kinds[key['KeyType']]})" for key in schema_)
