"""Liveness and readiness."""

import logging
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from flask_openapi import Tag
from pydantic import BaseModel

from bot import __version__
from bot.errors import TableUnavailable
from bot.http.blueprint import Resource, problem_response
from models.schema import reachable

log = logging.getLogger(__name__)

api = Resource("health", __name__, abp_tags=[Tag(name="health", description="For load balancers.")])


class Health(BaseModel):
    """The process is healthy."""

    status: Literal["ok"]
    version: str


@api.get("/healthz", responses={200: Health, 500: problem_response()}, summary="Check liveness")
def healthz() -> dict[str, Any]:
    """The process answers; nothing else is checked."""
    return {"status": "ok", "version": __version__}


@api.get(
    "/readyz",
    responses={200: Health, 500: problem_response(), 503: problem_response()},
    summary="Check readiness",
)
def readyz() -> dict[str, Any]:
    """Checks that the table exists and is active: 1 DescribeTable, no capacity."""
    try:
        ready = reachable()
    except (ClientError, BotoCoreError) as error:
        log.warning("the table cannot be reached: %s", error)
        raise TableUnavailable("The table does not answer.", retry_after=5) from error
    if not ready:
        raise TableUnavailable("The table is not active.", retry_after=5)
    return {"status": "ok", "version": __version__}
