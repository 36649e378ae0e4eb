"""The cost of a turn, measured end to end: an API request to an application in this process, and all its requests."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from flask import Flask
from werkzeug.test import TestResponse

from bot.access.keys import issue_key
from bot.cli.guest import guest_application
from bot.http.context import EXTENSION, Services
from bot.llm.providers import Providers
from bot.llm.types import Completion, Credentials, ModelRequest, Provider, TextDelta, Usage
from bot.settings import Settings
from bot.turns.event_log import BatchSize
from bot.turns.leases import LeaseKeeper
from bot.turns.model_requests import ModelRequests
from bot.turns.quotas import Quotas
from bot.turns.service import TurnService
from models.access_patterns.declare import Budget
from models.access_patterns.users import get_user
from models.measure.capacity import Cost, total
from models.measure.contract import broken_by
from models.measure.exchange import Exchange
from models.measure.probe import Probe
from models.measure.report import over_budget
from models.measure.world import ANSWER, QUESTION, World, ticking
from models.table.tenancy import acting_for

_BASIS = "a question of 300 and an answer of 1,200 characters, a window of 20 messages, with authentication"
_STREAM = _BASIS + "; streamed for 20 seconds"
BUDGETS = {
    "turn": Budget(4, 6, 12, _BASIS),
    "turn, a minute after the last": Budget(4, 6, 16, _BASIS + "; the activity indexes are updated"),
    "first turn of a process": Budget(6, 8, 16, _BASIS + "; the process does not know the conversation's agent yet"),
    "streamed turn": Budget(44, 6, 54, _STREAM + ", stored in 40 batches, twice a second"),
    "streamed turn, batches of 2 s": Budget(14, 6, 24, _STREAM + ", stored in 10 batches"),
    "streamed turn, not kept": Budget(4, 6, 14, _STREAM),
    "opening": Budget(2, 7, 0, "the conversation and its newest 20 messages, with authentication"),
}


@dataclass(frozen=True)
class MeasuredRequest:
    """The cost of one API request in a conversation of a given size."""

    name: str
    messages: int
    cost: Cost
    exchanges: tuple[Exchange, ...]
    problems: tuple[str, ...]


# The batches of a stream of 20 seconds; None if it is not kept.
_STREAMED = {"streamed turn": 40, "streamed turn, batches of 2 s": 10, "streamed turn, not kept": None}
_PIECE = 10


class _Scripted(Providers):
    """Answers everything with the same 1,200 characters."""

    name = "echo"
    supports_tools = False

    def takes_images(self, model: str) -> bool:  # noqa: ARG002
        """Return True: the answer does not depend on the input."""
        return True

    def get(self, name: str, credentials: Credentials | None = None) -> Provider:  # noqa: ARG002
        """Return itself, for every name."""
        return self

    def stream(self, request: ModelRequest) -> Generator[TextDelta | Completion, None, None]:
        """Yield the answer in small pieces."""
        for start in range(0, len(ANSWER), _PIECE):
            yield TextDelta(ANSWER[start : start + _PIECE])
        usage = Usage(input_tokens=1500, output_tokens=300)
        yield Completion(ANSWER, (), "stop", "echo-" + "0" * 32, request.model, usage)


def _application(settings: Settings, batches: int | None) -> Flask:
    app = guest_application(settings)
    services: Services = app.extensions[EXTENSION]
    # Lease renewals make longer turns more expensive, but the duration on this machine should not affect the figures.
    leases = LeaseKeeper(duration=24 * 3600, beat=3600)
    turns = TurnService(
        ModelRequests(_Scripted(), services.vault, embedded_context=settings.embedded_context),
        leases,
        Quotas(settings.limits),
        services.recovery,
        keep_streams=batches is not None,
        # By size and not by age, so that the machine's speed does not affect the figures.
        batch=BatchSize(seconds=3600, bytes=len(ANSWER) // (batches or 1)),
    )
    app.extensions[EXTENSION] = replace(services, turns=turns)
    return app


def measure_api(settings: Settings, sizes: Sequence[int]) -> Iterator[MeasuredRequest]:
    """Measure a turn, and opening a conversation, with each number of messages; `settings` configure the table."""
    with ticking() as clock:
        for size in sizes:
            world = World(size, clock, "bob")
            conversation = world.new_conversation()
            key, _ = issue_key(get_user(acting_for(conversation.user_id)))
            path = f"/api/v1/conversations/{conversation.conversation_id}"
            headers = {"Authorization": f"Bearer {key}"}
            probe = Probe()
            plain = _application(settings, None).test_client()
            for name, minutes in (
                ("first turn of a process", 0),
                ("turn", 0),
                ("turn, a minute after the last", 2),
                ("opening", 0),
            ):
                clock.advance(minutes=minutes)
                with probe.recording() as exchanges:
                    if name == "opening":
                        answer = plain.get(path, headers=headers)
                    else:
                        answer = plain.post(f"{path}/messages", json={"content": QUESTION}, headers=headers)
                yield _measured(name, size, exchanges, answer)
            for name, batches in _STREAMED.items():
                streaming = _application(settings, batches).test_client()
                # The process gets to know the conversation.
                streaming.post(f"{path}/messages", json={"content": QUESTION}, headers=headers)
                body = {"content": QUESTION, "stream": True}
                with probe.recording() as exchanges:
                    answer = streaming.post(f"{path}/messages", json=body, headers=headers)
                    answer.get_data()
                yield _measured(name, size, exchanges, answer)


def _measured(name: str, size: int, exchanges: list[Exchange], answer: TestResponse) -> MeasuredRequest:
    if answer.status_code >= 400:
        raise ValueError(f"{name}: the API answered {answer.status_code}: {answer.text}")
    cost = total(exchanges)
    problems = [problem for exchange in exchanges for problem in broken_by(exchange)]
    problems += over_budget(name, cost, BUDGETS[name])
    return MeasuredRequest(name, size, cost, tuple(exchanges), tuple(problems))
