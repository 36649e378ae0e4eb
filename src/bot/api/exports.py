"""Data export: all data of a user in one stream."""

from typing import Any

from flask import Response, stream_with_context

from bot.api.export_lines import export
from bot.api.shapes.users import UserPath, reachable
from bot.http.blueprint import answers, resource
from models.access_patterns.audit import record_event
from models.access_patterns.users import get_user

api = resource("exports", "All data of a user, in a portable format.")

_JSON_LINES: dict[str, Any] = {
    "description": "JSON Lines: one object per line, each with its `type`. The last line has the type `end` and counts "
    "the others; an export without it was cut off.",
    "content": {"application/jsonl": {"schema": {"type": "string"}}},
}


@api.get("/users/<user_id>/export", responses=answers({200: _JSON_LINES}, 404), summary="Export a user")
def read(path: UserPath) -> Response:
    """Profile, identity, keys (their hints), agents, state, conversations with their messages and state, turns, the
    usage of deleted turns, and the audit trail.

    `me` is the caller; only an administrator may export another user.
    """
    owner = reachable(path.user_id)
    # Read before the answer begins, while it can still be a 404.
    user = get_user(owner)
    record_event(owner, "data.exported", owner)
    lines = stream_with_context(export(user, owner))
    headers = {"Content-Disposition": f'attachment; filename="{owner}.jsonl"'}
    return Response(lines, headers=headers, content_type="application/jsonl; charset=utf-8")
