"""Data keys from KMS: each encrypts one user's details under one name, and is kept with them, wrapped by KMS.

KMS binds a data key to the table and the user (the encryption context), so what it has wrapped for one user it does not
unwrap for another, and its log says whose it was. A process remembers unwrapped keys for a few minutes: a turn with the
user's own credentials asks KMS at most once in that time, and DynamoDB not once more than any other turn.

Source: https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bot.errors import BotError, NotConfigured, SecretsUnavailable
from bot.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

log = logging.getLogger(__name__)

# KMS says by these that what it was given is not what it has wrapped: for another user, under another key, or changed.
_FOREIGN = {"InvalidCiphertextException", "IncorrectKeyException"}
# And by these that the deployment has to be mended.
_REFUSED = {
    "AccessDeniedException",
    "DisabledException",
    "InvalidArnException",
    "InvalidKeyUsageException",
    "KMSInvalidStateException",
    "NotFoundException",
    "UnrecognizedClientException",
    "ValidationException",
}
_REMEMBERED_SECONDS = 300.0
_REMEMBERED_KEYS = 1000


@dataclass(frozen=True)
class DataKey:
    """A key that encrypts, and the form of it that may be stored: only KMS makes the one from the other.

    `arn` is the KMS key that has wrapped it.
    """

    arn: str
    wrapped: bytes
    plain: bytes

    def __repr__(self) -> str:
        """Show whose it is alone."""
        return f"DataKey({self.arn})"


class DataKeys:
    """Makes data keys and unwraps them."""

    def __init__(
        self,
        client: "KMSClient",
        key_id: str,
        table: str,
        *,
        remember: float = _REMEMBERED_SECONDS,
        most: int = _REMEMBERED_KEYS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the KMS key's id, ARN or alias, and the table's name; no request goes out yet.

        `remember` is how long an unwrapped key is remembered, in seconds; `most` how many of them are.
        """
        self._client = client
        self._key_id = key_id
        self._table = table
        self._current: str | None = None
        self._known = _Remembered(remember, most, now)

    def make(self, user_id: str) -> DataKey:
        """Return a new data key for a user. Cost: 1 GenerateDataKey.

        Raises:
            SecretsUnavailable: KMS does not answer.
            NotConfigured: KMS refuses this deployment.
        """
        try:
            made = self._client.generate_data_key(
                KeyId=self._key_id, KeySpec="AES_256", EncryptionContext=self._context(user_id)
            )
        except (ClientError, BotoCoreError) as error:
            raise _told(error) from error
        self._current = made["KeyId"]
        key = DataKey(made["KeyId"], made["CiphertextBlob"], made["Plaintext"])
        self._known.put((user_id, key.wrapped), key.plain)
        return key

    def unwrap(self, user_id: str, arn: str, wrapped: bytes) -> bytes:
        """Return the data key that was wrapped for a user. Cost: 1 Decrypt, or nothing where it is remembered.

        Raises:
            ValueError: it was wrapped for another user, or by a KMS key that is not this deployment's.
            SecretsUnavailable: KMS does not answer.
            NotConfigured: KMS refuses this deployment.
        """
        known = self._known.get((user_id, wrapped))
        if known is not None:
            return known
        # Whoever can write to the table could name a KMS key of their own, and would then know the data key.
        if _account(arn) != _account(self.current()):
            raise ValueError("a data key of another account's KMS key")
        try:
            opened = self._client.decrypt(KeyId=arn, CiphertextBlob=wrapped, EncryptionContext=self._context(user_id))
        except (ClientError, BotoCoreError) as error:
            if _code(error) in _FOREIGN or (_code(error) == "NotFoundException" and arn != self._current):
                raise ValueError("a data key that KMS did not wrap for this user, or cannot unwrap any more") from error
            raise _told(error) from error
        self._known.put((user_id, wrapped), opened["Plaintext"])
        return opened["Plaintext"]

    def current(self, *, fresh: bool = False) -> str:
        """Return the ARN of the KMS key that wraps new data keys. Cost: 1 DescribeKey, once or if `fresh`.

        Raises:
            SecretsUnavailable: KMS does not answer.
            NotConfigured: KMS refuses this deployment.
        """
        if self._current is None or fresh:
            try:
                self._current = self._client.describe_key(KeyId=self._key_id)["KeyMetadata"]["Arn"]
            except (ClientError, BotoCoreError) as error:
                raise _told(error) from error
        return self._current

    def _context(self, user_id: str) -> dict[str, str]:
        return {"table": self._table, "user": user_id}


class _Remembered:
    """Unwrapped data keys, for a bounded time and in bounded number; the oldest go first."""

    def __init__(self, seconds: float, most: int, now: Callable[[], float]) -> None:
        self._seconds, self._most, self._now = seconds, most, now
        self._keys: OrderedDict[tuple[str, bytes], tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: tuple[str, bytes]) -> bytes | None:
        with self._lock:
            self._forget()
            found = self._keys.get(name)
            return found[1] if found else None

    def put(self, name: tuple[str, bytes], key: bytes) -> None:
        with self._lock:
            self._keys[name] = self._now() + self._seconds, key
            self._keys.move_to_end(name)
            self._forget()

    def _forget(self) -> None:
        while self._keys and (len(self._keys) > self._most or next(iter(self._keys.values()))[0] <= self._now()):
            self._keys.popitem(last=False)


def _account(arn: str) -> list[str]:
    """Return what of an ARN says whose it is: `arn:aws:kms:us-east-1:111122223333:key/…`, without region and key."""
    partition, service, _, account = (*arn.split(":"), *[""] * 5)[1:5]
    return [partition, service, account]


def _code(error: ClientError | BotoCoreError) -> str:
    """Return KMS's own name of a failure; empty where KMS was not reached."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""


def _told(error: ClientError | BotoCoreError) -> BotError:
    """Return what a caller is told of a failure of KMS; its text stays in the log."""
    log.error("KMS failed: %s", error)
    if _code(error) in _REFUSED:
        return NotConfigured("This deployment may not use its encryption key now.", retry_after=60)
    return SecretsUnavailable("The service that keeps the encryption key does not answer; try again.", retry_after=5)


def data_keys_of(settings: Settings) -> DataKeys | None:
    """Return the deployment's data keys, or None where it does without KMS."""
    if settings.kms_key_id is None:
        return None
    invented = settings.invented_credential(settings.kms_endpoint_url)
    import boto3  # few deployments have a key in KMS

    client = boto3.session.Session().client(
        "kms",
        region_name=settings.region,
        endpoint_url=settings.kms_endpoint_url,
        aws_access_key_id=invented,
        aws_secret_access_key=invented,
        config=Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3}),
    )
    return DataKeys(client, settings.kms_key_id, settings.kms_context_table or settings.table_name)
