"""Nobody acts for a user without authentication: this is enforced by a type that only a few places may create."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import models
from models.access_patterns import patterns
from models.access_patterns.completions import BegunCompletion
from models.access_patterns.forks import Fork
from models.access_patterns.states import Owner
from models.access_patterns.turns import Lease
from models.table.tenancy import UserId

ROOT = Path(models.__file__).parents[1]

# The places that may create a `UserId`, and why. A new one is a decision to be reviewed.
MAY_ACT_FOR = {
    # The presented key belongs to its user.
    "src/bot/access/keys.py: _caller",
    # The verified token belongs to the user of its identity.
    "src/bot/access/sign_in.py: caller_with_claims",
    # A key for a user whose profile was just read, by the user or by the operator.
    "src/bot/access/keys.py: issue_key",
    # The route has checked that the caller is this user, or an administrator.
    # The agent's owner, for a turn of another user with the owner's credentials.
    "src/bot/turns/credentials.py: lent_credentials",
    "src/bot/api/shapes/users.py: reachable",
    # The operator.
    "src/bot/cli/agents.py: _owner_of",
    "src/bot/cli/audit.py: audit",
    "src/bot/cli/keys.py: list_",
    "src/bot/cli/keys.py: revoke",
    "src/bot/cli/turn_costs.py: measure_api",
    "src/bot/cli/users.py: delete",
    "src/bot/access/rotation.py: _replace",
    "src/bot/cli/usage.py: usage",
    "src/bot/cli/users.py: export",
    "src/bot/cli/users.py: limits",
    "src/bot/cli/users.py: role",
    # The sample data's own users.
    "src/bot/seed/writer.py: _titles",
    "src/bot/seed/writer.py: _write_agents",
    "src/bot/seed/writer.py: _write_conversation",
    # By email, for an administrator and for the operator.
    "models/access_patterns/users.py: get_user_by_email",
}
# Patterns that do not act for one user: their arguments identify no user yet, or all users.
FOR_NOBODY = {
    "AP-01": "makes the user",
    "AP-03": "an administrator's, by email",
    "AP-05": "an administrator's, all users",
    "AP-14": "the operator's",
    "AP-21": "says who the caller is",
    "AP-24": "says who the caller is",
    "AP-25": "says who the caller is",
    "AP-26": "makes the user",
    "AP-28": "says who the caller is",
    "AP-29": "the operator's",
    "AP-95": "the operator's, all users",
    "AP-73": "goes on with a job, which says whose the thing is",
    "AP-75": "the servers' own, the open jobs of all users",
    "AP-76": "the servers' own",
    "AP-77": "an administrator's and the operator's",
    "AP-44": "takes messages that were read for their owner",
    "AP-54": "takes a turn that was read for its owner",
    "AP-55": "takes a turn that was read for its owner",
    "AP-56": "writes what this process's own turn says",
    "AP-57": "follows a turn that was read for its owner",
    "AP-67": "takes a conversation that was read for its owner",
    "AP-58": "takes a turn that was read for its owner",
    "AP-59": "looks at the turns that run in this process",
    "AP-89": "for whoever has the link",
    "AP-97": "the operator's, the whole bucket",
}
# Arguments that contain their owner as a `UserId`.
CARRIERS = (Owner, Lease, BegunCompletion, Fork)


def _mints() -> Iterator[str]:
    """Yield each place in the code that creates a `UserId`, except the scenarios of the measurements."""
    for folder in ("models", "src/bot"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name == "models/table/tenancy.py" or name.startswith("models/measure/"):
                continue
            yield from (f"{name}: {function}" for function in _functions_that_mint(ast.parse(path.read_text())))


def _functions_that_mint(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {"acting_for", "UserId", "cast"}:
            if ast.unparse(node.func).endswith("cast") and "UserId" not in ast.unparse(node.args[0]):
                continue
            around = [
                each
                for each in ast.walk(tree)
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                and each.lineno <= node.lineno <= (each.end_lineno or 0)
            ]
            yield max(around, key=lambda each: each.lineno).name if around else "(module)"


def test_only_these_places_call_acting_for() -> None:
    assert set(_mints()) == MAY_ACT_FOR


def test_every_pattern_that_acts_for_a_caller_takes_a_user_id_and_not_a_str() -> None:
    for pattern in patterns():
        function = inspect.unwrap(pattern.function)
        kinds = get_type_hints(function)
        kinds.pop("return", None)
        named = {name for name in kinds if name == "user_id"}
        assert all(kinds[name] is UserId for name in named), f"{pattern.id} takes a user_id that any text can be"
        acts = bool(named) or any(kind in CARRIERS for kind in kinds.values())
        assert acts != (pattern.id in FOR_NOBODY), (
            f"{pattern.id} must take a user_id: UserId, or be listed with a reason"
        )
    for carrier in CARRIERS:
        assert get_type_hints(carrier)["user_id"] is UserId
