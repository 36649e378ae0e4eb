"""Message: one item per message in its conversation's item collection, and one for the reasoning behind it, if any."""

from typing import Any, Literal

from models.table.attributes import FlagAttribute, JsonMapAttribute, TextAttribute
from models.table.keys import Key, KeyField, KeyMoment
from models.table.long_text import PREVIEW, LongItem, LongTextAttribute
from models.table.values import from_json

Sender = Literal["user", "agent", "system", "tool"]
MessageType = Literal["text", "parts", "function_call", "function_result"]

ID_PREFIX = "msg"

# The role that model APIs use for each sender.
ROLES: dict[Sender, str] = {"user": "user", "agent": "assistant", "system": "system", "tool": "tool"}


class Message(LongItem):
    """A message. Its id contains `ts`, so it can be read by id without an index.

    `content` is the text; for `parts` the JSON of the list of typed parts; for a `function_call` the JSON of its
    arguments as the model wrote them; for a `function_result` what the function returned. `attributes` holds the rest:
    `is_function_call`, `function_name`, `call_id`, `finish_reason` …

    `reasoned` says that a `MessageReasoning` has the model's reasoning. Few readers want it, so it is read separately,
    into `reasoning`, which is not stored on the message (`models.access_patterns.reasoning`).
    """

    ENTITY = "Message"
    LONG = "content"
    WRITER = "models.access_patterns.messages.append_messages"

    PK = Key("CONV#{conversation_id}", hash_key=True)
    SK = Key("MSG#{ts}", range_key=True)

    conversation_id = KeyField()
    ts = KeyMoment()
    message_id = TextAttribute()
    sender = TextAttribute()
    role = TextAttribute()
    type = TextAttribute(default="text")
    content = LongTextAttribute(null=True)
    attributes = JsonMapAttribute(null=True)
    turn_id = TextAttribute(null=True)
    llm_response_id = TextAttribute(null=True)
    reasoned = FlagAttribute(null=True)

    reasoning: "MessageReasoning | None" = None

    def preview(self, text: str) -> str:
        """Return the text; for parts, the beginning of each text, and `[image]` for each image."""
        parts = parts_in(text) if self.type == "parts" else None
        return text if parts is None else " ".join(str(part.get("text", "[image]"))[:PREVIEW] for part in parts)


class MessageReasoning(LongItem):
    """A model's reasoning before an answer. It has the `ts` and the expiry of the answer's first message.

    Its sort key comes before those of all messages, so no read of messages pays for it.
    """

    ENTITY = "MessageReasoning"
    LONG = "text"
    WRITER = "models.access_patterns.turns.end_turn"

    PK = Key("CONV#{conversation_id}", hash_key=True)
    SK = Key("MESSAGE_REASONING#{ts}", range_key=True)

    conversation_id = KeyField()
    ts = KeyMoment()
    text = LongTextAttribute(null=True)


def parts_in(text: str) -> list[dict[str, Any]] | None:
    """Return the typed parts in a JSON text, or None if it is not a list of objects."""
    try:
        parts = from_json(text)
    except (ValueError, RecursionError):
        return None
    return parts if isinstance(parts, list) and all(isinstance(part, dict) for part in parts) else None
