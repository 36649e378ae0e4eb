"""Errors of the data layer; the application maps each to an HTTP status."""

from datetime import datetime


class TableError(Exception):
    """Base class of all errors that the data layer raises."""


class InvalidValue(TableError, ValueError):
    """A value cannot be stored: it is meaningless, or would not be read back unchanged."""

    def __init__(self, field: str, reason: str) -> None:
        """Take the `field`, as a dotted path, and the `reason`; the message never contains the value."""
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class InvalidKeyField(InvalidValue):
    """A value is not allowed in a key: it is empty, too long, or contains `#` or a control character."""


class InvalidDraft(TableError, ValueError):
    """A message is invalid: `field` is the invalid field, `allowed` describes its valid values."""

    def __init__(self, field: str, allowed: str) -> None:
        """Take the `field` and what is `allowed`; the message never contains the value."""
        super().__init__(f"{field}: must be {allowed}")
        self.field = field
        self.allowed = allowed


class ItemNotFound(TableError):
    """There is no such item, or it belongs to another user; the caller must not be able to tell which."""

    def __init__(self, what: str) -> None:
        """Take the kind of item that is missing (`conversation`, `agent` …); never whose it might be."""
        super().__init__(f"There is no such {what}.")
        self.what = what


class ItemExpired(ItemNotFound):
    """The item has expired, and DynamoDB has not deleted it yet; for a caller it does not exist."""


class EmailTaken(TableError):
    """Another user has this email."""

    def __init__(self, email: str) -> None:
        """Take the `email`."""
        super().__init__(f"Another user has the email {email}.")
        self.email = email


class IdentityTaken(TableError):
    """This issuer's subject already has a user."""

    def __init__(self) -> None:
        """Take nothing; the message does not name the subject."""
        super().__init__("This issuer's subject already has a user.")


class VersionMismatch(TableError):
    """A compare-and-set expected another version than the stored one, which is `current` (0 if there is none)."""

    def __init__(self, current: int) -> None:
        """Take the version that is `current` in the table."""
        super().__init__(f"The stored version is {current}.")
        self.current = current


class ConversationNotActive(TableError):
    """The conversation is completed or archived and accepts no messages."""

    def __init__(self, status: str) -> None:
        """Take the conversation's `status`."""
        super().__init__(f"The conversation is {status}.")
        self.status = status


class LimitReached(TableError):
    """A turn or a request would exceed one of its user's limits; nothing was written.

    `limit` is the limit's name, `size` its value, `used` how much of it is claimed, `wanted` how much more is needed;
    `resets_at` is when the count restarts, None if it is freed when turns end.
    """

    def __init__(self, limit: str, size: int, used: int, wanted: int, resets_at: datetime | None) -> None:
        """Take the limit and its current use."""
        super().__init__(f"{limit}: {used:,} of {size:,} are claimed, and this needs {wanted:,}.")
        self.limit = limit
        self.size = size
        self.used = used
        self.wanted = wanted
        self.resets_at = resets_at


class LeaseLost(TableError):
    """Another worker took over this worker's lease; nothing was written."""

    def __init__(self, what: str) -> None:
        """Take the id of the turn or erasure that the lease was for."""
        super().__init__(f"Another worker took over {what}; nothing more was written here.")
        self.what = what


class Contended(TableError):
    """Too many writers contended for one item; nothing was written, and a later retry will succeed."""


class DoneBefore(Contended):
    """Another request with the same idempotency key has already taken effect; nothing was written."""


class TooManyShares(TableError):
    """An agent is already shared with the maximum number of named users."""

    def __init__(self, limit: int) -> None:
        """Take the `limit`."""
        super().__init__(f"An agent can be shared with {limit} users by name; publish it to share it with all.")
        self.limit = limit


class ItemTooLarge(TableError):
    """An item would exceed DynamoDB's limit of 400 KB, or a transaction its limit of 4 MB."""

    def __init__(
        self, field: str, size: int | None, limit: int, *, compressed: int | None = None, hint: str | None = None
    ) -> None:
        """Take the `field`, its `size` (None if only DynamoDB knows it) and the `limit`, both in bytes.

        `compressed` is the size after compression, in bytes; if given, the limit applies to it. `hint` is a sentence
        that says what to do.
        """
        length = "too" if size is None else f"{size:,} bytes"
        packed = "" if compressed is None else f", {compressed:,} compressed"
        what_to_do = "" if hint is None else f" {hint}"
        super().__init__(f"{field} is {length} long{packed}; at most {limit:,} bytes fit.{what_to_do}")
        self.field = field
        self.size = size
        self.limit = limit
        self.compressed = compressed
        self.hint = hint

    def of(self, field: str) -> "ItemTooLarge":
        """Return the same error for a field with another name."""
        return ItemTooLarge(field, self.size, self.limit, compressed=self.compressed, hint=self.hint)


class MapTooLarge(TableError):
    """A map would have too many names or bytes in total."""

    def __init__(self, field: str, would: tuple[int, int], limit: tuple[int, int], has: tuple[int, int]) -> None:
        """Take the `field`, and what it would have, its limit and what it has now, each as names and bytes."""
        now = f", and it has {_names_and_bytes(has)} now" if has[0] else ""
        super().__init__(
            f"{field} would have {_names_and_bytes(would)}; at most {_names_and_bytes(limit)} are allowed{now}."
        )
        self.field = field
        self.would = would
        self.limit = limit
        self.has = has

    @property
    def allowed(self) -> str:
        """What is allowed in the field, as a phrase for the caller."""
        return f"at most {_names_and_bytes(self.limit)} in total; a name with null is removed"


def _names_and_bytes(counts: tuple[int, int]) -> str:
    return f"{counts[0]:,} names and {counts[1]:,} bytes"


class TransactionTooLarge(ItemTooLarge):
    """A transaction's request would be over 4 MB; nothing was sent."""

    def __init__(self, size: int, limit: int) -> None:
        """Take the `size` and the `limit`, in bytes."""
        super().__init__("The transaction", size, limit)


class TooManyWrites(TableError):
    """A transaction would have too many writes; nothing was sent."""

    def __init__(self, what: str, count: int, limit: int) -> None:
        """Take `what` was to be written, how many there are, and how many are allowed."""
        super().__init__(f"{count:,} {what} cannot be written together; at most {limit:,} can.")
        self.what = what
        self.count = count
        self.limit = limit


class ContentUnavailable(TableError):
    """A text that is stored outside its item cannot be read or stored now.

    `lasting`: it is lost, and a retry will not help. `left_out`: it is intact; read its item individually.
    """

    def __init__(self, reason: str, *, lasting: bool = False, left_out: bool = False) -> None:
        """Take the reason, as the end of a sentence."""
        super().__init__(f"This text is unavailable: {reason}.")
        self.lasting = lasting
        self.left_out = left_out
