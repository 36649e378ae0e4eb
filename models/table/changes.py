"""Partial updates: what a caller wants changed, turned into update actions that leave all the rest alone."""

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
    """A path of plain names. PynamoDB's own takes `a[0]` for the first element of a list `a`."""

    def _serialize_value(self, value: list[str], placeholder_names: dict[str, str], _values: Any) -> str:
        return ".".join(placeholder_names.setdefault(name, f"#{len(placeholder_names)}") for name in value)


def set_or_remove(attribute: Attribute[Any], value: Any) -> Action:
    """Return the action that sets an attribute, or removes it where the value is None."""
    if value is None:
        return attribute.remove()
    # Serialized here, because PynamoDB takes a value such as {"S": "text"} for one that has been serialized.
    return attribute.set(Value({attribute.attr_type: attribute.serialize(value)}))


def text_actions(item: LongItem) -> list[Action]:
    """Return the actions that store the item's text where it belongs, and nothing else of the item.

    Raises:
        ContentUnavailable: the text is not here, as it was not read.
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
    """Return the path of one name of a map, for actions and conditions on it alone."""
    return _Names([*attribute.attr_path, name])


def merge(attribute: JsonMapAttribute, changes: Mapping[str, Any]) -> list[Action]:
    """Return the actions that set or (for None) remove single names of a map, and leave its other names alone.

    Raises:
        InvalidValue: a name is no string, or what it stands for is not JSON.
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

    None for a map empties it: without a map there, no name of it could be set any more.

    Raises:
        InvalidValue: a field is none that the entity lets be changed like this, or what it shall be is not allowed.
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
    """Return changes, all of which are of fields that the entity lets be changed.

    Raises:
        InvalidValue: they are not.
    """
    for name in checked_map("changes", changes):
        if name not in entity.CHANGEABLE:
            raise InvalidValue(str(name), f"cannot be changed here; these can: {', '.join(entity.CHANGEABLE)}")
    return changes


def merges(entity: type[Item], changes: Mapping[str, Any]) -> bool:
    """Whether changes set names of a map with a limit, so that what is there has to be known."""
    attributes = entity.get_attributes()
    maps = (attributes[name] for name, value in changes.items() if value and name in attributes)
    return any(isinstance(each, JsonMapAttribute) and each.limit for each in maps)


def apply(item: Item, changes: Mapping[str, Any]) -> None:
    """Change an item that was read as its partial update will change it in the table.

    Raises:
        InvalidValue: a field cannot be changed, or not to this.
        MapTooLarge: a map would have more names or bytes than it may.
    """
    for name, value in checked_changes(type(item), changes).items():
        attribute = item.get_attributes()[name]
        if isinstance(attribute, JsonMapAttribute):
            setattr(item, name, attribute.merged(getattr(item, name) or {}, value) if value is not None else {})
        else:
            setattr(item, name, value)


def update_present(item: Item, actions: list[Action], condition: Condition | None, what: str) -> None:
    """Update an item that is there, and load what it has become. Cost: 1 UpdateItem; 1 WCU for each KB.

    Raises:
        ItemNotFound: it is not there, or the condition does not hold.
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
    """Whether a write was refused by its own condition."""
    return response_error(error).get("Code") == "ConditionalCheckFailedException"
