"""User: the profile of a person, in the same partition as the user's agents, keys and state."""

from typing import Literal, Self

from models.table.attributes import JsonMapAttribute, TextAttribute, TimestampAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField

Role = Literal["user", "admin"]
ROLES: tuple[Role, ...] = ("user", "admin")
UserStatus = Literal["active", "deleting"]

ID_PREFIX = "usr"

MAX_MAP = (64, 32_768)
"""The maximum numbers of names and bytes in the preferences, and in the settings."""

MAX_DETAILS = (64, 131_072)
"""The maximum numbers of names and bytes in the encrypted integration details."""


class User(Item):
    """A person, or a program that acts as one.

    `api_integration_details` has the user's own credentials by provider name; the application encrypts each value
    before it is stored.
    """

    ENTITY = "User"
    CHANGEABLE = ("name", "preferences", "settings", "api_integration_details")

    PK = Key("USER#{user_id}", hash_key=True)
    SK = Key("PROFILE", range_key=True)
    # A constant: all users are one item collection of the index, sorted by the time in their ids. Only a create, a
    # rename and a delete write to it, so one partition's 1,000 writes a second are plenty.
    directory = Key("USERS", null=True)

    user_id = TextAttribute()
    # May be absent for a user who signed in with a token.
    email = TextAttribute(null=True)
    # The key of the `Identity` of a user who signed in with a token.
    identity_hash = TextAttribute(null=True)
    name = TextAttribute(null=True)
    role = TextAttribute(default="user")
    status = TextAttribute(default_for_new="active")
    erasure_id = TextAttribute(null=True)
    preferences = JsonMapAttribute(default=dict, limit=MAX_MAP)
    settings = JsonMapAttribute(default=dict, limit=MAX_MAP)
    api_integration_details = JsonMapAttribute(default=dict, limit=MAX_DETAILS)
    created_at = TimestampAttribute()
    updated_at = TimestampAttribute()
    last_active_at = TimestampAttribute()


class EmailClaim(Item):
    """Makes an email unique: written with the user in one transaction, and only if it does not exist yet."""

    ENTITY = "EmailClaim"

    PK = Key("EMAIL#{email}", hash_key=True)
    SK = Key("EMAIL", range_key=True)

    email = KeyField()
    user_id = TextAttribute()

    @classmethod
    def of(cls, email: str, user_id: str | None = None) -> Self:
        """Return the claim of an email in its normal form; to write it, pass the `user_id`.

        `#` separates the fields of a key but is allowed in an email. In the key it is replaced by a backslash, which is
        not allowed in an email.
        """
        claim: Self = cls(email=email.replace("#", "\\"), user_id=user_id)
        return claim
