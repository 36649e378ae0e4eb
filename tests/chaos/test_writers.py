"""Many writers in one conversation, and readers who page through it in both directions at the same time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Flag
from typing import Any

import pytest

from models.access_patterns.messages import Draft, append_messages
from models.table.errors import Contended
from tests.chaos.run import Chaos
from tests.chaos.talk import Talk, in_one_order

_BATCHES = (1, 2, 5)


@pytest.mark.parametrize("writers", [2, 8, 32])
def test_every_reader_sees_one_order_of_all_writers(both: tuple[Talk, Talk], chaos: Chaos, writers: int) -> None:
    conversation = both[0].new_conversation()
    header = both[0].api.get(conversation)
    share = max(1, chaos.size({2: 40, 8: 80, 32: 96}[writers], {2: 2000, 8: 4000, 32: 4000}[writers]) // writers)
    done = Flag()
    unknown: set[str] = set()

    def through_the_api(writer: int) -> list[list[str]]:
        """Append one message at a time, each at a random process."""
        drawn = chaos.drawing(writer)
        stored = []
        tries = 0
        while len(stored) < share:
            content = f"{writer} {tries}"
            tries += 1
            answer = drawn.choice(both).api.call(
                "POST", f"{conversation}/messages", {"content": content, "reply": False}
            )
            if answer.status_code == 503:
                # Usually the detail says that nothing was written. If not, the message may be stored.
                if "nothing was written" not in answer.json()["detail"]:
                    unknown.add(content)
                chaos.count("appends refused and replaced")
                continue
            assert answer.status_code == 201, answer.text
            stored.append([answer.json()["input"][0]["id"]])
            chaos.count("appends")
        return stored

    def through_the_models(writer: int) -> list[list[str]]:
        """Append batches of messages, each of which must stay together."""
        drawn = chaos.drawing(writer)
        stored: list[list[str]] = []
        tries = 0
        while sum(map(len, stored)) < share:
            tries += 1
            drafts = [Draft("user", f"{writer} {tries} {number}") for number in range(drawn.choice(_BATCHES))]
            try:
                made = append_messages(header["user_id"], header["id"], drafts)
            except Contended as error:
                if "nothing was written" not in str(error):
                    unknown.update(draft.content for draft in drafts)
                chaos.count("appends refused and replaced")
                continue
            stored.append([message.message_id for message in made])
            chaos.count("appends", len(made))
        return stored

    def read(talk: Talk, order: str) -> list[list[str]]:
        """Page through all messages repeatedly; return the ids that each walk saw, oldest first."""
        walks: list[list[str]] = []
        while not done.is_set():
            messages = talk.history(conversation, order, limit=25)[:: 1 if order == "asc" else -1]
            in_one_order(messages)
            walks.append([message["id"] for message in messages])
            chaos.count("full reads")
        return walks

    with ThreadPoolExecutor(2) as reading, ThreadPoolExecutor(writers) as writing:
        readers = [reading.submit(read, both[0], "asc"), reading.submit(read, both[1], "desc")]
        # Three of four through the two processes, the fourth through the models.
        ways: Sequence[Callable[[int], list[list[str]]]] = [
            through_the_models if writer % 4 == 1 else through_the_api for writer in range(writers)
        ]
        try:
            batches = [each.result() for each in [writing.submit(way, number) for number, way in enumerate(ways)]]
        finally:
            done.set()
        walks = [walk for reader in readers for walk in reader.result()]
    final = both[0].history(conversation)
    in_one_order(final)
    ids = [message["id"] for message in final]
    check_batches([each["id"] for each in final if each["content"] not in unknown], batches)
    for walk in walks:
        assert walk == ids[: len(walk)], "a reader saw another order, or a gap"
    assert [each["id"] for each in both[1].history(conversation, "desc")] == ids[::-1]
    assert both[0].api.get(conversation)["message_count"] == len(ids)


def check_batches(ids: Sequence[str], batches: Sequence[Sequence[Sequence[Any]]]) -> None:
    """Check that all acknowledged messages are stored, each writer's in order, and each batch together."""
    place = {message_id: number for number, message_id in enumerate(ids)}
    assert sorted(place) == sorted(each for writer in batches for batch in writer for each in batch)
    for writer in batches:
        places = [place[each] for batch in writer for each in batch]
        assert places == sorted(places), "a writer's messages are in another order"
        for batch in writer:
            assert place[batch[-1]] - place[batch[0]] == len(batch) - 1, "a batch was split"
