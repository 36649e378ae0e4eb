"""Users: an email belongs to one user, even under concurrent writes; the names in a profile change individually."""

from datetime import timedelta
from functools import partial

import pytest

from models.access_patterns.audit import list_events
from models.access_patterns.conversations import create_conversation
from models.access_patterns.roles import change_role
from models.access_patterns.users import (
    change_credentials,
    change_email,
    create_user,
    get_user,
    get_user_by_email,
    list_users,
    update_user,
)
from models.table.errors import EmailTaken, InvalidKeyField, ItemNotFound, MapTooLarge
from models.table.tenancy import acting_for
from models.user import EmailClaim, User
from tests.factories import make_agent, make_user, new_email
from tests.fake_clock import FakeClock
from tests.raw import stored
from tests.together import at_once

pytestmark = pytest.mark.usefixtures("table")


def test_a_user_reads_back_unchanged(fake_clock: FakeClock) -> None:
    email = new_email()
    made = create_user(
        email, name="Ada", role="admin", preferences={"theme": "dark", "sizes": [1, 2.5]}, settings={"a": None}
    )
    found = get_user(made.user_id)
    assert found.serialize() == made.serialize()
    assert (found.email, found.name, found.role, found.status) == (email, "Ada", "admin", "active")
    assert (found.preferences, found.settings) == ({"theme": "dark", "sizes": [1, 2.5]}, {"a": None})
    assert found.api_integration_details == {}
    assert found.created_at == found.updated_at == found.last_active_at == fake_clock.moment


def test_a_user_is_found_by_email_regardless_of_case_and_surrounding_space() -> None:
    email = new_email()
    made = create_user(f"  {email.upper()} ")
    assert made.email == email
    assert get_user_by_email(f"{email.title()}\n").user_id == made.user_id


def test_a_missing_user_is_not_found() -> None:
    for look in (partial(get_user, "usr_none"), partial(get_user_by_email, new_email())):
        with pytest.raises(ItemNotFound, match="no such user"):
            look()


@pytest.mark.parametrize("email", ["", " ", "a b@example.com", "a\x00b@example.com", "x" * 1020])
def test_an_invalid_email_is_refused_by_name(email: str) -> None:
    for use in (create_user, get_user_by_email, partial(change_email, make_user().user_id)):
        with pytest.raises(InvalidKeyField) as refusal:
            use(email)
        assert refusal.value.field == "email"


def test_of_eight_concurrent_users_one_gets_the_email() -> None:
    email = new_email()
    outcomes = at_once([partial(create_user, email, name=str(number)) for number in range(8)])
    (winner,) = (each for each in outcomes if isinstance(each, User))
    assert sum(isinstance(each, EmailTaken) for each in outcomes) == 7
    assert get_user_by_email(email).user_id == winner.user_id


def test_a_refused_user_leaves_nothing_behind() -> None:
    user = make_user()
    with pytest.raises(EmailTaken):
        create_user(user.email.upper())
    assert list_users(10, after=user.user_id).items == ()
    assert get_user_by_email(user.email).user_id == user.user_id


def test_a_changed_email_finds_the_user_and_releases_the_old_one(fake_clock: FakeClock) -> None:
    user = make_user(name="Ada")
    old, new = user.email, new_email()
    fake_clock.advance(seconds=1)
    changed = change_email(user.user_id, new.upper())
    assert (changed.email, changed.name, changed.updated_at) == (new, "Ada", fake_clock.moment)
    assert get_user(user.user_id).serialize() == changed.serialize()
    assert get_user_by_email(new).user_id == user.user_id
    with pytest.raises(ItemNotFound):
        get_user_by_email(old)
    assert make_user(email=old).email == old


def test_the_same_email_again_is_no_change() -> None:
    user = make_user()
    before = stored(user)
    assert change_email(user.user_id, user.email.upper()).email == user.email
    assert stored(user) == before


def test_a_taken_email_is_refused_and_nothing_changes() -> None:
    user, other = make_user(), make_user()
    before = [stored(user), stored(other), stored(EmailClaim(email=user.email)), stored(EmailClaim(email=other.email))]
    with pytest.raises(EmailTaken):
        change_email(user.user_id, other.email)
    after = [stored(user), stored(other), stored(EmailClaim(email=user.email)), stored(EmailClaim(email=other.email))]
    assert after == before


def test_of_eight_concurrent_changes_to_one_email_one_succeeds() -> None:
    email = new_email()
    users = [make_user() for _ in range(8)]
    outcomes = at_once([partial(change_email, user.user_id, email) for user in users])
    (winner,) = (each for each in outcomes if isinstance(each, User))
    assert get_user_by_email(email).user_id == winner.user_id
    assert [get_user(user.user_id).email for user in users].count(email) == 1
    for user, outcome in zip(users, outcomes, strict=True):
        if isinstance(outcome, EmailTaken):
            assert get_user_by_email(user.email).user_id == user.user_id


