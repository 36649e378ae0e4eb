"""The deployment's own secrets: the newest signs and encrypts, the older ones still verify and decrypt.

They come from the settings (`BOT_SECRET_KEY` and `BOT_OLD_SECRET_KEYS`), or from a file, one per line, the newest last.
The file may change while servers run: each checks whether it has changed before it encrypts, and when it cannot decrypt
a value.
"""

import hashlib
import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bot.settings import Settings

_FILE = "secret.key"


def derive(secret: bytes, purpose: str) -> bytes:
    """Return a 32-byte key for one purpose; it reveals nothing about the keys for other purposes."""
    return HKDF(SHA256(), 32, None, purpose.encode()).derive(secret)


@dataclass(frozen=True)
class Secret:
    """One secret. Encrypted values name it by its `id`, which reveals nothing about the secret."""

    value: bytes

    @property
    def id(self) -> str:
        """A fingerprint of 16 hexadecimal digits."""
        return hashlib.sha256(derive(self.value, "turntable key id")).hexdigest()[:16]

    def __repr__(self) -> str:
        """Show the id only."""
        return f"Secret({self.id})"


class KeyRing:
    """A fixed list of secrets; the newest is the last."""

    def __init__(self, *values: bytes) -> None:
        """Take the secrets' values, the oldest first; at least one."""
        if not values:
            raise ValueError("a key ring needs a secret")
        self._secrets = tuple(Secret(value) for value in values)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """All secrets, the oldest first."""
        return self._secrets

    @property
    def newest(self) -> Secret:
        """The secret to sign and encrypt with."""
        return self.secrets[-1]

    def refresh(self) -> bool:
        """Look for new secrets; return whether anything has changed."""
        return False


class KeyFile(KeyRing):
    """Secrets in a file that only its owner can read (mode 0600)."""

    def __init__(self, path: Path) -> None:
        """Read the file, or create it.

        Raises:
            OSError: it can neither be read nor created.
            ValueError: it contains no secret.
        """
        self.path = path
        self._lock = Lock()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            self._make()
        self._seen = _stamp(path)
        super().__init__(*_read(path))

    @property
    def newest(self) -> Secret:
        """The last secret in the file's current content."""
        self.refresh()
        return self._secrets[-1]

    def refresh(self) -> bool:
        """Read the file again if it has changed; return whether it has."""
        with self._lock:
            stamp = _stamp(self.path)
            if stamp == self._seen:
                return False
            self._secrets = tuple(Secret(value) for value in _read(self.path))
            self._seen = stamp
            return True

    def add(self) -> Secret:
        """Generate a new secret, which is then the newest; the others stay.

        Raises:
            OSError: the file cannot be written.
        """
        self.refresh()
        made = Secret(secrets.token_hex(32).encode())
        self._write([*self._secrets, made])
        return made

    def keep_newest(self) -> tuple[Secret, ...]:
        """Drop all secrets but the newest; return those that were dropped.

        Raises:
            OSError: the file cannot be written.
        """
        self.refresh()
        dropped = self._secrets[:-1]
        if dropped:
            self._write(self._secrets[-1:])
        return dropped

    def _write(self, kept: Sequence[Secret]) -> None:
        # Replaced atomically: a concurrent reader gets the old file or the new one.
        _draft(self.path, kept).replace(self.path)
        self.refresh()

    def _make(self) -> None:
        # Linked into place: if two processes start together, one wins and neither reads half a file.
        draft = _draft(self.path, [Secret(secrets.token_hex(32).encode())])
        try:
            os.link(draft, self.path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()


def _draft(path: Path, kept: Sequence[Secret]) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"".join(each.value + b"\n" for each in kept))
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _read(path: Path) -> list[bytes]:
    found = path.read_bytes().split()
    if not found:
        raise ValueError(f"{path} contains no secret")
    return found


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def key_ring_of(settings: Settings) -> KeyRing:
    """Return the deployment's secrets from the settings, or from the file under `BOT_DATA_DIR`.

    Raises:
        OSError: the file can neither be read nor created.
        ValueError: it contains no secret.
    """
    if settings.secret_key is None:
        return KeyFile(settings.data_dir / _FILE)
    values = [*settings.old_secret_keys, settings.secret_key]
    return KeyRing(*(value.get_secret_value().encode() for value in values))
