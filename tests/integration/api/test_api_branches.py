"""Branches: edit and send again, answer again, branches of branches, and everything that a conversation can do."""

from collections.abc import Iterator
from typing import Any

import pytest

from models.branch import MAX_HOPS
from tests.integration.api.caller import Caller
from tests.integration.api.scripted import LOOK, Scripted, calls, says
from tests.wire import recorded

START = {"from_message_id": None}


@pytest.fixture
def root(ann: Caller) -> str:
    """The id of a conversation of Ann's with two questions and their answers."""
    conversation = ann.conversation(title="Lisbon")
    for content in ("one", "two"):
        ann.make(f"/conversations/{conversation}/messages", content=content)
    return conversation


def said(caller: Caller, conversation: str, **query: Any) -> list[str]:
    """Return the texts of a conversation in order."""
    return [
        each["content"] for page in caller.pages(f"/conversations/{conversation}/messages", **query) for each in page
    ]


def ids(caller: Caller, conversation: str) -> list[str]:
    return [each["id"] for each in caller.get(f"/conversations/{conversation}/messages")["data"]]


def fork(caller: Caller, conversation: str, after: str | None, **body: Any) -> dict[str, Any]:
    """Make a branch; return the whole answer."""
    made: dict[str, Any] = caller.make(f"/conversations/{conversation}/branches", from_message_id=after, **body)
    return made


def deep(caller: Caller, conversation: str, hops: int) -> str:
    """Return a branch of a branch of …, each with one message of its own."""
    after = ids(caller, conversation)[-1]
    for number in range(hops):
        made = fork(caller, conversation, after, content=f"hop {number + 1}", reply=False)
        conversation, after = made["branch"]["id"], made["input"][0]["id"]
    return conversation


