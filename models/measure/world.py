"""The data that scenarios run on: users, agents, a long conversation, and enough of everything else for full pages."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from models.access_patterns import audit_records
from models.access_patterns.agents import create_agent
from models.access_patterns.api_keys import create_api_key
from models.access_patterns.conversations import create_conversation
from models.access_patterns.users import create_user
from models.agent import Agent
from models.api_key import ApiKeyEntry
from models.conversation import Conversation, ConversationEntry
from models.measure.probe import own_client
from models.message import Message
from models.state import UserState
from models.table import clock, connection
from models.table.ids import new_id
from models.table.item import Item
from models.table.tenancy import acting_for
from models.turn import Turn
from models.user import User

PAGE = 50
QUESTION = "What do I have to think of before we go to Lisbon in spring with two children and a dog? ".ljust(300, ".")
ANSWER = "Book the flat early, take light shoes, and see the castle in the morning. ".ljust(1200, ".")
REASONING = "They travel with two children and a dog, so the flat needs a lift and a park close by. ".ljust(2000, ".")
_START = datetime(2030, 1, 7, 9, tzinfo=UTC)
_BATCH = 25


class Ticking:
    """A clock that advances by a millisecond each time it is read, so that times are reproducible."""

    def __init__(self, moment: datetime = _START) -> None:
        """Start at a time."""
        self.moment = moment

    def __call__(self) -> datetime:
        """Return the current time."""
        self.moment += timedelta(milliseconds=1)
        return self.moment

    def advance(self, **duration: float) -> None:
        """Advance the clock by a duration."""
        self.moment += timedelta(**duration)


@contextmanager
def ticking() -> Iterator[Ticking]:
    """Use a ticking clock in the models inside the block."""
    made = Ticking()
    before = clock.set_clock(made)
    # Audit records do not name the person who runs the measurement.
    token = audit_records.acting.set(audit_records.Actor())
    try:
        yield made
    finally:
        audit_records.acting.reset(token)
        clock.set_clock(before)


@dataclass
class World:
    """The data of one measurement.

    `messages` is the default number of messages in a conversation; `name` is the beginning of all emails.
    """

    messages: int
    clock: Ticking
    name: str = "ann"
    _count: int = 0
    _client: Any = field(default_factory=own_client)

    def email(self) -> str:
        """Return an unused email; all have the same length."""
        self._count += 1
        return f"{self.name}.{self.messages:05}.{self._count:04}@example.com"

    def new_user(self) -> User:
        """Return a new user."""
        return create_user(self.email(), name="Ann Example")

    def new_agent(self, user: User | None = None) -> Agent:
        """Return a new agent, of `user` or of a new one."""
        owner = user or self.new_user()
        return create_agent(
            acting_for(owner.user_id),
            name="Ada",
            provider="echo",
            model="echo-1",
            system_message="You are a friendly guide. Answer in a few sentences.",
        )

    def new_key(self, user: User) -> ApiKeyEntry:
        """Return a new API key of a user."""
        self._count += 1
        digest = f"{self.messages:05}{self._count:04}".rjust(64, "0")
        return create_api_key(acting_for(user.user_id), key_hash=digest, hint="AbCd", name="laptop", role=user.role)

    def new_conversation(self, agent: Agent | None = None, *, messages: int | None = None) -> Conversation:
        """Return a new conversation with alternating questions and answers, and the records of its turns.

        Its last message is more than a minute old.
        """
        partner = agent or self.new_agent()
        conversation = create_conversation(acting_for(partner.user_id), partner.agent_id, title="A journey to Lisbon")
        count = self.messages if messages is None else messages
        said = list(self._said(conversation, count))
        self.put(item for pair in said for item in pair)
        if said:
            conversation.message_count, conversation.turn_count = count, count // 2
            conversation.input_tokens, conversation.output_tokens = count * 75, count * 150
            conversation.last_message_at = conversation.last_active_at = conversation.listed_at = said[-1][0].ts
            self.put([conversation])
        self.clock.advance(minutes=2)
        return conversation

    def _said(self, conversation: Conversation, count: int) -> Iterator[list[Any]]:
        turn_id = ""
        for number in range(count):
            self.clock.advance(seconds=3)
            moment = clock.now()
            asked = number % 2 == 0
            turn_id = new_id("turn", moment) if asked else turn_id
            message = Message(
                conversation_id=conversation.conversation_id,
                ts=moment,
                message_id=new_id("msg", moment),
                sender="user" if asked else "agent",
                role="user" if asked else "assistant",
                content=QUESTION if asked else ANSWER,
                turn_id=turn_id,
                llm_response_id=None if asked else "echo-" + "0" * 32,
            )
            record = Turn(
                turn_id=turn_id,
                user_id=conversation.user_id,
                conversation_id=conversation.conversation_id,
                agent_id=conversation.agent_id,
                status="completed",
                provider="echo",
                model="echo-1",
                started_at=moment,
                ended_at=moment,
                finish_reason="stop",
                input_tokens=1500,
                output_tokens=300,
            )
            yield [message] if asked else [message, record]

    @cached_property
    def agent(self) -> Agent:
        """The agent that most scenarios use; its owner has a full page of everything."""
        agent = self.new_agent()
        owner = acting_for(agent.user_id)
        for _ in range(PAGE):
            self.new_key(User.from_key(user_id=owner))
        self.put(self._copies(agent))
        return agent

    def _copies(self, agent: Agent) -> Iterator[Item]:
        owner = acting_for(agent.user_id)
        for number in range(PAGE + 1):
            moment = clock.now()
            yield Agent(
                **{**_fields(agent), "agent_id": new_id("agt", moment), "system_message": "x" * 650, "name": "Ada"}
            )
            yield User(**{**_fields(self.someone), "user_id": new_id("usr", moment)})
            yield UserState(
                user_id=owner,
                kind="application",
                key=f"key-{number:03}",
                value="x" * 800,
                version=1,
                created_at=moment,
                updated_at=moment,
            )
            for status in ("active", "completed", "archived"):
                conversation_id = new_id("conv", moment)
                yield ConversationEntry(user_id=owner, agent_id=agent.agent_id, conversation_id=conversation_id)
                yield Conversation(
                    conversation_id=conversation_id,
                    listed_at=moment,
                    user_id=owner,
                    agent_id=agent.agent_id,
                    title="A journey to Lisbon",
                    status=status,
                    started_at=moment,
                    last_active_at=moment,
                )

    @cached_property
    def someone(self) -> User:
        """A user that scenarios only read."""
        return self.new_user()

    @cached_property
    def conversation(self) -> Conversation:
        """The long conversation, which scenarios only read."""
        return self.new_conversation(self.agent)

    @cached_property
    def _long(self) -> Conversation:
        return self.new_conversation()

    def long_conversation(self) -> Conversation:
        """Return a long conversation to write to, reset to its original content; its last message is minutes old."""
        conversation = self._long
        self.clock.advance(minutes=5)
        name = connection.settings().name
        answer = self._client.query(
            TableName=name,
            KeyConditionExpression="PK = :pk AND SK > :last",
            ExpressionAttributeValues={
                ":pk": {"S": conversation.PK},
                ":last": {"S": f"MSG#{clock.to_timestamp(conversation.last_message_at)}"},
            },
            ProjectionExpression="PK, SK",
        )
        for keys in answer["Items"]:
            self._client.delete_item(TableName=name, Key=keys)
        self.put([conversation])
        return conversation

    def remove(self, item: Item) -> None:
        """Delete an item without the models, as its TTL would."""
        self._client.delete_item(TableName=connection.settings().name, Key={"PK": {"S": item.PK}, "SK": {"S": item.SK}})

    def put(self, items: Iterable[Item]) -> None:
        """Put items into the table quickly, without the models."""
        requests: Sequence[Any] = [{"PutRequest": {"Item": item.serialize()}} for item in items]
        name = connection.settings().name
        for start in range(0, len(requests), _BATCH):
            pending = {name: requests[start : start + _BATCH]}
            while pending:
                pending = self._client.batch_write_item(RequestItems=pending).get("UnprocessedItems") or {}


def _fields(item: Item) -> dict[str, Any]:
    """Return an item's attributes without its keys and its type."""
    skipped = {"PK", "SK", "entity", "agent_key", "directory"}
    return {name: value for name, value in item.attribute_values.items() if name not in skipped}
