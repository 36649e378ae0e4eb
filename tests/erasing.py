"""Erasures from the request to the receipt, in one call."""

from collections.abc import Callable
from datetime import timedelta

from models.access_patterns import erasure
from models.access_patterns.erasure import Hold, take_erasure
from models.access_patterns.removal.erase import erase
from models.erasure import Erasure
from models.table.ids import new_id
from models.table.tenancy import UserId

LEASE = timedelta(seconds=30)


def hold() -> Hold:
    """Return the lease of a new worker."""
    return Hold(new_id("worker"), LEASE)


def _through(ask: Callable[[Hold], Erasure]) -> Erasure:
    """Run the requested job to its end, unless another worker runs it."""
    mine = hold()
    job: Erasure | None = ask(mine)
    assert job is not None
    if job.worker != mine.worker:
        job = take_erasure(job.erasure_id, mine) or job
    return erase(job, mine) if job.worker == mine.worker and not job.completed else job


def delete_conversation(user_id: UserId, conversation_id: str) -> Erasure:
    return _through(lambda hold: erasure.delete_conversation(user_id, conversation_id, asked_by=user_id, hold=hold))


def delete_agent(user_id: UserId, agent_id: str) -> Erasure:
    return _through(lambda hold: erasure.delete_agent(user_id, agent_id, asked_by=user_id, hold=hold))


def delete_user(user_id: UserId) -> Erasure:
    return _through(lambda hold: erasure.delete_user(user_id, asked_by=user_id, hold=hold))


def ask_for_user(user_id: UserId) -> tuple[Erasure, Hold]:
    """Make a user unreachable; return the unfinished job."""
    mine = hold()
    return erasure.delete_user(user_id, asked_by=user_id, hold=mine), mine


def dead_job(user_id: UserId) -> str:
    """Make a user unreachable with a worker that dies; return the id of the job."""
    dead = Hold(new_id("worker"), timedelta(seconds=-1))
    return str(erasure.delete_user(user_id, asked_by=user_id, hold=dead).erasure_id)
