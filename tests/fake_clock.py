"""A clock that only the test advances."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """For `clock.set_clock`. It starts at the current time, so that no engine considers its items expired."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **duration: float) -> datetime:
        """Move by `seconds=`, `minutes=` …, also backwards; return the new time."""
        self.moment += timedelta(**duration)
        return self.moment
