"""`bot seed`: the requested amount, the same texts for the same seed, and no duplicates."""

import pytest

from bot.seed.content import person
from bot.seed.writer import Plan, Written, write
from models.access_patterns.agents import list_agents
from models.access_patterns.conversations import list_conversations, open_conversation
from models.access_patterns.users import get_user_by_email
from models.table import clock
from tests.raw import wipe
from tests.wire import recorded

pytestmark = pytest.mark.usefixtures("empty_table")
SMALL = Plan(users=2, conversations=2, messages=5, seed=7, provider="echo", model="echo")


def texts(plan: Plan) -> list[tuple[str, list[str]]]:
    """Return the titles and messages of a plan's users, without ids and times."""
    found = []
    for number in range(plan.users):
        user = get_user_by_email(person(plan.seed, number)[0])
        for entry in list_conversations(user.user_id, 100).items:
            opened = open_conversation(user.user_id, entry.conversation_id, 1000)
            found.append((entry.title, [message.content for message in opened.messages]))
    return sorted(found)


def test_it_writes_the_requested_amount() -> None:
    assert write(SMALL) == Written(users=2, agents=4, conversations=4, messages=20)

    assert [len(messages) for _, messages in texts(SMALL)] == [5] * 4


def test_a_second_run_adds_nothing() -> None:
    write(SMALL)
    before = texts(SMALL)

    assert write(SMALL) == Written()
    assert texts(SMALL) == before


def test_a_larger_plan_adds_what_is_missing() -> None:
    write(SMALL)

    larger = Plan(users=3, conversations=3, messages=8, seed=7, provider="echo", model="echo")

    assert write(larger) == Written(users=1, agents=2, conversations=5, messages=4 * 3 + 5 * 8)
    assert [len(messages) for _, messages in texts(larger)] == [8] * 9


def test_the_progress_adds_up_to_the_plan() -> None:
    steps: list[int] = []

    write(SMALL, steps.append)
    first, steps[:] = sum(steps), []
    write(SMALL, steps.append)

    assert (first, sum(steps)) == (SMALL.steps, SMALL.steps)


def test_many_messages_are_written_in_batches_and_nothing_is_scanned() -> None:
    with recorded() as sent:
        write(Plan(users=1, conversations=1, messages=200, seed=1, provider="echo", model="echo"))

    operations = [each.operation for each in sent]
    # A user, two agents, a conversation, and 200 messages in three batches.
    assert operations.count("TransactWriteItems") == 1 + 2 + 1 + 3
    assert "Scan" not in operations


def test_every_user_has_working_agents() -> None:
    write(SMALL)

    user = get_user_by_email(person(SMALL.seed, 0)[0])
    assert {agent.provider for agent in list_agents(user.user_id, 10).items} == {"echo"}


def test_the_clock_is_right_again_afterwards() -> None:
    write(SMALL)
    first = clock.now()

    assert clock.now() > first


def test_the_same_seed_gives_the_same_texts_on_another_table() -> None:
    write(SMALL)
    first = texts(SMALL)
    wipe()
    write(SMALL)

    assert texts(SMALL) == first


def test_another_seed_gives_other_users() -> None:
    write(SMALL)
    other = Plan(users=2, conversations=2, messages=5, seed=8, provider="echo", model="echo")

    assert write(other).users == 2
    assert texts(other) != texts(SMALL)
