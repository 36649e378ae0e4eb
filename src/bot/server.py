"""Run the application under gunicorn: many open streams, a stop that lets running requests end, nothing left behind.

gunicorn's master starts the workers and holds the listening socket; the application, with its clients and threads, is
made in each worker. What differs from gunicorn's own habits is said where it differs.
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

from bot.worker import Worker

_BACKLOG = 2048
# Longer than the idle timeout of an AWS load balancer (60 s), which otherwise meets connections that just closed.
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
    """Serve until SIGTERM, Ctrl-C or a hang-up, then exit the process.

    A thread serves one request at a time, also while it streams: `workers` times `threads` is the number of streams.
    Requests that run at the end get `graceful_timeout` seconds; a second Ctrl-C cuts that short.

    Args:
        app_factory: Makes the application; called once in every worker. Its `SystemExit("a sentence")` ends the server
            with that sentence on standard error.
        host: The address to listen on.
        port: The port; 0 is any free one.
        workers: The number of worker processes.
        threads: The number of threads of each.
        graceful_timeout: Seconds that running requests get at the end.
        on_ready: Called once in the master, when the first worker has made its application and requests are answered.
        on_stop: Called once in the master at the end, also when nothing could be started.
        on_tick: Called about once a second in the master between the two; a place to look after child processes.
        on_worker_stop: Called with its application in every worker that stops, when its requests have ended. What it
            waits for counts towards `graceful_timeout`.
        listener: What `listen` returned for this address, for a caller who needs the port before; serve owns it then.

    Raises:
        SystemExit: Always. Status 1, after one line on standard error, if the address cannot be used.
    """
    master = os.getpid()
    # Of a stream's own: its client's connection, and one to the provider; besides, one to DynamoDB now and then.
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
                # Connections beyond the threads wait for one; without room for them gunicorn keeps none alive.
                "worker_connections": threads + 1000,
                "keepalive": _KEEP_ALIVE,
                "graceful_timeout": graceful_timeout,
                "loglevel": "warning",
                "logger_class": _Log,
                # Who called, and by which scheme, is the application's to find out (BOT_TRUSTED_PROXIES).
                "forwarded_allow_ips": "",
                # gunicorn opens a control socket in the user's directory if it is not told otherwise.
                "control_socket_disable": True,
            },
        ).run()
        sys.exit(0)
    finally:
        # A worker that comes by here must not stop what the master and the other workers use.
        if on_stop and os.getpid() == master:
            on_stop()


def _allow_files(number: int) -> None:
    """Let this process and its workers open so many files, as far as the system's hard limit goes.

    The soft one is 1,024 nearly everywhere, for the sake of programs that use `select`; here only the master does, and
    on the first files that it opens.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS has one more limit, which it does not tell; then things stay as they were.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen(host: str, port: int) -> socket.socket:
    """Take the address and return its socket; gunicorn itself would try five times, and say so ten.

    Raises:
        SystemExit: Status 1, after one line on standard error, if the address cannot be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as failure:
        # Python adds the address to the system's sentence; a name that does not resolve has a negative number.
        reason = os.strerror(failure.errno) if failure.errno and failure.errno > 0 else failure.strerror
        print(  # noqa: T201 - this is for the person at the terminal, before there is a server with a log
            f"Cannot listen on {host}:{port}: {reason}. Set PORT (or HOST) to an address that is free.", file=sys.stderr
        )
        sys.exit(1)


class _Log(Logger):  # type: ignore[misc]
    """gunicorn's log, written through the process's own: there its lines lose their secrets, as all others do."""

    def setup(self, cfg: Any) -> None:
        """Set up as gunicorn does, but for the handlers."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Hooks:
    """What the master calls, and the pipe by which a worker tells it that the application is up."""

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
        self._heard, self._said = os.pipe()

    def worker_is_up(self, _worker: object) -> None:
        """Called in the worker, with its application made and the socket listening."""
        # Ctrl-C and a hang-up reach the whole process group. The master hears them and ends its workers in order.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.write(self._said, b".")

    def worker_stops(self, _master: object, worker: Any) -> None:
        """Called in the worker at its end; without an application if it had none yet."""
        if self.on_worker_stop and getattr(worker, "wsgi", None):
            self.on_worker_stop(worker.wsgi)

    def heard(self, patience: float) -> bool:
        """Whether a worker is up, after at most `patience` seconds."""
        return bool(select.select([self._heard], [], [], patience)[0])


class _Application(BaseApplication):  # type: ignore[misc]
    """gunicorn's view of the application: its settings, and how to make it."""

    def __init__(self, app_factory: Callable[[], Flask], hooks: _Hooks, settings: dict[str, Any]) -> None:
        self._app_factory = app_factory
        self._hooks = hooks
        self._settings = settings | {"post_worker_init": hooks.worker_is_up, "worker_exit": hooks.worker_stops}
        super().__init__()

    def load_config(self) -> None:
        """Apply the settings; gunicorn's configuration files and variables are not read."""
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the application; this runs in a worker."""
        try:
            return self._app_factory()
        except SystemExit as exit_:
            # gunicorn would take this for a worker that died, and start the next one, for ever.
            raise AppImportError(exit_.code) from exit_

    def run(self) -> None:
        """Run the master's loop until it exits."""
        _Master(self, self._hooks).run()


class _Master(Arbiter):  # type: ignore[misc]
    """gunicorn's master, ending in order on every signal that means an end."""

    def __init__(self, application: _Application, hooks: _Hooks) -> None:
        self._hooks = hooks
        super().__init__(application)

    def init_signals(self) -> None:
        """Install the handlers, but leave a hang-up ignored if it was (`nohup`)."""
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        super().init_signals()
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def handle_int(self) -> NoReturn:
        """Let running requests end on Ctrl-C, too; gunicorn would cut them off. The second one does."""
        raise StopIteration

    # A closed terminal ends the server; gunicorn would read its configuration again and live on without one.
    handle_hup = handle_int

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait as gunicorn does, and meanwhile announce the first worker and look after the children."""
        if not self._hooks.ready:
            if self._hooks.heard(0.05):
                self._hooks.ready = True
                if self._hooks.on_ready:
                    self._hooks.on_ready()
            timeout = 0
        elif self._hooks.on_tick:
            self._hooks.on_tick()
        signals: list[int] = super().wait_for_signals(timeout=timeout)
        return signals

    def spawn_worker(self) -> int:
        """Fork a worker, which ends here when it is done.

        It must not unwind the stack it was forked with: that is the master's, with the master's children to stop. And
        it must not wait for threads whose requests have had their time.
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
