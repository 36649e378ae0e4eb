"""Cursors: signed for one list, of one caller, with one set of filters."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.access.cursors import Cursors
from bot.access.key_ring import KeyFile, KeyRing
from bot.errors import InvalidCursor

CURSORS = Cursors(KeyRing(b"a deployment's secret"))
LONGEST_ID = "conv_" + "0" * 26


def test_a_cursor_gives_back_its_position() -> None:
    for position in ([], ["agt_1"], ["2026-01-01T00:00:00+00:00", "conv_1"], ["é😀", ""]):
        assert CURSORS.read("list", CURSORS.sign("list", position)) == position


def test_a_cursor_is_valid_only_for_its_scope() -> None:
    cursor = CURSORS.sign('["agents","usr_1",{}]', ["agt_1"])
    for scope in ('["agents","usr_2",{}]', '["agents","usr_1",{"status":"active"}]', "", "agents"):
        with pytest.raises(InvalidCursor) as refused:
            CURSORS.read(scope, cursor)
        assert [each.field for each in refused.value.fields] == ["cursor"]


def test_a_cursor_of_another_deployment_is_refused() -> None:
    with pytest.raises(InvalidCursor):
        Cursors(KeyRing(b"another secret")).read("list", CURSORS.sign("list", ["agt_1"]))


@given(st.text(max_size=60))
def test_a_made_up_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        CURSORS.read("list", text)


@given(st.data())
def test_a_cursor_with_one_changed_character_is_refused(data: st.DataObject) -> None:
    cursor = CURSORS.sign("list", ["agt_1"])
    position = data.draw(st.integers(0, len(cursor) - 2))
    other = data.draw(st.sampled_from("ABCxyz019-_.").filter(lambda each: each != cursor[position]))
    with pytest.raises(InvalidCursor):
        CURSORS.read("list", cursor[:position] + other + cursor[position + 1 :])


def test_a_cursor_is_short_and_needs_no_escaping_in_a_url() -> None:
    cursor = CURSORS.sign("list", ["2026-01-01T00:00:00.000000+00:00", LONGEST_ID])
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert len(cursor) < 200


def test_a_cursor_survives_a_new_key_until_the_old_one_is_dropped() -> None:
    old = Cursors(KeyRing(b"old")).sign("list", ["agt_1"])
    both = Cursors(KeyRing(b"old", b"new"))
    assert both.read("list", old) == ["agt_1"]
    new = both.sign("list", ["agt_2"])
    assert Cursors(KeyRing(b"new")).read("list", new) == ["agt_2"]
    with pytest.raises(InvalidCursor):
        Cursors(KeyRing(b"new")).read("list", old)


def test_a_running_server_reads_what_another_process_signs_with_a_newer_key(tmp_path: Path) -> None:
    here, there = KeyFile(tmp_path / "secret.key"), KeyFile(tmp_path / "secret.key")
    server, other = Cursors(here), Cursors(there)
    old = server.sign("list", ["agt_1"])
    there.add()

    assert server.read("list", other.sign("list", ["agt_2"])) == ["agt_2"]
    assert server.read("list", old) == other.read("list", old) == ["agt_1"]
    there.add()
    here.refresh()  # as the vault does
    assert server.read("list", other.sign("list", ["agt_3"])) == ["agt_3"]
