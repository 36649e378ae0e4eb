"""Rate limits: requests are counted by the minute if the deployment limits them."""

from datetime import timedelta

from pynamodb.exceptions import UpdateError

from models.access_patterns.declare import Budget, Request, access_pattern
from models.request_count import COUNTS_KEPT, RequestCount
from models.table import clock
from models.table.changes import condition_failed, set_or_remove
from models.table.errors import LimitReached
from models.table.item import expiry
from models.table.tenancy import UserId

_MINUTE = timedelta(minutes=1)


@access_pattern(
    "AP-98",
    "Count a request",
    question="May this user, or this key, make another request in this minute?",
    requests=(Request("UpdateItem", (RequestCount,)),),
    budget=Budget(1, 0, 1, "one small item; with limits for both users and keys, each request calls it twice"),
    routes=("every authenticated route",),
)
def count_request(user_id: UserId, who: str, limit: int) -> None:
    """Count a request in the current minute, by DynamoDB's clock.

    A write that is retried because its acknowledgement was lost may count a request twice.

    Args:
        user_id: the user who makes the request.
        who: `user`, or the id of the presented key.
        limit: the maximum number of requests per minute.

    Raises:
        LimitReached: the limit is reached; this request is not counted.
    """
    moment = clock.table_now()
    began = moment.replace(second=0, microsecond=0)
    count = RequestCount.from_key(user_id=user_id, minute=began.strftime("%Y-%m-%dT%H:%M"), who=who)
    try:
        count.update(
            actions=[
                RequestCount.requests.add(1),
                RequestCount.entity.set(RequestCount.ENTITY),
                set_or_remove(RequestCount.expires_at, expiry(moment + COUNTS_KEPT)),
            ],
            condition=RequestCount.requests.does_not_exist() | (RequestCount.requests < limit),
        )
    except UpdateError as error:
        if not condition_failed(error):
            raise
        name = "requests_per_minute" if who == "user" else "requests_per_minute_of_a_key"
        raise LimitReached(name, limit, limit, 1, began + _MINUTE) from error
