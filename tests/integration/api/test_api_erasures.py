"""DELETE of small and large data, and its receipts."""

import threading
from pathlib import Path

import pytest
from flask_openapi import OpenAPI
from werkzeug.test import TestResponse

from bot.access.keys import issue_key
from bot.erasures import Erasures
from models.access_patterns.api_keys import list_api_keys
from models.access_patterns.erasure import list_pending_erasures
from models.table.connection import TableSettings
from tests.erasing import dead_job
from tests.factories import make_user
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import make_app
from tests.processes import wait_until
from tests.raw import whole_table
from tests.wire import cut_off


def erasure_of(answer: TestResponse) -> str:
    path = answer.headers["Location"]
    assert path.startswith("/api/v1/erasures/")
    return path.removeprefix("/api/v1")


@pytest.fixture
def slow(table: TableSettings, tmp_path: Path) -> OpenAPI:
    """An application whose requests leave every removal to the background thread."""
    app = make_app(table, tmp_path)
    services = app.extensions["bot"]
    object.__setattr__(services, "erasures", Erasures(30, within_request=0, background=False))
    return app


def test_small_data_is_removed_with_the_answer_and_has_a_receipt(ann: Caller) -> None:
    conversation_id = ann.conversation()
    ann.make(f"/conversations/{conversation_id}/messages", content="Hello")
    ann.put(f"/conversations/{conversation_id}/state/cart", value=1)

    answer = ann.call("DELETE", f"/conversations/{conversation_id}")

    assert (answer.status_code, answer.data) == (204, b"")
    receipt = ann.get(erasure_of(answer))
    assert receipt.pop("completed_at") >= receipt.pop("asked_at")
    assert receipt == {
        "id": erasure_of(answer).rpartition("/")[2],
        "kind": "conversation",
        "target_id": conversation_id,
        "user_id": ann.id,
        "asked_by": ann.id,
        "status": "completed",
        "removed": {"Conversation": 1, "ConversationState": 1, "Message": 2, "Turn": 1},
    }
    assert not [keys for keys in whole_table() if keys[0] == f"CONV#{conversation_id}"]


def test_large_data_is_unreachable_at_once_and_removed_after_the_request(slow: OpenAPI) -> None:
    ann = Caller(slow)
    conversation_id = ann.conversation()
    for _ in range(3):
        ann.make(f"/conversations/{conversation_id}/messages", content="Hello")

    first, second = (ann.call("DELETE", f"/conversations/{conversation_id}") for _ in range(2))

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.get_json()["status"] == "running"
    assert second.get_json()["id"] == first.get_json()["id"], "one erasure, however often it is asked for"
    assert ann.call("GET", f"/conversations/{conversation_id}").status_code == 404
    assert ann.get("/conversations")["data"] == []

    list(slow.extensions["bot"].erasures.remaining(others=False))

    receipt = ann.get(erasure_of(first))
    assert (receipt["status"], receipt["removed"]["Message"]) == ("completed", 6)
    assert ann.call("DELETE", f"/conversations/{conversation_id}").status_code == 404


def test_the_background_thread_finishes_what_requests_left(table: TableSettings, tmp_path: Path) -> None:
    app = make_app(table, tmp_path)
    erasures = Erasures(30, within_request=0)
    object.__setattr__(app.extensions["bot"], "erasures", erasures)
    ann = Caller(app)
    agent_id = ann.agent()
    ann.say(ann.conversation(agent_id), "Hello")
    answer = ann.call("DELETE", f"/agents/{agent_id}")
    assert answer.status_code == 202
    wait_until(lambda: ann.get(erasure_of(answer))["status"] == "completed")
    erasures.close()


def test_a_server_resumes_the_job_of_one_that_died(table: TableSettings, tmp_path: Path) -> None:
    user = make_user()
    issue_key(user)
    erasure_id = dead_job(user.user_id)
    erasures = Erasures(30)

    erasures.start()

    wait_until(
        lambda: not [keys for keys in whole_table() if user.user_id in keys[0] and not keys[0].startswith("AUDIT#")]
    )
    erasures.close()
    assert list_api_keys(user.user_id, 10).items == ()
    assert erasure_id not in [each.erasure_id for each in list_pending_erasures(100).items]


def test_a_removal_that_fails_is_kept_and_resumed(slow: OpenAPI) -> None:
    ann = Caller(slow)
    conversation_id = ann.conversation()
    ann.say(conversation_id, "Hello")
    with cut_off(after=1):
        answer = ann.call("DELETE", f"/conversations/{conversation_id}")
    assert answer.status_code == 202
    list(slow.extensions["bot"].erasures.remaining(others=False))
    assert ann.get(erasure_of(answer))["status"] == "completed"


def test_a_deleted_user_cannot_read_the_receipt_but_an_administrator_can(ann: Caller, admin: Caller) -> None:
    answer = ann.call("DELETE", "/users/me")
    assert answer.status_code == 204
    path = erasure_of(answer)
    assert ann.call("GET", path).status_code == 401
    receipt = admin.get(path)
    assert (receipt["kind"], receipt["target_id"], receipt["asked_by"]) == ("user", ann.id, ann.id)
    assert receipt["removed"]["User"] == 1


def test_the_receipt_names_the_administrator_who_deleted(ann: Caller, admin: Caller) -> None:
    answer = admin.call("DELETE", f"/users/{ann.id}")
    assert admin.get(erasure_of(answer))["asked_by"] == admin.id


def test_a_closed_runner_leaves_no_thread_and_starts_none(table: TableSettings) -> None:
    erasures = Erasures(30)
    erasures.start()
    erasures.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "erasures" and thread.is_alive()]
    erasures.start()
    assert not [thread for thread in threading.enumerate() if thread.name == "erasures" and thread.is_alive()]
