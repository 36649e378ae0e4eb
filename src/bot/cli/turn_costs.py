"""The cost of a turn, measured end to end: an API request to an application in this process, and all its requests."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from flask import Flask

from bot.access.keys import issue_key
from bot.cli.guest import guest_application
from bot.http.context import EXTENSION, Services
from bot.llm.providers import Providers
from bot.llm.types import Completion, Credentials, ModelRequest, Provider, TextDelta, Usage
from bot.settings import Settings
from bot.turns.leases import LeaseKeeper
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
BUDGETS = {
    "turn": Budget(4, 6, 12, _BASIS),
    "turn, a minute after the last": Budget(4, 6, 16, _BASIS + "; the activity indexes are updated"),
    "first turn of a process": Budget(6, 8, 16, _BASIS + "; the process does not know the conversation's agent yet"),
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
        """Yield the answer in two pieces."""
        yield TextDelta(ANSWER[:600])
        yield TextDelta(ANSWER[600:])
        usage = Usage(input_tokens=1500, output_tokens=300)
        yield Completion(ANSWER, (), "stop", "echo-" + "0" * 32, request.model, usage)


def _application(settings: Settings) -> Flask:
    app = guest_application(settings)
    services: Services = app.extensions[EXTENSION]
    # Lease renewals make longer turns more expensive, but the duration on this machine should not affect the figures.
    leases = LeaseKeeper(duration=24 * 3600, beat=3600)
    turns = TurnService(
        _Scripted(),
        services.vault,
        leases,
        Quotas(settings.limits),
        services.recovery,
        embedded_context=settings.embedded_context,
    )
    app.extensions[EXTENSION] = replace(services, turns=turns)
    return app


def measure_api(settings: Settings, sizes: Sequence[int]) -> Iterator[MeasuredRequest]:
    """Measure a turn, and opening a conversation, with each number of messages; `settings` configure the table."""
    with ticking() as clock:
        for size in sizes:
            client = _application(settings).test_client()
            world = World(size, clock, "bob")
            conversation = world.new_conversation()
            key, _ = issue_key(get_user(acting_for(conversation.user_id)))
            path = f"/api/v1/conversations/{conversation.conversation_id}"
            headers = {"Authorization": f"Bearer {key}"}
            probe = Probe()
            for name, minutes in (
                ("first turn of a process", 0),
                ("turn", 0),
                ("turn, a minute after the last", 2),
                ("opening", 0),
            ):
                clock.advance(minutes=minutes)
                with probe.recording() as exchanges:
                    if name == "opening":
                        answer = client.get(path, headers=headers)
                    else:
                        answer = client.post(f"{path}/messages", json={"content": QUESTION}, headers=headers)
                if answer.status_code >= 400:
                    raise ValueError(f"{name}: the API answered {answer.status_code}: {answer.text}")
                yield _measured(name, size, exchanges)


def _measured(name: str, size: int, exchanges: list[Exchange]) -> MeasuredRequest:
    cost = total(exchanges)
    problems = [problem for exchange in exchanges for problem in broken_by(exchange)]
    problems += over_budget(name, cost, BUDGETS[name])
    return MeasuredRequest(name, size, cost, tuple(exchanges), tuple(problems))
