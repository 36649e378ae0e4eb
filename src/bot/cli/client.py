"""A small API client for the terminal."""

import json
from collections.abc import Iterator
from typing import Any, Self
from uuid import uuid4

import httpx2

# An answer may take a long time, but data must arrive regularly: the server sends keep-alive comments.
_TRIES = 3
_TIMEOUT = httpx2.Timeout(10.0, read=60.0)


class ApiProblem(Exception):
    """A problem document from the server."""

    def __init__(self, document: dict[str, Any]) -> None:
        """Take the message from the document."""
        super().__init__(f"{document.get('detail', 'the server gave no reason')} ({document.get('code', 'unknown')})")


class ApiClient:
    """Calls a server with one API key."""

    def __init__(self, url: str, key: str) -> None:
        """Take the server's address and the key."""
        self.url = url.rstrip("/")
        self._http = httpx2.Client(
            base_url=f"{self.url}/api/v1", headers={"Authorization": f"Bearer {key}"}, timeout=_TIMEOUT
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def agent(self, agent_id: str | None) -> dict[str, Any]:
        """Return an agent, by default the caller's first one; it is created if there is none."""
        if agent_id is not None:
            return self._call("GET", f"/agents/{agent_id}")
        found = self._call("GET", "/agents?limit=1")["data"]
        if found:
            first: dict[str, Any] = found[0]
            return first
        return self._call("POST", "/agents", {"name": "Assistant", "system_message": "You are a helpful assistant."})

    def start(self, agent_id: str) -> str:
        """Start a conversation, and return its id."""
        return str(self._call("POST", "/conversations", {"agent_id": agent_id})["id"])

    def open(self, conversation_id: str) -> dict[str, Any]:
        """Return a conversation with its newest messages."""
        return self._call("GET", f"/conversations/{conversation_id}")

    def send(self, conversation_id: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Send a message, and yield the events of the answer as they arrive.

        If the connection breaks, it retries with the same idempotency key: the message is stored once, and each event
        is yielded once.
        """
        key, seen = str(uuid4()), 0
        for left in reversed(range(_TRIES)):
            try:
                for name, data in self._events(conversation_id, text, key):
                    if data["sequence"] > seen:
                        seen = data["sequence"]
                        yield name, data
            except httpx2.TransportError:
                if not left:
                    raise
            else:
                return

    def _events(self, conversation_id: str, text: str, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
        path, body = f"/conversations/{conversation_id}/messages", {"content": text, "stream": True}
        with self._http.stream("POST", path, json=body, headers={"Idempotency-Key": key}) as response:
            if response.status_code != 200:
                response.read()
                raise ApiProblem(_document(response))
            name = ""
            for line in response.iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self._http.request(method, path, json=body)
        if response.status_code >= 400:
            raise ApiProblem(_document(response))
        found: dict[str, Any] = response.json()
        return found


def _document(response: httpx2.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {"detail": f"HTTP {response.status_code}", "code": "unknown"}
