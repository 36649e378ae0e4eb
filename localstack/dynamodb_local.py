"""Runs DynamoDB Local on the loopback address alone: `python dynamodb_local.py JAVA-ARGUMENTS -jar JAR ARGUMENTS`.

LocalStack starts DynamoDB Local as `java … -jar DynamoDBLocal.jar -port N …`, and that listens on every address of the
machine; there is no option for another. This program takes the place of `java`: it loads the JVM into its own process,
lets DynamoDB Local make its server, tells that where to listen, and starts it. It also ends when its parent does, so
nothing is left if LocalStack is killed. The agent that LocalStack would add (more than 20 indexes) is left out.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jpype

RUNNER = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"
HOST = "127.0.0.1"
_LOOK_INTERVAL = 0.5
# It runs for minutes on a few cores: the optimising compiler and the parallel collector took more than they gave back.
# 1,500 requests took 7 seconds of processor time instead of 16, the next 1,500 took 5 instead of 8.
_SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def end_with_parent(parent: int) -> None:
    """End this process as soon as its parent is another one than at the start."""
    while os.getppid() == parent:
        time.sleep(_LOOK_INTERVAL)
    os._exit(0)


def serve(jvm_options: list[str], jar: Path, arguments: list[str]) -> None:
    """Start the JVM, and in it DynamoDB Local; return when that has ended."""
    os.environ["DDB_LOCAL_TELEMETRY"] = "0"
    # A signal ends the process at once, as it does by default: the JVM's own way of ending fails under Python (-Xrs
    # keeps it from trying), and Python's would wait for Java to return.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    jpype.startJVM("-Xrs", *_SHORT_LIVED, *jvm_options, classpath=[str(jar)], convertStrings=False)
    server = jpype.JClass(RUNNER).createServerFromCommandLineArgs(arguments)
    _listen_on(server, HOST)
    server.safeStart()
    server.join()


def _listen_on(server: Any, host: str) -> None:
    field = server.getClass().getDeclaredField("server")
    field.setAccessible(True)
    for connector in field.get(server).getConnectors():
        connector.setHost(host)


def main() -> None:
    """Sort the arguments as `java` would, and serve."""
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    position = sys.argv.index("-jar")
    options = [option for option in sys.argv[1:position] if not option.startswith("-javaagent:")]
    serve(options, Path(sys.argv[position + 1]), sys.argv[position + 2 :])


if __name__ == "__main__":
    main()
