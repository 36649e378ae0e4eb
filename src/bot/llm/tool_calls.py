"""Assembles function calls from the fragments that servers stream.

OpenAI sends the id and the name once and then fragments of the arguments, all under one `index`. Others differ: older
Ollama and Gemini's compatible endpoint send no `index` (ollama issue 7881, openai-python issue 2806), some gateways
number each call 0 (any-llm issue 1148), and there are servers that send no id, or a new one with every fragment.
"""

import hashlib
import json
from dataclasses import dataclass, field

from .characters import CharacterJoiner, whole_characters
from .types import ToolCall


@dataclass(slots=True)
class _Draft:
    id: str = ""
    name: str = ""
    fragments: list[str] = field(default_factory=list)
    characters: CharacterJoiner = field(default_factory=CharacterJoiner)

    @property
    def arguments(self) -> str:
        return "".join(self.fragments) + self.characters.rest


class ToolCallJoiner:
    """Collects the deltas of one answer."""

    def __init__(self, salt: str = "") -> None:
        """Start empty. `salt` is part of made-up ids, so that two answers of one conversation never share one."""
        self._salt = salt
        self._drafts: list[_Draft] = []
        self._by_index: dict[int, _Draft] = {}

    def __len__(self) -> int:
        """Return how many calls have begun."""
        return len(self._drafts)

    def add(self, deltas: object) -> None:
        """Add the `tool_calls` of one delta; malformed ones are ignored."""
        for delta in deltas if isinstance(deltas, list) else []:
            if isinstance(delta, dict):
                self._add_one(delta)

    def _add_one(self, delta: dict[str, object]) -> None:
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        call_id, name, index = _text(delta.get("id")), _text(function.get("name")), delta.get("index")
        draft = self._find(index, call_id)
        if draft is None or _begins_another(draft, call_id, name):
            draft = _Draft()
            self._drafts.append(draft)
        if isinstance(index, int):
            self._by_index[index] = draft
        # The first id and name are kept: a repeated name must not become "get_weatherget_weather".
        draft.id = draft.id or call_id
        draft.name = draft.name or name
        arguments = function.get("arguments")
        if isinstance(arguments, dict | list):
            arguments = json.dumps(arguments, ensure_ascii=False)
        if isinstance(arguments, str) and (text := draft.characters.add(arguments)):
            draft.fragments.append(text)

    def _find(self, index: object, call_id: str) -> _Draft | None:
        if isinstance(index, int):
            return self._by_index.get(index)
        for draft in self._drafts:
            if call_id and draft.id == call_id:
                return draft
        return self._drafts[-1] if self._drafts else None

    def calls(self) -> tuple[ToolCall, ...]:
        """Return the calls in the order in which they began, each with a unique id."""
        seen: set[str] = set()
        calls = []
        for position, draft in enumerate(self._drafts):
            call_id = draft.id if draft.id.strip() and draft.id not in seen else self._made_up_id(position, draft)
            seen.add(call_id)
            calls.append(ToolCall(id=call_id, name=draft.name, arguments=draft.arguments or "{}"))
        return tuple(calls)

    def _made_up_id(self, position: int, draft: _Draft) -> str:
        # Deterministic: reading the same stream twice gives the same ids.
        seed = "\x00".join((self._salt, str(position), draft.name, draft.arguments))
        return "call_" + hashlib.sha256(seed.encode()).hexdigest()[:24]


def _begins_another(draft: _Draft, call_id: str, name: str) -> bool:
    """Return whether a delta that was matched to a call is really the start of the next one."""
    # Only the start of a call has a name; a fragment with a new id but no name belongs to the same call.
    if not name or not draft.name:
        return False
    if call_id and draft.id:
        return call_id != draft.id
    # There are no ids. If the arguments so far are complete, the next call begins; if not, the name was repeated.
    return _is_json(draft.arguments)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _text(value: object) -> str:
    return whole_characters(value) if isinstance(value, str) else ""
