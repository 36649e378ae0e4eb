"""API keys: found by hash, until the key is revoked or expires."""

import uuid

import pytest

from models.access_patterns.api_keys import create_api_key, find_api_key, list_api_keys, revoke_api_key
from models.access_patterns.users import get_user
from models.api_key import ApiKey, ApiKeyEntry
from models.table.errors import ItemNotFound
from tests.factories import make_user
from tests.fake_clock import FakeClock
from tests.raw import stored

pytestmark = pytest.mark.usefixtures("table")


def new_hash() -> str:
    return uuid.uuid4().hex


def test_a_key_is_found_by_its_hash(fake_clock: FakeClock) -> None:
    user, key_hash = make_user(), new_hash()
    entry = create_api_key(user.user_id, key_hash=key_hash, hint="wxyz", name="laptop", role="admin")
    found = find_api_key(key_hash)
    assert (found.user_id, found.key_id, found.role) == (user.user_id, entry.key_id, "admin")
    (listed,) = list_api_keys(user.user_id, 10).items
    assert listed.serialize() == entry.serialize()
    assert (listed.hint, listed.name, listed.created_at) == ("wxyz", "laptop", fake_clock.moment)


def test_a_key_needs_an_existing_user() -> None:
    key_hash = new_hash()
    with pytest.raises(ItemNotFound, match="user"):
        create_api_key("usr_none", key_hash=key_hash, hint="wxyz", role="user")
    with pytest.raises(ItemNotFound, match="API key"):
        find_api_key(key_hash)


def test_a_revoked_key_is_refused_and_no_longer_listed() -> None:
    user, key_hash = make_user(), new_hash()
    entry = create_api_key(user.user_id, key_hash=key_hash, hint="wxyz", role="user")
    kept = create_api_key(user.user_id, key_hash=new_hash(), hint="abcd", role="user")
    revoke_api_key(user.user_id, entry.key_id)
    with pytest.raises(ItemNotFound):
        find_api_key(key_hash)
    assert [each.key_id for each in list_api_keys(user.user_id, 10).items] == [kept.key_id]
    assert find_api_key(kept.key_hash).user_id == user.user_id
    with pytest.raises(ItemNotFound):
        revoke_api_key(user.user_id, entry.key_id)


def test_an_expired_key_is_refused_while_it_is_still_in_the_table(fake_clock: FakeClock) -> None:
    user, key_hash = make_user(), new_hash()
    expires = fake_clock.moment.replace(microsecond=0)
    fake_clock.advance(minutes=-10)
    entry = create_api_key(user.user_id, key_hash=key_hash, hint="wxyz", role="user", expires=expires)
    assert find_api_key(key_hash).key_id == entry.key_id
    fake_clock.moment = expires
    assert stored(ApiKey.from_key(key_hash=key_hash))
    assert stored(ApiKeyEntry.from_key(user_id=user.user_id, key_id=entry.key_id))
    with pytest.raises(ItemNotFound):
        find_api_key(key_hash)
    assert list_api_keys(user.user_id, 10).items == ()


def test_using_a_key_writes_nothing() -> None:
    user, key_hash = make_user(), new_hash()
    create_api_key(user.user_id, key_hash=key_hash, hint="wxyz", role="user")
    before = stored(ApiKey.from_key(key_hash=key_hash)), stored(get_user(user.user_id))
    find_api_key(key_hash)
    assert (stored(ApiKey.from_key(key_hash=key_hash)), stored(get_user(user.user_id))) == before
