"""Processes as the operating system sees them: whether they run, what they listen on, and their environment."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def lives(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_until(condition: Callable[[], object], timeout: float = 60) -> None:
    """Wait for a condition; fail if it does not become true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def open_addresses(pid: int) -> set[tuple[str, str, int]]:
    """Every address that the process listens on or receives datagrams at: protocol, address, port."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{protocol}").read_text().splitlines()[1:]:
            fields = line.split()
            listening = fields[3] == "0A" or protocol.startswith("udp")
            if fields[9] in inodes and listening:
                address, port = fields[1].split(":")
                found.add((protocol, _readable(address), int(port, 16)))
    return found


def environment(pid: int) -> dict[str, str]:
    """The environment with which the process was started."""
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def _readable(address: str) -> str:
    if len(address) != 8:
        return address
    return socket.inet_ntoa(bytes.fromhex(address)[::-1])
