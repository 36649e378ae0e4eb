"""Writes sample data through the access patterns, so that it is exactly what the application would write."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.seed import content
from models.access_patterns.agents import create_agent, list_agents
from models.access_patterns.conversations import (
    Position,
    create_conversation,
    get_conversation,
    list_conversations,
)
from models.access_patterns.messages import MAX_APPEND, append_messages
from models.access_patterns.users import create_user, get_user_by_email
from models.table import clock
from models.table.errors import EmailTaken
from models.table.tenancy import acting_for
from models.user import User

_PAGE = 100
_ACCOUNT_AGE = timedelta(days=45)


@dataclass(frozen=True)
class Plan:
    """How much sample data: `conversations` for each user, `messages` for each conversation."""

    users: int
    conversations: int
    messages: int
    seed: int
    provider: str
    model: str

    @property
    def steps(self) -> int:
        """How many conversations and messages there will be: the length of a progress bar."""
        return self.users * self.conversations * (1 + self.messages)


@dataclass
class Written:
    """What a run added; data that already existed is not counted."""

    users: int = 0
    agents: int = 0
    conversations: int = 0
    messages: int = 0


def write(plan: Plan, progress: Callable[[int], None] = lambda _: None) -> Written:
    """Write the part of the plan that does not exist yet, and return what was added.

    A second run with the same plan adds nothing, and completes one that was interrupted. Nothing is scanned.

    Cost: 1 transaction for each user, agent and conversation, and one (with a GetItem) for each 98 messages of a
    conversation; for existing data, a read of each conversation's header.
    """
    written = Written()
    today = clock.now()
    for number in range(plan.users):
        email, name = content.person(plan.seed, number)
        with _at(today - _ACCOUNT_AGE + timedelta(seconds=number)):
            user, is_new = _user(email, name)
            written.users += is_new
            agents = _write_agents(plan, user, written)
        known = {} if is_new else _titles(user)
        for conversation in range(plan.conversations):
            with _at(today - timedelta(days=content.age(plan.seed, number, conversation))):
                agent_id = agents[conversation % len(agents)]
                _write_conversation(plan, _Place(number, conversation), user, agent_id, known, written, progress)
    return written


@contextmanager
def _at(moment: datetime) -> Iterator[None]:
    """Backdate what is written inside: the data layer's clock is frozen at `moment`."""
    before = clock.set_clock(lambda: moment)
    try:
        yield
    finally:
        clock.set_clock(before)


def _user(email: str, name: str) -> tuple[User, bool]:
    try:
        return create_user(email, name=name), True
    except EmailTaken:
        return get_user_by_email(email), False


def _write_conversation(
    plan: Plan,
    place: "_Place",
    user: User,
    agent_id: str,
    known: Mapping[str, str],
    written: Written,
    progress: Callable[[int], None],
) -> None:
    title, have = content.title(plan.seed, place.user, place.conversation), 0
    if conversation_id := known.get(title):
        have = int(get_conversation(acting_for(user.user_id), conversation_id).message_count)
    else:
        conversation_id = create_conversation(acting_for(user.user_id), agent_id, title=title).conversation_id
        written.conversations += 1
    progress(1 + min(have, plan.messages))
    for start in range(have, plan.messages, MAX_APPEND):
        end = min(start + MAX_APPEND, plan.messages)
        append_messages(
            acting_for(user.user_id),
            conversation_id,
            content.messages(plan.seed, place.user, place.conversation, start, end),
        )
        written.messages += end - start
        progress(end - start)


@dataclass(frozen=True)
class _Place:
    """The numbers of a user and of one of the user's conversations."""

    user: int
    conversation: int


def _write_agents(plan: Plan, user: User, written: Written) -> list[str]:
    """Return the ids of the user's sample agents, in the order of the personas."""
    known = {agent.name: agent.agent_id for agent in list_agents(acting_for(user.user_id), _PAGE).items}
    for persona in content.PERSONAS:
        if persona.name not in known:
            known[persona.name] = create_agent(
                acting_for(user.user_id),
                name=persona.name,
                provider=plan.provider,
                model=plan.model,
                system_message=persona.system_message,
                settings={"temperature": persona.temperature},
            ).agent_id
            written.agents += 1
    return [known[persona.name] for persona in content.PERSONAS]


def _titles(user: User) -> dict[str, str]:
    """Return the ids of all the user's conversations by title, from the index."""
    known: dict[str, str] = {}
    after: Position | None = None
    while True:
        page = list_conversations(acting_for(user.user_id), _PAGE, after=after)
        known |= {each.title: each.conversation_id for each in page.items if each.title}
        if not page.more:
            return known
        after = Position(page.items[-1].listed_at, page.items[-1].conversation_id)
