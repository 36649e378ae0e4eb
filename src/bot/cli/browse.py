"""`bot table browse`: shows the table's items, one item collection at a time, with Queries and never a Scan."""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from bot.cli.local import with_table
from bot.printable import printable_line
from bot.settings import Settings
from models.access_patterns.users import get_user_by_email
from models.table.connection import client
from models.table.indexes import INDEXES
from models.table.item import Item
from models.table.sizes import item_size
from models.user import User

_COLOURS = {"S": "green", "N": "cyan", "BOOL": "yellow", "NULL": "yellow", "M": "blue", "L": "blue"}
_KEYS = ("PK", "SK")
_WIDTH = 100


@click.command()
@click.option("--pk", help="The item collection with this partition key, such as CONV#conv_… or USER#usr_….")
@click.option("--email", help="The item collection of the user with this email.")
@click.option("--index", type=click.Choice([each.name for each in INDEXES]), help="Query this index; needs --key.")
@click.option("--key", help="The partition key in the index, such as usr_… for conversations_by_user.")
@click.option("--prefix", help="Only items whose sort key begins with this, such as MSG#.")
@click.option("--newest", is_flag=True, help="Start from the end of the item collection.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Items per page.")
@click.option("--after", help="Continue after this position, which the previous page printed.")
@click.option("--full", is_flag=True, help="Do not truncate long values.")
@click.option("--json", "as_json", is_flag=True, help="Print items as DynamoDB JSON, one per line.")
@with_table
def browse(
    settings: Settings,
    pk: str | None,
    email: str | None,
    index: str | None,
    key: str | None,
    prefix: str | None,
    newest: bool,
    limit: int,
    after: str | None,
    full: bool,
    as_json: bool,
) -> None:
    """Show the items of one collection (--pk, --email) or of an index (--index); by default, list the users.

    Each page takes one Query, whose read units are printed. On a terminal, press Enter for the next page.
    """
    if sum(each is not None for each in (pk, email, index)) > 1:
        raise click.UsageError("Choose one of --pk, --email and --index.")
    if (index is None) != (key is None):
        raise click.UsageError("--index and --key must be used together.")
    if email is not None:
        pk = User.PK.template.render(user_id=get_user_by_email(email).user_id)
    if pk is None and index is None:
        index, key = "users_by_id", User.directory.template.render()
    query = _query(settings.table_name, pk, index, key, prefix) | {
        "ScanIndexForward": not newest,
        "Limit": limit,
    }
    for page in _pages(query, after):
        for item in page["Items"]:
            click.echo(json.dumps(item, ensure_ascii=True) if as_json else _shown(item, index, full))
        place = json.dumps(page["LastEvaluatedKey"], separators=(",", ":")) if "LastEvaluatedKey" in page else None
        units = page["ConsumedCapacity"]["CapacityUnits"]
        click.secho(f"{page['Count']} items, {units:g} read units", dim=True, err=True)
        if place is None or not _wants_more(place):
            return


def _query(table: str, pk: str | None, index: str | None, key: str | None, prefix: str | None) -> dict[str, Any]:
    """Return the arguments of the Query, except its direction and page."""
    found = next((each for each in INDEXES if each.name == index), None)
    names = {"#p": found.partition_key if found else "PK"}
    values = {":p": {"S": key if found else pk}}
    condition = "#p = :p"
    if prefix:
        sort_key = found.sort_key if found else "SK"
        if sort_key is None:
            raise click.UsageError(f"The index {index} has no sort key for --prefix.")
        names["#s"], values[":s"] = sort_key, {"S": prefix}
        condition += " AND begins_with(#s, :s)"
    return {
        "TableName": table,
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
        "ReturnConsumedCapacity": "TOTAL",
    } | ({"IndexName": found.name} if found else {"ConsistentRead": True})


def _pages(query: Mapping[str, Any], after: str | None) -> Iterator[dict[str, Any]]:
    start = {}
    if after is not None:
        try:
            start = {"ExclusiveStartKey": json.loads(after)}
        except ValueError as error:
            raise click.UsageError("--after needs the position that the previous page printed.") from error
    while True:
        page = client().query(**query, **start)
        yield page
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _wants_more(place: str) -> bool:
    """Ask whether to show the next page; if this is not a terminal, print the option that shows it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        click.echo(f"There are more items: --after '{place}'", err=True)
        return False
    answer: str = click.prompt("Enter for more, q to stop", default="", show_default=False, err=True)
    return not answer.strip().lower().startswith("q")


def _shown(item: Mapping[str, Any], index: str | None, full: bool) -> str:
    """Return an item as lines of text: its type and keys, then its attributes sorted by name."""
    kind = printable_line(item["entity"]["S"]) if "entity" in item else _kind(item)
    heading = f"{click.style(kind, bold=True)}  {_text(item['PK'])}  {click.style(_text(item['SK']), bold=True)}"
    size = "" if index else click.style(f"  {item_size(item):,} bytes", dim=True)
    lines = [heading + size]
    for name in sorted(set(item) - {*_KEYS, "entity"}):
        (type_,) = item[name]
        value = _text(item[name])
        if not full and len(value) > _WIDTH:
            value = f"{value[:_WIDTH]}… ({len(value):,} characters)"
        lines.append(f"    {printable_line(name)}  {click.style(value, fg=_COLOURS.get(type_))}")
    return "\n".join(lines)


def _kind(item: Mapping[str, Any]) -> str:
    """Return the type of an index entry, which does not have it: the entity whose key templates match its keys."""
    for name, entity in Item.entities().items():
        if all(getattr(entity, key).template.parse(item[key]["S"]) is not None for key in _KEYS):
            return name
    return "unknown"


def _text(value: Mapping[str, Any]) -> str:
    """Return a value in one line, without control characters for the terminal."""
    ((kind, content),) = value.items()
    match kind:
        case "S" | "N":
            text = str(content)
        case "B":
            text = f"{len(content)} bytes"
        case "M":
            text = "{" + ", ".join(f"{name}: {_text(each)}" for name, each in sorted(content.items())) + "}"
        case "L":
            text = "[" + ", ".join(_text(each) for each in content) + "]"
        case _:
            text = "null" if kind == "NULL" else str(content)
    return printable_line(text)
