"""A turn's streamed text is stored in batches: soon, not too often, and with a bound on what is not stored yet."""

import pytest

from bot.turns import event_log
from bot.turns.event_log import DEFAULT_BATCH, MOST_PIECES, BatchSize, NoLog, SizeLog, TableLog
from models.access_patterns.pieces import cut_again
from models.turn import EventId


class Table:
    """A table that stores batches, or fails."""

    def __init__(self) -> None:
        self.batches: list[tuple[EventId, list[str]]] = []
        self.broken = False
        self.tries = 0

    def append(self, turn_id: str, last: EventId, texts: list[str]) -> None:
        assert turn_id == "turn_1"
        self.tries += 1
        if self.broken:
            raise OSError("no network")
        self.batches.append((last, list(texts)))


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table()
    monkeypatch.setattr(event_log, "append_events", made.append)
    return made


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [100.0]
    monkeypatch.setattr(event_log.time, "monotonic", lambda: moment[0])
    return moment


def test_a_batch_is_written_when_it_is_half_a_second_old(table: Table, seconds: list[float]) -> None:
    log = TableLog("turn_1")
    log.add(EventId(2), "a")
    seconds[0] += 0.4
    log.add(EventId(3), "b")
    log.tick()
    assert table.batches == []
    seconds[0] += 0.1
    log.tick()
    assert table.batches == [(EventId(3), ["a", "b"])]
    seconds[0] += 10
    log.tick()
    assert len(table.batches) == 1, "there is nothing more"
    log.add(EventId(4), "c")
    log.close()
    assert table.batches[1:] == [(EventId(4), ["c"])]


def test_a_large_batch_is_written_at_once(table: Table, seconds: list[float]) -> None:
    log = TableLog("turn_1")
    log.add(EventId(2), "é" * (DEFAULT_BATCH.bytes // 2))
    assert [last for last, _ in table.batches] == [EventId(2)]


def test_a_thousand_words_in_a_second_are_few_writes(table: Table, seconds: list[float]) -> None:
    log = TableLog("turn_1")
    for number in range(1000):
        log.add(EventId(number + 2), "word ")
        seconds[0] += 0.001
    log.close()
    assert len(table.batches) <= 1 + 1000 // MOST_PIECES
    assert "".join(text for _, texts in table.batches for text in texts) == "word " * 1000


def test_a_batch_that_could_not_be_written_is_part_of_the_next(table: Table, seconds: list[float]) -> None:
    log = TableLog("turn_1")
    table.broken = True
    log.add(EventId(2), "a")
    seconds[0] += 1
    log.tick()
    log.tick()
    assert table.tries == 1, "it is not tried at every turn of a slice"
    table.broken = False
    seconds[0] += 1
    log.add(EventId(3), "b")
    assert table.batches == [(EventId(3), ["a", "b"])]


def test_a_turn_stops_if_its_text_cannot_be_stored(table: Table, seconds: list[float]) -> None:
    log = TableLog("turn_1")
    table.broken = True
    for number in range(2, event_log.MOST_UNSTORED + 1):
        log.add(EventId(number), "a")
    with pytest.raises(OSError, match="no network"):
        log.add(EventId(event_log.MOST_UNSTORED + 1), "a")


def test_a_plain_turn_stores_no_events(table: Table) -> None:
    log = NoLog()
    log.add(EventId(2), "a")
    log.tick()
    log.close()
    assert table.tries == 0


def test_a_deployment_can_store_larger_batches(table: Table, seconds: list[float]) -> None:
    log = TableLog("turn_1", BatchSize(seconds=5, bytes=10_000))
    for number in range(2, 10):
        log.add(EventId(number), "a" * 600)
        seconds[0] += 0.6
    log.tick()
    assert table.batches == []
    seconds[0] += 0.3
    log.tick()
    assert table.batches == [(EventId(9), ["a" * 600] * 8)]
    log.add(EventId(10), "b" * 10_000)
    assert len(table.batches) == 2


def test_a_stream_that_is_not_kept_stores_only_the_sizes_of_its_pieces(table: Table) -> None:
    log = SizeLog()
    assert log.record == {}
    for event, text in ((EventId(1, 1), "Why"), (EventId(2), "Be"), (EventId(3), "cause")):
        log.add(event, text)
    log.tick()
    log.close()
    assert table.tries == 0
    assert cut_again(log.record["pieces"], "Because", "Why") == [
        (EventId(1, 1), "Why"),
        (EventId(2), "Be"),
        (EventId(3), "cause"),
    ]
