"""Tests whose result the DynamoDB engine does not decide, each file with the reason.

They all run on the embedded engine (`make test`), and `make test-localstack` runs them on LocalStack too. CI skips them
on LocalStack (`--skip-engine-neutral`), where a request takes some 15 ms. A file that is not listed runs there as well.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_OVER_THE_PATTERNS = "REST over access patterns that tests/integration/models holds against the engine"
_BEFORE_THE_TABLE = "it is decided before a request goes to the table"
_OWN_FAULTS = "the faults are injected in our own process"
_OTHER_SERVER = "what is tested is another server than DynamoDB, or none"

NEUTRAL: Mapping[str, str] = {
    "access/test_issuer_keys.py": _OTHER_SERVER,
    "api/test_api_access.py": "every route with every wrong key: " + _BEFORE_THE_TABLE,
    "api/test_api_agents.py": _OVER_THE_PATTERNS,
    "api/test_api_audit.py": _OVER_THE_PATTERNS,
    "api/test_api_auth_failures.py": _BEFORE_THE_TABLE,
    "api/test_api_bad_requests.py": _BEFORE_THE_TABLE,
    "api/test_api_branches.py": _OVER_THE_PATTERNS,
    "api/test_api_conversations.py": _OVER_THE_PATTERNS,
    "api/test_api_document.py": _BEFORE_THE_TABLE,
    "api/test_api_emails.py": _BEFORE_THE_TABLE,
    "api/test_api_hardening.py": _BEFORE_THE_TABLE,
    "api/test_api_key_scopes.py": _OVER_THE_PATTERNS,
    "api/test_api_keys.py": _OVER_THE_PATTERNS,
    "api/test_api_messages.py": _OVER_THE_PATTERNS,
    "api/test_api_problems.py": _BEFORE_THE_TABLE,
    "api/test_api_routes.py": _BEFORE_THE_TABLE,
    "api/test_api_secrets.py": _OVER_THE_PATTERNS,
    "api/test_api_share_links.py": _OVER_THE_PATTERNS,
    "api/test_api_sharing.py": _OVER_THE_PATTERNS,
    "api/test_api_states.py": _OVER_THE_PATTERNS,
    "api/test_api_tokens.py": _BEFORE_THE_TABLE,
    "api/test_api_users.py": _OVER_THE_PATTERNS,
    "api/test_conversation_events.py": _OVER_THE_PATTERNS,
    "api/test_export_scope.py": _OVER_THE_PATTERNS,
    "api/test_kept_streams.py": _OVER_THE_PATTERNS,
    "api/test_round_trips.py": "what is counted leaves our own process",
    "api/test_stored_histories.py": "what is tested is what a model server is sent",
    "blobs/test_api_images.py": _OVER_THE_PATTERNS,
    "models/test_branch_model.py": "random trees over access patterns that other files hold against the engine",
    "models/test_lost_answers.py": _OWN_FAULTS,
    "models/test_order.py": "many writers on one header, whose conditions tests/conformance holds against the engine",
    "openai_api/test_chat.py": _OVER_THE_PATTERNS,
    "openai_api/test_chat_functions.py": _BEFORE_THE_TABLE,
    "openai_api/test_chat_limits.py": _OVER_THE_PATTERNS,
    "openai_api/test_chat_refusals.py": _BEFORE_THE_TABLE,
    "openai_api/test_errors.py": _BEFORE_THE_TABLE,
    "openai_api/test_models.py": _OVER_THE_PATTERNS,
    "openai_api/test_responses.py": _OVER_THE_PATTERNS,
    "openai_api/test_routes.py": _BEFORE_THE_TABLE,
    "secrets/test_rotation.py": _OVER_THE_PATTERNS,
}


def paths() -> dict[Path, str]:
    """Return the files with the reasons."""
    return {ROOT / "tests/integration" / name: reason for name, reason in NEUTRAL.items()}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that skips them."""
    parser.addoption(
        "--skip-engine-neutral",
        action="store_true",
        help="leave out the test files whose result the DynamoDB engine does not decide (tests/engine_neutral.py)",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip them if the option is set."""
    return True if config.getoption("--skip-engine-neutral") and collection_path in paths() else None
