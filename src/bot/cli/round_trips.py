"""The round trips of each route that reads: what it sends to DynamoDB. Shown in the documentation; a test checks them.

A round trip is what is sent in parallel. The first one reads the API key, for every route that needs
one. Each rate limit that is set (`BOT_LIMIT_REQUESTS_PER_MINUTE`, `…_OF_A_KEY`) adds one. With a key of one agent, a
turn adds one, and so does a conversation that the process has not seen before.
"""

from collections.abc import Mapping

from models.export.site import Trips

_API = "/api/v1"
_OWN = "the caller"
_OTHER = "another user, for an administrator"

TRIPS: Mapping[str, tuple[Trips, ...]] = {
    f"GET {_API}/agents": (Trips((1, 1)),),
    f"GET {_API}/agents/{{agent_id}}": (Trips((1, 1)),),
    f"GET {_API}/agents/{{agent_id}}/conversations": (
        Trips((1, 2), "the caller's agent"),
        Trips((1, 2, 1, 1), "another user's agent"),
    ),
    f"GET {_API}/api-keys": (Trips((1, 1)),),
    f"GET {_API}/audit": (Trips((1, 1)),),
    f"GET {_API}/conversations": (Trips((1, 3), "all statuses"), Trips((1, 1), "one status")),
    f"GET {_API}/conversations/{{conversation_id}}": (
        Trips((1, 1), "with its newest messages"),
        Trips((1, 1), "without messages"),
    ),
    f"GET {_API}/conversations/{{conversation_id}}/branches": (Trips((1, 1, 1)),),
    f"GET {_API}/conversations/{{conversation_id}}/events": (Trips((1, 1), "until its first event"),),
    f"GET {_API}/conversations/{{conversation_id}}/links": (Trips((1, 2)),),
    f"GET {_API}/conversations/{{conversation_id}}/messages": (
        Trips((1, 1), "the newest page, newest first"),
        Trips((1, 2), "any other page"),
        Trips((1, 2, 1), "another page, in a branch that continues one conversation"),
    ),
    f"GET {_API}/conversations/{{conversation_id}}/messages/{{message_id}}": (Trips((1, 1)),),
    f"GET {_API}/conversations/{{conversation_id}}/state": (Trips((1, 2)),),
    f"GET {_API}/conversations/{{conversation_id}}/state/{{key}}": (Trips((1, 1)),),
    f"GET {_API}/erasures/{{erasure_id}}": (
        Trips((1, 1), "the caller's erasure"),
        Trips((1, 1, 1), "for an administrator"),
    ),
    # The only one without a key: the first round trip reads the link.
    f"GET {_API}/shared-conversations/{{token}}": (
        Trips((1, 2)),
        Trips((1, 2, 1), "a branch that continues one conversation"),
    ),
    f"GET {_API}/shared-agents": (Trips((1, 2, 1)),),
    f"GET {_API}/shared-agents/{{agent_id}}": (Trips((1, 1, 1)),),
    f"GET {_API}/turns/{{turn_id}}": (
        Trips((1, 1), "a turn that has ended"),
        Trips((1, 1, 1, 1, 1), "a plain turn that is running"),
    ),
    f"GET {_API}/turns/{{turn_id}}/events": (Trips((1, 1, 1, 1, 1), "a turn that has ended, from the start"),),
    # Records before counts: a record that is deleted in between has left its count by then.
    f"GET {_API}/usage": (Trips((1, 1, 1), "up to 1,000 turns"),),
    f"GET {_API}/users": (
        Trips((1, 1, 1), "for an administrator"),
        Trips((1, 1, 1, 1), "by email, for an administrator"),
    ),
    f"GET {_API}/users/me/state": (Trips((1, 1)),),
    f"GET {_API}/users/me/state/{{key}}": (Trips((1, 1)),),
    f"GET {_API}/users/{{user_id}}": (Trips((1, 4), _OWN), Trips((1, 1, 4), _OTHER)),
    f"GET {_API}/users/{{user_id}}/audit": (Trips((1, 1), _OWN), Trips((1, 1, 1), _OTHER)),
    f"GET {_API}/users/{{user_id}}/export": (
        Trips((1,) * 10, "without conversations"),
        Trips((1,) * 7 + (1, 2, 2) + (1,) * 3, "with one conversation"),
    ),
    f"GET {_API}/users/{{user_id}}/limits": (
        Trips((1, 1), _OWN),
        Trips((1, 1, 1), f"{_OWN}, for the first time"),
        Trips((1, 1, 1), _OTHER),
    ),
    f"GET {_API}/users/{{user_id}}/usage": (Trips((1, 1, 1), _OWN), Trips((1, 1, 1, 1), _OTHER)),
    "GET /v1/models": (Trips((1, 3, 1)),),
    "GET /v1/models/{model}": (
        Trips((1, 1), "the caller's agent, by id or slug"),
        Trips((1, 2, 1), "another user's agent, by slug"),
        Trips((1, 1, 1, 1), "another user's agent, by id"),
    ),
}
