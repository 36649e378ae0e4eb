"""Partial updates: a caller's changes as update actions that leave all other attributes alone."""

from collections.abc import Mapping
from typing import Any

from pynamodb.attributes import Attribute
from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path, Value
from pynamodb.expressions.update import Action

from models.table.attributes import JsonMapAttribute, NumberMapAttribute, to_json
from models.table.errors import InvalidValue, ItemNotFound, ItemTooLarge
from models.table.item import Item
from models.table.long_text import LongItem
from models.table.sizes import MAX_ITEM_BYTES
from models.table.values import checked_map, is_whole
from models.table.writing import response_error, too_large


class _Names(Path):
    """A path of literal names. PynamoDB's own path reads `a[0]` as the first element of a list `a`."""

    def _serialize_value(self, value: list[str], placeholder_names: dict[str, str], _values: Any) -> str:
        return ".".join(placeholder_names.setdefault(name, f"#{len(placeholder_names)}") for name in value)


def set_or_remove(attribute: Attribute[Any], value: Any) -> Action:
    """Return the action that sets an attribute, or removes it if the value is None."""
    if value is None:
        return attribute.remove()
    # Serialized here, because PynamoDB treats a value such as {"S": "text"} as already serialized.
    return attribute.set(Value({attribute.attr_type: attribute.serialize(value)}))


def text_actions(item: LongItem) -> list[Action]:
    """Return the actions that store the item's long text and change nothing else.

    Raises:
        ContentUnavailable: the text was not loaded.
        ItemTooLarge: it does not fit in an item, and was not packed for S3.
    """
    getattr(item, item.LONG)
    stored = item.serialize(null_check=False)
    actions: list[Action] = []
    for name in (item.LONG, "packed", "blob"):
        path = Path([name])
        actions.append(path.set(Value(stored[name])) if name in stored else path.remove())
    return actions


def entry(attribute: JsonMapAttribute | NumberMapAttribute, name: str) -> Path:
    """Return the path of one name in a map, for actions and conditions on this name."""
    return _Names([*attribute.attr_path, name])


def merge(attribute: JsonMapAttribute, changes: Mapping[str, Any]) -> list[Action]:
    """Return the actions that set or (for None) remove single names of a map and leave its other names alone.

    Raises:
        InvalidValue: a name is not a string, or a value is not JSON.
    """
    actions: list[Action] = []
    for name, value in checked_map(attribute.attr_name, changes).items():
        if not isinstance(name, str) or not name or not is_whole(name):
            raise InvalidValue(attribute.attr_name, "the names of a map must be strings of valid Unicode, not empty")
        path = entry(attribute, name)
        stored = None if value is None else to_json(value, f"{attribute.attr_name}.{name}")
        actions.append(path.remove() if stored is None else path.set({"S": stored}))
    return actions


def actions_for(entity: type[Item], changes: Mapping[str, Any]) -> list[Action]:
    """Return the actions for a partial update: maps are merged by name, everything else is set or removed.

    None for a map empties it: if the map were removed, no name in it could be set later.

    Raises:
        InvalidValue: a field cannot be changed like this, or its new value is not allowed.
    """
    actions: list[Action] = []
    for name, value in checked_changes(entity, changes).items():
        attribute = entity.get_attributes()[name]
        if isinstance(attribute, JsonMapAttribute):
            actions += [attribute.set({})] if value is None else merge(attribute, value)
        else:
            actions.append(set_or_remove(attribute, value))
    return actions


def checked_changes(entity: type[Item], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the changes after checking that all their fields are in the entity's `CHANGEABLE`.

    Raises:
        InvalidValue: one is not.
    """
    for name in checked_map("changes", changes):
        if name not in entity.CHANGEABLE:
            raise InvalidValue(str(name), f"cannot be changed here; these can: {', '.join(entity.CHANGEABLE)}")
    return changes


def merges(entity: type[Item], changes: Mapping[str, Any]) -> bool:
    """Whether changes set names in a map with a limit, so that its current content must be read first."""
    attributes = entity.get_attributes()
    maps = (attributes[name] for name, value in changes.items() if value and name in attributes)
    return any(isinstance(each, JsonMapAttribute) and each.limit for each in maps)


def apply(item: Item, changes: Mapping[str, Any]) -> None:
    """Apply to an item in memory the changes that its partial update will make in the table.

    Raises:
        InvalidValue: a field cannot be changed, or its new value is not allowed.
        MapTooLarge: a map would have more names or bytes than its limit.
    """
    for name, value in checked_changes(type(item), changes).items():
        attribute = item.get_attributes()[name]
        if isinstance(attribute, JsonMapAttribute):
            setattr(item, name, attribute.merged(getattr(item, name) or {}, value) if value is not None else {})
        else:
            setattr(item, name, value)


def update_present(item: Item, actions: list[Action], condition: Condition | None, what: str) -> None:
    """Update an existing item, and load its new attributes. Cost: 1 UpdateItem; 1 WCU for each KB.

    Raises:
        ItemNotFound: it does not exist, or the condition does not hold.
        ItemTooLarge: it would become larger than 400 KB.
    """
    present = type(item).PK.exists()
    try:
        item.update(actions=actions, condition=present & condition if condition is not None else present)
    except UpdateError as error:
        if condition_failed(error):
            raise ItemNotFound(what) from error
        if too_large(response_error(error).get("Message")):
            raise ItemTooLarge(what, None, MAX_ITEM_BYTES) from error
        raise


def condition_failed(error: Any) -> bool:
    """Whether a write failed because its condition did not hold."""
    return response_error(error).get("Code") == "ConditionalCheckFailedException"
