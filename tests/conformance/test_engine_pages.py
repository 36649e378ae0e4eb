"""Pages: where they end, and where the next one goes on."""

from tests.conformance.conftest import Wire, refusal, sort_keys


def fill(wire: Wire, count: int) -> None:
    for n in range(count):
        wire.put(wire.item(f"S{n}"))


def test_sort_keys_are_ordered_by_their_bytes(wire: Wire) -> None:
    for sk in ("a", "B", "é", "10", "9", "MSG#~", "THREAD"):
        wire.put(wire.item(sk))

    assert sort_keys(wire.query()) == ["10", "9", "B", "MSG#~", "THREAD", "a", "é"]


def test_a_page_returns_where_it_stopped(wire: Wire) -> None:
    fill(wire, 3)

    first = wire.query(Limit=2)
    second = wire.query(Limit=2, ExclusiveStartKey=first["LastEvaluatedKey"])

    assert first["LastEvaluatedKey"] == wire.key("S1")
    assert sort_keys(second) == ["S2"]
    assert "LastEvaluatedKey" not in second


def test_a_page_that_ends_exactly_at_the_limit_still_returns_where(wire: Wire) -> None:
    fill(wire, 2)

    first = wire.query(Limit=2)
    second = wire.query(Limit=2, ExclusiveStartKey=first["LastEvaluatedKey"])

    assert sort_keys(second) == []
    assert "LastEvaluatedKey" not in second


def test_a_page_is_cut_at_1_mb(wire: Wire) -> None:
    names = [f"S{n:02}" for n in range(12)]
    for name in names:
        wire.put(wire.item(name, size=100_000))

    first = wire.query()
    rest = wire.query(ExclusiveStartKey=first["LastEvaluatedKey"])

    assert first["Count"] in (10, 11)
    assert sort_keys(first) + sort_keys(rest) == names


def test_a_page_can_start_after_an_item_that_does_not_exist(wire: Wire) -> None:
    fill(wire, 3)

    assert sort_keys(wire.query(ExclusiveStartKey=wire.key("S1~"))) == ["S2"]
    assert sort_keys(wire.query(ExclusiveStartKey=wire.key("S1~"), ScanIndexForward=False)) == ["S1", "S0"]


def test_a_page_of_an_index_can_start_after_an_item_that_does_not_exist(wire: Wire) -> None:
    for n in range(3):
        wire.put(wire.item(f"S{n}", user_id=wire.pk, user_activity=f"active#{n}"))
    start = wire.key("gone") | {"user_id": {"S": wire.pk}, "user_activity": {"S": "active#1~"}}

    found = wire.query(IndexName="conversations_by_user", key=("user_id", wire.pk), ExclusiveStartKey=start)

    assert sort_keys(found) == ["S2"]


def test_items_of_an_index_with_equal_sort_keys_are_paged_without_loss(wire: Wire) -> None:
    for n in range(5):
        wire.put(wire.item(f"S{n}", user_id=wire.pk, user_activity="active#same"))

    seen: list[str] = []
    start: dict[str, object] = {}
    while True:
        page = wire.query(IndexName="conversations_by_user", key=("user_id", wire.pk), Limit=2, **start)
        seen += sort_keys(page)
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    assert sorted(seen) == [f"S{n}" for n in range(5)]


def test_a_filter_applies_after_the_limit(wire: Wire) -> None:
    for n in range(4):
        wire.put(wire.item(f"S{n}", kind="odd" if n % 2 else "even"))

    found = wire.query(Limit=2, FilterExpression="kind = :odd", values={"odd": "odd"})

    assert sort_keys(found) == ["S1"]
    assert found["ScannedCount"] == 2


def test_between_includes_both_bounds(wire: Wire) -> None:
    fill(wire, 5)

    found = wire.query(condition="SK BETWEEN :a AND :b", values={"a": "S1", "b": "S3"})

    assert sort_keys(found) == ["S1", "S2", "S3"]


def test_between_with_reversed_bounds_is_refused(wire: Wire) -> None:
    refused = refusal(lambda: wire.query(condition="SK BETWEEN :a AND :b", values={"a": "S3", "b": "S1"}))

    assert refused["Error"]["Code"] == "ValidationException"


def test_begins_with_finds_a_prefix_and_no_more(wire: Wire) -> None:
    for sk in ("MSG#1", "MSG#2", "MSG", "KV#1"):
        wire.put(wire.item(sk))

    assert sort_keys(wire.query(condition="begins_with(SK, :p)", values={"p": "MSG#"})) == ["MSG#1", "MSG#2"]


def test_a_descending_page_starts_with_the_last_item(wire: Wire) -> None:
    fill(wire, 4)

    first = wire.query(ScanIndexForward=False, Limit=2)

    assert sort_keys(first) == ["S3", "S2"]
    assert sort_keys(wire.query(ScanIndexForward=False, ExclusiveStartKey=first["LastEvaluatedKey"])) == ["S1", "S0"]
