"""Checks every request that the tests make through the models against the declared access patterns.

Requests that a test makes without the models are marked with `past_the_models()`, or sent with a separate client. Any
other undeclared request fails the test in which it was sent.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import flask
import pytest

from models.access_patterns import Call, observe
from models.measure.contract import beside_alone, broken_by, over_count
from models.measure.exchange import Exchange, watched
from models.table import connection

_past: ContextVar[bool] = ContextVar("past_the_models", default=False)
ANY_ROUTE = "every authenticated route"


@contextmanager
def past_the_models() -> Iterator[None]:
    """Let a test read or change the table directly, without an access pattern."""
    token = _past.set(True)
    try:
        yield
    finally:
        _past.reset(token)


class Watch:
    """The violations of the contract, and the patterns that ran."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.used: set[str] = set()
        self._of_call: dict[int, list[Exchange]] = {}

    def client(self, client: Any, stack: ExitStack) -> None:
        """Start watching a client."""
        stack.enter_context(watched(client, answered=self.note))

    def note(self, exchange: Exchange) -> None:
        """Check an answered request."""
        if _past.get():
            return
        self.broken += broken_by(exchange)
        if exchange.call is not None:
            self._of_call.setdefault(id(exchange.call), []).append(exchange)

    def end(self, call: Call) -> None:
        """Check a completed call of a pattern."""
        exchanges = self._of_call.pop(id(call), [])
        self.used.add(call.pattern.id)
        self.broken += over_count(call, exchanges) + beside_alone(call, exchanges)
        route = _route()
        if exchanges and route and not declares_route(call, route):
            self.broken.append(
                f"{call.pattern.id} {call.pattern.title}: {route} uses it, and its routes do not name it"
            )

    def take(self) -> list[str]:
        """Return the violations since the last call."""
        broken, self.broken = self.broken, []
        return list(dict.fromkeys(broken))

    def check(self) -> None:
        """Fail if there were violations since the last call."""
        broken = self.take()
        assert not broken, "the access-pattern contract is broken:\n  " + "\n  ".join(broken)

    @contextmanager
    def expecting(self) -> Iterator[list[str]]:
        """Collect the violations inside the block instead of failing."""
        before, self.broken = self.broken, []
        found: list[str] = []
        try:
            yield found
        finally:
            found += self.take()
            self.broken = before


def _route() -> str | None:
    """Return the route of the current API request, in the form of the declarations."""
    if not flask.has_request_context() or flask.request.url_rule is None:
        return None
    return f"{flask.request.method} " + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", flask.request.url_rule.rule)


def declares_route(call: Call, route: str) -> bool:
    """Whether a pattern names a route; the text after the path in a declaration is a remark."""
    declared = {re.split(r"\?| with ", each)[0] for each in call.pattern.routes}
    return route in declared or ANY_ROUTE in declared


WATCH = Watch()


@pytest.fixture(scope="session", autouse=True)
def _contract_watch() -> Iterator[None]:
    """Watch every client that the models create in this session."""
    connect = connection._connect
    with ExitStack() as stack:

        def connected(settings: connection.TableSettings) -> Any:
            made = connect(settings)
            WATCH.client(made.connection.client, stack)
            return made

        connection._connect = connected
        stack.callback(observe(WATCH.end))
        try:
            yield
        finally:
            connection._connect = connect


@pytest.fixture(autouse=True)
def contract(_contract_watch: None) -> Iterator[Watch]:
    """Fail a test that violates the contract."""
    yield WATCH
    WATCH.check()


@pytest.fixture
def building_blocks() -> Iterator[None]:
    """For tests of the parts of access patterns, which are called outside a pattern."""
    with past_the_models():
        yield
