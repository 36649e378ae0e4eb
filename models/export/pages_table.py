"""The page of the table at a glance."""

from collections.abc import Callable

from models.export.fields import SOURCE_NAMES
from models.export.markdown import code, collection, page, table
from models.export.pages_entities import entities, file_of, summary
from models.export.samples import samples, stored
from models.table.indexes import INDEXES, STREAM_VIEW, TTL_ATTRIBUTE, Index


def glance(readers: Callable[[str], str]) -> str:
    """Return the page of the table at a glance; `readers` returns links to the patterns that read an index."""
    rows = [
        [
            f"[{entity.ENTITY}](entities/{file_of(entity)})",
            code(entity.PK.template.text),
            code(entity.SK.template.text),
            summary(entity),
        ]
        for entity in entities()
    ]
    indexes = [
        [
            code(index.name),
            code(index.partition_key),
            code(index.sort_key or ""),
            ", ".join(map(code, index.includes)) or "only keys",
            index.purpose,
            readers(index.name),
        ]
        for index in INDEXES
    ]
    names = [[code(old), code(new)] for new, old in SOURCE_NAMES.items()]
    return page(
        "The table at a glance",
        "One table holds everything. Its keys are `PK` and `SK`, both text; each is rendered from a **template** of "
        "the item's own fields, so a key is self-explanatory. Items with the same `PK` are stored together, sorted by "
        "`SK`: an **item collection**, which one Query reads.",
        f"It is billed on demand, `{TTL_ATTRIBUTE}` is its TTL attribute, and its stream view is {STREAM_VIEW}.",
        "See also the [access patterns](patterns/index.md), the [diagrams](diagrams.md), "
        "[why it is one table](why-one-table.md) and [how to add a pattern](add-a-pattern.md).",
        "## Entities",
        table(["Entity", "PK", "SK", "Description"], rows),
        "## Indexes",
        "The indexes are sparse: an item without an index's keys is not in it and costs nothing there.",
        table(["Index", "Partition key", "Sort key", "Projects", "For", "Read by"], indexes),
        "## Item collections",
        "The models generate the sample items below.",
        *_collections(),
        "## Index entries",
        *(block for index in INDEXES for block in _index_collections(index)),
        "## Names in the source documents",
        table(["Source documents", "Table"], names),
    )


_PARTITIONS = {
    "USER#": "A user's partition: the profile sorts after agents, keys and state.",
    "CONV#": "A conversation's partition: first the turns without messages, then state, then the messages in order, "
    "and the header last. So one descending Query reads the header and the newest messages together.",
    "EMAIL#": "One claim per email: no two users can have the same.",
    "APIKEY#": "API keys, looked up by the hash of a presented key.",
    "TURN#": "The streamed text of each turn.",
}


def _collections() -> list[str]:
    blocks: list[str] = []
    items = samples()
    for prefix, text in _PARTITIONS.items():
        blocks.append(f"**`{prefix}…`** {text}")
        found = dict.fromkeys(item.PK for item in items if item.PK.startswith(prefix))
        blocks += [collection([stored(item) for item in items if key == item.PK], "PK", "SK") for key in found]
    return blocks


def _index_collections(index: Index) -> list[str]:
    inside = [raw for raw in map(stored, samples()) if index.partition_key in raw]
    if index.sort_key:
        inside = [raw for raw in inside if index.sort_key in raw]
        inside.sort(key=lambda raw: str(raw[index.sort_key or ""]["S"]))
    shown = [index.partition_key, *([index.sort_key] if index.sort_key else []), "PK", "SK", *index.includes]
    entries = [{name: raw[name] for name in shown if name in raw} for raw in inside]
    partitions = dict.fromkeys(str(entry[index.partition_key]["S"]) for entry in entries)
    blocks = [f"**`{index.name}`** {index.purpose}"]
    for key in partitions:
        rows = [entry for entry in entries if entry[index.partition_key]["S"] == key]
        blocks.append(collection(rows, index.partition_key, index.sort_key))
    return blocks
