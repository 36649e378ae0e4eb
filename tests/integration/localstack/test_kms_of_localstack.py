"""Secrets under the KMS of a running LocalStack, with the key that its hook has made.

`make test-localstack` runs these; its address comes from `localstack-client`.
"""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from localstack_client.session import Session

from bot.access.key_ring import KeyRing
from bot.access.kms import data_keys_of
from bot.access.secrets import Vault
from bot.cli import cli
from bot.settings import Settings
from models.access_patterns.users import get_user, update_user
from models.table.connection import TableSettings
from models.table.tenancy import acting_for
from tests.factories import make_user
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import SECRET, make_app
from tests.which_engine import engine_name

pytestmark = pytest.mark.skipif(engine_name() != "localstack", reason="needs LocalStack's KMS: make test-localstack")
ENDPOINT = os.environ.get("TEST_DYNAMODB_ENDPOINT", "")
ALIAS = f"alias/{os.environ.get('BOT_TABLE_NAME') or 'turntable'}"
DETAILS = {"api_key": "sk-proj-abcdefghijklmnopqrstuvwxyz", "base_url": None}
CANNOT = "cannot be decrypted"


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(localstack_host=ENDPOINT.removeprefix("http://"), region_name="us-east-1")


def vault(key_id: str = ALIAS, table: str = "turntable") -> Vault:
    """Return a vault of a process that has just started."""
    settings = Settings(kms_key_id=key_id, kms_endpoint_url=ENDPOINT, table_name=table)  # type: ignore[call-arg]
    return Vault(KeyRing(SECRET.encode()), data_keys_of(settings))


def test_what_one_process_seals_another_opens() -> None:
    sealed = vault().seal("usr_1", "openai", DETAILS)
    assert vault().open("usr_1", "openai", sealed) == DETAILS
    assert vault().sealed_with(sealed) == vault().newest()


@pytest.mark.parametrize(
    ("user_id", "name", "table"),
    [("usr_2", "openai", "turntable"), ("usr_1", "other", "turntable"), ("usr_1", "openai", "other")],
)
def test_it_opens_for_no_other_user_name_or_table(user_id: str, name: str, table: str) -> None:
    sealed = vault().seal("usr_1", "openai", DETAILS)
    with pytest.raises(ValueError, match=CANNOT):
        vault(table=table).open(user_id, name, sealed)


def test_no_other_key_of_the_account_will_do(session: Session) -> None:
    other = session.client("kms").create_key()["KeyMetadata"]["Arn"]
    version, arn, *rest = vault().seal("usr_1", "openai", DETAILS).split(".")
    assert arn != other
    with pytest.raises(ValueError, match=CANNOT):
        vault().open("usr_1", "openai", ".".join([version, other, *rest]))


def test_the_api_keeps_details_under_kms_and_shows_a_hint_alone(table: TableSettings, tmp_path: Path) -> None:
    app = make_app(table, tmp_path, kms_key_id=ALIAS, kms_endpoint_url=ENDPOINT)
    ann = Caller(app)
    shown = ann.patch("/users/me", api_integration_details={"openai": {"api_key": DETAILS["api_key"]}})
    assert shown["api_integration_details"]["openai"]["api_key_hint"] == "…wxyz"
    stored = get_user(acting_for(ann.id)).api_integration_details["openai"]
    assert stored.startswith("kms1.arn:aws:kms:")
    assert vault(table=table.name).open(ann.id, "openai", stored) == DETAILS


def test_details_move_from_the_deployments_own_secret_to_kms_and_from_one_kms_key_to_the_next(
    session: Session, table: TableSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kms, alias = session.client("kms"), f"alias/{table.name}"
    kms.create_alias(AliasName=alias, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    for name, value in {
        "BOT_SECRET_KEY": SECRET,
        "BOT_KMS_KEY_ID": alias,
        "BOT_TABLE_NAME": table.name,
        "AWS_ENDPOINT_URL": ENDPOINT,
        "BOT_DATA_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    user_id = acting_for(make_user().user_id)
    own = Vault(KeyRing(SECRET.encode()))
    update_user(user_id, {"api_integration_details": {"openai": own.seal(user_id, "openai", DETAILS)}})

    for _ in range(2):
        done = CliRunner().invoke(cli, ["secrets", "rotate"], catch_exceptions=False)

        assert done.exit_code == 0, done.output
        here = vault(alias, table.name)
        stored = get_user(user_id).api_integration_details["openai"]
        assert here.sealed_with(stored) == here.newest()
        assert here.open(user_id, "openai", stored) == DETAILS
        kms.update_alias(AliasName=alias, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])

    status = CliRunner().invoke(cli, ["secrets", "status"], catch_exceptions=False).stdout
    assert "Writing: kms arn:aws:kms:" in status
