"""Run every benchmark and write docs/bench.json, of which the page is made: `make bench`."""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import opening, routes, starting, streaming
from bench.page import SAVED
from bench.sizes import SMALLEST, WHOLE, Sizes

_PACKAGES = ("flask", "gunicorn", "boto3", "botocore", "pynamodb", "pydantic", "flask-openapi", "openai", "httpx2")


def measure(sizes: Sizes) -> dict[str, Any]:
    """Run all of it, one after the other."""
    found: dict[str, Any] = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), "versions": versions()}
    for name, run in (
        ("routes", routes.measure),
        ("opening", opening.measure),
        ("starting", starting.measure),
        ("deltas", streaming.deltas),
        ("first_token", streaming.first_token),
        ("streams", streaming.opened),
    ):
        print(f"{name} …", file=sys.stderr, flush=True)
        found[name] = run(sizes)
        print(json.dumps(found[name]), file=sys.stderr, flush=True)
    return found


def machine() -> dict[str, Any]:
    """Return what the figures were made on."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": [round(each, 1) for each in os.getloadavg()],
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def versions() -> dict[str, str]:
    """Return the versions of what both sides are made of."""
    return {"Python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def main() -> None:
    """Measure; with `--smallest` just enough to see that all of it runs, and write nothing."""
    if "--smallest" in sys.argv[1:]:
        print(json.dumps(measure(SMALLEST)))
    else:
        SAVED.write_text(json.dumps(measure(WHOLE), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
