"""How an erasure is shown, and how a DELETE is answered."""

from typing import Annotated, Any

from flask import Response, json
from pydantic import Field

from bot.http.types import Moment, UserId, View
from models.erasure import OBJECT, Erasure, ErasureKind, ErasureStatus

ErasureId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="The erasure's id.",
        examples=["era_01k9zc3v9te8rbt8w4mhkt5m2x"],
    ),
]


class ErasureView(View):
    """An erasure; once it has `completed_at`, it is the receipt."""

    id: ErasureId
    kind: ErasureKind
    target_id: str = Field(description="The id of the conversation, agent or user that is deleted.")
    user_id: UserId
    asked_by: str
    asked_at: Moment
    status: ErasureStatus
    completed_at: Moment | None
    removed: dict[str, int] = Field(
        description=f"How many items were removed, by kind; `{OBJECT}` counts the objects in the bucket.",
        examples=[{"Conversation": 1, "Message": 300, OBJECT: 2, "Turn": 140}],
    )


def show_erasure(job: Erasure) -> ErasureView:
    """Return an erasure as the API shows one."""
    return ErasureView(
        id=job.erasure_id,
        kind=job.kind,
        target_id=job.target_id,
        user_id=job.user_id,
        asked_by=job.asked_by,
        asked_at=job.asked_at,
        status="completed" if job.completed else "running",
        completed_at=job.completed_at,
        removed={name: int(count) for name, count in job.removed.items()},
    )


DELETED: dict[int, Any] = {204: None, 202: ErasureView}


def deleted(job: Erasure) -> Response:
    """Answer a DELETE: 204 if everything is removed, 202 if it continues; `Location` is the erasure."""
    headers = {"Location": f"/api/v1/erasures/{job.erasure_id}"}
    if job.completed:
        return Response(status=204, headers=headers)
    shown = json.dumps(show_erasure(job).model_dump(mode="json"))
    return Response(shown, 202, headers, content_type="application/json")