class TestMaking:
    def test_a_message_edited_and_sent_again_is_answered_in_a_branch(self, ann: Caller, root: str) -> None:
        before = said(ann, root)
        answer = ids(ann, root)[1]
        made = fork(ann, root, answer, content="two, but otherwise")

        branch = made["branch"]
        assert (branch["root_id"], branch["parent_id"], branch["from_message_id"]) == (root, root, answer)
        assert made["turn"]["conversation_id"] == branch["id"] != root
        assert made["turn"]["status"] == "completed"
        assert [each["conversation_id"] for each in made["input"] + made["output"]] == [branch["id"]] * 2
        assert said(ann, branch["id"]) == ["one", "You said: one", "two, but otherwise", "You said: two, but otherwise"]
        assert said(ann, root) == before

    def test_without_a_message_the_agent_answers_again(self, ann: Caller, root: str, model: Scripted) -> None:
        conversation = ann.conversation(ann.agent(provider="openai", model="gpt-test"))
        model.script = [says("First."), says("Second.")]
        asked = ann.make(f"/conversations/{conversation}/messages", content="Well?")["input"][0]["id"]

        again = fork(ann, conversation, asked)

        assert [each["content"] for each in again["output"]] == ["Second."]
        assert again["input"] == []
        assert said(ann, conversation) == ["Well?", "First."]
        assert said(ann, again["branch"]["id"]) == ["Well?", "Second."]
        assert [message.content for message in model.asked[1].messages] == ["Well?"]

    def test_the_first_message_can_be_edited_too(self, ann: Caller, root: str) -> None:
        branch = fork(ann, root, None, content="otherwise")["branch"]
        assert branch["from_message_id"] is None
        assert said(ann, branch["id"]) == ["otherwise", "You said: otherwise"]

    def test_there_is_nothing_to_answer_before_the_first_message(self, ann: Caller, root: str) -> None:
        ann.refused(409, "conflict", "POST", f"/conversations/{root}/branches", START)
        assert ann.get(f"/conversations/{root}/branches")["data"] == []

    def test_a_branch_can_be_made_without_an_answer(self, ann: Caller, root: str) -> None:
        last = ids(ann, root)[-1]
        made = fork(ann, root, last, reply=False, title="Porto")
        assert (made["turn"], made["input"], made["output"]) == (None, [], [])
        opened = ann.get(f"/conversations/{made['branch']['id']}")
        assert (opened["title"], opened["message_count"], opened["turn_count"]) == ("Porto", 0, 0)
        assert [each["content"] for each in opened["messages"]] == said(ann, root)
        made = fork(ann, root, last, reply=False, content="Note", sender="system")
        assert [each["sender"] for each in made["input"]] == ["system"]

    def test_streamed(self, ann: Caller, root: str) -> None:
        body = {"from_message_id": ids(ann, root)[1], "content": "two again", "stream": True}
        answer = ann.call("POST", f"/conversations/{root}/branches", body)
        events = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
        assert (events[0], events[-1]) == ("turn.started", "turn.completed")
        (branch,) = ann.get(f"/conversations/{root}/branches")["data"]
        assert f'"conversation_id": "{branch["id"]}"' in answer.text
        assert said(ann, branch["id"])[-1] == "You said: two again"

    def test_in_the_background(self, ann: Caller, root: str) -> None:
        body = {"from_message_id": ids(ann, root)[1], "content": "two again", "background": True}
        answer = ann.call("POST", f"/conversations/{root}/branches", body)
        made = answer.get_json()
        assert (answer.status_code, made["turn"]["conversation_id"]) == (202, made["branch"]["id"])
        assert "turn.completed" in ann.call("GET", f"/turns/{made['turn']['id']}/events").text

    def test_results_of_calls_can_be_sent_otherwise(self, ann: Caller, model: Scripted) -> None:
        agent = ann.agent(provider="openai", model="gpt-test", functions=LOOK)
        conversation = ann.conversation(agent)
        model.script = [says("", tool_calls=calls(1), finish_reason="tool_calls"), says("Rain."), says("Sun.")]
        call = ann.make(f"/conversations/{conversation}/messages", content="Look!")["output"][0]["id"]
        result = {"call_id": "call_0", "content": "wet"}
        ann.make(f"/conversations/{conversation}/messages", results=[result])

        made = fork(ann, conversation, call, results=[{**result, "content": "dry"}])

        assert said(ann, made["branch"]["id"])[-2:] == ["dry", "Sun."]
        assert said(ann, conversation)[-2:] == ["wet", "Rain."]

    def test_a_repeated_request_makes_one_branch(self, ann: Caller, root: str) -> None:
        last = ids(ann, root)[-1]
        for extra in ({"content": "three"}, {"content": "three", "reply": False}):
            headers = {"Idempotency-Key": f"key-{len(extra)}"}
            first, second = (
                ann.call(
                    "POST", f"/conversations/{root}/branches", {"from_message_id": last, **extra}, headers=headers
                ).get_json()
                for _ in range(2)
            )
            assert first == second
        assert len(ann.get(f"/conversations/{root}/branches")["data"]) == 2

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "from_message_id"),
            ({"from_message_id": 5}, "from_message_id"),
            ({**START, "content": ""}, "content"),
            ({**START, "content": "a", "stream": True, "background": True}, "stream"),
            ({**START, "content": "a", "reply": False, "stream": True}, "stream"),
            ({**START, "content": "a", "sender": "agent"}, "sender"),
            ({**START, "content": "a", "from": 1}, "from"),
            ({**START, "title": "x" * 201}, "title"),
        ],
    )
    def test_bad_input_is_refused_by_name(self, ann: Caller, root: str, body: dict[str, Any], field: str) -> None:
        found = ann.refused(422, "validation_failed", "POST", f"/conversations/{root}/branches", body)
        assert any(name.startswith(field) for name in found), found
        assert ann.get(f"/conversations/{root}/branches")["data"] == []

    def test_only_after_a_message_of_the_path(self, ann: Caller, bob: Caller, root: str) -> None:
        first, *_, last = ids(ann, root)
        branch = fork(ann, root, first, content="two")["branch"]["id"]
        elsewhere = ann.say(ann.conversation(), "elsewhere")
        for conversation, after in ((root, elsewhere), (branch, last), (root, "none"), ("none", last)):
            ann.refused(404, "not_found", "POST", f"/conversations/{conversation}/branches", {"from_message_id": after})
        bob.refused(404, "not_found", "POST", f"/conversations/{root}/branches", {"from_message_id": last})
        bob.refused(404, "not_found", "GET", f"/conversations/{root}/branches")


