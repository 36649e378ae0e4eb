"""LocalStack for development and tests: `python localstack/run.py start | stop | logs | status | hooks | dynamodb`.

With Docker where a daemon answers, else without: `install.py` says what that takes. Both run the same ready hooks, and
`start` returns when those are done. LOCALSTACK_PORT is the port on the loopback address (4566); LOCALSTACK_DOCKER=0
does without Docker though there is one.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from install import HERE, Missing, dynamodb_local, install, interpreter, say

HOST = "127.0.0.1"
PORT = int(os.environ.get("LOCALSTACK_PORT") or 4566)
URL = f"http://{HOST}:{PORT}"
HOME = Path(os.environ.get("LOCALSTACK_HOME") or HERE.parent / ".turntable" / "localstack").resolve()
LOG = HOME / "localstack.log"
PROCESS = HOME / "localstack.pid"
COMPOSE = ["docker", "compose", "-f", str(HERE / "docker-compose.yml")]
PATIENCE = 120.0
TAIL = 200

# What must not reach LocalStack: it would look for itself somewhere else.
_NOT_PASSED_ON = ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_CONFIG_FILE", "PYTHONPATH", "PYTHONHOME", "DATA_DIR")


def start() -> None:
    """Start LocalStack if it does not run, and wait until its hooks have made the table."""
    process = None
    if _hooks() is None:
        if _docker_answers():
            _start_with_docker()
        else:
            process = _start_without_docker()
    _wait_for_hooks(process)
    say(f"LocalStack is ready at {URL}: table, bucket and key are there. `make localstack-stop` ends it.")


def stop() -> None:
    """Stop LocalStack, however it was started; nothing of it stays running."""
    if _docker_answers():
        subprocess.run([*COMPOSE, "down", "--volumes"], check=False)  # noqa: S603
    if (pid := _pid()) is None:
        PROCESS.unlink(missing_ok=True)
        say("LocalStack does not run.")
        return
    # Its children lead sessions of their own, so they are found by their parent.
    family = [pid, *_descendants(pid)]
    os.kill(pid, signal.SIGTERM)
    _ended(pid, 20)
    for member in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    PROCESS.unlink(missing_ok=True)
    say("LocalStack has stopped.")


def logs() -> None:
    """Show the end of the log."""
    if _docker_answers() and _pid() is None:
        subprocess.run([*COMPOSE, "logs", "--tail", str(TAIL)], check=False)  # noqa: S603
    elif LOG.exists():
        say("\n".join(LOG.read_text(errors="replace").splitlines()[-TAIL:]))
    else:
        raise Missing("There is no log: LocalStack was not started here.")


def status() -> None:
    """Say whether LocalStack runs and what its hooks have done."""
    found = _hooks()
    if found is None:
        raise Missing(f"LocalStack does not answer at {URL}; `make localstack` starts it.")
    say(json.dumps(found, indent=2))


def hooks() -> None:
    """Run the ready hooks again, as LocalStack does: for when they have changed. Without Docker only."""
    if _pid() is None:
        raise Missing("LocalStack does not run here without Docker; `make localstack` starts it.")
    command = [str(interpreter(HOME)), "-m", "localstack.runtime.init", "READY"]
    done = subprocess.run(command, cwd=HOME, env=environment(), capture_output=True, text=True, check=False)  # noqa: S603
    # It exits with 0 whatever became of the hooks, and says so in its log.
    if done.returncode != 0 or "Error while running script" in done.stdout + done.stderr:
        raise Missing(f"A hook failed: {(done.stdout + done.stderr).strip().splitlines()[-1]}")
    say("The hooks have run.")


def dynamodb() -> None:
    """Run DynamoDB Local by itself, in memory on the loopback address, until Ctrl-C; LOCALSTACK_PORT is its port."""
    install(HOME)
    jar = dynamodb_local(HOME)
    say(f"DynamoDB Local listens at {URL}; Ctrl-C ends it.")
    java = str(HOME / "bin" / "java")
    library = f"-Djava.library.path={jar.parent / 'DynamoDBLocal_lib'}"
    os.execv(java, [java, "-Xmx256m", library, "-jar", str(jar), "-port", str(PORT), "-inMemory"])  # noqa: S606


def _docker_answers() -> bool:
    if os.environ.get("LOCALSTACK_DOCKER") == "0" or shutil.which("docker") is None:
        return False
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False)  # noqa: S607
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


def _start_with_docker() -> None:
    say("Starting LocalStack in Docker.")
    if subprocess.run([*COMPOSE, "up", "--detach", "--wait"], check=False).returncode != 0:  # noqa: S603
        raise Missing("Docker could not start it; LOCALSTACK_DOCKER=0 does without.")


def _start_without_docker() -> "subprocess.Popen[bytes]":
    with socket.socket() as probe:
        if probe.connect_ex((HOST, PORT)) == 0:
            raise Missing(f"Something else listens on {HOST}:{PORT}; LOCALSTACK_PORT names another port.")
    install(HOME)
    say("Starting LocalStack without Docker.")
    hooks = HOME / "root" / "etc" / "localstack" / "init"
    hooks.parent.mkdir(parents=True, exist_ok=True)
    if not hooks.is_symlink():
        shutil.rmtree(hooks, ignore_errors=True)
        hooks.symlink_to(HERE / "init", target_is_directory=True)
    with LOG.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            [str(interpreter(HOME)), "-m", "localstack.runtime.main"],
            cwd=HOME,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    PROCESS.write_text(str(process.pid))
    return process


def environment() -> dict[str, str]:
    """Return what LocalStack runs with: its files under `HOME`, its ports on the loopback address, nothing fetched."""
    passed_on = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    return passed_on | {
        "PATH": f"{HOME / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "FILESYSTEM_ROOT": str(HOME / "root"),
        # It takes some virtual machines for containers, and would write into /var/lib.
        "OVERRIDE_IN_DOCKER": "0",
        "SERVICES": "dynamodb,dynamodbstreams,kms,s3",
        "STRICT_SERVICE_LOADING": "1",
        # Streams as DynamoDB Local has them; the first provider sends every write through a Kinesis besides.
        "PROVIDER_OVERRIDE_DYNAMODB": "v2",
        "PROVIDER_OVERRIDE_DYNAMODBSTREAMS": "v2",
        "GATEWAY_LISTEN": f"{HOST}:{PORT}",
        # The default one, twisted, listens on every address whatever GATEWAY_LISTEN says.
        "GATEWAY_SERVER": "hypercorn",
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DYNAMODB_IN_MEMORY": "1",
    }


def _wait_for_hooks(process: "subprocess.Popen[bytes] | None") -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = _hooks()
        if found and found["completed"]:
            failed = [script["name"] for script in found["scripts"] if script["state"] != "SUCCESSFUL"]
            if failed or not found["scripts"]:
                raise Missing(f"The hook {', '.join(failed) or 'is missing'}; `make localstack-logs` says why.")
            return
        if process is not None and process.poll() is not None:
            raise Missing("LocalStack ended at once; `make localstack-logs` says why.")
        time.sleep(0.25)
    raise Missing(f"LocalStack was not ready in {PATIENCE:.0f} seconds; `make localstack-logs` says why.")


def _hooks() -> dict[str, Any] | None:
    """Return what LocalStack says of its ready hooks, or None where none answers."""
    try:
        with urlopen(f"{URL}/_localstack/init/ready", timeout=2) as answer:  # noqa: S310 - loopback
            found: dict[str, Any] = json.load(answer)
    except (URLError, OSError, ValueError):
        return None
    return found if "completed" in found else None


def _pid() -> int | None:
    """Return the id of the LocalStack that was started here, or None; another process that got its id is not it."""
    try:
        pid = int(PROCESS.read_text())
    except (OSError, ValueError):
        return None
    shown = subprocess.run(  # noqa: S603
        ["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return pid if "localstack.runtime.main" in shown and not shown.startswith("Z") else None


def _descendants(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)  # noqa: S607
    parents = {int(child): int(parent) for child, parent in map(str.split, listed.stdout.splitlines())}
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found[1:]


def _ended(pid: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if _pid() != pid:
            return True
        time.sleep(0.1)
    return False


def main() -> None:
    """Do what the first argument says; what the user can mend is said in a line, without a traceback."""
    commands = {"start": start, "stop": stop, "logs": logs, "status": status, "hooks": hooks, "dynamodb": dynamodb}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(f"Usage: python localstack/run.py {' | '.join(commands)}")
    try:
        commands[sys.argv[1]]()
    except Missing as reason:
        sys.exit(str(reason))


if __name__ == "__main__":
    main()
