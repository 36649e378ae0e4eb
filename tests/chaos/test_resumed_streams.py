"""A stream that begins at one process, breaks, and resumes at another."""

from concurrent.futures import ThreadPoolExecutor

from tests.chaos.run import Chaos
from tests.chaos.talk import Talk, has_ended, in_one_order, joined, numbered
from tests.e2e.bot_server import Event
from tests.model_server import ModelServer

AT_ONCE = 4


def test_a_stream_that_breaks_after_any_event_goes_on_at_the_other_process(
    both: tuple[Talk, Talk], model_server: ModelServer, chaos: Chaos
) -> None:
    words = chaos.size(8, 40)
    text = " ".join(f"word-{number}" for number in range(words))
    # Some batches are written during the stream, so that clients resume before, within and after them.
    model_server.script("text", text=text, times=None).pace(60)

    def broken_after(count: int) -> None:
        drawn = chaos.drawing(count)
        here, there = both if drawn.random() < 0.5 else reversed(both)
        conversation = here.new_conversation()
        with here.api.stream(f"{conversation}/messages", content="Count.") as stream:
            seen = [stream.next() for _ in range(count)]
            stream.close()
        turn_id = seen[0].data["turn_id"]
        rest = there.follow(turn_id, int(seen[-1].id))
        whole = [*seen, *rest]
        chaos.count("streams broken")
        chaos.count("events", len(whole))
        assert whole[-1].name == "turn.completed", whole[-1]
        numbered(whole)
        messages = there.history(conversation)
        in_one_order(messages)
        assert joined(whole) == messages[-1]["content"] == text
        assert here.follow(turn_id) == whole == there.follow(turn_id)

    # After each event but the last: the start, and each piece of the text.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(broken_after, count) for count in range(1, words + 2)]:
            done.result()


def test_a_client_that_changes_the_process_at_every_event_hears_each_once(
    both: tuple[Talk, Talk], model_server: ModelServer, chaos: Chaos
) -> None:
    words = chaos.size(10, 40)
    text = " ".join(f"word-{number}" for number in range(words))
    model_server.script("text", text=text, times=None).pace(150)
    for _ in range(chaos.size(1, 5)):
        conversation = both[0].new_conversation()
        begun = both[0].api.call("POST", f"{conversation}/messages", {"content": "Count.", "background": True}).json()
        heard: list[Event] = []
        while not (heard and has_ended(heard[-1])):
            process = both[len(heard) % 2]
            with process.following(begun["turn"]["id"], int(heard[-1].id) if heard else 0) as events:
                heard.append(next(events))
            chaos.count("switches of process")
        numbered(heard)
        assert joined(heard) == text == both[0].history(conversation)[-1]["content"]
