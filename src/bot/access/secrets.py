"""The vault: encrypts a user's integration details, bound to the user and the details' name.

A sealed value names its key, so that values under several keys can be read while the newest key is used for writing:

- `v2.{secret's id}.{nonce and ciphertext}`: under one of the deployment's own secrets;
- `kms1.{ARN}.{wrapped data key}.{nonce and ciphertext}`: under a data key that KMS wrapped for this user;
- `v1.{nonce and ciphertext}`: the format from before there were several keys; it names none, so each is tried.

The encryption is AES-256-GCM with random nonces of 96 bits; user, name and key are bound to it as additional data.
"""

import base64
import json
import secrets
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bot.access.key_ring import KeyRing, Secret, derive
from bot.access.kms import DataKeys

_PURPOSE = "turntable integration details"
_NONCE = 12


class Vault:
    """Encrypts integration details with the newest key, and decrypts them with the key that they name."""

    def __init__(self, ring: KeyRing, kms: DataKeys | None = None) -> None:
        """Take the deployment's secrets; with `kms`, they are used only to decrypt earlier values."""
        self._ring = ring
        self._kms = kms

    def seal(self, user_id: str, name: str, value: dict[str, Any]) -> str:
        """Return `value` encrypted, as text that only `open` with the same user and name can read.

        Raises:
            SecretsUnavailable: KMS does not answer.
            NotConfigured: KMS refuses this deployment.
        """
        if self._kms is not None:
            made = self._kms.make(user_id)
            head = ["kms1", made.arn, _text(made.wrapped)]
            return _sealed(made.plain, head, user_id, name, value)
        secret = self._ring.newest
        return _sealed(derive(secret.value, _PURPOSE), ["v2", secret.id], user_id, name, value)

    def open(self, user_id: str, name: str, sealed: str) -> dict[str, Any]:
        """Return the decrypted value.

        Raises:
            ValueError: its key is not available, it was sealed for another user or name, or it was changed.
            SecretsUnavailable: KMS does not answer.
            NotConfigured: KMS refuses this deployment.
        """
        *head, text = sealed.split(".")
        try:
            for key in self._keys(user_id, head):
                try:
                    return _opened(key, head, user_id, name, text)
                except InvalidTag:
                    continue
        except ValueError as error:
            raise ValueError("integration details cannot be decrypted with this deployment's keys") from error
        raise ValueError("integration details cannot be decrypted with this deployment's keys")

    def sealed_with(self, sealed: str) -> str:
        """Return a description of the key that sealed a value; a `v1` value does not name it."""
        match sealed.split("."):
            case ["kms1", arn, _, _]:
                return f"kms {arn}"
            case ["v2", key_id, _]:
                return f"secret {key_id}"
            case ["v1", _]:
                return "secret (unnamed)"
            case _:
                return "unknown"

    def newest(self) -> str:
        """Return the description of the key that `seal` uses now. Cost: with KMS, 1 DescribeKey.

        Raises:
            SecretsUnavailable: KMS does not answer.
            NotConfigured: KMS refuses this deployment.
        """
        return f"kms {self._kms.current(fresh=True)}" if self._kms else f"secret {self._ring.newest.id}"

    def _keys(self, user_id: str, head: list[str]) -> Sequence[bytes]:
        match head:
            case ["kms1", arn, wrapped] if self._kms is not None:
                return [self._kms.unwrap(user_id, arn, _bytes(wrapped))]
            case ["v2", key_id]:
                return [derive(secret.value, _PURPOSE) for secret in self._named(key_id)]
            case ["v1"]:
                return [derive(secret.value, _PURPOSE) for secret in reversed(self._ring.secrets)]
            case _:
                return []

    def _named(self, key_id: str) -> list[Secret]:
        found = [secret for secret in self._ring.secrets if secret.id == key_id]
        if not found and self._ring.refresh():
            found = [secret for secret in self._ring.secrets if secret.id == key_id]
        return found


def _sealed(key: bytes, head: list[str], user_id: str, name: str, value: dict[str, Any]) -> str:
    nonce = secrets.token_bytes(_NONCE)
    sealed = AESGCM(key).encrypt(nonce, json.dumps(value).encode(), _bound(head, user_id, name))
    return ".".join([*head, _text(nonce + sealed)])


def _opened(key: bytes, head: list[str], user_id: str, name: str, text: str) -> dict[str, Any]:
    data = _bytes(text)
    opened: dict[str, Any] = json.loads(AESGCM(key).decrypt(data[:_NONCE], data[_NONCE:], _bound(head, user_id, name)))
    return opened


def _bound(head: list[str], user_id: str, name: str) -> bytes:
    """Return the additional data of the encryption. No user id contains `#`, so it is unambiguous."""
    if head == ["v1"]:
        return f"{user_id}#{name}".encode()
    return f"{'.'.join(head)}#{user_id}#{name}".encode()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode())
