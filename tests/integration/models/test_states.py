"""State: any JSON under a key; of writers that expect the same version, exactly one wins."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import cache, partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.access_patterns.states import Owner, delete_state, get_state, list_states, put_state
from models.state import ConversationState, UserState
from models.table import clock
from models.table.errors import (
    Contended,
    InvalidKeyField,
    InvalidValue,
    ItemNotFound,
    ItemTooLarge,
    VersionMismatch,
)
from models.table.tenancy import UserId, acting_for
from tests.contract_watch import past_the_models
from tests.factories import make_conversation, make_user, noise, say
from tests.fake_clock import FakeClock
from tests.raw import stored
from tests.together import at_once
from tests.wire import others_come_first

pytestmark = pytest.mark.usefixtures("table")

VALUES: list[Any] = [
    None,
    False,
    0,
    "",
    "text",
    [],
    {},
    {"S": "looks like DynamoDB's own"},
    {"N": 1},
    {"NULL": True},
    {"": {"a.b": [1, 2.5, None, {"#": "😀"}]}},
    2**70,
    1e-300,
]


def a_user() -> Owner:
    return Owner(make_user().user_id)


def a_conversation() -> Owner:
    conversation = make_conversation()
    return Owner(conversation.user_id, conversation.conversation_id)


@pytest.fixture(params=[a_user, a_conversation])
def owner(request: pytest.FixtureRequest) -> Owner:
    make: Callable[[], Owner] = request.param
    return make()


def test_any_json_value_reads_back_after_a_create_and_an_update(owner: Owner) -> None:
    for number, value in enumerate(VALUES):
        put_state(owner, "session", f"key{number}", value)
        put_state(owner, "session", "updated", value)
        for key in (f"key{number}", "updated"):
            found = get_state(owner, "session", key).value
            assert (found, type(found)) == (value, type(value))


def test_state_reads_back_as_it_was_put(owner: Owner, fake_clock: FakeClock) -> None:
    first = put_state(owner, "application", "theme", {"dark": True})
    assert get_state(owner, "application", "theme").serialize() == first.serialize()
    assert (first.version, first.created_at, first.updated_at) == (1, fake_clock.moment, fake_clock.moment)
    created = fake_clock.moment
    fake_clock.advance(seconds=5)
    put_state(owner, "application", "theme", {"dark": False})
    found = get_state(owner, "application", "theme")
    assert (found.value, found.version, found.kind, found.key) == ({"dark": False}, 2, "application", "theme")
    assert (found.created_at, found.updated_at) == (created, fake_clock.moment)


def test_the_two_kinds_are_separate(owner: Owner) -> None:
    put_state(owner, "session", "key", 1)
    put_state(owner, "application", "key", 2)
    delete_state(owner, "session", "key")
    with pytest.raises(ItemNotFound, match="state"):
        get_state(owner, "session", "key")
    assert get_state(owner, "application", "key").value == 2


@pytest.mark.parametrize("key", ["", "a#b", "a\nb", "x" * 1100])
def test_a_key_that_is_not_allowed_is_refused_by_name(owner: Owner, key: str) -> None:
    for act in (get_state, delete_state, partial(put_state, value=1)):
        with pytest.raises(InvalidKeyField) as refusal:
            act(owner, "session", key)
        assert refusal.value.field == "key"


UNREACHABLE = [
    *(
        ".",
        "..",
        "...",
        "%2e",
        "%2E%2e",
        ".%2E",
        "a/b",
        "/",
        "a/..",
        "\\",
        "a\\b",
        "a?b",
        "a;b",
        "a b",
        " a",
        "a ",
        "a%20",
    ),
    *("caf\u00e9", "\u202ea", "\uff0e\uff0e", "x" * 129),
]


@pytest.mark.parametrize("key", UNREACHABLE, ids=ascii)
def test_a_key_that_no_url_path_can_contain_can_be_read_and_deleted_but_not_written(owner: Owner, key: str) -> None:
    with pytest.raises(InvalidKeyField, match="not only dots") as refusal:
        put_state(owner, "session", key, 1)
    assert refusal.value.field == "key"
    before = owner.entity.from_key(kind="session", key=key, **owner.fields)
    assert not stored(before)

    # As an older version, which allowed such keys, wrote it.
    moment = clock.now()
    before.value, before.version, before.created_at, before.updated_at = "old", 1, moment, moment
    with past_the_models():
        before.save()
    assert get_state(owner, "session", key).value == "old"
    assert [each.key for each in list_states(owner, 10).items] == [key]
    with pytest.raises(InvalidKeyField):
        put_state(owner, "session", key, "new")
    delete_state(owner, "session", key, if_version=1)
    with pytest.raises(ItemNotFound):
        get_state(owner, "session", key)


@pytest.mark.parametrize("key", [".a", "a.", "a..b", "..a", ":", "-", "_", "0", "A.b:c-d_e", "x" * 128])
def test_a_key_that_a_url_path_can_contain_can_be_written(owner: Owner, key: str) -> None:
    put_state(owner, "session", key, 1)
    assert get_state(owner, "session", key).value == 1


@pytest.mark.parametrize("value", [{1: "a", "1": "b"}, [{"a": {None: 1}}], Decimal("1.1"), float("nan")], ids=repr)
def test_a_value_that_would_not_read_back_unchanged_is_refused_by_its_path(owner: Owner, value: Any) -> None:
    with pytest.raises(InvalidValue) as refusal:
        put_state(owner, "session", "key", value)
    assert refusal.value.field.split(".")[0] == "value"
    put_state(owner, "session", "key", "before")
    with pytest.raises(InvalidValue):
        put_state(owner, "session", "key", value)
    assert get_state(owner, "session", "key").value == "before"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=40)
@given(JSON)
def test_whatever_json_is_put_is_exactly_what_is_read(value: Any) -> None:
    owner = Owner(a_reader())
    put_state(owner, "session", "key", value)
    assert repr(get_state(owner, "session", "key").value) == repr(value)


@cache
def a_reader() -> UserId:
    return acting_for(make_user().user_id)


class TestCompareAndSet:
    def test_the_expected_version_must_be_the_stored_one(self, owner: Owner) -> None:
        with pytest.raises(VersionMismatch) as refusal:
            put_state(owner, "session", "key", "a", if_version=1)
        assert refusal.value.current == 0
        assert put_state(owner, "session", "key", "a", if_version=0).version == 1
        for wrong in (0, 2):
            with pytest.raises(VersionMismatch) as refusal:
                put_state(owner, "session", "key", "b", if_version=wrong)
            assert refusal.value.current == 1
            with pytest.raises(VersionMismatch):
                delete_state(owner, "session", "key", if_version=wrong)
        assert get_state(owner, "session", "key").value == "a"
        assert put_state(owner, "session", "key", "b", if_version=1).version == 2
        delete_state(owner, "session", "key", if_version=2)
        assert put_state(owner, "session", "key", "c", if_version=0).version == 1

    @pytest.mark.parametrize("version", [0, 1])
    def test_of_eight_concurrent_writers_that_expect_the_same_version_one_wins(
        self, owner: Owner, version: int
    ) -> None:
        if version:
            put_state(owner, "session", "key", "first")
        outcomes = at_once(
            [partial(put_state, owner, "session", "key", number, if_version=version) for number in range(8)]
        )
        (winner,) = (each for each in outcomes if isinstance(each, UserState | ConversationState))
        refused = [each for each in outcomes if isinstance(each, VersionMismatch)]
        assert len(refused) == 7
        assert {each.current for each in refused} == {version + 1}
        found = get_state(owner, "session", "key")
        assert (found.value, found.version) == (winner.value, version + 1)

    def test_of_a_concurrent_put_and_delete_exactly_one_wins(self, owner: Owner) -> None:
        for _ in range(5):
            put_state(owner, "session", "key", "old")
            version = int(get_state(owner, "session", "key").version)
            works: list[Callable[[], Any]] = [
                partial(put_state, owner, "session", "key", "new", if_version=version),
                partial(delete_state, owner, "session", "key", if_version=version),
            ]
            put, deleted = at_once(works)
            assert isinstance(put, VersionMismatch) != isinstance(deleted, VersionMismatch | ItemNotFound)

    def test_without_a_version_every_concurrent_writer_succeeds(self, owner: Owner) -> None:
        outcomes = at_once([partial(put_state, owner, "session", "key", number) for number in range(4)])
        versions = sorted(int(each.version) for each in outcomes if isinstance(each, UserState | ConversationState))
        assert versions == [1, 2, 3, 4]
        assert get_state(owner, "session", "key").version == 4

    def test_constant_contention_is_not_reported_as_a_mismatch(
        self, owner: Owner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("models.access_patterns.states.pause", lambda _attempt: None)
        put_state(owner, "session", "key", 0)
        others = partial(put_state, owner, "session", "key", "theirs")
        with others_come_first("TransactWriteItems", others), pytest.raises(Contended):
            put_state(owner, "session", "key", "mine")
        with others_come_first("TransactWriteItems", others), pytest.raises(Contended):
            delete_state(owner, "session", "key")
        assert get_state(owner, "session", "key").value == "theirs"


class TestTimeToLive:
    def entity(self, owner: Owner, key: str) -> UserState | ConversationState:
        return owner.entity.from_key(kind="session", key=key, **owner.fields)

    def test_expired_state_is_missing_while_dynamodb_still_has_it(self, owner: Owner, fake_clock: FakeClock) -> None:
        put_state(owner, "session", "key", "short", ttl=timedelta(seconds=600))
        fake_clock.advance(seconds=599)
        assert get_state(owner, "session", "key").value == "short"
        fake_clock.advance(seconds=2)
        assert stored(self.entity(owner, "key"))
        with pytest.raises(ItemNotFound, match="state"):
            get_state(owner, "session", "key")
        with pytest.raises(ItemNotFound, match="state"):
            delete_state(owner, "session", "key")
        assert list_states(owner, 10).items == ()

    def test_a_put_over_expired_state_starts_at_version_one(self, owner: Owner, fake_clock: FakeClock) -> None:
        put_state(owner, "session", "key", "short", ttl=timedelta(seconds=600))
        put_state(owner, "session", "key", "short", ttl=timedelta(seconds=600))
        fake_clock.advance(seconds=601)
        assert stored(self.entity(owner, "key"))
        with pytest.raises(VersionMismatch) as refusal:
            put_state(owner, "session", "key", "new", if_version=2)
        assert refusal.value.current == 0
        new = put_state(owner, "session", "key", "new", if_version=0)
        assert (new.version, new.created_at) == (1, fake_clock.moment)
        fake_clock.advance(hours=1)
        assert get_state(owner, "session", "key").value == "new"

    def test_a_put_without_a_ttl_removes_it(self, owner: Owner, fake_clock: FakeClock) -> None:
        put_state(owner, "session", "key", "short", ttl=timedelta(seconds=600))
        put_state(owner, "session", "key", "long")
        fake_clock.advance(hours=1)
        assert get_state(owner, "session", "key").value == "long"

    @pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=-1), timedelta(microseconds=-1), timedelta.max])
    def test_an_invalid_ttl_is_refused(self, owner: Owner, ttl: timedelta) -> None:
        with pytest.raises(InvalidValue) as refusal:
            put_state(owner, "session", "key", 1, ttl=ttl)
        assert refusal.value.field == "ttl"
        with pytest.raises(ItemNotFound):
            get_state(owner, "session", "key")

    def test_the_shortest_ttl_expires(self, owner: Owner, fake_clock: FakeClock) -> None:
        put_state(owner, "session", "key", 1, ttl=timedelta(microseconds=1))
        fake_clock.advance(seconds=2)
        with pytest.raises(ItemNotFound):
            get_state(owner, "session", "key")

    def test_a_put_with_a_ttl_renews_it(self, owner: Owner, fake_clock: FakeClock) -> None:
        put_state(owner, "session", "key", 1, ttl=timedelta(seconds=600))
        fake_clock.advance(seconds=500)
        put_state(owner, "session", "key", 2, ttl=timedelta(seconds=600))
        fake_clock.advance(seconds=500)
        assert get_state(owner, "session", "key").value == 2


def test_a_value_of_the_largest_size_fits_and_more_does_not(owner: Owner) -> None:
    largest = noise(450_000)
    put_state(owner, "session", "key", largest)
    put_state(owner, "session", "key", largest)
    assert get_state(owner, "session", "key").value == largest
    with pytest.raises(ItemTooLarge) as refusal:
        put_state(owner, "session", "key", noise(500_000))
    assert refusal.value.field == "value"
    assert get_state(owner, "session", "key").version == 2


def test_state_and_messages_of_a_conversation_do_not_interfere() -> None:
    conversation = make_conversation()
    owner = Owner(conversation.user_id, conversation.conversation_id)
    for number in range(3):
        put_state(owner, "session", f"{number}", number)
        say(conversation, str(number))
    assert [state.key for state in list_states(owner, 10).items] == ["0", "1", "2"]


def test_state_needs_an_existing_owner() -> None:
    user = make_user()
    for owner, missing in ((Owner("usr_none"), "user"), (Owner(user.user_id, "conv_none"), "conversation")):
        with pytest.raises(ItemNotFound, match=missing):
            put_state(owner, "session", "key", 1)
        assert not stored(owner.entity.from_key(kind="session", key="key", **owner.fields))
