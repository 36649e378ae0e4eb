"""If a server is killed in the middle of a removal, the next one finishes it, with a complete receipt."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from bot.access.keys import issue_key
from models.access_patterns.erasure import find_erasure, list_pending_erasures
from models.access_patterns.messages import Draft
from models.table.connection import TableSettings
from tests.chaos.fault_proxy import Faults, fault_proxy
from tests.conftest import new_table
from tests.e2e.bot_server import Api, BotServer, environment
from tests.factories import append, make_agent, make_conversation, make_user
from tests.processes import wait_until
from tests.raw import whole_table

MESSAGES = 2000
LEASE = 2
"""How long the killed server blocks its job, in seconds."""


class Standstill(Faults):
    """Lets a number of a removal's deletes through, and holds all later ones until told to drop them."""

    def __init__(self, deletes: int) -> None:
        super().__init__("nothing is drawn")
        self._left = iter(range(deletes))
        self.reached, self.over = threading.Event(), threading.Event()

    def choose(self, operation: str, body: str) -> str | None:
        """Hold a delete beyond the allowed number."""
        if operation != "BatchWriteItem" or next(self._left, None) is not None:
            return super().choose(operation, body)
        self.reached.set()
        self.over.wait()
        return "reset before it is done"


@pytest.fixture
def table(engine: str) -> Iterator[TableSettings]:
    """A table on which no other server looks for pending jobs."""
    with new_table(engine) as made:
        yield made


def kinds_of(conversation_id: str) -> Counter[str]:
    """Return the number of items of each kind that belong to a conversation."""
    return Counter(item["entity"]["S"] for item in whole_table().values() if conversation_id in str(item))


def test_a_removal_whose_server_is_killed_is_finished_by_the_next_and_counts_everything_once(
    engine: str, table: TableSettings, tmp_path: Path
) -> None:
    user = make_user()
    key, _ = issue_key(user)
    conversation = make_conversation(make_agent(user))
    conversation_id = str(conversation.conversation_id)
    path = f"/conversations/{conversation_id}"
    append(conversation, [Draft("user", f"Message {number}") for number in range(MESSAGES)])
    # Two pages of 100 in batches of 25, and one of the four batches of the third page.
    standstill = Standstill(deletes=9)

    def start(name: str, endpoint: str) -> BotServer:
        (folder := tmp_path / name).mkdir()
        env = environment(folder / "data", table, AWS_ENDPOINT_URL_DYNAMODB=endpoint, BOT_LEASE_SECONDS=str(LEASE))
        return BotServer(env=env, log=folder / "log")

    def delete(doomed: BotServer) -> None:
        with suppress(httpx2.HTTPError), Api(doomed.url, key) as there:
            there.call("DELETE", path)

    with fault_proxy(engine, standstill) as endpoint, start("doomed", endpoint) as doomed:
        with Api(doomed.url, key) as there:
            there.make(f"{path}/messages", content="One more, with an answer")
        asking = threading.Thread(target=delete, args=[doomed])
        asking.start()
        assert standstill.reached.wait(60)
        doomed.kill()
        asking.join(60)
        standstill.over.set()

    (pending,) = list_pending_erasures(10).items
    job = find_erasure(pending.erasure_id)
    assert job.removed == {"Message": 300}, "a page is counted before it goes"
    assert kinds_of(conversation_id)["Message"] > MESSAGES + 2 - 300, "the last page that was counted is still there"
    wait_until(lambda: not find_erasure(pending.erasure_id).leased)

    with start("next", engine) as server, Api(server.url, key) as api:
        assert api.call("GET", path).status_code == 404
        wait_until(lambda: api.get(f"/erasures/{job.erasure_id}")["status"] == "completed")
        receipt = api.get(f"/erasures/{job.erasure_id}")
        assert receipt["target_id"] == conversation_id
        assert receipt["removed"] == {"Conversation": 1, "Message": MESSAGES + 2, "Turn": 1}
        assert api.get("/conversations")["data"] == []

    assert kinds_of(conversation_id).keys() == {"AuditEvent", "Erasure"}
    assert list_pending_erasures(10).items == ()
