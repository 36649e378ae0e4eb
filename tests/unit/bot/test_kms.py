"""The vault with KMS (moto's): bound to table and user, few calls, and clear failures."""

import logging
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from bot.access.key_ring import KeyRing
from bot.access.kms import DataKeys
from bot.access.secrets import Vault
from bot.errors import NotConfigured, SecretsUnavailable

ALIAS = "alias/turntable"
DETAILS = {"api_key": "sk-secret", "base_url": None}
CANNOT = "cannot be decrypted"


class Counted:
    """A KMS client that counts its calls, and can be made to fail."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.asked: list[str] = []
        self.error: Exception | None = None

    def __getattr__(self, operation: str) -> Any:
        def call(**parameters: Any) -> Any:
            self.asked.append(operation)
            if self.error:
                raise self.error
            return getattr(self.client, operation)(**parameters)

        return call


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = boto3.client("kms", region_name="us-east-1")
        client.create_alias(AliasName=ALIAS, TargetKeyId=client.create_key()["KeyMetadata"]["KeyId"])
        yield Counted(client)


def data_keys(kms: Any, table: str = "turntable", **options: Any) -> DataKeys:
    return DataKeys(kms, ALIAS, table, **options)


def vault(kms: Any, *secrets: bytes, **options: Any) -> Vault:
    return Vault(KeyRing(*(secrets or (b"secret",))), data_keys(kms, **options))


def failure(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "sk-secret"}}, "Decrypt")


def new_key(kms: Counted) -> str:
    """Point the alias at a new key, as in manual rotation; return its ARN."""
    made: dict[str, str] = kms.client.create_key()["KeyMetadata"]
    kms.client.update_alias(AliasName=ALIAS, TargetKeyId=made["KeyId"])
    return made["Arn"]


def test_what_is_sealed_opens_in_another_process_for_its_user_and_name(kms: Counted) -> None:
    sealed = vault(kms).seal("usr_1", "openai", DETAILS)
    assert sealed.startswith("kms1.arn:aws:kms:us-east-1:")
    assert "sk-secret" not in sealed
    assert vault(kms, b"of another host").open("usr_1", "openai", sealed) == DETAILS


@pytest.mark.parametrize(
    ("user_id", "name", "table"), [("usr_2", "openai", "t"), ("usr_1", "b", "t"), ("usr_1", "openai", "u")]
)
def test_it_opens_for_no_other_user_name_or_table(kms: Counted, user_id: str, name: str, table: str) -> None:
    sealed = vault(kms, table="t").seal("usr_1", "openai", DETAILS)
    with pytest.raises(ValueError, match=CANNOT):
        vault(kms, table=table).open(user_id, name, sealed)


def test_it_says_which_key_has_sealed_it(kms: Counted) -> None:
    here = vault(kms)
    assert here.sealed_with(here.seal("usr_1", "openai", DETAILS)) == here.newest()


def test_a_value_of_a_deleted_kms_key_is_lost_and_not_an_outage(kms: Counted) -> None:
    sealed = vault(kms).seal("usr_1", "openai", DETAILS)
    new_key(kms)
    here = vault(kms)
    here.newest()
    kms.error = failure("NotFoundException")
    with pytest.raises(ValueError, match=CANNOT):
        here.open("usr_1", "openai", sealed)


def test_a_key_of_another_account_is_never_used(kms: Counted) -> None:
    version, arn, *rest = vault(kms).seal("usr_1", "openai", DETAILS).split(".")
    foreign = arn.replace("123456789012", "999999999999")
    assert foreign != arn
    kms.asked.clear()
    with pytest.raises(ValueError, match=CANNOT):
        vault(kms).open("usr_1", "openai", ".".join([version, foreign, *rest]))
    assert kms.asked == ["describe_key"]


def test_each_value_has_its_own_data_key(kms: Counted) -> None:
    here = vault(kms)
    assert len({here.seal("usr_1", "openai", DETAILS).split(".")[2] for _ in range(3)}) == 3


def test_kms_is_called_once_while_a_key_is_cached(kms: Counted) -> None:
    time = [0.0]
    sealed = vault(kms).seal("usr_1", "openai", DETAILS)
    kms.asked.clear()
    here = vault(kms, remember=300.0, now=lambda: time[0])

    for _ in range(20):
        here.open("usr_1", "openai", sealed)
    assert kms.asked == ["describe_key", "decrypt"]

    time[0] = 299.0
    here.open("usr_1", "openai", sealed)
    assert kms.asked == ["describe_key", "decrypt"], "reading does not make it older or younger"
    time[0] = 300.0
    here.open("usr_1", "openai", sealed)
    assert kms.asked == ["describe_key", "decrypt", "decrypt"]


def test_the_number_of_cached_keys_is_limited(kms: Counted) -> None:
    here = vault(kms, most=2)
    sealed = [here.seal("usr_1", str(number), DETAILS) for number in range(3)]
    kms.asked.clear()
    for number in (1, 2):
        here.open("usr_1", str(number), sealed[number])
    assert kms.asked == []
    here.open("usr_1", "0", sealed[0])
    assert kms.asked == ["decrypt"]


def test_a_cached_key_is_only_for_its_user(kms: Counted) -> None:
    here = vault(kms)
    sealed = here.seal("usr_1", "openai", DETAILS)
    with pytest.raises(ValueError, match=CANNOT):
        here.open("usr_2", "openai", sealed)


def test_after_the_alias_has_moved_the_old_key_decrypts_and_the_new_one_encrypts(kms: Counted) -> None:
    old = vault(kms).seal("usr_1", "openai", DETAILS)
    arn = new_key(kms)
    here = vault(kms)
    assert here.newest() == f"kms {arn}" != here.sealed_with(old)
    assert here.open("usr_1", "openai", old) == DETAILS
    assert here.sealed_with(here.seal("usr_1", "openai", DETAILS)) == here.newest()


def test_values_under_the_deployments_own_secret_are_readable_until_rotated(kms: Counted) -> None:
    old = Vault(KeyRing(b"secret")).seal("usr_1", "openai", DETAILS)
    here = vault(kms)
    assert here.open("usr_1", "openai", old) == DETAILS
    assert here.sealed_with(here.seal("usr_1", "openai", DETAILS)).startswith("kms ")


def test_without_kms_its_values_cannot_be_decrypted(kms: Counted) -> None:
    with pytest.raises(ValueError, match=CANNOT):
        Vault(KeyRing(b"secret")).open("usr_1", "openai", vault(kms).seal("usr_1", "openai", DETAILS))


@pytest.mark.parametrize(
    ("error", "kind", "retry_after"),
    [
        (EndpointConnectionError(endpoint_url="http://kms"), SecretsUnavailable, 5),
        (failure("ThrottlingException"), SecretsUnavailable, 5),
        (failure("KMSInternalException"), SecretsUnavailable, 5),
        (failure("AccessDeniedException"), NotConfigured, 60),
        (failure("DisabledException"), NotConfigured, 60),
        (failure("NotFoundException"), NotConfigured, 60),
    ],
)
def test_a_kms_failure_is_a_503_with_retry_after(
    kms: Counted, error: Exception, kind: type[Exception], retry_after: int, caplog: pytest.LogCaptureFixture
) -> None:
    sealed = vault(kms).seal("usr_1", "openai", DETAILS)
    here = vault(kms)
    here.newest()
    kms.error = error
    for attempt in (
        lambda: here.open("usr_1", "openai", sealed),
        lambda: here.seal("usr_1", "openai", DETAILS),
        here.newest,
    ):
        with pytest.raises(kind) as failed:
            attempt()
        assert (failed.value.status, failed.value.retry_after) == (503, retry_after)  # type: ignore[attr-defined]
        assert "sk-secret" not in str(failed.value)
    kms.error = None
    assert here.open("usr_1", "openai", sealed) == DETAILS


@pytest.mark.parametrize("wrapped", ["", "AAAA", "not base64!"])
def test_a_data_key_that_kms_did_not_wrap_is_refused(kms: Counted, wrapped: str) -> None:
    version, arn, _, text = vault(kms).seal("usr_1", "openai", DETAILS).split(".")
    with pytest.raises(ValueError, match=CANNOT):
        vault(kms).open("usr_1", "openai", ".".join([version, arn, wrapped, text]))


def test_the_repr_of_a_data_key_and_the_log_reveal_nothing(kms: Counted, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bot")
    made = data_keys(kms).make("usr_1")
    assert repr(made) == f"DataKey({made.arn})"
    assert caplog.text == ""
