"""Data keys from KMS: each encrypts one of a user's integration details, and is stored with it, wrapped by KMS.

KMS binds a data key to the table and the user (the encryption context), so it does not unwrap a key for another user,
and its log shows whose key it was. A process caches unwrapped keys for a few minutes: turns with a user's own
credentials call KMS at most once in that time, and make no more requests to DynamoDB than other turns.

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

# With these, KMS reports that it did not wrap this: it is for another user, under another key, or was changed.
_FOREIGN = {"InvalidCiphertextException", "IncorrectKeyException"}
# With these, the deployment's configuration or its permissions must be fixed.
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
    """An encryption key, and its wrapped form, which may be stored and which only KMS can unwrap.

    `arn` is the KMS key that wrapped it.
    """

    arn: str
    wrapped: bytes
    plain: bytes

    def __repr__(self) -> str:
        """Show the KMS key only."""
        return f"DataKey({self.arn})"


class DataKeys:
    """Generates and unwraps data keys."""

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
        """Take the KMS key's id, ARN or alias, and the table's name. Sends no request.

        At most `most` unwrapped keys are cached, each for `remember` seconds.
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
            raise _reported(error) from error
        self._current = made["KeyId"]
        key = DataKey(made["KeyId"], made["CiphertextBlob"], made["Plaintext"])
        self._known.put((user_id, key.wrapped), key.plain)
        return key

    def unwrap(self, user_id: str, arn: str, wrapped: bytes) -> bytes:
        """Return the data key that was wrapped for a user. Cost: 1 Decrypt, or nothing if it is cached.

        Raises:
            ValueError: it was wrapped for another user, or by a KMS key that does not belong to this deployment.
            SecretsUnavailable: KMS does not answer.
            NotConfigured: KMS refuses this deployment.
        """
        known = self._known.get((user_id, wrapped))
        if known is not None:
            return known
        # Otherwise somebody who can write to the table could name a KMS key of their own, and would know the data key.
        if _account(arn) != _account(self.current()):
            raise ValueError("a data key that another account's KMS key wrapped")
        try:
            opened = self._client.decrypt(KeyId=arn, CiphertextBlob=wrapped, EncryptionContext=self._context(user_id))
        except (ClientError, BotoCoreError) as error:
            if _code(error) in _FOREIGN or (_code(error) == "NotFoundException" and arn != self._current):
                raise ValueError("a data key that KMS did not wrap for this user or can no longer unwrap") from error
            raise _reported(error) from error
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
                raise _reported(error) from error
        return self._current

    def _context(self, user_id: str) -> dict[str, str]:
        return {"table": self._table, "user": user_id}


class _Remembered:
    """A cache of unwrapped data keys, limited in time and size; the oldest are evicted first."""

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
    """Return the account in an ARN with its partition and service: `arn:aws:kms:us-east-1:111122223333:key/…`."""
    partition, service, _, account = (*arn.split(":"), *[""] * 5)[1:5]
    return [partition, service, account]


def _code(error: ClientError | BotoCoreError) -> str:
    """Return KMS's error code; empty if KMS was not reached."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""


def _reported(error: ClientError | BotoCoreError) -> BotError:
    """Log a failure of KMS with its text, and return the error for the caller."""
    log.error("KMS failed: %s", error)
    if _code(error) in _REFUSED:
        return NotConfigured("This deployment cannot use its encryption key now.", retry_after=60)
    return SecretsUnavailable("The service that holds the encryption key does not answer; try again.", retry_after=5)


def data_keys_of(settings: Settings) -> DataKeys | None:
    """Return the deployment's data keys, or None without KMS."""
    if settings.kms_key_id is None:
        return None
    invented = settings.invented_credential(settings.kms_endpoint_url)
    import boto3  # imported here because few deployments use KMS

    client = boto3.session.Session().client(
        "kms",
        region_name=settings.region,
        endpoint_url=settings.kms_endpoint_url,
        aws_access_key_id=invented,
        aws_secret_access_key=invented,
        config=Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3}),
    )
    return DataKeys(client, settings.kms_key_id, settings.kms_context_table or settings.table_name)
