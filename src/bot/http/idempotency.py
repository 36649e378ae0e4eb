"""`Idempotency-Key`: a POST that is retried gets the first answer again, and has no second effect.

A key belongs to a caller and a route. Its effect is recorded for 24 hours, in an item that is written in the effect's
own transaction (`models.idempotency`); a request that was refused before any effect leaves no record. Without the
header, nothing is looked up and nothing extra is written.
"""

import base64
import functools
import hashlib
import json
import re
import zlib
from collections.abc import Callable
from typing import Any

from flask import Response, g, make_response, request

from bot.errors import FieldError, IdempotencyKeyReused, NotConfigured, ValidationFailed
from bot.http.context import vault
from bot.http.requests import caller
from models.access_patterns.idempotency import Once, find_repeated
from models.idempotency import IdempotencyRecord

HEADER = "Idempotency-Key"
LONGEST = 255
FORM = rf"^[ -~]{{1,{LONGEST}}}$"
# Marks an answer as a replay of the first one.
REPLAYED = "Idempotent-Replayed"

View = Callable[..., Any]
Answer = tuple[dict[str, Any], int]


def check_key() -> None:
    """Check the header's format; a blueprint's `before_request`.

    Raises:
        ValidationFailed: it is not 1 to 255 printable ASCII characters.
    """
    key = request.headers.get(HEADER)
    if request.method == "POST" and key is not None and not re.fullmatch(FORM, key):
        problem = f"must be 1 to {LONGEST} printable ASCII characters"
        raise ValidationFailed(f"{HEADER}: {problem}", fields=(FieldError(HEADER, problem),))


def once(show: Callable[[Any], Answer] | None = None) -> Once | None:
    """Return what makes the current request's effect happen once, for its transaction; None without a key.

    Args:
        show: gives the answer from what was created, to be stored as it is; None if a replay reads it again.
    """
    found: Once | None = g.get("once")
    if found is not None and show is not None:
        found.seal = lambda made: _sealed(found, show(made))
    return found


def stored_answer(record: IdempotencyRecord, **_: Any) -> Answer:
    """Return the stored answer: the replay of a request whose effect may have changed since.

    Raises:
        NotConfigured: this deployment does not have the key that it was encrypted with.
    """
    try:
        kept = vault().open(caller().user_id, _name(record.fingerprint), record.answer)
    except ValueError as error:
        raise NotConfigured(
            "The answer to this Idempotency-Key was encrypted with a key that this deployment no longer has."
        ) from error
    body, status = json.loads(zlib.decompress(base64.b85decode(kept["answer"])))
    return body, status


def repeatable(replay: View = stored_answer) -> Callable[[View], View]:
    """Make a route's handler support `Idempotency-Key`. Its effect must include `once()` in its transaction.

    Args:
        replay: gives the first answer again; it gets the record and the handler's arguments.

    Cost, with a key: AP-64; a replay costs what `replay` reads.
    """

    def decorate(handler: View) -> View:
        @functools.wraps(handler)
        def answer(**arguments: Any) -> Any:
            g.once = None
            key = request.headers.get(HEADER)
            if key is None:
                return handler(**arguments)
            mine = Once(caller().user_id, _fingerprint(key), _hash(request.get_json()))
            found = find_repeated(mine.user_id, mine.fingerprint)
            if found is None:
                g.once = mine
                try:
                    return handler(**arguments)
                except Exception:
                    # Refused, perhaps only because another request with this key was slightly earlier: it holds the
                    # conversation's lease, has taken the email, or has sent these results.
                    found = None if mine.written else find_repeated(mine.user_id, mine.fingerprint)
                    if found is None:
                        raise
            if found.body_hash != mine.body_hash:
                problem = "was already used with a different body"
                raise IdempotencyKeyReused(f"{HEADER}: {problem}", fields=(FieldError(HEADER, problem),))
            response: Response = make_response(replay(found, **arguments))
            response.headers[REPLAYED] = "true"
            return response

        return answer

    return decorate


def _fingerprint(key: str) -> str:
    """Return the hash of the caller, the route with its ids, and the key.

    The credential's role and scope are part of the caller: a replay goes only to one who could have had the answer.
    """
    who = caller()
    return _hash([who.role, who.scope, who.agent_id, request.method, request.path, key])


def _hash(value: Any) -> str:
    """Return the hash of a JSON value, independent of the order of its names and of white space."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _sealed(mine: Once, answer: Answer) -> str:
    packed = base64.b85encode(zlib.compress(json.dumps(answer).encode())).decode()
    return vault().seal(mine.user_id, _name(mine.fingerprint), {"answer": packed})


def _name(fingerprint: str) -> str:
    return f"idempotency:{fingerprint}"
