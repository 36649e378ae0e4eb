"""A client of the API; every answer is checked against the OpenAPI document."""

import re
from collections.abc import Iterator
from typing import Any

from flask.testing import FlaskClient
from flask_openapi import OpenAPI
from werkzeug.test import TestResponse

from bot.access.keys import issue_key
from models.user import User
from tests.factories import make_user

PREFIX = "/api/v1"


class Caller:
    """A user with an API key."""

    def __init__(self, app: OpenAPI, user: User | None = None, **profile: Any) -> None:
        self.app = app
        self.user = user or make_user(**profile)
        self.key, self.key_entry = issue_key(self.user)
        self.client: FlaskClient = app.test_client()
        self.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.key}"

    @property
    def id(self) -> str:
        return str(self.user.user_id)

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> TestResponse:
        """Send a request; the answer must conform to the OpenAPI document."""
        if body is not None:
            options["json"] = body
        answer = self.client.open(PREFIX + path, method=method, **options)
        assert_documented(self.app, method, answer)
        return answer

    def get(self, path: str, **query: Any) -> Any:
        """GET a resource that must exist, and return it."""
        return self._expect(200, "GET", path, query_string=query)

    def make(self, path: str, **body: Any) -> Any:
        return self._expect(201, "POST", path, body)

    def put(self, path: str, **body: Any) -> Any:
        return self._expect(200, "PUT", path, body)

    def patch(self, path: str, **body: Any) -> Any:
        return self._expect(200, "PATCH", path, body)

    def delete(self, path: str, **query: Any) -> None:
        self._expect(204, "DELETE", path, query_string=query)

    def refused(self, status: int, code: str, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request that must be refused like this; return the messages by invalid field."""
        answer = self.call(method, path, body, **options)
        problem = answer.get_json()
        assert (answer.status_code, problem["code"]) == (status, code), answer.text
        return {each["field"]: each["message"] for each in problem.get("errors", [])}

    def pages(self, path: str, **query: Any) -> Iterator[list[Any]]:
        """Yield the pages of a list, following the cursors."""
        cursor: dict[str, str] = {}
        while True:
            page = self.get(path, **query, **cursor)
            yield page["data"]
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}

    def agent(self, **details: Any) -> str:
        """Return the id of a new agent, by default one that echoes."""
        return str(self.make("/agents", **{"name": "Ada", "provider": "echo", **details})["id"])

    def conversation(self, agent_id: str | None = None, **details: Any) -> str:
        """Return the id of a new conversation."""
        return str(self.make("/conversations", agent_id=agent_id or self.agent(), **details)["id"])

    def say(self, conversation_id: str, content: Any) -> str:
        """Store a message without an answer; return its id."""
        stored = self.make(f"/conversations/{conversation_id}/messages", content=content, reply=False)
        return str(stored["input"][0]["id"])

    def _expect(self, status: int, method: str, path: str, body: Any = None, **options: Any) -> Any:
        answer = self.call(method, path, body, **options)
        assert answer.status_code == status, answer.text
        return answer.get_json() if answer.data else None


def assert_documented(app: OpenAPI, method: str, answer: TestResponse) -> None:
    """Check that the OpenAPI document has this status for this route, with this content type."""
    rule, _ = app.url_map.bind("").match(answer.request.path, method=method, return_rule=True)
    path = documented_path(rule.rule)
    responses = app.api_doc["paths"][path][method.lower()]["responses"]
    status = str(answer.status_code)
    assert status in responses, f"{method} {path} answered {status}, which is not documented: {answer.text}"
    content = responses[status].get("content", {})
    if answer.data:
        assert answer.mimetype in content, (
            f"{method} {path} answered {status} as {answer.mimetype}, not {list(content)}"
        )


def documented_path(rule: str) -> str:
    """Return Flask's `<id>` as OpenAPI's `{id}`."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)