class TestReading:
    def test_a_branch_of_a_branch_continues_both(self, ann: Caller, root: str) -> None:
        branch = fork(ann, root, ids(ann, root)[1], content="b")["branch"]["id"]
        inner = fork(ann, branch, ids(ann, branch)[-1], content="c")["branch"]
        assert (inner["root_id"], inner["parent_id"]) == (root, branch)
        everything = ["one", "You said: one", "b", "You said: b", "c", "You said: c"]
        assert said(ann, inner["id"]) == everything
        # After a message that the branch itself only continues, the branch leaves the root.
        outer = fork(ann, inner["id"], ids(ann, inner["id"])[0], content="d")["branch"]
        assert (outer["root_id"], outer["parent_id"]) == (root, root)
        assert said(ann, outer["id"]) == ["one", "d", "You said: d"]

    @pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
    @pytest.mark.parametrize("order", ["asc", "desc"])
    def test_pages_go_on_along_the_path(self, ann: Caller, root: str, limit: int, order: str) -> None:
        branch = deep(ann, root, 3)
        expected = [*said(ann, root), "hop 1", "hop 2", "hop 3"]
        pages = list(ann.pages(f"/conversations/{branch}/messages", limit=limit, order=order))
        found = [each["content"] for page in pages for each in page]
        assert found == (expected if order == "asc" else expected[::-1])
        assert all(len(page) == limit for page in pages[:-1])
        assert pages[-1]

    def test_times_work_along_the_path(self, ann: Caller, root: str) -> None:
        branch = deep(ann, root, 2)
        messages = ann.get(f"/conversations/{branch}/messages")["data"]
        for first in range(len(messages)):
            for last in range(first, len(messages)):
                between = {"since": messages[first]["created_at"], "until": messages[last]["created_at"]}
                expected = [each["content"] for each in messages[first:last]]
                assert said(ann, branch, **between) == expected
                assert said(ann, branch, **between, order="desc") == expected[::-1]

    @pytest.mark.parametrize("newest", [0, 1, 2, 3, 4, 5, 6, 7])
    def test_opening_shows_the_newest_and_says_whether_there_are_more(
        self, ann: Caller, root: str, newest: int
    ) -> None:
        branch = deep(ann, root, 2)
        expected = [*said(ann, root), "hop 1", "hop 2"]
        opened = ann.get(f"/conversations/{branch}", messages=newest)
        assert [each["content"] for each in opened["messages"]] == expected[len(expected) - min(newest, 6) :]
        assert opened["has_more"] == (newest < len(expected))

    def test_each_message_of_the_path_is_read_by_its_id(self, ann: Caller, root: str) -> None:
        branch = deep(ann, root, 2)
        for message in ann.get(f"/conversations/{branch}/messages")["data"]:
            assert ann.get(f"/conversations/{branch}/messages/{message['id']}") == message
        behind = ids(ann, root)[-1]
        other = fork(ann, root, ids(ann, root)[0], reply=False)["branch"]["id"]
        ann.refused(404, "not_found", "GET", f"/conversations/{other}/messages/{behind}")

    def test_the_model_sees_the_path(self, ann: Caller, model: Scripted) -> None:
        agent = ann.agent(provider="openai", model="gpt-test", settings={"window": 4})
        conversation = ann.conversation(agent)
        for content in ("a", "b", "c"):
            ann.say(conversation, content)
        branch = fork(ann, conversation, ids(ann, conversation)[1], content="d", reply=False)["branch"]["id"]
        model.script = [says("e")]
        ann.make(f"/conversations/{branch}/messages", content="f")
        assert [part["text"] for part in model.asked[0].messages[0].content] == ["a", "b", "d", "f"]

    def test_reasoning_is_read_along_the_path(self, ann: Caller, model: Scripted) -> None:
        conversation = ann.conversation(ann.agent(provider="openai", model="gpt-test"))
        model.script = [says("First.", reasoning="Hm."), says("Second.", reasoning="Hm again.")]
        answer = ann.make(f"/conversations/{conversation}/messages", content="a")["output"][0]["id"]
        branch = fork(ann, conversation, answer, content="b")["branch"]["id"]
        page = ann.get(f"/conversations/{branch}/messages", include="reasoning")["data"]
        assert [each["reasoning"] for each in page] == [None, "Hm.", None, "Hm again."]
        assert ann.get(f"/conversations/{branch}/messages/{answer}", include="reasoning")["reasoning"] == "Hm."


