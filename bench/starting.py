"""From nothing to the first answer: CPU of importing and making the application, and of its first request."""

import json
import subprocess
import sys
import time
from typing import Any

from bot.startup import uncollected

_BEGAN = time.process_time()


def measure(sizes: Any) -> dict[str, Any]:
    """Return the figures; each start is a process of its own."""
    from bench.compare import Round, compared, in_turn
    from bench.processes import ROOT, environment, started

    with started("bench.dynamodb", "echo") as table:
        env = environment(AWS_ENDPOINT_URL_DYNAMODB=f"http://127.0.0.1:{table}")

        def take(side: str) -> Round:
            command = [sys.executable, "-m", "bench.starting", side]
            done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
            found: dict[str, float] = json.loads(done.stdout)
            return found

        for side in ("ours", "bare"):
            take(side)  # what is compiled and cached once
        return compared(in_turn(sizes.starts, take), import_cpu_s=False, first_cpu_s=False)


def main() -> None:
    """Start a side within this process, ask it once, and print what both took."""
    # As `bot serve` starts, and as the server starts the bare side.
    with uncollected():
        if sys.argv[1] == "ours":
            from bot.app import create_app

            app: Any = create_app()
        else:
            from bench.bare import create_app as create_bare_app

            app = create_bare_app()
    made = time.process_time()

    from bench.canned import ECHO, KEY

    client = app.test_client()
    before = time.process_time()
    answer = client.get(f"/api/v1/conversations/{ECHO}", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200, answer.get_data()
    print(json.dumps({"import_cpu_s": made - _BEGAN, "first_cpu_s": time.process_time() - before}))


if __name__ == "__main__":
    main()
