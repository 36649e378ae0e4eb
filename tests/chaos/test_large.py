"""A conversation that is very long, and one whose messages are very large."""

import math
import string
import time
from typing import Any

from models.access_patterns.conversations import open_conversation
from models.access_patterns.messages import Draft, append_messages, delete_message, list_messages
from models.measure.capacity import Cost, total
from models.measure.probe import Probe
from models.table.sizes import item_size
from tests.chaos.run import Chaos
from tests.chaos.talk import PATIENCE, WORDS, Talk, in_one_order
from tests.contract_watch import Watch
from tests.model_server import ModelServer

_BATCH = 98
_LARGE_BYTES = 350 * 1024


def costs(user_id: Any, conversation_id: str) -> dict[str, Cost]:
    """Return the cost of each operation on a conversation; it appends a message and deletes it again."""
    found: dict[str, Cost] = {}
    probe = Probe()
    with probe.recording() as sent:
        opened = open_conversation(user_id, conversation_id, 20)
        found["open"] = total(sent)
    with probe.recording() as sent:
        list_messages(user_id, conversation_id, 20)
        found["first page"] = total(sent)
    with probe.recording() as sent:
        list_messages(user_id, conversation_id, 20, descending=True, after=opened.messages[0].ts)
        found["page before the newest"] = total(sent)
    with probe.recording() as sent:
        (made,) = append_messages(user_id, conversation_id, [Draft("user", "Once more")])
        found["append"] = total(sent)
    with probe.recording() as sent:
        delete_message(user_id, conversation_id, made.message_id)
        found["delete"] = total(sent)
    return found


def remove(talk: Talk, conversation: str) -> dict[str, int]:
    """Delete a conversation, and return the counts of its receipt."""
    answer = talk.api.call("DELETE", conversation)
    assert answer.status_code in (202, 204), answer.text
    assert talk.api.call("GET", conversation).status_code == 404, "unreachable at once"
    erasure = answer.headers["location"].removeprefix("/api/v1")
    before, deadline = None, 0.0
    while (job := talk.api.get(erasure))["status"] != "completed":
        if job != before:
            before, deadline = job, time.monotonic() + PATIENCE
        assert time.monotonic() < deadline, f"the erasure makes no progress: {job}"
        time.sleep(0.5)
    removed: dict[str, int] = job["removed"]
    return removed


def test_a_very_long_conversation_costs_what_a_short_one_does(
    both: tuple[Talk, Talk], model_server: ModelServer, chaos: Chaos, contract: Watch
) -> None:
    model_server.script("text", text=WORDS, times=None)
    conversation = both[0].new_conversation()
    header = both[0].api.get(conversation)
    user_id, conversation_id = header["user_id"], header["id"]
    length = chaos.size(2000, 50_000)
    ids: list[str] = []

    def grow(to: int) -> None:
        while len(ids) < to:
            drafts = [
                Draft("user", f"Message {len(ids) + each:06} of this conversation")
                for each in range(min(_BATCH, to - len(ids)))
            ]
            ids.extend(message.message_id for message in append_messages(user_id, conversation_id, drafts))

    grow(50)
    short = costs(user_id, conversation_id)
    grow(length)
    chaos.count("messages", len(ids))
    assert costs(user_id, conversation_id) == short, "what it costs depends on the length"
    contract.check()
    assert [each["id"] for each in both[0].history(conversation)] == ids
    assert [each["id"] for each in both[1].history(conversation, "desc")] == ids[::-1]
    done = both[1].api.make(f"{conversation}/messages", content="Are you still there?")
    assert done["turn"]["status"] == "completed"
    (before,) = both[0].api.get(f"{conversation}/messages", order="desc", limit=1)["data"]
    assert before["id"] == done["output"][0]["id"]
    removed = remove(both[0], conversation)
    chaos.count("messages removed", removed["Message"])
    assert removed["Message"] == length + 2


def test_a_conversation_of_very_large_messages_works(
    both: tuple[Talk, Talk], model_server: ModelServer, chaos: Chaos, contract: Watch
) -> None:
    model_server.script("text", text=WORDS, times=None)
    conversation = both[0].new_conversation()
    header = both[0].api.get(conversation)
    count = chaos.size(12, 50)
    # Random letters, which compress badly.
    letters = string.ascii_letters + string.digits + string.punctuation
    contents = ["".join(chaos.random.choices(letters, k=_LARGE_BYTES)) for _ in range(count)]
    for number, content in enumerate(contents):
        body = {"content": content, "reply": False}
        answer = both[number % 2].api.call("POST", f"{conversation}/messages", body)
        assert answer.status_code == 201, answer.text
    chaos.count("messages", count)
    chaos.count("bytes", count * _LARGE_BYTES)
    asc = both[0].history(conversation, limit=10)
    in_one_order(asc)
    assert [each["content"] for each in asc] == contents
    assert [each["content"] for each in both[1].history(conversation, "desc", limit=7)] == contents[::-1]
    opened = both[0].api.get(conversation, messages=10)
    assert [each["content"] for each in opened["messages"]] == contents[-10:]
    probe = Probe()
    with probe.recording() as sent:
        page = list_messages(header["user_id"], header["id"], 10)
    read = sum(item_size(item) for exchange in sent if exchange.operation == "Query" for item in exchange.items)
    assert [message.content for message in page.items] == contents[:10]
    # The header, and 1 RCU for each 4 KB read, rounded up for each Query; a Query reads up to 1 MB.
    queries = sum(exchange.operation == "Query" for exchange in sent)
    assert total(sent).rcu <= 1 + math.ceil(read / 4096) + queries
    assert queries <= math.ceil(read / 2**20) * 2
    chaos.most("read units for a page of ten", total(sent).rcu)
    contract.check()
    gone = asc[chaos.random.randrange(count)]["id"]
    assert both[1].api.call("DELETE", f"{conversation}/messages/{gone}").status_code == 204
    assert [each["id"] for each in both[0].history(conversation, limit=10)] == [
        each["id"] for each in asc if each["id"] != gone
    ]
    done = both[0].api.make(f"{conversation}/messages", content="What did I say?")
    assert done["turn"]["status"] == "completed"
    removed = remove(both[1], conversation)
    assert removed["Message"] == count - 1 + 2
