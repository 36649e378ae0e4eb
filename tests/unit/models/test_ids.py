"""Ids say what they identify, sort by time, and contain their creation time to the microsecond."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.table.ids import moment_of, new_id
from models.table.keys import checked

PASSED = st.timedeltas(timedelta(0), timedelta(days=365 * 1000))
MOMENTS = PASSED.map(lambda passed: datetime(1970, 1, 1, tzinfo=UTC) + passed)
PREFIXES = st.sampled_from(["usr", "agt", "conv", "msg", "turn", "key"])


@given(MOMENTS, PREFIXES)
def test_an_id_contains_its_exact_creation_time(moment: datetime, prefix: str) -> None:
    assert moment_of(new_id(prefix, moment), prefix) == moment


@given(MOMENTS, st.timedeltas(timedelta(microseconds=1), timedelta(days=10)))
def test_ids_sort_by_creation_time(moment: datetime, later: timedelta) -> None:
    assert new_id("msg", moment) < new_id("msg", moment + later)


@given(MOMENTS, PREFIXES)
def test_an_id_is_allowed_in_a_key(moment: datetime, prefix: str) -> None:
    identifier = new_id(prefix, moment)
    assert checked("id", identifier) == identifier
    assert identifier.startswith(f"{prefix}_")
    assert len(identifier) == len(prefix) + 27


def test_two_ids_with_the_same_time_differ() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert len({new_id("msg", moment) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "msg",
        "msg_",
        "msg_01k9",
        "turn_01jgh2qg00ezb8r9p0v1s2t3w4",
        "msg_81jgh2qg00ezb8r9p0v1s2t3w4",
        "msg_01JGH2QG00EZB8R9P0V1S2T3W4",
        "msg_01jgh2qg00ezb8r9p0v1s2t3wu",
        "msg_01jgh2qg00ezb8r9p0v1s2t3w4\n",
        "x_msg_01jgh2qg00ezb8r9p0v1s2t3w4",
        "msg_7zzzzzzzzzzzzzzzzzzzzzzzzz",
    ],
)
def test_another_text_has_no_creation_time(identifier: str) -> None:
    assert moment_of(identifier, "msg") is None


@given(st.text(max_size=40))
def test_moment_of_accepts_any_text(text: str) -> None:
    assert moment_of(text, "msg") is None
