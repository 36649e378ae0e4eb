"""Erasures: the progress of deletions."""

from typing import Any

from bot.api.shapes.erasures import ErasureId, ErasureView, show_erasure
from bot.http.blueprint import answers, resource
from bot.http.requests import acts_as_admin, caller
from bot.http.types import Parameters
from models.access_patterns.erasure import find_erasure, get_erasure

api = resource("erasures", "The deletion of a conversation, an agent or a user: its progress, and its receipt.")


class ErasurePath(Parameters):
    """Which erasure."""

    erasure_id: ErasureId


@api.get("/erasures/<erasure_id>", responses=answers({200: ErasureView}, 404), summary="Read an erasure")
def read(path: ErasurePath) -> dict[str, Any]:
    """One of the caller's erasures; an administrator may read any. Receipts are kept for 400 days."""
    who = caller()
    job = find_erasure(path.erasure_id) if acts_as_admin() else get_erasure(who.user_id, path.erasure_id)
    return show_erasure(job).model_dump(mode="json")
