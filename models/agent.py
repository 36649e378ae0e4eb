"""Agent: who answers. A provider, a model and how to speak to it."""

from pynamodb.attributes import NumberAttribute, UnicodeAttribute

from models.attributes import JsonAttribute, JsonMapAttribute, TimestampAttribute
from models.keys import Key, KeyField
from models.table import Item

ID_PREFIX = "agt"


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