class TestTree:
    def test_branches_are_listed_at_their_message(self, ann: Caller, root: str) -> None:
        first, second, *_ = ids(ann, root)
        at_first = [fork(ann, root, first, reply=False)["branch"] for _ in range(3)]
        at_second = fork(ann, root, second, content="b", reply=False)
        inner = fork(ann, at_second["branch"]["id"], at_second["input"][0]["id"], reply=False)["branch"]
        anew = fork(ann, root, None, reply=False)["branch"]
        everything = [*at_first, at_second["branch"], inner, anew]

        for conversation in (root, at_second["branch"]["id"], inner["id"]):
            listed = [each for page in ann.pages(f"/conversations/{conversation}/branches", limit=2) for each in page]
            assert sorted(listed, key=lambda each: each["id"]) == sorted(everything, key=lambda each: each["id"])
            path = f"/conversations/{conversation}/branches"
            assert [each for page in ann.pages(path, from_message_id=first, limit=2) for each in page] == at_first
            assert ann.get(path, from_start=True)["data"] == [anew]
        assert ann.get(f"/conversations/{root}/branches", from_message_id=second)["data"] == [at_second["branch"]]
        assert (
            ann.get(f"/conversations/{inner['id']}/branches", from_message_id=at_second["input"][0]["id"])["data"]
        ) == [inner]
        both = {"from_message_id": first, "from_start": True}
        path = f"/conversations/{root}/branches"
        assert "from_start" in ann.refused(422, "validation_failed", "GET", path, query_string=both)

    def test_forty_branches_at_one_message(self, ann: Caller, root: str) -> None:
        last = ids(ann, root)[-1]
        made = [fork(ann, root, last, content=f"v{number}", reply=False)["branch"]["id"] for number in range(40)]
        path = f"/conversations/{root}/branches"
        assert [each["id"] for page in ann.pages(path, from_message_id=last, limit=7) for each in page] == made
        for number, branch in enumerate(made):
            assert said(ann, branch)[-1] == f"v{number}"

    def test_lists_show_the_root_with_the_activity_of_its_branches(self, ann: Caller, root: str) -> None:
        other = ann.conversation()
        branch = fork(ann, root, ids(ann, root)[-1], reply=False)["branch"]["id"]
        assert {each["id"] for each in ann.get("/conversations")["data"]} == {root, other}
        ann.make(f"/conversations/{branch}/messages", content="three")
        opened = ann.get(f"/conversations/{root}")
        assert opened["last_active_at"] > ann.get(f"/conversations/{other}")["last_active_at"]
        agent = opened["agent_id"]
        assert [each["id"] for each in ann.get(f"/agents/{agent}/conversations")["data"]] == [root]

    def test_the_root_names_the_branch_that_was_continued_last(self, ann: Caller, root: str) -> None:
        def active() -> str | None:
            found: str | None = ann.get(f"/conversations/{root}")["active_branch_id"]
            return found

        last = ids(ann, root)[-1]
        assert active() is None
        one, two = (fork(ann, root, last, content="three", **how)["branch"]["id"] for how in ({}, {"reply": False}))
        assert active() == two
        ann.make(f"/conversations/{one}/messages", content="four")
        assert active() == one
        ann.say(two, "four")
        assert active() == two
        ann.make(f"/conversations/{root}/messages", content="three")
        assert active() is None
        chosen = ann.patch(f"/conversations/{root}", active_branch_id=one)
        assert (chosen["active_branch_id"], active()) == (one, one)
        assert ann.patch(f"/conversations/{root}", active_branch_id=None)["active_branch_id"] is None
        ann.say(two, "five")
        ann.say(root, "six")
        assert active() is None

    def test_only_a_branch_of_the_root_can_be_chosen(self, ann: Caller, bob: Caller, root: str) -> None:
        other = ann.conversation()
        branch = fork(ann, root, ids(ann, root)[-1], reply=False)["branch"]["id"]
        for conversation, choice in ((root, other), (root, root), (root, "none"), (other, branch), (branch, branch)):
            body = {"active_branch_id": choice}
            ann.refused(404, "not_found", "PATCH", f"/conversations/{conversation}", body)
        bob.refused(404, "not_found", "PATCH", f"/conversations/{root}", {"active_branch_id": branch})
        body = {"active_branch_id": branch, "title": "x"}
        assert "active_branch_id" in ann.refused(422, "validation_failed", "PATCH", f"/conversations/{root}", body)

    def test_a_closed_root_closes_its_branches(self, ann: Caller, root: str) -> None:
        last = ids(ann, root)[-1]
        branch = fork(ann, root, last, content="b")["branch"]["id"]
        inside = ids(ann, branch)[-1]
        ann.patch(f"/conversations/{root}", status="archived")
        for path, body in (
            (f"/conversations/{branch}/messages", {"content": "c"}),
            (f"/conversations/{branch}/messages", {"content": "c", "reply": False}),
            (f"/conversations/{branch}/turns", {}),
            (f"/conversations/{branch}/branches", {"from_message_id": inside, "content": "c"}),
            (f"/conversations/{root}/branches", {"from_message_id": last, "reply": False}),
        ):
            ann.refused(409, "conversation_closed", "POST", path, body)
        ann.patch(f"/conversations/{root}", status="active")
        ann.patch(f"/conversations/{branch}", status="completed", title="Done")
        ann.refused(409, "conversation_closed", "POST", f"/conversations/{branch}/messages", {"content": "c"})
        assert {each["id"] for each in ann.get("/conversations", status="completed")["data"]} == set()
        fork(ann, root, last, content="c")

    def test_a_branch_has_state_metadata_and_turns_of_its_own(self, ann: Caller, root: str) -> None:
        ann.put(f"/conversations/{root}/state/trip", value=1)
        branch = fork(ann, root, ids(ann, root)[-1], content="b")
        path = f"/conversations/{branch['branch']['id']}"
        assert ann.get(f"{path}/state")["data"] == []
        ann.put(f"{path}/state/trip", value=2)
        assert ann.get(f"/conversations/{root}/state/trip")["value"] == 1
        assert ann.patch(path, title="Porto", metadata={"a": 1})["metadata"] == {"a": 1}
        assert ann.get(f"/conversations/{root}")["title"] == "Lisbon"
        assert ann.get(f"/turns/{branch['turn']['id']}") == branch["turn"]


