"""Cursors: where a list goes on, signed for one list of one caller, so none can be made up or carried elsewhere."""

from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from bot.access.secrets import derive
from bot.errors import FieldError, InvalidCursor


class Cursors:
    """Signs and checks cursors with a key of their own."""

    def __init__(self, secret: bytes) -> None:
        """Derive the key from the deployment's secret."""
        self._key = derive(secret, "turntable cursors")

    def sign(self, scope: str, position: list[str]) -> str:
        """Return a cursor for a position; `scope` names the list, its filters and its caller."""
        return str(URLSafeSerializer(self._key, salt=scope).dumps(position))

    def read(self, scope: str, cursor: str) -> list[str]:
        """Return the position that was signed for this scope.

        Raises:
            InvalidCursor: it was not, or not by this deployment.
        """
        try:
            position: Any = URLSafeSerializer(self._key, salt=scope).loads(cursor)
        except BadData as error:
            raise InvalidCursor(
                "This cursor was not issued for this list with these filters.",
                fields=(FieldError("cursor", "send the next_cursor of the page before, with the same filters"),),
            ) from error
        return list(position)
