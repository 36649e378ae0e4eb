"""What schemathesis cannot know: ids of existing resources, and the few rules that no schema can express.

Only valid cases are changed. Three of four get the ids of existing resources, so that they get past the look-up; the
fourth keeps the generated ids. A resource that a request deletes or changes permanently is created only for it.
"""

import os
import re
from itertools import count
from typing import Any

import httpx2
import schemathesis
from schemathesis import Case, HookContext

API = httpx2.Client(
    base_url=f"{os.environ['BOT_TEST_URL']}/api/v1",
    headers={"Authorization": f"Bearer {os.environ['BOT_TEST_KEY']}"},
    timeout=60,
    trust_env=False,
)
_numbers = count()


def _make(path: str, **body: Any) -> Any:
    answer = API.post(path, json=body)
    answer.raise_for_status()
    return answer.json()


def _agent() -> str:
    return str(_make("/agents", name="Ada")["id"])


def _conversation() -> str:
    return str(_make("/conversations", agent_id=AGENT)["id"])


def _message(conversation_id: str) -> str:
    stored = _make(f"/conversations/{conversation_id}/messages", content="Hello", reply=False)
    return str(stored["input"][0]["id"])


def _link(conversation_id: str) -> Any:
    return _make(f"/conversations/{conversation_id}/links")


def _state(path: str) -> str:
    key = f"key-{next(_numbers)}"
    for kind in ("session", "application"):
        API.put(f"{path}/state/{key}?kind={kind}", json={"value": [1]}).raise_for_status()
    return key


def _user() -> str:
    return str(_make("/users", email=f"case-{next(_numbers)}@example.com")["id"])


AGENT = _agent()
CONVERSATION = _conversation()
MESSAGE = _message(CONVERSATION)
TURN = str(_make(f"/conversations/{CONVERSATION}/turns")["turn"]["id"])
OWN_STATE = _state("/users/me")
SHARED = _link(CONVERSATION)
CONVERSATION_STATE = _state(f"/conversations/{CONVERSATION}")
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _ids(case: Case) -> dict[str, str]:
    """Return ids of things that exist, for the path of a case."""
    changing = case.method.upper() in ("DELETE", "PATCH")
    path, slots = case.operation.path, case.path_parameters
    ids: dict[str, str] = {}
    if "conversation_id" in slots:
        ids["conversation_id"] = _conversation() if changing else CONVERSATION
    if "agent_id" in slots:
        ids["agent_id"] = _agent() if changing else AGENT
    if "message_id" in slots:
        ids["message_id"] = _message(ids["conversation_id"]) if changing else MESSAGE
    if "link_id" in slots:
        _message(ids["conversation_id"])
        ids["link_id"] = str(_link(ids["conversation_id"])["id"])
    if "token" in slots:
        ids["token"] = str(SHARED["token"])
    if "turn_id" in slots:
        ids["turn_id"] = TURN
    if "key_id" in slots:
        ids["key_id"] = str(_make("/api-keys", name="a case")["id"])
    if "user_id" in slots:
        ids["user_id"] = _user() if changing else "me"
    if "model" in slots:
        ids["model"] = AGENT
    if "key" in slots and case.method.upper() != "PUT":
        if "conversation_id" in slots:
            ids["key"] = _state(f"/conversations/{ids['conversation_id']}") if changing else CONVERSATION_STATE
        else:
            ids["key"] = _state(path.partition("/api/v1")[2].partition("/state")[0]) if changing else OWN_STATE
    return ids


def _make_possible(asked: dict[str, Any]) -> None:
    """Name an agent; leave out what depends on another parameter, and what this agent's model cannot do."""
    asked["model"] = AGENT
    for name in ("stream_options", "tools", "tool_choice", "max_completion_tokens"):
        asked.pop(name, None)
    if "input" in asked:
        # Not empty, and images and files only in messages of the user.
        asked["input"] = "Hello"


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    operation = (case.method.upper(), case.operation.path)
    valid = case.meta is not None and case.meta.generation.mode.is_positive
    if case.method.upper() in ("DELETE", "PATCH"):
        # Even if the case is otherwise invalid: it must not delete what all others need, or break a working agent.
        if all(ID.fullmatch(str(value)) for value in case.path_parameters.values()):
            case.path_parameters.update(_ids(case))
    elif valid and next(_numbers) % 4:
        case.path_parameters.update(_ids(case))
    if not valid:
        return
    # A cursor is signed for one list of one caller; no schema can express that a made-up one is refused.
    case.query.pop("cursor", None)
    # A key belongs to the first request that was sent with it.
    if case.headers is not None and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"case-{next(_numbers)}"
    if case.operation.path.endswith("/usage"):
        # Not after the last day, which is today by default.
        case.query.pop("since", None)
    if case.operation.path.endswith("/branches"):
        # One or the other.
        case.query.pop("from_start", None)
    if not isinstance(case.body, dict):
        return
    if operation[1] in ("/v1/chat/completions", "/v1/responses", "/v1/responses/input_tokens"):
        _make_possible(case.body)
    if operation == ("POST", "/api/v1/conversations/{conversation_id}/links"):
        # A message that exists, or the newest one.
        case.body.pop("up_to_message_id", None)
    if operation == ("POST", "/api/v1/conversations/{conversation_id}/branches"):
        # A message that exists.
        case.body["from_message_id"] = MESSAGE
    if operation == ("PATCH", "/api/v1/conversations/{conversation_id}"):
        # It is a branch of this conversation, and alone.
        case.body.pop("active_branch_id", None)
    if operation == ("POST", "/api/v1/conversations"):
        case.body["agent_id"] = AGENT
    if operation == ("POST", "/api/v1/api-keys"):
        # `agent_id` is required with the scope `agent`, and only with it.
        case.body["agent_id"] = AGENT if case.body.get("scope") == "agent" else None
    if operation == ("POST", "/api/v1/agents/{agent_id}/shares"):
        # Exactly one of the two, and an existing user.
        case.body.clear()
        case.body["user_id"] = _user()
    if case.body.get("expires_at"):
        case.body["expires_at"] = "2099-01-01T00:00:00Z"
    # A provider's base URL must be public.
    for details in (case.body.get("api_integration_details") or {}).values():
        if isinstance(details, dict) and details.get("base_url"):
            details["base_url"] = "https://models.example.com/v1"
