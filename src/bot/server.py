"""Run the application under gunicorn: many open streams, a graceful shutdown, and no processes left behind.

gunicorn's master starts the workers and holds the listening socket; each worker creates its own application, with its
clients and threads. Comments mark where this differs from gunicorn's defaults.
"""

import contextlib
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.errors import AppImportError  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from bot.startup import uncollected
from bot.worker import Worker

_BACKLOG = 2048
# Longer than the idle timeout of an AWS load balancer (60 s), which would otherwise reuse a connection just closed.
_KEEP_ALIVE = 75


def serve(
    app_factory: Callable[[], Flask],
    *,
    host: str,
    port: int,
    workers: int,
    threads: int,
    graceful_timeout: int,
    on_ready: Callable[[], None] | None = None,
    on_stop: Callable[[], None] | None = None,
    on_tick: Callable[[], None] | None = None,
    on_worker_stop: Callable[[Flask], None] | None = None,
    listener: socket.socket | None = None,
) -> NoReturn:
    """Serve until SIGTERM, SIGHUP or Ctrl-C, then exit the process.

    A thread serves one request at a time, streams included, so there can be `workers` times `threads` streams at once.
    At shutdown, running requests get `graceful_timeout` seconds; a second Ctrl-C cuts that short.

    Args:
        app_factory: Creates the application; called once in every worker. If it raises `SystemExit("a sentence")`, the
            server prints that sentence to standard error and exits.
        host: The address to listen on.
        port: The port; 0 is any free one.
        workers: The number of worker processes.
        threads: The number of threads of each.
        graceful_timeout: How many seconds running requests get at shutdown.
        on_ready: Called once in the master, when the first worker has created its application and serves requests.
        on_stop: Called once in the master at the end, even if nothing could be started.
        on_tick: Called about once a second in the master between the two, for example to monitor child processes.
        on_worker_stop: Called with its application in every worker that stops, when its requests have ended. Its
            duration counts towards `graceful_timeout`.
        listener: A socket from `listen` for this address, for a caller who needs to know the port first; `serve` takes
            ownership of it.

    Raises:
        SystemExit: Always. Status 1, after one line on standard error, if the address cannot be used.
    """
    master = os.getpid()
    # Each stream has a connection to its client and one to the provider, and now and then uses one to DynamoDB.
    _allow_files(threads * 4 + 1000)
    try:
        listener = listener or listen(host, port)
        _Application(
            app_factory,
            _Hooks(on_ready, on_tick, on_worker_stop),
            {
                "bind": f"fd://{listener.detach()}",
                "workers": workers,
                "worker_class": Worker,
                "threads": threads,
                # Connections without a thread wait for one; without spare room gunicorn would keep none alive.
                "worker_connections": threads + 1000,
                "keepalive": _KEEP_ALIVE,
                "graceful_timeout": graceful_timeout,
                "loglevel": "warning",
                "logger_class": _Log,
                # The application determines the client's address and scheme itself (BOT_TRUSTED_PROXIES).
                "forwarded_allow_ips": "",
                # By default gunicorn opens a control socket in the user's directory.
                "control_socket_disable": True,
            },
        ).run()
        sys.exit(0)
    finally:
        # A worker that gets here must not stop what the master and the other workers use.
        if on_stop and os.getpid() == master:
            on_stop()


def _allow_files(number: int) -> None:
    """Raise this process's soft limit of open files to `number`, or to the hard limit; its workers inherit it.

    The soft limit is 1,024 nearly everywhere, for programs that use `select`. Here only the master uses it, on the
    first files that it opens.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS has another limit, which it does not report; if it applies, the soft limit stays as it was.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen(host: str, port: int) -> socket.socket:
    """Bind the address and return its socket; gunicorn itself would try five times and log ten lines about it.

    Raises:
        SystemExit: Status 1, after one line on standard error, if the address cannot be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as failure:
        # Python appends the address to the system's message, so take that from the errno. A failed name resolution has
        # a negative one.
        reason = os.strerror(failure.errno) if failure.errno and failure.errno > 0 else failure.strerror
        print(  # noqa: T201 - for the person at the terminal: the server has no log yet
            f"Cannot listen on {host}:{port}: {reason}. Set PORT (or HOST) to an address that is free.", file=sys.stderr
        )
        sys.exit(1)


