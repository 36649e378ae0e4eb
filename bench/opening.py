"""CPU of the client: `open_conversation` beside the same Query of a plain boto3 client, in one process."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import canned
from bench.compare import Round, compared, in_turn
from bench.processes import ROOT, environment, started
from bench.sizes import Sizes


def measure(sizes: Sizes) -> dict[str, Any]:
    """Return the figures, from a process that does nothing else."""
    with started("bench.dynamodb", "echo") as table:
        env = environment(AWS_ENDPOINT_URL_DYNAMODB=f"http://127.0.0.1:{table}")
        command = [sys.executable, "-m", "bench.opening", str(sizes.rounds), str(sizes.calls)]
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _sides() -> dict[str, Callable[[], object]]:
    import boto3

    from bot.settings import Settings
    from models.access_patterns.conversations import open_conversation
    from models.table import configure
    from models.table.tenancy import acting_for

    configure(Settings().table)
    user_id = acting_for(canned.USER)
    client = boto3.client("dynamodb")
    values = {":p": {"S": f"CONV#{canned.ECHO}"}, ":a": {"S": "MSG#"}, ":b": {"S": "THREAD"}}
    return {
        "ours": lambda: open_conversation(user_id, canned.ECHO, 20),
        "bare": lambda: client.query(
            TableName=canned.TABLE,
            KeyConditionExpression="PK = :p AND SK BETWEEN :a AND :b",
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=22,
        ),
    }


def main() -> None:
    """Measure, and print the figures as JSON."""
    rounds, calls = int(sys.argv[1]), int(sys.argv[2])
    sides = _sides()

    def take(side: str) -> Round:
        began = time.process_time()
        for _ in range(calls):
            sides[side]()
        return {"cpu_ms": (time.process_time() - began) / calls * 1000}

    for side in sides:
        take(side)
    print(json.dumps(compared(in_turn(rounds, take), cpu_ms=False)))


if __name__ == "__main__":
    main()
