"""Users: created by an administrator, managed by themselves."""

from collections.abc import Callable

import pytest

from models.access_patterns.users import get_user
from tests.factories import new_email
from tests.integration.api.caller import Caller


def test_an_administrator_creates_a_user_with_all_fields(admin: Caller) -> None:
    email = new_email()
    made = admin.make(
        "/users", email=email, name="Ann", preferences={"theme": "dark"}, settings={"n": [1, {"a": None}]}
    )
    assert made["email"] == email
    assert (made["name"], made["role"], made["status"]) == ("Ann", "user", "active")
    assert made["preferences"] == {"theme": "dark"}
    assert made["settings"] == {"n": [1, {"a": None}]}
    assert made["api_integration_details"] == {}
    assert made["created_at"] == made["updated_at"] == made["last_active_at"]
    assert made["created_at"].endswith("Z")
    assert admin.get(f"/users/{made['id']}") == made


def test_an_email_is_unique_without_regard_to_case(admin: Caller) -> None:
    email = new_email()
    admin.make("/users", email=email)
    fields = admin.refused(409, "already_exists", "POST", "/users", {"email": email.upper()})
    assert "email" in fields


def test_a_user_is_found_by_email(admin: Caller, ann: Caller) -> None:
    found = admin.get("/users", email=ann.user.email.upper())
    assert [each["id"] for each in found["data"]] == [ann.id]
    assert found["next_cursor"] is None
    assert admin.get("/users", email=new_email()) == {"data": [], "next_cursor": None}


def test_only_an_administrator_creates_lists_and_reads_other_users(ann: Caller, bob: Caller, admin: Caller) -> None:
    ann.refused(403, "forbidden", "POST", "/users", {"email": new_email()})
    ann.refused(403, "forbidden", "GET", "/users")
    ann.refused(403, "forbidden", "GET", "/users", query_string={"email": bob.user.email})
    for method in ("GET", "PATCH", "DELETE"):
        ann.refused(404, "not_found", method, f"/users/{bob.id}")
    assert admin.get(f"/users/{bob.id}")["id"] == bob.id
    assert admin.patch(f"/users/{bob.id}", name="Bob")["name"] == "Bob"


def test_me_is_the_caller(ann: Caller) -> None:
    assert ann.get("/users/me") == ann.get(f"/users/{ann.id}")
    assert ann.patch("/users/me", name="Ann")["id"] == ann.id


def test_users_cannot_change_their_own_role(ann: Caller) -> None:
    for field, value in (("role", "admin"), ("status", "active"), ("id", "usr_x"), ("user_id", "usr_x")):
        assert field in ann.refused(422, "validation_failed", "PATCH", "/users/me", {field: value})
    assert ann.get("/users/me")["role"] == "user"


def test_a_patch_changes_what_it_names_and_nothing_else(ann: Caller) -> None:
    ann.patch("/users/me", name="Ann", preferences={"a": 1, "b": 2}, settings={"x": True})

    after = ann.patch("/users/me", preferences={"b": 3, "c": [None]})

    assert after["name"] == "Ann"
    assert after["preferences"] == {"a": 1, "b": 3, "c": [None]}
    assert after["settings"] == {"x": True}
    assert after == {**ann.get("/users/me"), "last_active_at": after["last_active_at"]}


def test_null_removes_a_map_entry_and_the_users_name(ann: Caller) -> None:
    ann.patch("/users/me", name="Ann", preferences={"a": 1, "b": 2})
    after = ann.patch("/users/me", name=None, preferences={"a": None})
    assert (after["name"], after["preferences"]) == (None, {"b": 2})
    assert ann.patch("/users/me", preferences=None, email=None)["preferences"] == {"b": 2}


@pytest.mark.parametrize("name", ["a.b", "a-b:c", "0", "size", "S", "x" * 64])
def test_a_map_accepts_any_well_formed_name(ann: Caller, name: str) -> None:
    assert ann.patch("/users/me", preferences={name: {"S": "text"}})["preferences"] == {name: {"S": "text"}}
    assert ann.get("/users/me")["preferences"] == {name: {"S": "text"}}
    assert ann.patch("/users/me", preferences={name: None})["preferences"] == {}


def test_a_patch_of_nothing_changes_nothing(ann: Caller) -> None:
    before = ann.get("/users/me")
    assert ann.patch("/users/me") == before
    assert ann.call("PATCH", "/users/me").get_json() == before


def test_an_email_can_move_to_another_user(ann: Caller, admin: Caller) -> None:
    old, new = ann.user.email, new_email()
    assert ann.patch("/users/me", email=new.upper(), name="Ann")["email"] == new
    assert ann.get("/users/me")["name"] == "Ann"
    assert admin.get("/users", email=old)["data"] == []
    assert [each["id"] for each in admin.get("/users", email=new)["data"]] == [ann.id]
    assert admin.make("/users", email=old)["email"] == old
    assert "email" in ann.refused(409, "already_exists", "PATCH", "/users/me", {"email": old})


@pytest.mark.parametrize("email", ["", "ann", "ann@", "@example.com", "a,b@example.com", "a b@example.com", "a@b", 5])
def test_what_is_no_email_is_refused(admin: Caller, email: object) -> None:
    assert "email" in admin.refused(422, "validation_failed", "POST", "/users", {"email": email})


def test_activity_shows_in_the_profile(ann: Caller) -> None:
    before = ann.get("/users/me")["last_active_at"]
    conversation_id = ann.conversation()
    ann.say(conversation_id, "Hello")
    assert ann.get("/users/me")["last_active_at"] > before


def test_reading_is_not_activity(ann: Caller) -> None:
    before = ann.get("/users/me")["last_active_at"]
    for path in ("/users/me", "/agents", "/conversations", "/api-keys"):
        ann.get(path)
    assert ann.get("/users/me")["last_active_at"] == before


def test_a_deleted_user_is_gone_with_everything(new_caller: Callable[..., Caller], admin: Caller) -> None:
    leaver = new_caller()
    conversation_id = leaver.conversation()
    leaver.say(conversation_id, "Hello")

    leaver.delete("/users/me")

    assert leaver.call("GET", "/users/me").status_code == 401
    admin.refused(404, "not_found", "GET", f"/users/{leaver.id}")
    assert admin.get("/users", email=leaver.user.email)["data"] == []
    assert admin.make("/users", email=leaver.user.email)["id"] != leaver.id


def test_an_administrator_deletes_a_user(admin: Caller, ann: Caller) -> None:
    admin.delete(f"/users/{ann.id}")
    admin.refused(404, "not_found", "DELETE", f"/users/{ann.id}")
    assert ann.call("GET", "/agents").status_code == 401


def test_a_map_has_at_most_64_names_in_one_request(ann: Caller) -> None:
    names = {str(number): number for number in range(65)}
    assert "preferences" in ann.refused(422, "validation_failed", "PATCH", "/users/me", {"preferences": names})
    names.pop("64")
    assert ann.patch("/users/me", preferences=names, settings=names)["preferences"] == names


def test_preferences_that_outgrow_their_limit_are_refused_by_name_and_stay(ann: Caller) -> None:
    for number in range(3):
        ann.patch("/users/me", preferences={f"n{number}": "x" * 10_000})
    errors = ann.refused(413, "too_large", "PATCH", "/users/me", {"preferences": {"n3": "x" * 10_000}})
    assert errors == {"preferences": "at most 64 names and 32,768 bytes in total; a name with null is removed"}
    assert sorted(get_user(ann.id).preferences) == ["n0", "n1", "n2"]
