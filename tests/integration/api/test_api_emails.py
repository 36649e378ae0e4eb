"""Emails: REST, the models, the command line and tokens accept, normalize and refuse them in the same way."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask_openapi import OpenAPI

from bot.cli import cli
from models.access_patterns.users import change_email, create_user, get_user_by_email
from models.table.connection import TableSettings, configure
from models.table.errors import EmailTaken, InvalidKeyField, ItemNotFound
from models.table.tenancy import acting_for
from tests.contract_watch import past_the_models
from tests.emails import REFUSED, TAKEN
from tests.factories import make_user, new_email
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import serving
from tests.integration.api.test_api_tokens import me
from tests.issuer import AUDIENCE, LocalIssuer, local_issuer

SPELLINGS = ("{}@bücher.example", "{}@xn--bcher-kva.example", "{}@BÜCHER.EXAMPLE")


@pytest.fixture
def bot(table: TableSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Run a command on the tests' table."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", str(table.endpoint_url))
    monkeypatch.setenv("BOT_TABLE_NAME", table.name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with past_the_models():
        yield lambda *arguments: CliRunner().invoke(cli, arguments)
    configure(table)


def _own(written: str) -> str:
    """Return the same spelling with a new local part."""
    local = new_email().partition("@")[0]
    return f"{local}{written.strip()[3:]}" if written.strip().lower().startswith("ann@") else written


@pytest.mark.parametrize("written", TAKEN, ids=ascii)
def test_an_accepted_email_is_stored_in_one_form(admin: Caller, written: str) -> None:
    written = _own(written)
    made = admin.make("/users", email=written)
    assert made["email"].isascii()
    for spelling in (written, made["email"]):
        assert [each["id"] for each in admin.get("/users", email=spelling)["data"]] == [made["id"]]
        assert get_user_by_email(spelling).user_id == made["id"]
        assert "email" in admin.refused(409, "already_exists", "POST", "/users", {"email": spelling})
        with pytest.raises(EmailTaken):
            create_user(spelling)
    admin.delete(f"/users/{made['id']}")
    with pytest.raises(ItemNotFound):
        get_user_by_email(written)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_domain_in_two_spellings_is_one_claim(
    admin: Caller, spelling: str, bot: Callable[..., Result], make_issuer: tuple[LocalIssuer, OpenAPI]
) -> None:
    issuer, app = make_issuer
    local = new_email().partition("@")[0]
    made = create_user(spelling.format(local))
    for other in SPELLINGS:
        email = other.format(local)
        fields = admin.refused(409, "already_exists", "POST", "/users", {"email": email})
        assert list(fields) == ["email"]
        with pytest.raises(EmailTaken):
            change_email(acting_for(make_user().user_id), email)
        assert made.user_id in bot("users", "list").output
        assert bot("users", "create", "--email", email).exit_code == 1
        assert bot("keys", "create", "--email", email).exit_code == 0
        # A token's email never identifies an existing user.
        assert me(app, issuer.token(email=email, email_verified=True, sub=f"{email} {spelling}"))["email"] is None
    assert change_email(acting_for(made.user_id), SPELLINGS[0].format(local)).email == made.email


@pytest.fixture
def make_issuer(table: TableSettings, tmp_path: Path) -> Iterator[tuple[LocalIssuer, OpenAPI]]:
    """An issuer, and an application that accepts its tokens."""
    with (
        local_issuer() as issuer,
        serving(table, tmp_path, oidc_issuers=(issuer.url,), oidc_audiences=(AUDIENCE,)) as app,
    ):
        yield issuer, app


@pytest.mark.parametrize("spelling", [*SPELLINGS, "o'{}@example.com"])
def test_a_tokens_email_is_stored_in_one_form(make_issuer: tuple[LocalIssuer, OpenAPI], spelling: str) -> None:
    issuer, app = make_issuer
    email = spelling.format(new_email().partition("@")[0])
    found = me(app, issuer.token(email=email, email_verified=True, sub=email))
    assert get_user_by_email(email).user_id == found["id"]


@pytest.mark.parametrize("written", REFUSED, ids=ascii)
def test_a_refused_email_is_refused_everywhere_with_the_same_message(
    admin: Caller, bot: Callable[..., Result], written: str
) -> None:
    with pytest.raises(InvalidKeyField) as refusal:
        create_user(written)
    said = bot("users", "create", "--email", written)
    assert isinstance(said.exception, InvalidKeyField)
    assert str(said.exception) == str(refusal.value)
    if "\ud83d" in written:
        return  # half a surrogate pair is refused before any field is validated
    for method, path in (("POST", "/users"), ("PATCH", "/users/me")):
        assert admin.refused(422, "validation_failed", method, path, {"email": written}) == {
            "email": refusal.value.reason
        }
    query = {"query_string": {"email": written}}
    assert admin.refused(422, "validation_failed", "GET", "/users", **query) == {"email": refusal.value.reason}


def test_an_agent_is_shared_with_an_email_in_any_spelling(ann: Caller, bob: Caller) -> None:
    local = new_email().partition("@")[0]
    change_email(acting_for(bob.id), SPELLINGS[0].format(local))
    agent = ann.agent()
    for spelling in SPELLINGS:
        shared = ann.call("POST", f"/agents/{agent}/shares", {"email": spelling.format(local)})
        assert shared.status_code == 201, shared.text
        # By its id, because the list also has agents that other tests on this table have published.
        assert bob.get(f"/shared-agents/{agent}")["id"] == agent
        ann.delete(f"/agents/{agent}/shares/{bob.id}")
        assert bob.call("GET", f"/shared-agents/{agent}").status_code == 404
    refused = ann.refused(422, "validation_failed", "POST", f"/agents/{agent}/shares", {"email": "\u212aate@x.com"})
    assert "such as ann@example.com" in refused["email"]
