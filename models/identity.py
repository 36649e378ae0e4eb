"""Identity: an OpenID Connect issuer's subject, and the user it belongs to."""

import hashlib
import json
from typing import Literal

from models.table.attributes import TextAttribute, TimestampAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField

# `closed`: the user was deleted. Only the hash is kept, so that the same subject cannot sign in again.
IdentityStatus = Literal["open", "closed"]


class Identity(Item):
    """Maps an issuer's subject to a user; created with the user in one transaction, and never reassigned.

    Issuers and subjects are free text, so the key is their hash.
    """

    ENTITY = "Identity"

    PK = Key("IDENTITY#{identity_hash}", hash_key=True)
    SK = Key("IDENTITY", range_key=True)

    identity_hash = KeyField()
    user_id = TextAttribute(null=True)
    issuer = TextAttribute(null=True)
    subject = TextAttribute(null=True)
    status = TextAttribute(default_for_new="open")
    created_at = TimestampAttribute()
    closed_at = TimestampAttribute(null=True)


def identity_hash(issuer: str, subject: str) -> str:
    """Return the hash of an issuer and a subject, encoded so that no two pairs can be confused."""
    return hashlib.sha256(json.dumps([issuer, subject]).encode()).hexdigest()
