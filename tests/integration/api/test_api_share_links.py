"""Share links: whoever has one reads the conversation up to a message, and nothing else, until it is dead."""

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask_openapi import OpenAPI
from werkzeug.test import TestResponse

from models.access_patterns.conversations import get_conversation
from models.access_patterns.erasure import delete_conversation, delete_user
from models.access_patterns.messages import Draft, append_messages
from models.access_patterns.share_links import revoke_share_link
from models.share_link import ShareLink
from models.table import clock
from models.table.connection import TableSettings
from models.table.errors import ItemNotFound
from models.table.tenancy import acting_for
from tests.erasing import hold
from tests.fake_clock import FakeClock
from tests.images import image_part, text_part
from tests.integration.api.caller import PREFIX, Caller, assert_documented
from tests.integration.api.conftest import serving
from tests.integration.api.scripted import LOOK, Scripted, calls, says
from tests.integration.api.test_api_key_scopes import with_key
from tests.raw import whole_table
from tests.together import at_once
from tests.wire import recorded


class Reader:
    """Somebody who has a link and no account."""

    def __init__(self, app: OpenAPI) -> None:
        self.app, self.client = app, app.test_client()

    def open(self, token: str, **query: Any) -> TestResponse:
        answer = self.client.get(f"{PREFIX}/shared-conversations/{token}", query_string=query)
        assert_documented(self.app, "GET", answer)
        return answer

    def read(self, token: str, **query: Any) -> dict[str, Any]:
        answer = self.open(token, **query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    def said(self, token: str) -> list[Any]:
        return [each["content"] for each in self.read(token)["data"]]

    def refused(self, token: str, **query: Any) -> tuple[int, Any, dict[str, str]]:
        """Return everything in the answer to a link that must be dead, except the request id."""
        answer = self.open(token, **query)
        assert answer.status_code == 404, answer.text
        body = answer.get_json()
        body.pop("request_id")
        return answer.status_code, body, {k: v for k, v in answer.headers.items() if k != "X-Request-Id"}


@pytest.fixture
def reader(app: OpenAPI) -> Reader:
    return Reader(app)


@pytest.fixture
def talk(ann: Caller) -> str:
    """The id of a conversation of Ann's with two questions and their answers."""
    conversation = ann.conversation(title="Lisbon", metadata={"project": "SECRET-METADATA"})
    for content in ("one", "two"):
        ann.make(f"/conversations/{conversation}/messages", content=content)
    return conversation


def share(caller: Caller, conversation: str, **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = caller.make(f"/conversations/{conversation}/links", **body)
    return made


def ids(caller: Caller, conversation: str) -> list[str]:
    return [each["id"] for each in caller.get(f"/conversations/{conversation}/messages")["data"]]


class TestWhatIsShown:
    def test_anyone_with_the_link_reads_the_conversation(self, ann: Caller, reader: Reader, talk: str) -> None:
        made = share(ann, talk)
        shown = reader.read(made["token"])
        assert (shown["title"], shown["expires_at"], shown["next_cursor"]) == ("Lisbon", made["expires_at"], None)
        assert [(each["sender"], each["role"], each["content"]) for each in shown["data"]] == [
            ("user", "user", "one"),
            ("agent", "assistant", "You said: one"),
            ("user", "user", "two"),
            ("agent", "assistant", "You said: two"),
        ]
        assert made["path"] == f"{PREFIX}/shared-conversations/{made['token']}"

    def test_nothing_in_it_identifies_the_owner(self, ann: Caller, reader: Reader, talk: str) -> None:
        conversation = ann.get(f"/conversations/{talk}")
        messages = ann.get(f"/conversations/{talk}/messages")["data"]
        private = [ann.id, ann.user.email, ann.user.name, talk, conversation["agent_id"], "SECRET-METADATA"]
        private += [each[name] for each in messages for name in ("id", "turn_id", "llm_response_id") if each[name]]
        made = share(ann, talk)
        for query in ({}, {"limit": 1}):
            answer = reader.open(made["token"], **query)
            told = answer.text + str(answer.headers)
            assert not [each for each in [*private, made["id"], made["token"]] if each and each in told]
        page = reader.read(made["token"], limit=1)
        assert page.keys() == {"title", "expires_at", "data", "next_cursor"}
        assert page["data"][0].keys() == {
            "sender",
            "role",
            "type",
            "content",
            "withheld",
            "unavailable",
            "created_at",
        }

    def test_what_is_said_later_is_never_shown(self, ann: Caller, reader: Reader, talk: str) -> None:
        made = share(ann, talk)
        ann.make(f"/conversations/{talk}/messages", content="a secret")
        assert reader.said(made["token"]) == ["one", "You said: one", "two", "You said: two"]
        assert reader.read(made["token"], limit=4)["next_cursor"] is None

    def test_it_ends_at_the_chosen_message(self, ann: Caller, reader: Reader, talk: str) -> None:
        made = share(ann, talk, up_to_message_id=ids(ann, talk)[1])
        assert reader.said(made["token"]) == ["one", "You said: one"]
        assert made["shows_until"] == ann.get(f"/conversations/{talk}/messages")["data"][1]["created_at"]

    def test_pages_follow_one_another_to_the_end(self, ann: Caller, reader: Reader, talk: str) -> None:
        token, cursor, found = share(ann, talk)["token"], {}, []
        while True:
            page = reader.read(token, limit=3, **cursor)
            found += [each["content"] for each in page["data"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert found == ["one", "You said: one", "two", "You said: two"]

    def test_a_cursor_belongs_to_its_link(self, ann: Caller, reader: Reader, talk: str) -> None:
        one, other = share(ann, talk)["token"], share(ann, talk)["token"]
        cursor = reader.read(one, limit=1)["next_cursor"]
        answer = reader.open(other, limit=1, cursor=cursor)
        assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_cursor")
        own = ann.get(f"/conversations/{talk}/messages", limit=1)["next_cursor"]
        assert reader.open(one, limit=1, cursor=own).status_code == 400

    @pytest.mark.parametrize("limit", [0, 101, -1, "x"])
    def test_a_page_is_bounded(self, ann: Caller, reader: Reader, talk: str, limit: object) -> None:
        answer = reader.open(share(ann, talk)["token"], limit=limit)
        assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, "limit")

    def test_a_deleted_message_disappears(self, ann: Caller, reader: Reader, talk: str) -> None:
        made = share(ann, talk)
        first, last = ids(ann, talk)[0], ids(ann, talk)[-1]
        for each in (first, last):
            ann.delete(f"/conversations/{talk}/messages/{each}")
        assert reader.said(made["token"]) == ["You said: one", "two"]

    def test_the_newest_message_may_have_been_deleted_before(self, ann: Caller, reader: Reader, talk: str) -> None:
        ann.delete(f"/conversations/{talk}/messages/{ids(ann, talk)[-1]}")
        made = share(ann, talk)
        ann.say(talk, "a secret")
        assert reader.said(made["token"]) == ["one", "You said: one", "two"]

    def test_the_title_is_that_of_the_moment_of_sharing(self, ann: Caller, reader: Reader, talk: str) -> None:
        made = share(ann, talk)
        ann.patch(f"/conversations/{talk}", title="A private title")
        assert reader.read(made["token"])["title"] == "Lisbon"

    def test_function_calls_their_results_and_system_messages_are_withheld(
        self, ann: Caller, reader: Reader, model: Scripted
    ) -> None:
        conversation = ann.conversation(ann.agent(provider="openai", model="gpt-test", functions=LOOK))
        path = f"/conversations/{conversation}/messages"
        ann.make(path, content="SYSTEM-SECRET", sender="system", reply=False)
        model.script = [says("", tool_calls=calls(1, '{"key": "CALL-SECRET"}')), says("Done.")]
        asked = ann.make(path, content="Look it up.")
        call_id = asked["output"][-1]["attributes"]["call_id"]
        ann.make(path, results=[{"call_id": call_id, "content": "RESULT-SECRET"}])

        answer = reader.open(share(ann, conversation)["token"])

        assert [(each["type"], each["content"], each["withheld"]) for each in answer.get_json()["data"]] == [
            ("text", None, True),
            ("text", "Look it up.", False),
            ("function_call", None, True),
            ("function_result", None, True),
            ("text", "Done.", False),
        ]
        assert not [each for each in ("SECRET", 'look"', call_id) if each in answer.text]

    def test_reasoning_is_not_shown(self, ann: Caller, reader: Reader) -> None:
        conversation = ann.conversation()
        drafts = [Draft("user", "Hello"), Draft("agent", "Hi!", reasoning="REASONED")]
        append_messages(acting_for(ann.id), conversation, drafts)
        assert "REASONED" not in reader.open(share(ann, conversation)["token"]).text

    def test_images_are_content(self, ann: Caller, reader: Reader) -> None:
        conversation = ann.conversation()
        parts = [text_part("What is this?"), image_part()]
        ann.say(conversation, parts)
        shown = reader.said(share(ann, conversation)["token"])
        assert shown == [ann.get(f"/conversations/{conversation}/messages")["data"][0]["content"]]

    def test_completed_and_archived_conversations_stay_shared(self, ann: Caller, reader: Reader, talk: str) -> None:
        made = share(ann, talk)
        for status in ("completed", "archived"):
            ann.patch(f"/conversations/{talk}", status=status)
            assert len(reader.said(made["token"])) == 4
            assert len(reader.said(share(ann, talk)["token"])) == 4

    def test_a_running_turn_is_not_disturbed(self, ann: Caller, reader: Reader, model: Scripted) -> None:
        conversation = ann.conversation(ann.agent(provider="openai", model="gpt-test"))
        made = []
        model.script = [[lambda: made.append(share(ann, conversation)), *says("Done.")]]
        turn = ann.make(f"/conversations/{conversation}/messages", content="Hello")["turn"]
        assert turn["status"] == "completed"
        assert reader.said(made[0]["token"]) == ["Hello"]


class TestBranches:
    def fork(self, caller: Caller, conversation: str, after: str | None, content: str) -> str:
        made = caller.make(
            f"/conversations/{conversation}/branches", from_message_id=after, content=content, reply=False
        )
        return str(made["branch"]["id"])

    def test_a_branch_shows_its_path(self, ann: Caller, reader: Reader, talk: str) -> None:
        branch = self.fork(ann, talk, ids(ann, talk)[1], "otherwise")
        deeper = self.fork(ann, branch, ids(ann, branch)[-1], "deeper")
        token = share(ann, deeper)["token"]
        ann.say(talk, "in the root")
        ann.say(branch, "in the branch")
        ann.say(deeper, "later")
        expected = ["one", "You said: one", "otherwise", "deeper"]
        assert reader.said(token) == expected
        first = reader.read(token, limit=3)
        rest = reader.read(token, limit=3, cursor=first["next_cursor"])
        assert [each["content"] for each in first["data"] + rest["data"]] == expected
        assert rest["next_cursor"] is None

    def test_it_may_end_at_a_message_that_the_branch_continues(self, ann: Caller, reader: Reader, talk: str) -> None:
        first = ids(ann, talk)[0]
        branch = self.fork(ann, talk, ids(ann, talk)[1], "otherwise")
        assert reader.said(share(ann, branch, up_to_message_id=first)["token"]) == ["one"]

    def test_a_message_of_another_branch_cannot_end_it(self, ann: Caller, talk: str) -> None:
        branch = self.fork(ann, talk, ids(ann, talk)[1], "otherwise")
        for conversation, message in ((talk, ids(ann, branch)[-1]), (branch, ids(ann, talk)[-1])):
            body = {"up_to_message_id": message}
            ann.refused(404, "not_found", "POST", f"/conversations/{conversation}/links", body)

    def test_a_branch_that_begins_anew_shows_only_itself(self, ann: Caller, reader: Reader, talk: str) -> None:
        assert reader.said(share(ann, self.fork(ann, talk, None, "anew"))["token"]) == ["anew"]

    def test_deleting_the_root_or_the_parent_ends_the_links_to_its_branches_at_once(
        self, ann: Caller, reader: Reader, talk: str
    ) -> None:
        branch = self.fork(ann, talk, ids(ann, talk)[1], "otherwise")
        deeper = self.fork(ann, branch, ids(ann, branch)[-1], "deeper")
        anew = self.fork(ann, talk, None, "anew")
        tokens = {each: share(ann, each)["token"] for each in (talk, branch, deeper, anew)}
        # Only marked: the job that removes them has not begun.
        delete_conversation(acting_for(ann.id), branch, asked_by=ann.id, hold=hold())
        assert [reader.open(tokens[each]).status_code for each in tokens] == [200, 404, 404, 200]
        delete_conversation(acting_for(ann.id), talk, asked_by=ann.id, hold=hold())
        assert [reader.open(tokens[each]).status_code for each in tokens] == [404] * 4


class TestDeadLinks:
    def test_all_dead_links_answer_alike(
        self,
        app: OpenAPI,
        ann: Caller,
        reader: Reader,
        talk: str,
        fake_clock: FakeClock,
        table: TableSettings,
        tmp_path: Path,
    ) -> None:
        revoked, expiring, living = share(ann, talk), share(ann, talk, expires_in_days=1), share(ann, talk)
        ann.delete(f"/conversations/{talk}/links/{revoked['id']}")
        fake_clock.advance(days=1, seconds=1)
        unknown = living["token"][:-2] + ("AA" if living["token"][-2:] != "AA" else "BA")
        dead = [
            revoked["token"],
            expiring["token"],
            unknown,
            "x",
            "%00",
            "tts_",
            "tts_" + "x" * 5000,
            "é",
            talk,
            ann.key,
        ]
        told = [reader.refused(each) for each in dead]
        with serving(table, tmp_path, share_links=False) as without:
            told.append(Reader(without).refused(living["token"]))
            told.append(Reader(without).refused(living["token"], limit=5))
        deleted = share(ann, ann_conversation := self.other(ann))
        ann.call("DELETE", f"/conversations/{ann_conversation}")
        told.append(reader.refused(deleted["token"]))
        assert told == [told[0]] * len(told)
        assert reader.read(living["token"])

    def other(self, caller: Caller) -> str:
        conversation = caller.conversation()
        caller.say(conversation, "Hello")
        return conversation

    def test_a_made_up_token_costs_no_read_unless_it_could_be_one(self, reader: Reader) -> None:
        with recorded() as sent:
            reader.refused("made-up")
        assert not sent
        with recorded() as sent:
            reader.refused("tts_" + "x" * 43)
        assert [each.operation for each in sent] == ["GetItem"]

    def test_no_cache_no_index_no_referrer(self, ann: Caller, reader: Reader, talk: str) -> None:
        made = share(ann, talk)
        for answer in (reader.open(made["token"]), reader.open("x"), reader.open(made["token"], limit=0)):
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
            assert answer.headers["Referrer-Policy"] == "no-referrer"

    def test_deleting_the_conversation_ends_its_links_at_once(self, ann: Caller, reader: Reader, talk: str) -> None:
        made = share(ann, talk)
        delete_conversation(acting_for(ann.id), talk, asked_by=ann.id, hold=hold())
        reader.refused(made["token"])

    def test_deleting_the_user_ends_all_their_links_at_once(self, ann: Caller, reader: Reader, talk: str) -> None:
        made = share(ann, talk)
        delete_user(acting_for(ann.id), asked_by=ann.id, hold=hold())
        assert get_conversation(acting_for(ann.id), talk).status == "active", "the job has not begun"
        reader.refused(made["token"])

    @pytest.mark.parametrize("delete", [lambda ann, talk: f"/conversations/{talk}", lambda *_: "/users/me"])
    def test_nothing_is_left_of_a_link_after_an_erasure(
        self, ann: Caller, reader: Reader, talk: str, delete: Callable[[Caller, str], str]
    ) -> None:
        made = share(ann, talk)
        branch = TestBranches().fork(ann, talk, None, "anew")
        other = share(ann, branch)
        ann.call("DELETE", delete(ann, talk))
        left = [raw for raw in whole_table().values() if made["id"] in str(raw) or other["id"] in str(raw)]
        assert {raw["entity"]["S"] for raw in left} == {"AuditEvent"}
        reader.refused(made["token"])

    def test_a_link_expires_with_the_last_message_that_it_shows(
        self, ann: Caller, reader: Reader, fake_clock: FakeClock
    ) -> None:
        conversation = ann.conversation(ann.agent(settings={"retention_days": 3}))
        ann.make(f"/conversations/{conversation}/messages", content="Hello")
        made = share(ann, conversation)
        assert datetime.fromisoformat(made["expires_at"]) - fake_clock.moment <= timedelta(days=3, seconds=1)
        fake_clock.advance(days=2)
        ann.make(f"/conversations/{conversation}/messages", content="Still here")
        assert reader.said(made["token"]) == ["Hello", "You said: Hello"]
        fake_clock.advance(days=1, seconds=1)
        reader.refused(made["token"])
        assert ann.get(f"/conversations/{conversation}/links")["data"] == []


class TestManaging:
    def test_a_link_lasts_30_days_unless_asked_otherwise(self, ann: Caller, talk: str, fake_clock: FakeClock) -> None:
        for body, days in (({}, 30), ({"expires_in_days": 365}, 365), ({"expires_in_days": 1}, 1)):
            lasts = datetime.fromisoformat(share(ann, talk, **body)["expires_at"]) - fake_clock.moment
            assert timedelta(days=days) <= lasts < timedelta(days=days, seconds=1)

    @pytest.mark.parametrize("days", [0, 366, -1, 1.5, "30", None, True])
    def test_other_numbers_of_days_are_refused(self, ann: Caller, talk: str, days: object) -> None:
        body = {"expires_in_days": days}
        assert "expires_in_days" in ann.refused(422, "validation_failed", "POST", f"/conversations/{talk}/links", body)

    def test_links_are_listed_oldest_first_without_their_tokens(self, ann: Caller, talk: str) -> None:
        made = [share(ann, talk) for _ in range(5)]
        listed = [each for page in ann.pages(f"/conversations/{talk}/links", limit=2) for each in page]
        assert listed == [{k: v for k, v in each.items() if k not in ("token", "path")} for each in made]
        assert ann.get(f"/conversations/{ann.conversation()}/links")["data"] == []

    def test_a_revoked_link_is_gone(self, ann: Caller, reader: Reader, talk: str) -> None:
        made, other = share(ann, talk), share(ann, talk)
        path = f"/conversations/{talk}/links/{made['id']}"
        ann.delete(path)
        ann.refused(404, "not_found", "DELETE", path)
        assert [each["id"] for each in ann.get(f"/conversations/{talk}/links")["data"]] == [other["id"]]
        reader.refused(made["token"])
        assert reader.read(other["token"])

    def test_a_link_that_many_revoke_at_once_is_revoked_once(self, ann: Caller, talk: str) -> None:
        made = share(ann, talk)
        results = at_once([partial(revoke_share_link, acting_for(ann.id), talk, made["id"])] * 8)
        assert results.count(None) == 1
        assert all(result is None or isinstance(result, ItemNotFound) for result in results)
        assert [event["action"] for event in ann.get("/audit")["data"]].count("link.revoked") == 1

    def test_a_link_cannot_be_revoked_through_another_conversation(
        self, ann: Caller, reader: Reader, talk: str
    ) -> None:
        made = share(ann, talk)
        ann.refused(404, "not_found", "DELETE", f"/conversations/{ann.conversation()}/links/{made['id']}")
        assert reader.read(made["token"])

    def test_somebody_elses_conversation_cannot_be_shared(self, ann: Caller, bob: Caller, talk: str) -> None:
        made = share(ann, talk)
        for method, path in (("POST", ""), ("GET", ""), ("DELETE", f"/{made['id']}")):
            bob.refused(404, "not_found", method, f"/conversations/{talk}/links{path}")

    def test_an_empty_conversation_and_a_missing_message_cannot_be_shared(self, ann: Caller, talk: str) -> None:
        ann.refused(404, "not_found", "POST", f"/conversations/{ann.conversation()}/links", {})
        gone = ids(ann, talk)[0]
        ann.delete(f"/conversations/{talk}/messages/{gone}")
        for message in (gone, "msg_none", talk):
            body = {"up_to_message_id": message}
            ann.refused(404, "not_found", "POST", f"/conversations/{talk}/links", body)

    def test_a_repeated_request_gets_the_same_token(self, ann: Caller, talk: str) -> None:
        headers = {"Idempotency-Key": f"share {talk}"}
        one, two = (ann.call("POST", f"/conversations/{talk}/links", {}, headers=headers).get_json() for _ in range(2))
        assert one == two
        assert len(ann.get(f"/conversations/{talk}/links")["data"]) == 1

    def test_only_the_hash_is_stored(self, ann: Caller, talk: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        headers = {"Idempotency-Key": f"share {talk}"}
        made = ann.call("POST", f"/conversations/{talk}/links", {}, headers=headers).get_json()
        assert len(made["token"]) == len("tts_") + 43, "256 random bits"
        assert made["token"] not in str(whole_table())
        assert made["token"] not in caplog.text
        assert made["token"] not in json.dumps(ann.get("/audit"))

    def test_a_read_key_may_list_and_nothing_more(self, ann: Caller, talk: str) -> None:
        made = share(ann, talk)
        only = with_key(ann, scope="read")
        assert len(only.get(f"/conversations/{talk}/links")["data"]) == 1
        only.refused(403, "insufficient_scope", "POST", f"/conversations/{talk}/links", {})
        only.refused(403, "insufficient_scope", "DELETE", f"/conversations/{talk}/links/{made['id']}")

    def test_an_agents_key_shares_only_its_agents_conversations(self, ann: Caller, reader: Reader, talk: str) -> None:
        agent = ann.agent()
        mine = ann.conversation(agent)
        ann.say(mine, "Hello")
        only = with_key(ann, scope="agent", agent_id=agent)
        made = share(only, mine)
        assert reader.said(made["token"]) == ["Hello"]
        assert len(only.get(f"/conversations/{mine}/links")["data"]) == 1
        only.delete(f"/conversations/{mine}/links/{made['id']}")
        others = share(ann, talk)
        for method, path in (("POST", ""), ("GET", ""), ("DELETE", f"/{others['id']}")):
            only.refused(404, "not_found", method, f"/conversations/{talk}/links{path}")

    def test_links_are_in_the_export_without_their_tokens(self, ann: Caller, talk: str) -> None:
        made = share(ann, talk)
        text = ann.call("GET", "/users/me/export").text
        lines = [json.loads(line) for line in text.splitlines()]
        assert [each["id"] for each in lines if each["type"] == "share_link"] == [made["id"]]
        assert made["token"] not in text

    def test_a_bug_does_not_log_the_path(
        self, ann: Caller, reader: Reader, talk: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = share(ann, talk)

        def fail(*_: object) -> object:
            raise RuntimeError("a bug")

        monkeypatch.setattr("bot.api.shared_conversations.read_shared", fail)
        answer = reader.open(made["token"])
        assert answer.status_code == 500
        assert made["token"] not in answer.text + caplog.text
        assert "a bug" in caplog.text


class TestSwitchedOff:
    def test_it_is_off_by_default_and_says_so(
        self, ann: Caller, talk: str, table: TableSettings, tmp_path: Path
    ) -> None:
        made = share(ann, talk)
        with serving(table, tmp_path, share_links=False) as app:
            off = Caller(app, ann.user)
            off.refused(403, "share_links_disabled", "POST", f"/conversations/{talk}/links", {})
            Reader(app).refused(made["token"])
            # Existing links can still be seen and revoked.
            assert [each["id"] for each in off.get(f"/conversations/{talk}/links")["data"]] == [made["id"]]
            off.delete(f"/conversations/{talk}/links/{made['id']}")

    def test_a_link_survives_the_switch(
        self, ann: Caller, reader: Reader, talk: str, table: TableSettings, tmp_path: Path
    ) -> None:
        made = share(ann, talk)
        with serving(table, tmp_path, share_links=False) as app:
            Reader(app).refused(made["token"])
        assert reader.read(made["token"])


def test_the_ttl_is_on_both_items(ann: Caller, talk: str) -> None:
    made = share(ann, talk, expires_in_days=2)
    expected = str(-int(-datetime.fromisoformat(made["expires_at"]).timestamp() // 1))
    stored = [raw for raw in whole_table().values() if raw.get("link_id", {}).get("S") == made["id"]]
    entries = [raw for raw in whole_table().values() if raw["SK"]["S"] == f"LINK#{made['id']}"]
    assert {raw["entity"]["S"] for raw in stored} == {ShareLink.ENTITY}
    assert {raw["expires_at"]["N"] for raw in stored + entries} == {expected}
    assert len(stored + entries) == 2
    assert clock.now() < datetime.fromisoformat(made["expires_at"])
