"""The pages of the entities."""

from models.access_patterns.declare import AccessPattern, patterns
from models.export.fields import SOURCE_NAMES, describe
from models.export.markdown import code, collection, page, table
from models.export.samples import samples, stored
from models.table.indexes import INDEXES
from models.table.item import Item
from models.table.keys import Key, KeyField, KeyMoment

_WRITES = {"PutItem": "Put", "UpdateItem": "Update", "DeleteItem": "Delete"}
_ORDER = (
    "User",
    "EmailClaim",
    "ApiKey",
    "ApiKeyEntry",
    "UserState",
    "AuditEvent",
    "Agent",
    "AgentGrant",
    "PublishedAgent",
    "Conversation",
    "BranchEntry",
    "ShareLink",
    "ShareLinkEntry",
    "ConversationState",
    "Message",
    "MessageReasoning",
    "Turn",
    "TurnEntry",
    "TurnCount",
)
_KINDS = {"S": "text", "N": "number", "M": "map", "B": "bytes", "BOOL": "true or false", "SS": "set of texts"}
_EFFECTS = {"Put": "creates it", "Update": "changes it", "Delete": "deletes it", "ConditionCheck": "checks it"}


def entities() -> list[type[Item]]:
    """Return the entities in the order of the documentation."""
    known = Item.entities()
    names = [*_ORDER, *sorted(known.keys() - set(_ORDER))]
    return [known[name] for name in names]


def file_of(entity: type[Item]) -> str:
    """Return the file name of an entity's page."""
    return f"{entity.ENTITY.lower()}.md"


def summary(entity: type[Item]) -> str:
    """Return the first sentence of an entity's docstring."""
    text = " ".join((entity.__doc__ or "").split())
    return text.split(". ")[0].rstrip(".") + "."


def entity_page(entity: type[Item]) -> str:
    """Return an entity's page."""
    rows = []
    for name, attribute in sorted(entity.get_attributes().items(), key=_keys_first):
        rows.append(
            [
                code(name),
                _type(attribute),
                describe(entity, name),
                SOURCE_NAMES.get(name, ""),
            ]
        )
    module = entity.__module__.replace(".", "/") + ".py"
    return page(
        entity.ENTITY,
        summary(entity),
        f"Declared in `{module}`. Partition key `{entity.PK.template.text}`, sort key `{entity.SK.template.text}`.",
        "## Attributes",
        table(["Attribute", "Type", "Description", "In the source documents"], rows),
        "An item has at most 400 KB, including names and keys. A field in a key contains neither `#` nor control "
        "characters.",
        "## Indexes",
        table(["Index", "Partition key", "Sort key"], _index_rows(entity)) if _index_rows(entity) else "None.",
        "## Written by",
        table(["Access pattern", "What it does"], _writers(entity)) or "",
        "## Read by",
        table(["Access pattern", "How"], _readers(entity)) if _readers(entity) else "No access pattern reads it.",
        "## Sample item",
        *[collection([stored(item)], "PK", "SK") for item in samples() if type(item) is entity][:1],
    )


def _keys_first(named: tuple[str, object]) -> tuple[bool, bool, str]:
    name, attribute = named
    return name not in ("PK", "SK"), not isinstance(attribute, Key), name


def _type(attribute: object) -> str:
    if isinstance(attribute, Key):
        return f"key: {code(attribute.template.text)}"
    kind = _KINDS[getattr(attribute, "attr_type", "S")]
    name = type(attribute).__name__
    if name.startswith("Json"):
        kind = "map of JSON texts" if kind == "map" else "JSON text"
    if name == "TimestampAttribute" or isinstance(attribute, KeyMoment):
        kind = "time, as text"
    if isinstance(attribute, KeyField | KeyMoment):
        kind += ", only in the keys"
    return kind + (", optional" if getattr(attribute, "null", False) and not isinstance(attribute, KeyField) else "")


def _index_rows(entity: type[Item]) -> list[list[str]]:
    attributes = entity.get_attributes()

    def shown(name: str | None) -> str:
        if name is None:
            return ""
        attribute = attributes[name]
        return code(attribute.template.text) if isinstance(attribute, Key) else code("{" + name + "}")

    return [
        [code(index.name), shown(index.partition_key), shown(index.sort_key)]
        for index in INDEXES
        if index.partition_key in attributes
        and (index.sort_key is None or index.sort_key in attributes)
        and any(isinstance(attributes[name], Key) for name in (index.partition_key, index.sort_key) if name)
    ]


def link(pattern: AccessPattern, where: str = "../patterns/") -> str:
    """Return a link to a pattern's page."""
    return f"[{pattern.id} {pattern.title}]({where}{pattern.id.lower()}.md)"


def _writers(entity: type[Item]) -> list[list[str]]:
    rows = []
    for pattern in patterns():
        writes = [write for request in pattern.requests for write in request.writes]
        done: list[str] = [write.part for write in writes if write.entity is entity]
        done += [
            _WRITES[request.operation]
            for request in pattern.requests
            if request.operation in _WRITES and entity in request.entities
        ]
        if done:
            rows.append([link(pattern), ", ".join(_EFFECTS[each] for each in dict.fromkeys(done))])
    return rows


def _readers(entity: type[Item]) -> list[list[str]]:
    rows = []
    for pattern in patterns():
        how = [
            request.operation + (f" on {code(request.index)}" if request.index else "")
            for request in pattern.requests
            if entity in request.entities and request.operation not in _WRITES
        ]
        if how:
            rows.append([link(pattern), ", ".join(dict.fromkeys(how))])
    return rows
