"""When an API key was last used: recorded in the background, at most once an hour, without delaying any request."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from bot.access.callers import Caller
from models.access_patterns.api_keys import note_api_key_use
from models.table import clock
from models.table.tenancy import UserId

log = logging.getLogger(__name__)

INTERVAL = timedelta(hours=1)
_BEAT_SECONDS = 60.0
# How long a process that stops waits for a running round.
_PATIENCE_SECONDS = 5.0
_MOST = 50_000


class LastUsedRecorder:
    """Collects the keys that were used in this process; a thread stores them once a minute.

    A key that this process has stored within the hour is not stored again. Several processes may each try once an hour;
    the write is conditional, so one of them succeeds.
    """

    def __init__(self, beat: float = _BEAT_SECONDS, also: Sequence[Callable[[], None]] = ()) -> None:
        """Take the seconds between two rounds of the thread, and functions to call first in each round."""
        self._beat = beat
        self._also = also
        self._used: dict[str, tuple[UserId, datetime]] = {}
        self._written: OrderedDict[str, datetime] = OrderedDict()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, caller: Caller) -> None:
        """Remember that a key is used now; ignore tokens. Sends no request."""
        if caller.key_id is None:
            return
        moment = clock.now()
        with self._lock:
            written = self._written.get(caller.key_id)
            if (written is None or moment - written >= INTERVAL) and len(self._used) < _MOST:
                self._used[caller.key_id] = (caller.user_id, moment)

    def flush(self) -> None:
        """Store the noted uses. A write that fails is logged, and retried after the key's next use.

        Cost: AP-27 for each key that was used and has not been stored within the hour.
        """
        with self._lock:
            used, self._used = self._used, {}
        for each in self._also:
            each()
        for key_id, (user_id, moment) in used.items():
            try:
                note_api_key_use(user_id, key_id, moment, interval=INTERVAL)
            except Exception:  # no failure here may affect anything else
                log.warning("could not record the use of the key %s", key_id, exc_info=True)
                continue
            with self._lock:
                self._written[key_id] = moment
                self._written.move_to_end(key_id)
                if len(self._written) > _MOST:
                    self._written.popitem(last=False)

    def start(self) -> None:
        """Start the thread; for a serving process."""
        # A daemon, so that it never delays the end of the process.
        self._thread = threading.Thread(target=self._run, name="key-uses", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread, and store the uses that are left."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)
        self.flush()

    def _run(self) -> None:
        while not self._stop.wait(self._beat):
            self.flush()
