"""Re-encrypts all users' integration details with the newest key.

Every step is one conditional write of one value, and values under the newest key are skipped. So a run may be killed at
any moment and repeated, and a user who changes details meanwhile keeps the change.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from bot.access.secrets import Vault
from models.access_patterns.credentials import MAX_USERS, get_users, replace_details
from models.access_patterns.users import list_users
from models.table.tenancy import acting_for
from models.user import User

_TRIES = 3


@dataclass
class Rotated:
    """What a run found and did.

    `found` counts the values by the key that encrypted them when they were first read, `replaced` the re-encrypted
    ones. `unreadable` lists user and name of the values that no available key decrypts; they are unchanged. `contended`
    lists those that kept changing.
    """

    users: int = 0
    found: Counter[str] = field(default_factory=Counter)
    replaced: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    contended: list[tuple[str, str]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether no value is left under an older key."""
        return not self.unreadable and not self.contended


def count_users() -> int:
    """Return how many users there are. Cost: AP-05 for each 100 users."""
    return sum(1 for _ in _user_ids())


def rotate(vault: Vault, *, dry_run: bool = False, progress: Callable[[int], object] = lambda _: None) -> Rotated:
    """Re-encrypt every value that is not under the newest key; with `dry_run` only count.

    `progress` is called with the number of users processed since the last call.

    Cost: AP-05 and AP-95 for each 100 users (some 104 RCU together); AP-96 for each re-encrypted value (1 WCU for each
    KB of the profile), with KMS a GenerateDataKey each, and a Decrypt if the old value used KMS.

    Raises:
        SecretsUnavailable: KMS does not answer.
        NotConfigured: KMS refuses this deployment.
    """
    newest = vault.newest()
    rotated = Rotated()
    everybody = _user_ids()
    while user_ids := list(islice(everybody, MAX_USERS)):
        for user in get_users(user_ids):
            rotated.users += 1
            for name, sealed in user.api_integration_details.items():
                key = vault.sealed_with(sealed)
                rotated.found[key] += 1
                if key != newest and not dry_run:
                    _replace(vault, user, name, newest, rotated)
        progress(len(user_ids))
    return rotated


def _user_ids() -> Iterator[str]:
    after: str | None = None
    while True:
        page = list_users(MAX_USERS, after)
        yield from (user.user_id for user in page.items)
        if not page.more:
            return
        after = page.items[-1].user_id


def _replace(vault: Vault, user: User, name: str, newest: str, rotated: Rotated) -> None:
    """Re-encrypt one value. If its user has changed or removed it meanwhile, read it again."""
    user_id = acting_for(user.user_id)
    current: User | None = user
    for _ in range(_TRIES):
        sealed = current.api_integration_details.get(name) if current else None
        if sealed is None or vault.sealed_with(sealed) == newest:
            return
        try:
            details = vault.open(user_id, name, sealed)
        except ValueError:
            rotated.unreadable.append((user_id, name))
            return
        if replace_details(user_id, name, sealed, vault.seal(user_id, name, details)):
            rotated.replaced += 1
            return
        current = next(iter(get_users([user_id])), None)
    rotated.contended.append((user_id, name))