class _Log(Logger):  # type: ignore[misc]
    """gunicorn's log, sent through the process's own, which redacts secrets."""

    def setup(self, cfg: Any) -> None:
        """Set up as gunicorn does, but without its handlers."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Hooks:
    """The master's callbacks, and the pipe through which a worker reports that its application is up."""

    def __init__(
        self,
        on_ready: Callable[[], None] | None,
        on_tick: Callable[[], None] | None,
        on_worker_stop: Callable[[Flask], None] | None,
    ) -> None:
        self.on_ready = on_ready
        self.on_tick = on_tick
        self.on_worker_stop = on_worker_stop
        self.ready = False
        self._ready_read, self._ready_write = os.pipe()

    def worker_is_up(self, _worker: object) -> None:
        """Called in the worker when its application exists and the socket is listening."""
        # Ctrl-C and SIGHUP reach the whole process group. The master handles them and stops its workers in order.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.write(self._ready_write, b".")

    def worker_stops(self, _master: object, worker: Any) -> None:
        """Called in the worker when it stops; it may have no application yet."""
        if self.on_worker_stop and getattr(worker, "wsgi", None):
            self.on_worker_stop(worker.wsgi)

    def wait_ready(self, patience: float) -> bool:
        """Wait at most `patience` seconds for the first worker; return whether one is up."""
        return bool(select.select([self._ready_read], [], [], patience)[0])


class _Application(BaseApplication):  # type: ignore[misc]
    """gunicorn's view of the application: its settings, and how to create it."""

    def __init__(self, app_factory: Callable[[], Flask], hooks: _Hooks, settings: dict[str, Any]) -> None:
        self._app_factory = app_factory
        self._hooks = hooks
        self._settings = settings | {"post_worker_init": hooks.worker_is_up, "worker_exit": hooks.worker_stops}
        super().__init__()

    def load_config(self) -> None:
        """Apply the settings; gunicorn's own configuration files and environment variables are ignored."""
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Create the application; this runs in a worker."""
        try:
            with uncollected():
                return self._app_factory()
        except SystemExit as exit_:
            # gunicorn would treat this as a dead worker and start new ones forever.
            raise AppImportError(exit_.code) from exit_

    def run(self) -> None:
        """Run the master's loop until it exits."""
        _Master(self, self._hooks).run()


class _Master(Arbiter):  # type: ignore[misc]
    """gunicorn's master, with a graceful shutdown on every signal that ends it."""

    def __init__(self, application: _Application, hooks: _Hooks) -> None:
        self._hooks = hooks
        super().__init__(application)

    def init_signals(self) -> None:
        """Install the handlers, but keep ignoring SIGHUP if it was ignored before (`nohup`)."""
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        super().init_signals()
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def handle_int(self) -> NoReturn:
        """Shut down gracefully on the first Ctrl-C, too, where gunicorn would cut requests off; the second one does."""
        raise StopIteration

    # A closed terminal ends the server; gunicorn would reload its configuration and keep running without a terminal.
    handle_hup = handle_int

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait as gunicorn does; meanwhile call `on_ready` for the first worker, and then `on_tick`."""
        if not self._hooks.ready:
            if self._hooks.wait_ready(0.05):
                self._hooks.ready = True
                if self._hooks.on_ready:
                    self._hooks.on_ready()
            timeout = 0
        elif self._hooks.on_tick:
            self._hooks.on_tick()
        signals: list[int] = super().wait_for_signals(timeout=timeout)
        return signals

    def spawn_worker(self) -> int:
        """Fork a worker, which exits here when it is done.

        The worker must not unwind the stack that it was forked with: that is the master's, and would stop the master's
        child processes. Nor must it wait for threads whose requests have used up the graceful timeout.
        """
        try:
            pid: int = super().spawn_worker()
        except SystemExit as exit_:
            if os.getpid() != self.pid:
                with contextlib.suppress(OSError, ValueError):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(exit_.code if isinstance(exit_.code, int) else 1)
            raise
        return pid
