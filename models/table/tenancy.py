"""Tenancy as a type: whose data a request may access.

Every access pattern that acts for a caller takes a `UserId`. A string from a path or a body is a `str`, which mypy
rejects there: only `acting_for` makes a `UserId`. So forgetting the owner is a type error, and a test pins the few
places that may call `acting_for` (`tests/contract/test_tenancy.py`).
"""

from typing import NewType

UserId = NewType("UserId", str)


def acting_for(user_id: str) -> UserId:
    """Return an id as that of the user on whose behalf the calling code acts.

    Call it only where that has been established: the request's key or token belongs to the user, an administrator's
    route names the user, or an operator's command or the sample data acts for the user.
    """
    return UserId(user_id)
