"""Whose data a request may touch, as a type.

Every access pattern that acts for a caller takes a `UserId`. A text of a path or a body is a `str`, and mypy refuses it
there: only what `acting_for` has made is a `UserId`. So forgetting the owner is a type error, and the few places that
may name one are pinned by a test (`tests/contract/test_tenancy.py`).
"""

from typing import NewType

UserId = NewType("UserId", str)


def acting_for(user_id: str) -> UserId:
    """Return an id as that of the user for whom the caller of this function acts.

    Call it only where that has been established: the request's key or token stands for the user, an administrator's
    route named the user, or an operator's command or the sample data works on the user's behalf.
    """
    return UserId(user_id)