class TestCosts:
    def test_a_branch_is_a_header_and_an_entry_however_long_the_conversation(self, ann: Caller, root: str) -> None:
        path = f"/conversations/{root}/branches"
        for _ in range(30):
            ann.say(root, "x" * 2000)
        with recorded() as sent:
            fork(ann, root, ids(ann, root)[-1], reply=False)
        written = [request for request in sent if request.operation == "TransactWriteItems"]
        (puts,) = [
            [part["Put"]["Item"]["entity"]["S"] for part in each.body["TransactItems"] if "Put" in part]
            for each in written
        ]
        assert sorted(puts) == ["BranchEntry", "Conversation"]
        assert ann.get(path)["data"]

    def test_a_window_reads_only_the_conversations_that_it_reaches(self, ann: Caller, root: str) -> None:
        branch = deep(ann, root, MAX_HOPS)
        for newest in range(1, MAX_HOPS + 1):
            with recorded() as sent:
                ann.get(f"/conversations/{branch}", messages=newest)
            queries = [request for request in sent if request.operation == "Query"]
            # One more to know whether there are more.
            assert len(queries) == newest + 1
        with recorded() as sent:
            ann.get(f"/conversations/{branch}", messages=100)
        assert len([request for request in sent if request.operation == "Query"]) == MAX_HOPS + 1

    @pytest.mark.parametrize("further", [1, 2, 5])
    def test_a_longer_path_is_copied_and_reads_the_same(self, ann: Caller, root: str, further: int) -> None:
        branch = deep(ann, root, MAX_HOPS + further)
        expected = [*said(ann, root), *(f"hop {number + 1}" for number in range(MAX_HOPS + further))]
        assert said(ann, branch) == expected
        assert said(ann, branch, limit=3) == expected
        assert said(ann, branch, order="desc", limit=2) == expected[::-1]
        messages = ann.get(f"/conversations/{branch}/messages")["data"]
        for message in messages:
            assert ann.get(f"/conversations/{branch}/messages/{message['id']}") == message
        with recorded() as sent:
            ann.get(f"/conversations/{branch}", messages=100)
        assert len([request for request in sent if request.operation == "Query"]) == MAX_HOPS + 1
        ann.make(f"/conversations/{branch}/messages", content="on")
        assert said(ann, branch)[-2:] == ["on", "You said: on"]
        assert len(ann.get(f"/conversations/{root}/branches")["data"]) == MAX_HOPS + further


