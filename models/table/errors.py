"""What can go wrong in the table, in the table's own words; the application gives each a status."""

from datetime import datetime


class TableError(Exception):
    """Base of all errors that the data layer raises."""


class InvalidValue(TableError, ValueError):
    """A value cannot be stored: it would not come back as it is, or it makes no sense."""

    def __init__(self, field: str, reason: str) -> None:
        """Name the `field`, as a dotted path, and the `reason`; the value itself stays out of the message."""
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class InvalidKeyField(InvalidValue):
    """A value cannot stand in a key: it is empty, too long, or holds `#` or a control character."""


class InvalidDraft(TableError, ValueError):
    """A message cannot be stored like this: `field` is what is wrong, `allowed` what may stand there."""

    def __init__(self, field: str, allowed: str) -> None:
        """Name the `field`; its value stays out of the message."""
        super().__init__(f"{field}: must be {allowed}")
        self.field = field
        self.allowed = allowed


class ItemNotFound(TableError):
    """There is no such item, or it belongs to somebody else: the caller cannot tell which, and must not."""

    def __init__(self, what: str) -> None:
        """Say `what` kind of thing is missing (`conversation`, `agent` …), never whose it might be."""
        super().__init__(f"There is no such {what}.")
        self.what = what


class ItemExpired(ItemNotFound):
    """The item's time is over, and DynamoDB has not removed it yet: to a caller, there is no such item."""


class EmailTaken(TableError):
    """Another user has this email."""

    def __init__(self, email: str) -> None:
        """Name the `email`."""
        super().__init__(f"Another user has the email {email}.")
        self.email = email


class IdentityTaken(TableError):
    """This issuer's subject has a user already."""

    def __init__(self) -> None:
        """Say so; who it is stays out of the message."""
        super().__init__("This issuer's subject has a user already.")


class VersionMismatch(TableError):
    """A compare-and-set named a version that is not the stored one; `current` is the stored one, 0 for none."""

    def __init__(self, current: int) -> None:
        """Carry the version that is `current` in the table."""
        super().__init__(f"The stored version is {current}.")
        self.current = current


class ConversationNotActive(TableError):
    """The conversation is completed or archived, and takes no messages."""

    def __init__(self, status: str) -> None:
        """Carry the conversation's `status`."""
        super().__init__(f"The conversation is {status}.")
        self.status = status


class LimitReached(TableError):
    """A turn would pass one of its user's limits; nothing was written.

    `limit` is its name, `size` the limit, `used` what is claimed of it, `wanted` what the turn would claim;
    `resets_at` is when it begins anew, None where turns that end free it.
    """

    def __init__(self, limit: str, size: int, used: int, wanted: int, resets_at: datetime | None) -> None:
        """Carry which limit, and how far it is used."""
        super().__init__(f"{limit}: {used:,} of {size:,} are claimed, and this would take {wanted:,}.")
        self.limit = limit
        self.size = size
        self.used = used
        self.wanted = wanted
        self.resets_at = resets_at


class LeaseLost(TableError):
    """This worker's lease was taken over: what it wanted to write was not written."""

    def __init__(self, what: str) -> None:
        """Carry the id of the turn or erasure that the lease was `what` for."""
        super().__init__(f"Another worker took over {what}; nothing more was written here.")
        self.what = what


class Contended(TableError):
    """Too many writers met on one item; nothing was written, and trying again later will do."""


class DoneBefore(Contended):
    """Another request with the same idempotency key has had its effect; nothing was written."""


class TooManyShares(TableError):
    """An agent is shared with as many users by name as it can be."""

    def __init__(self, limit: int) -> None:
        """Carry the `limit`."""
        super().__init__(f"An agent can be shared with {limit} users by name; publish it to share it with all.")
        self.limit = limit


class ItemTooLarge(TableError):
    """An item would pass DynamoDB's limit of 400 KB, or what is written together its limit of 4 MB."""

    def __init__(self, field: str, size: int | None, limit: int, *, compressed: int | None = None) -> None:
        """Name the `field`, its `size` (None where only DynamoDB knows) and the `limit`, both in bytes.

        With `compressed`, that is the size after compression, and the limit is for it.
        """
        length = "too" if size is None else f"{size:,} bytes"
        packed = "" if compressed is None else f", {compressed:,} compressed"
        super().__init__(f"{field} is {length} long{packed}; at most {limit:,} bytes fit.")
        self.field = field
        self.size = size
        self.limit = limit
        self.compressed = compressed

    def of(self, field: str) -> "ItemTooLarge":
        """Return the same error of a field that is named otherwise."""
        return ItemTooLarge(field, self.size, self.limit, compressed=self.compressed)


class ContentUnavailable(TableError):
    """A text that lies outside of its item cannot be read or stored now.

    `lasting`: trying again will not help, it is lost. `left_out`: nothing is wrong with it; read its item alone.
    """

    def __init__(self, reason: str, *, lasting: bool = False, left_out: bool = False) -> None:
        """Say why, as the end of a sentence."""
        super().__init__(f"This text cannot be had: {reason}.")
        self.lasting = lasting
        self.left_out = left_out
