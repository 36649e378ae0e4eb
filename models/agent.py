"""Agent: who answers. A provider, a model and how to speak to it."""

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute, UnicodeSetAttribute

from models.table.attributes import JsonAttribute, JsonMapAttribute, TimestampAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField

ID_PREFIX = "agt"

# Their ids stand on the agent: a hundred take 3 KB, so that it is still read for half a unit with a turn.
MAX_SHARED_WITH = 100


class Agent(Item):
    """An agent of a user. `version` counts its changes; `settings` are the model's (temperature, max_tokens …)."""

    ENTITY = "Agent"

    PK = Key("USER#{user_id}", hash_key=True)
    SK = Key("AGENT#{agent_id}", range_key=True)
    agent_key = Key("AGENT#{agent_id}", null=True)

    user_id = KeyField()
    agent_id = KeyField()
    name = UnicodeAttribute()
    description = UnicodeAttribute(null=True)
    provider = UnicodeAttribute()
    model = UnicodeAttribute()
    # `own`: the user's integration details for the provider; `deployment`: the deployment's, where it has any.
    credentials = UnicodeAttribute(default="deployment")
    system_message = UnicodeAttribute(null=True)
    functions = JsonAttribute(null=True)
    settings = JsonMapAttribute(default=dict)
    created_at = TimestampAttribute()
    updated_at = TimestampAttribute()
    version = NumberAttribute(default=1)
    status = UnicodeAttribute(default_for_new="active")
    erasure_id = UnicodeAttribute(null=True)
    # Absent: private. Whoever may use it is never shown more of it than its name and its description.
    published = BooleanAttribute(null=True)
    shared_with = UnicodeSetAttribute(null=True)
    # Whether `own` credentials are used for other people's turns too; the owner has to say so.
    share_credentials = BooleanAttribute(null=True)

    @property
    def shared_with_users(self) -> frozenset[str]:
        """The ids of the users with whom it is shared by name."""
        return frozenset(self.shared_with or ())

    def usable_by(self, user_id: str) -> bool:
        """Whether a user may talk to it: its owner, those it is shared with, and everybody where it is published."""
        return self.user_id == user_id or bool(self.published) or user_id in self.shared_with_users
