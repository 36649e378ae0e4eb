"""Pagination cursors, signed for one list of one caller, so that none can be forged or used for another list."""

from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from bot.access.key_ring import KeyRing, Secret, derive
from bot.errors import FieldError, InvalidCursor


class Cursors:
    """Signs cursors with the newest of the deployment's secrets, and verifies them with any."""

    def __init__(self, ring: KeyRing) -> None:
        """Take the deployment's secrets, from which the signing keys are derived."""
        self._ring = ring
        self._of: tuple[Secret, ...] = ()
        self._derived: list[bytes] = []

    def sign(self, scope: str, position: list[str]) -> str:
        """Return a cursor for a position; `scope` names the list, its filters and its caller."""
        return str(URLSafeSerializer(self._keys(), salt=scope).dumps(position))

    def read(self, scope: str, cursor: str) -> list[str]:
        """Return the position in a cursor that was signed for this scope.

        Raises:
            InvalidCursor: the cursor was not signed for it, or not by this deployment.
        """
        try:
            position = self._read(scope, cursor)
        except BadData as error:
            raise InvalidCursor(
                "This cursor was not issued for this list with these filters.",
                fields=(FieldError("cursor", "send the previous page's next_cursor, with the same filters"),),
            ) from error
        return list(position)

    def _read(self, scope: str, cursor: str) -> Any:
        try:
            return URLSafeSerializer(self._keys(), salt=scope).loads(cursor)
        except BadData:
            # Another process may already sign with a newer secret.
            if not self._ring.refresh():
                raise
            return URLSafeSerializer(self._keys(), salt=scope).loads(cursor)

    def _keys(self) -> list[bytes]:
        """Return a key for each secret, the newest last, as itsdangerous expects."""
        ring = self._ring.secrets
        if ring is not self._of:
            self._derived = [derive(secret.value, "turntable cursors") for secret in ring]
            self._of = ring
        return self._derived
