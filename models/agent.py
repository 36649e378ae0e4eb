"""Agent: who answers. A provider, a model and how to speak to it."""

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

# Their ids stand on the agent: a hundred take 3 KB, so that it is still read for half a unit with a turn.
MAX_SHARED_WITH = 100

MAX_SETTINGS = (64, 32_768)
"""Names and bytes of the settings."""

MAX_BYTES = MAX_ITEM_BYTES - 8192
"""Of what an agent's owner writes: it can still be shared and published then."""


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
    # `own`: the user's integration details for the provider; `deployment`: the deployment's, where it has any.
    credentials = TextAttribute(default="deployment")
    system_message = TextAttribute(null=True)
    functions = JsonAttribute(null=True)
    settings = JsonMapAttribute(default=dict, limit=MAX_SETTINGS)
    created_at = TimestampAttribute()
    updated_at = TimestampAttribute()
    version = WholeNumberAttribute(default=1)
    status = TextAttribute(default_for_new="active")
    erasure_id = TextAttribute(null=True)
    # Absent: private. Whoever may use it is never shown more of it than its name and its description.
    published = FlagAttribute(null=True)
    shared_with = UnicodeSetAttribute(null=True)
    # Whether `own` credentials are used for other people's turns too; the owner has to say so.
    share_credentials = FlagAttribute(null=True)

    @property
    def shared_with_users(self) -> frozenset[str]:
        """The ids of the users with whom it is shared by name."""
        return frozenset(self.shared_with or ())

    def usable_by(self, user_id: str) -> bool:
        """Whether a user may talk to it: its owner, those it is shared with, and everybody where it is published."""
        return self.user_id == user_id or bool(self.published) or user_id in self.shared_with_users
