"""Checks answers against the documentation: which statuses and error codes a route may return."""

import re
from pathlib import Path
from typing import Any

import httpx2

_ERRORS = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
_ROW = re.compile(r"^\| `(\w+)` \| (\d{3}) \|", re.MULTILINE)


class Documented:
    """The OpenAPI document of a running server, and docs/errors.md."""

    def __init__(self, openapi: dict[str, Any]) -> None:
        self.codes = {code: int(status) for code, status in _ROW.findall(_ERRORS.read_text())}
        self._routes = [
            (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), set(operation["responses"]))
            for path, methods in openapi["paths"].items()
            for method, operation in methods.items()
        ]

    def check(self, answer: httpx2.Response) -> None:
        """Fail if a status is not documented for its route, or an error code not for its status."""
        request = answer.request
        statuses = [
            found
            for method, path, found in self._routes
            if method == request.method and path.fullmatch(request.url.path)
        ]
        assert any(str(answer.status_code) in found for found in statuses), f"{request}: undocumented {answer}"
        # 500 is documented for errors of ours, and a DynamoDB failure must not cause one.
        assert answer.status_code != 500, answer.text
        if answer.status_code >= 400:
            problem = answer.json()
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert self.codes.get(problem["code"]) == answer.status_code == problem["status"], problem
            if answer.status_code == 503:
                assert int(answer.headers["retry-after"]) >= 1, answer.headers

    def check_problem(self, problem: dict[str, Any]) -> None:
        """The same for a problem that was reported in a stream."""
        assert problem["code"] != "internal_error", problem
        assert self.codes.get(problem["code"]) == problem["status"], problem
