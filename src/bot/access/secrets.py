"""The deployment's secret: one key, from which a key for each purpose is derived, and what is encrypted with it."""

import base64
import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bot.settings import Settings

_FILE = "secret.key"
_VERSION = "v1"


def secret_of(settings: Settings) -> bytes:
    """Return the deployment's secret: `BOT_SECRET_KEY`, or that of a file (mode 0600), made where it is missing.

    Raises:
        OSError: the file can neither be read nor made.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = settings.data_dir / _FILE
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _make(path)
    return path.read_bytes()


def _make(path: Path) -> None:
    # Written beside and linked into place: of two processes that start together one wins, and neither reads half a key.
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # for its owner alone
    draft = Path(name)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_hex(32).encode())
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def derive(secret: bytes, purpose: str) -> bytes:
    """Return 32 bytes for one purpose; keys of two purposes tell nothing of each other."""
    return HKDF(SHA256(), 32, None, purpose.encode()).derive(secret)


class Vault:
    """Encrypts a user's integration details with AES-256-GCM, bound to the user and the name they stand under."""

    def __init__(self, secret: bytes) -> None:
        """Derive the vault's own key from the deployment's secret."""
        self._cipher = AESGCM(derive(secret, "turntable integration details"))

    def seal(self, user_id: str, name: str, value: dict[str, Any]) -> str:
        """Return `value` encrypted, as text that only `open` with the same user and name can read."""
        nonce = secrets.token_bytes(12)
        sealed = self._cipher.encrypt(nonce, json.dumps(value).encode(), _bound(user_id, name))
        return f"{_VERSION}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, user_id: str, name: str, sealed: str) -> dict[str, Any]:
        """Return what was sealed.

        Raises:
            ValueError: it was sealed with another secret, for another user or name, or it was changed.
        """
        version, _, text = sealed.partition(".")
        if version != _VERSION:
            raise ValueError("integration details of an unknown version")
        try:
            data = base64.urlsafe_b64decode(text)
            opened: dict[str, Any] = json.loads(self._cipher.decrypt(data[:12], data[12:], _bound(user_id, name)))
        except (InvalidTag, ValueError) as error:
            raise ValueError("integration details cannot be decrypted with this deployment's secret") from error
        return opened


def _bound(user_id: str, name: str) -> bytes:
    return f"{user_id}#{name}".encode()
