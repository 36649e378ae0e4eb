"""Agent: the configuration that answers messages: a provider, a model, a system message and settings."""

from pynamodb.attributes import UnicodeSetAttribute

from models.table.attributes import (
    FlagAttribute,
    JsonAttribute,
    JsonMapAttribute,
    TextAttribute,
    TimestampAttribute,
    WholeNumberAttribute,
)
from models.table.item import Item
from models.table.keys import Key, KeyField
from models.table.sizes import MAX_ITEM_BYTES

ID_PREFIX = "agt"

# Their ids are stored on the agent: a hundred take 3 KB, so that a turn still reads it for half a unit.
MAX_SHARED_WITH = 100

MAX_SETTINGS = (64, 32_768)
"""The maximum numbers of names and bytes in the settings."""

MAX_BYTES = MAX_ITEM_BYTES - 8192
"""The maximum size of an agent as its owner writes it; the rest is reserved for sharing and publishing it."""


class Agent(Item):
    """An agent of a user. `version` counts its changes; `settings` are the model's (temperature, max_tokens …)."""

    ENTITY = "Agent"
    CHANGEABLE = (
        "name",
        "description",
        "provider",
        "model",
        "credentials",
        "system_message",
        "functions",
        "settings",
        "share_credentials",
    )

    PK = Key("USER#{user_id}", hash_key=True)
    SK = Key("AGENT#{agent_id}", range_key=True)
    agent_key = Key("AGENT#{agent_id}", null=True)

    user_id = KeyField()
    agent_id = KeyField()
    name = TextAttribute()
    description = TextAttribute(null=True)
    provider = TextAttribute()
    model = TextAttribute()
    # `own`: the user's integration details for the provider; `deployment`: the deployment's, if it has any.
    credentials = TextAttribute(default="deployment")
    system_message = TextAttribute(null=True)
    functions = JsonAttribute(null=True)
    settings = JsonMapAttribute(default=dict, limit=MAX_SETTINGS)
    created_at = TimestampAttribute()
    updated_at = TimestampAttribute()
    version = WholeNumberAttribute(default=1)
    status = TextAttribute(default_for_new="active")
    erasure_id = TextAttribute(null=True)
    # Absent: private. Other users who may use it see only its name and its description.
    published = FlagAttribute(null=True)
    shared_with = UnicodeSetAttribute(null=True)
    # Whether `own` credentials are also used for other users' turns; only the owner can allow it.
    share_credentials = FlagAttribute(null=True)

    @property
    def shared_with_users(self) -> frozenset[str]:
        """The ids of the users it is shared with individually."""
        return frozenset(self.shared_with or ())

    def usable_by(self, user_id: str) -> bool:
        """Whether a user may talk to it: the owner, a user it is shared with, or anyone if it is published."""
        return self.user_id == user_id or bool(self.published) or user_id in self.shared_with_users
