"""Cancelling a turn at the moment when it ends."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Flag

from tests.chaos.run import Chaos
from tests.chaos.talk import WORDS, Talk, agrees, in_one_order, joined, numbered
from tests.model_server import ModelServer
from tests.together import at_once

AT_ONCE = 4
# The events of an answer of twelve words; the last ones are more likely, because that is where the race is.
_MOMENTS = (1, 4, 8, *range(11, 14))


def test_of_cancelling_and_completing_exactly_one_wins(
    both: tuple[Talk, Talk], model_server: ModelServer, chaos: Chaos
) -> None:
    model_server.script("text", text=WORDS, times=None).pace(25)

    def race(number: int) -> None:
        drawn = chaos.drawing(number)
        here, there = both if drawn.random() < 0.5 else reversed(both)
        conversation = here.new_conversation()
        reached = Flag()
        with ThreadPoolExecutor(1) as client:
            talk = client.submit(here.listen, conversation, "Go", until=drawn.choice(_MOMENTS), reached=reached)
            reached.wait()
            time.sleep(drawn.uniform(0, 0.08))
            (asked,) = [each for each in there.history(conversation) if each["sender"] == "user"]
            path = f"/turns/{asked['turn_id']}/cancel"
            # Two cancellations at once must have the same effect as one.
            answers = at_once([lambda: here.api.call("POST", path), lambda: there.api.call("POST", path)])
            heard = talk.result()
        turn = there.settled(asked["turn_id"])
        chaos.count(f"turns {turn['status']}")
        for answer in answers:
            assert not isinstance(answer, Exception), answer
            assert answer.status_code in (200, 202), answer.text
            assert answer.json()["status"] in (turn["status"], *(["running"] if answer.status_code == 202 else []))
        assert turn["status"] in ("completed", "cancelled")
        assert heard.ended_as == f"turn.{turn['status']}"
        assert heard.events[-1].data["turn"] == turn
        messages = there.history(conversation)
        in_one_order(messages)
        agrees(turn, messages)
        assert heard.text == (WORDS if turn["status"] == "completed" else turn["partial_text"] or "")
        for each in both:
            replayed = each.follow(turn["id"])
            numbered(replayed)
            assert joined(replayed) == heard.text
            assert each.api.call("POST", path).json() == turn, "a turn that had ended was changed"
        assert there.api.get(conversation)["active_turn_id"] is None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(race, number) for number in range(chaos.size(16, 400))]:
            done.result()
    assert chaos.counts.get("turns cancelled"), "no turn was cancelled in time: this run proved nothing"
    assert chaos.counts.get("turns completed"), "no turn was completed before: this run proved nothing"
