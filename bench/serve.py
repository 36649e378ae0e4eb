"""One side as a server, under the same gunicorn settings: `python -m bench.serve ours|bare THREADS`.

Beside its routes, `GET /cost` tells what its one worker has taken: CPU in seconds, and memory at most.
"""

import os
import resource
import sys
import threading
import time
from collections.abc import Callable

from flask import Flask

from bot.server import listen, serve


def application(side: str) -> Flask:
    """Make the application of a side; only what it needs is imported."""
    if side == "ours":
        from bot.app import create_app, start_background
        from bot.logs import log_to_stderr
        from bot.settings import Settings

        settings = Settings()
        # As `bot serve` does; its lines go where standard error leads.
        log_to_stderr(settings.log_level, settings.log_format, settings.secrets)
        app: Flask = create_app(settings)
        start_background(app)
    else:
        from bench.bare import create_app as create_bare_app

        app = create_bare_app()
    app.add_url_rule("/cost", view_func=cost)
    return app


def cost() -> dict[str, float]:
    """Return the CPU of this process in seconds, user's and system's, its largest memory in KiB, and its threads."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "cpu": time.process_time(),
        "memory": peak / 1024 if sys.platform == "darwin" else peak,
        "threads": threading.active_count(),
    }


def _end_with_parent(stop: Callable[[], None]) -> None:
    def wait() -> None:
        sys.stdin.buffer.read()
        stop()

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Serve until the standard input ends; the port is printed first."""
    side, threads = sys.argv[1], int(sys.argv[2])
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        _end_with_parent(lambda: os.kill(os.getpid(), 15))
        serve(
            lambda: application(side),
            host="127.0.0.1",
            port=port,
            workers=1,
            threads=threads,
            graceful_timeout=2,
            on_ready=lambda: print(port, flush=True),
            listener=listener,
        )


if __name__ == "__main__":
    main()
