"""When an API key was last used: noted aside, once an hour at most; no request waits for it or fails with it."""

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
# How long the end of a process waits for a round that is on its way.
_PATIENCE_SECONDS = 5.0
_MOST = 50_000


class LastUsedRecorder:
    """Collects the keys that were used in this process; a thread writes them down once a minute.

    A key that this process has written down within the hour is not written again. Several processes may each try once
    an hour; the write is conditional, so one of them succeeds.
    """

    def __init__(self, beat: float = _BEAT_SECONDS, also: Sequence[Callable[[], None]] = ()) -> None:
        """Take how many seconds lie between two rounds of the thread, and what else is done in each, before it."""
        self._beat = beat
        self._also = also
        self._used: dict[str, tuple[UserId, datetime]] = {}
        self._written: OrderedDict[str, datetime] = OrderedDict()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, caller: Caller) -> None:
        """Remember that a key is used now. Costs nothing; a token is passed over."""
        if caller.key_id is None:
            return
        moment = clock.now()
        with self._lock:
            written = self._written.get(caller.key_id)
            if (written is None or moment - written >= INTERVAL) and len(self._used) < _MOST:
                self._used[caller.key_id] = (caller.user_id, moment)

    def flush(self) -> None:
        """Write down what was noted. A write that fails is logged, and tried again with the key's next use.

        Cost: AP-27 for each key that was used and not written down within the hour.
        """
        with self._lock:
            used, self._used = self._used, {}
        for each in self._also:
            each()
        for key_id, (user_id, moment) in used.items():
            try:
                note_api_key_use(user_id, key_id, moment, interval=INTERVAL)
            except Exception:  # nothing that goes wrong here may matter to anybody
                log.warning("could not note the use of the key %s", key_id, exc_info=True)
                continue
            with self._lock:
                self._written[key_id] = moment
                self._written.move_to_end(key_id)
                if len(self._written) > _MOST:
                    self._written.popitem(last=False)

    def start(self) -> None:
        """Start the thread; for a process that serves."""
        # A daemon, so that it never holds up the end of the process.
        self._thread = threading.Thread(target=self._run, name="key-uses", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread, and write down what is left."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)
        self.flush()

    def _run(self) -> None:
        while not self._stop.wait(self._beat):
            self.flush()