class TestDeleting:
    @pytest.fixture
    def tree(self, ann: Caller, root: str) -> Iterator[dict[str, str]]:
        """A root with branches: a, a1 and a2 that hang on a, a1x on a1, and b."""
        made = {"root": root}
        for name, parent in (("a", "root"), ("b", "root"), ("a1", "a"), ("a2", "a"), ("a1x", "a1")):
            after = ids(ann, made[parent])[-1]
            made[name] = fork(ann, made[parent], after, content=name)["branch"]["id"]
        return made

    @pytest.mark.parametrize(
        ("target", "gone"),
        [
            ("a1x", {"a1x"}),
            ("a1", {"a1", "a1x"}),
            ("a", {"a", "a1", "a2", "a1x"}),
            ("b", {"b"}),
            ("root", {"root", "a", "a1", "a2", "a1x", "b"}),
        ],
    )
    def test_what_hangs_on_it_goes_with_it_and_nothing_else(
        self, ann: Caller, tree: dict[str, str], target: str, gone: set[str]
    ) -> None:
        from tests.raw import whole_table

        before = {name: said(ann, tree[name]) for name in tree}
        ann.patch(f"/conversations/{tree['root']}", active_branch_id=tree["a1x"])
        ann.delete(f"/conversations/{tree[target]}")
        for name in gone:
            ann.refused(404, "not_found", "GET", f"/conversations/{tree[name]}")
            left = [keys for keys in whole_table() if tree[name] in keys[0] + keys[1] and "ERASURE" not in keys[0]]
            assert [keys for keys in left if "#AUDIT" not in keys[0]] == []
        for name in tree.keys() - gone:
            assert said(ann, tree[name]) == before[name]
        if target != "root":
            listed = {each["id"] for each in ann.get(f"/conversations/{tree['root']}/branches")["data"]}
            assert listed == {tree[name] for name in tree.keys() - gone - {"root"}}
            active = ann.get(f"/conversations/{tree['root']}")["active_branch_id"]
            assert active == (None if "a1x" in gone else tree["a1x"])

    def test_a_deleted_message_disappears_from_the_branches_that_continue_it(self, ann: Caller, root: str) -> None:
        first, second, *_ = ids(ann, root)
        branch = fork(ann, root, second, content="b")["branch"]["id"]
        ann.delete(f"/conversations/{root}/messages/{second}")
        assert said(ann, branch) == ["one", "b", "You said: b"]
        # Through the branch it is the same message.
        ann.delete(f"/conversations/{branch}/messages/{first}")
        assert said(ann, branch) == ["b", "You said: b"]
        assert said(ann, root) == ["two", "You said: two"]
        assert ann.get(f"/conversations/{root}")["message_count"] == 2
        assert [each["id"] for each in ann.get(f"/conversations/{root}/branches", from_message_id=second)["data"]] == [
            branch
        ]
        ann.refused(404, "not_found", "POST", f"/conversations/{root}/branches", {"from_message_id": second})
        fork(ann, branch, ids(ann, branch)[-1], content="c")

    def test_an_export_has_each_message_once(self, ann: Caller, root: str) -> None:
        import json

        branch = fork(ann, root, ids(ann, root)[1], content="b")["branch"]["id"]
        fork(ann, branch, ids(ann, branch)[-1], content="c")
        text = ann.client.get(f"/api/v1/users/{ann.id}/export").text
        lines = [json.loads(line) for line in text.splitlines()]
        shown = [line["content"] for line in lines if line["type"] == "message"]
        assert sorted(shown) == sorted(
            ["one", "You said: one", "two", "You said: two", "b", "You said: b", "c", "You said: c"]
        )
        headers = {line["id"]: line["parent_id"] for line in lines if line["type"] == "conversation"}
        assert (headers[root], headers[branch]) == (None, root)
        assert len(headers) == 3

    def test_an_export_has_copies_whose_originals_were_deleted(self, ann: Caller, root: str) -> None:
        import json

        parent = deep(ann, root, MAX_HOPS)
        original = ids(ann, parent)[-1]
        copied = fork(ann, parent, original, content="late", reply=False)["branch"]["id"]
        ann.delete(f"/conversations/{parent}/messages/{original}")
        lines = [json.loads(line) for line in ann.client.get(f"/api/v1/users/{ann.id}/export").text.splitlines()]
        shown = [line["content"] for line in lines if line["type"] == "message" and line["conversation_id"] == copied]
        assert shown == [f"hop {MAX_HOPS}", "late"] == said(ann, copied)[-2:]


