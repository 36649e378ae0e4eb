"""Branches with two server processes on one table: side by side, in races with deletions, and with a killed server."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from models.branch import MAX_HOPS
from tests.e2e.bot_server import Api, BotServer
from tests.model_server import DEFAULT_TEXT, ModelServer
from tests.processes import wait_until
from tests.raw import whole_table
from tests.together import at_once


@pytest.fixture
def root(api: Api) -> str:
    """The path of a conversation with one message, whose agent echoes."""
    agent = api.make("/agents", name="Ada", provider="echo", model="echo-1")
    conversation = f"/conversations/{api.make('/conversations', agent_id=agent['id'])['id']}"
    api.make(f"{conversation}/messages", content="root", reply=False)
    return conversation


def newest(api: Api, conversation: str) -> str:
    message_id: str = api.get(conversation)["messages"][-1]["id"]
    return message_id


def fork(api: Api, conversation: str, after: str, **body: Any) -> str:
    """Make a branch; return its path."""
    made = api.make(f"{conversation}/branches", from_message_id=after, **body)
    return f"/conversations/{made['branch']['id']}"


def deep(api: Api, root: str) -> str:
    """Return the last of a line of branches; a branch of it must be copied."""
    for hop in range(MAX_HOPS):
        root = fork(api, root, newest(api, root), content=f"hop {hop}", reply=False)
    return root


def said(api: Api, conversation: str) -> list[str]:
    return [each["content"] for each in api.get(f"{conversation}/messages", limit=1000)["data"]]


def left(conversation: str) -> list[tuple[str, str]]:
    """Return the keys of the items of a conversation that are still in the table, with its entry in the root."""
    mine = conversation.rpartition("/")[2]
    return [keys for keys in whole_table() if keys[0] == f"CONV#{mine}" or keys[1].endswith(mine)]


def statuses(outcomes: list[Any]) -> list[int]:
    return [each if isinstance(each, Exception) else each.status_code for each in outcomes]


def test_forty_clients_fork_at_one_message(api: Api, elsewhere: Api, root: str) -> None:
    at = newest(api, root)

    def make(number: int) -> str:
        return fork((api, elsewhere)[number % 2], root, at, content=f"version {number}")

    made = at_once([partial(make, number) for number in range(40)])
    assert [each for each in made if isinstance(each, Exception)] == []
    for number, branch in enumerate(made):
        assert said(api, str(branch)) == ["root", f"version {number}", f"You said: version {number}"]
    listed = elsewhere.get(f"{root}/branches", from_message_id=at, limit=100)["data"]
    assert {f"/conversations/{each['id']}" for each in listed} == set(made)


def test_messages_in_ten_branches_at_once(api: Api, elsewhere: Api, root: str) -> None:
    branches = [fork(api, root, newest(api, root), reply=False) for _ in range(10)]

    def write(branch: str, number: int) -> None:
        for count in range(8):
            each = (api, elsewhere)[(number + count) % 2]
            each.make(f"{branch}/messages", content=str(count), reply=count % 4 == 3)

    outcomes = at_once([partial(write, branch, number) for number, branch in enumerate(branches)])
    assert [each for each in outcomes if each is not None] == []
    for branch in branches:
        own = [each for each in said(api, branch)[1:] if not each.startswith("You said")]
        assert own == [str(count) for count in range(8)]
    assert f"/conversations/{api.get(root)['active_branch_id']}" in branches


def test_a_fork_while_a_turn_streams_in_the_parent(
    api: Api, elsewhere: Api, conversation: str, model_server: ModelServer
) -> None:
    api.make(f"{conversation}/messages", content="Before", reply=False)
    for _ in range(2):
        model_server.script("text", text=DEFAULT_TEXT).pace(200)
    with api.stream(f"{conversation}/messages", content="Count.") as stream:
        started = stream.next()
        question = started.data["input"][0]["id"]
        branch = fork(elsewhere, conversation, question, content="Wait!", reply=False)
        with elsewhere.stream(f"{conversation}/branches", from_message_id=question) as again:
            *_, other = again
        *_, completed = stream
    assert (completed.name, other.name) == ("turn.completed", "turn.completed")
    assert said(elsewhere, conversation) == ["Before", "Count.", DEFAULT_TEXT]
    assert said(api, branch) == ["Before", "Count.", "Wait!"]
    second = f"/conversations/{other.data['turn']['conversation_id']}"
    assert said(api, second) == ["Before", "Count.", DEFAULT_TEXT]


def test_turns_of_two_branches_run_at_the_same_time(
    api: Api, elsewhere: Api, conversation: str, model_server: ModelServer
) -> None:
    api.make(f"{conversation}/messages", content="Before", reply=False)
    at = newest(api, conversation)
    one, two = (fork(api, conversation, at, content="b", reply=False) for _ in range(2))
    for _ in range(2):
        model_server.script("text", text=DEFAULT_TEXT).pace(100)
    with api.stream(f"{one}/messages", content="One") as first:
        first.next()
        with elsewhere.stream(f"{two}/messages", content="Two") as second:
            second.next()
            assert api.get(conversation)["active_turn_id"] is None
            *_, ended = second
        *_, also = first
    assert (ended.name, also.name) == ("turn.completed", "turn.completed")
    assert said(api, one) == ["Before", "b", "One", DEFAULT_TEXT]
    assert said(api, two) == ["Before", "b", "Two", DEFAULT_TEXT]


@pytest.mark.parametrize("reply", [True, False])
@pytest.mark.parametrize("copied", [True, False])
def test_an_idempotency_key_at_both_processes_makes_one_branch(
    api: Api, elsewhere: Api, root: str, reply: bool, copied: bool
) -> None:
    parent = deep(api, root) if copied else root
    before = set(whole_table())
    body = {"from_message_id": newest(api, parent), "content": "once", "reply": reply}

    def send(there: Api) -> Any:
        return there.http.post(f"{parent}/branches", json=body, headers={"Idempotency-Key": "same"})

    # An answer that is stored is encrypted, and these processes have different keys.
    answers = at_once([partial(send, there) for there in (api, elsewhere if reply else api) * 3])
    assert statuses(answers) == [201] * 6, [each.text for each in answers if not isinstance(each, Exception)]
    (branch,) = {each.json()["branch"]["id"] for each in answers if not isinstance(each, Exception)}
    new = set(whole_table()) - before
    assert {pk for pk, _ in new if pk.startswith("CONV#")} <= {f"CONV#{branch}", f"CONV#{root.rpartition('/')[2]}"}
    assert [sk.rpartition("#")[2] for _, sk in new if sk.startswith("BRANCH#")] == [branch]


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("target", ["the root", "the branch that it leaves", "the message"])
def test_a_fork_of_what_is_deleted_is_whole_or_not_there(
    api: Api, elsewhere: Api, root: str, target: str, copied: bool
) -> None:
    for round_ in range(4):
        inner = deep(api, root) if copied else fork(api, root, newest(api, root), content="inner", reply=False)
        at = newest(api, inner)
        whole = [*said(api, inner), "late"]
        if target == "the root":
            own = api.get(root)
            root = f"/conversations/{api.make('/conversations', agent_id=own['agent_id'])['id']}"
            api.make(f"{root}/messages", content="root", reply=False)
        victim = {
            "the root": f"/conversations/{api.get(inner)['root_id']}",
            "the branch that it leaves": inner,
            "the message": f"{inner}/messages/{at}",
        }[target]
        path = f"{inner}/branches"
        make = partial(elsewhere.call, "POST", path, {"from_message_id": at, "content": "late", "reply": False})
        acts: list[Callable[[], Any]] = [make, make, partial(api.call, "DELETE", victim), make]
        outcomes = at_once(acts if round_ % 2 else acts[::-1])
        assert [each for each in outcomes if isinstance(each, Exception)] == []
        answers = [each for each in outcomes if not isinstance(each, Exception)]
        assert {each.status_code for each in answers} <= {201, 202, 204, 404}, [each.text for each in answers]
        wait_until(lambda: elsewhere.call("GET", victim).status_code == 404)  # noqa: B023
        made = [each.json()["branch"]["id"] for each in answers if each.status_code == 201]
        if target == "the message":
            for branch in made:
                expected = whole[:-2] + whole[-1:]
                if copied:
                    assert said(api, f"/conversations/{branch}") in (whole, expected)
                else:
                    assert said(api, f"/conversations/{branch}") == expected
        else:
            for branch in made:
                wait_until(lambda: left(branch) == [])  # noqa: B023
        wait_until(lambda: not orphans())


def orphans() -> list[tuple[str, str]]:
    """Return the items of conversations that have no header, and entries of branches that do not exist."""
    items = whole_table()
    headers = {pk for pk, sk in items if sk == "THREAD"}
    return [
        (pk, sk)
        for pk, sk in items
        if (pk.startswith("CONV#") and pk not in headers)
        or (sk.startswith("BRANCH#") and f"CONV#{sk.rpartition('#')[2]}" not in headers)
    ]


def test_a_turn_in_a_branch_whose_server_is_killed_is_ended_by_the_other_process(
    api: Api,
    conversation: str,
    model_server: ModelServer,
    another: Callable[[Path], BotServer],
    tmp_path: Path,
) -> None:
    api.make(f"{conversation}/messages", content="Before", reply=False)
    at = newest(api, conversation)
    model_server.script("text", text=DEFAULT_TEXT).pace(300)
    with another(tmp_path) as doomed, Api(doomed.url) as there:
        there.http.headers["Authorization"] = api.http.headers["Authorization"]
        with there.stream(f"{conversation}/branches", from_message_id=at, content="Count.") as stream:
            started, _ = stream.next(), stream.next()
            doomed.kill()
    turn_id, branch = started.data["turn_id"], f"/conversations/{started.data['conversation_id']}"
    wait_until(lambda: api.get(f"/turns/{turn_id}")["status"] == "interrupted")
    assert said(api, branch) == ["Before", "Count."]
    model_server.pace(0)
    model_server.script("text", text="Again.")
    assert api.make(f"{branch}/turns")["turn"]["status"] == "completed"
    assert said(api, branch) == ["Before", "Count.", "Again."]
    assert api.call("DELETE", conversation).status_code == 204
    assert left(branch) == []
