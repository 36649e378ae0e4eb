"""Share link: lets anyone who has it read a conversation up to one message. Only the hash of its token is stored."""

from models.table.attributes import JsonAttribute, TextAttribute, TimestampAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField

ID_PREFIX = "lnk"

DEFAULT_DAYS = 30
MAX_DAYS = 365


class ShareLink(Item):
    """A share link by the hash of its token, for the readers, who are nobody's users.

    It refers to the messages of a conversation's path up to `until`, which is included; nothing is copied but the
    title. The conversations in `tree`, of which the shared one is the first, are those that it depends on: the link is
    dead as soon as one of them is being deleted.
    """

    ENTITY = "ShareLink"

    PK = Key("SHARE#{token_hash}", hash_key=True)
    SK = Key("SHARE", range_key=True)

    token_hash = KeyField()
    link_id = TextAttribute()
    user_id = TextAttribute()
    tree = JsonAttribute()
    title = TextAttribute(null=True)
    until = TimestampAttribute()


class ShareLinkEntry(Item):
    """A share link in its conversation's item collection; written and deleted together with the `ShareLink`."""

    ENTITY = "ShareLinkEntry"

    PK = Key("CONV#{conversation_id}", hash_key=True)
    SK = Key("LINK#{link_id}", range_key=True)

    conversation_id = KeyField()
    link_id = KeyField()
    token_hash = TextAttribute()
    until = TimestampAttribute()
    created_at = TimestampAttribute()