class TestAccess:
    def test_a_key_of_one_agent_may_use_the_branches_of_its_conversations(self, ann: Caller, root: str) -> None:
        agent = ann.get(f"/conversations/{root}")["agent_id"]
        last = ids(ann, root)[-1]
        for key_agent, allowed in ((agent, True), (ann.agent(), False)):
            key = ann.make("/api-keys", name="one", scope="agent", agent_id=key_agent)["key"]
            headers = {"Authorization": f"Bearer {key}"}
            path = f"/conversations/{root}/branches"
            made = ann.call("POST", path, {"from_message_id": last, "content": "b"}, headers=headers)
            assert made.status_code == (201 if allowed else 404)
            assert ann.call("GET", path, headers=headers).status_code == (200 if allowed else 404)
            if allowed:
                inside = f"/conversations/{made.get_json()['branch']['id']}/messages"
                assert ann.call("POST", inside, {"content": "c"}, headers=headers).status_code == 201

    def test_a_key_that_may_only_read_makes_no_branch(self, ann: Caller, root: str) -> None:
        key = ann.make("/api-keys", name="reader", scope="read")["key"]
        headers = {"Authorization": f"Bearer {key}"}
        path = f"/conversations/{root}/branches"
        ann.refused(403, "insufficient_scope", "POST", path, START, headers=headers)
        assert ann.call("GET", path, headers=headers).status_code == 200