def test_two_concurrent_email_changes_of_one_user_leave_one_claim() -> None:
    user = make_user()
    wanted = [new_email() for _ in range(4)]
    at_once([partial(change_email, user.user_id, email) for email in wanted])
    email = get_user(user.user_id).email
    claimed = [each for each in [user.email, *wanted] if stored(EmailClaim(email=each))]
    assert claimed == [email]


def test_a_role_is_changed_once_with_its_record() -> None:
    user = make_user()
    assert at_once([partial(change_role, user.user_id, "admin")] * 4).count(True) == 1
    assert not change_role(user.user_id, "admin"), "that is no change"
    assert get_user(user.user_id).role == "admin"
    (event,) = list_events(user.user_id, 10).items
    assert (event.action, event.target_id, event.details) == ("role.changed", user.user_id, {"role": "admin"})
    with pytest.raises(ItemNotFound):
        change_role(acting_for("usr_none"), "admin")


def test_single_names_of_a_profile_change(fake_clock: FakeClock) -> None:
    user = make_user(name="Ada", preferences={"a": 1, "b": 2}, settings={"c": 3})
    fake_clock.advance(seconds=1)
    changed = update_user(
        user.user_id,
        {"name": None, "preferences": {"b": None, "new": {"deep": []}}, "api_integration_details": {"openai": "x"}},
    )
    assert changed.name is None
    assert changed.preferences == {"a": 1, "new": {"deep": []}}
    assert (changed.settings, changed.api_integration_details) == ({"c": 3}, {"openai": "x"})
    assert (changed.created_at, changed.updated_at) == (user.created_at, fake_clock.moment)
    assert changed.last_active_at == user.last_active_at
    assert get_user(user.user_id).serialize() == changed.serialize()


@pytest.mark.parametrize("name", ["a.b", "a[0]", "[", "#", ":x", "two words", "ü", "S", "settings"])
def test_any_name_can_be_set_and_removed(name: str) -> None:
    user = make_user(settings={"other": 1})
    assert update_user(user.user_id, {"settings": {name: {"S": "x"}}}).settings == {"other": 1, name: {"S": "x"}}
    assert update_user(user.user_id, {"settings": {name: None}}).settings == {"other": 1}


def test_names_can_be_set_in_an_emptied_map() -> None:
    user = make_user(settings={"a": 1})
    assert update_user(user.user_id, {"settings": None}).settings == {}
    assert update_user(user.user_id, {"settings": {"b": 2}}).settings == {"b": 2}


def test_eight_concurrent_writers_of_different_names_all_succeed() -> None:
    user = make_user()
    changes = [{"settings": {f"name{number}": number}} for number in range(8)]
    at_once([partial(update_user, user.user_id, change) for change in changes])
    assert get_user(user.user_id).settings == {f"name{number}": number for number in range(8)}


@pytest.mark.parametrize("field", ["preferences", "settings"])
def test_each_map_of_a_profile_has_its_own_limit(field: str) -> None:
    user = make_user(**{field: {"a": "x" * 20_000}})
    with pytest.raises(MapTooLarge, match=f"{field} would have 2 names and 40,006 bytes; at most 64 .* 32,768"):
        update_user(user.user_id, {field: {"b": "x" * 20_000}})
    assert list(getattr(get_user(user.user_id), field)) == ["a"]
    with pytest.raises(MapTooLarge, match=field):
        make_user(**{field: {"a": "x" * 33_000}})


def test_integration_details_have_a_limit() -> None:
    user = make_user()
    for number in range(4):
        change_credentials(user.user_id, {f"{number}.{each}": "x" * 1000 for each in range(16)})
    with pytest.raises(MapTooLarge, match="api_integration_details would have 65 names"):
        change_credentials(user.user_id, {"one.more": "x"})
    assert len(change_credentials(user.user_id, {"0.0": None, "one.more": "x"}).api_integration_details) == 64


def test_two_concurrent_changes_of_a_map_are_both_kept_within_its_limit() -> None:
    user = make_user(settings={str(number): 0 for number in range(60)})

    done = at_once([partial(update_user, user.user_id, {"settings": {f"new {number}": 1}}) for number in range(6)])
    assert sorted((type(each) for each in done), key=str) == [MapTooLarge] * 2 + [User] * 4
    assert len(get_user(user.user_id).settings) == 64


def test_all_users_are_listed_in_the_order_of_their_creation(empty_table: object) -> None:
    assert list_users(10).items == ()
    made = [make_user(name=str(number)) for number in range(3)]
    listed = list_users(10)
    assert [user.user_id for user in listed.items] == [user.user_id for user in made]
    assert [(user.name, user.email, user.role, user.status) for user in listed.items] == [
        (user.name, user.email, "user", "active") for user in made
    ]
    assert listed.items[0].created_at == made[0].created_at


def test_starting_a_conversation_makes_the_user_active(fake_clock: FakeClock) -> None:
    agent = make_agent()
    before = get_user(agent.user_id)
    moment = fake_clock.advance(hours=1)
    create_conversation(agent.user_id, agent.agent_id)
    after = get_user(agent.user_id)
    assert after.last_active_at == moment
    assert after.last_active_at - before.last_active_at == timedelta(hours=1)
    assert after.updated_at == before.updated_at
