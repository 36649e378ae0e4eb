"""Settings: each variable works, invalid ones are named, and the page lists them all."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from bot.settings import Settings
from tests.processes import ROOT

PAGE = ROOT / "docs" / "settings.md"
# Set by `bot serve --local`.
INTERNAL = {"embedded_base_url", "embedded_model", "embedded_context"}
GIVEN: dict[str, tuple[str, Any]] = {
    "BOT_TABLE_NAME": ("other-table", "other-table"),
    "AWS_REGION": ("eu-central-1", "eu-central-1"),
    "AWS_DEFAULT_REGION": ("eu-west-1", "eu-west-1"),
    "AWS_ENDPOINT_URL_DYNAMODB": ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
    "AWS_ENDPOINT_URL": ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
    "AWS_ACCESS_KEY_ID": ("AKIA", "AKIA"),
    "HOST": ("0.0.0.0", "0.0.0.0"),
    "PORT": ("0", 0),
    "BOT_WORKERS": ("2", 2),
    "BOT_THREADS": ("8", 8),
    "BOT_GRACEFUL_TIMEOUT": ("5", 5),
    "BOT_MAX_BODY_BYTES": ("2048", 2048),
    "BOT_LOG_LEVEL": ("DEBUG", "DEBUG"),
    "BOT_LOG_FORMAT": ("json", "json"),
    "BOT_TRUSTED_PROXIES": ("1", 1),
    "BOT_HSTS_SECONDS": ("600", 600),
    "BOT_AUDIT_DAYS": ("30", 30),
    "BOT_CORS_ORIGINS": (
        "https://app.example.com, http://localhost:5173",
        ("https://app.example.com", "http://localhost:5173"),
    ),
    "BOT_URL": ("https://bot.example.com", "https://bot.example.com"),
    "BOT_API_KEY": ("tt_key", "tt_key"),
    "BOT_OIDC_ISSUER": ("https://a.example.com/, http://127.0.0.1:9", ("https://a.example.com/", "http://127.0.0.1:9")),
    "BOT_OIDC_AUDIENCE": ("turntable, other", ("turntable", "other")),
    "BOT_OIDC_ALGORITHMS": ("ES256,EdDSA", ("ES256", "EdDSA")),
    "BOT_OIDC_LEEWAY": ("5", 5),
    "BOT_OIDC_ADMIN_CLAIM": ("cognito:groups=admins", "cognito:groups=admins"),
    "BOT_SECRET_KEY": ("s" * 32, "s" * 32),
    "BOT_OLD_SECRET_KEYS": ('["a", "b"]', ("a", "b")),
    "BOT_KMS_KEY_ID": ("alias/turntable", "alias/turntable"),
    "AWS_ENDPOINT_URL_KMS": ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
    "BOT_KMS_CONTEXT_TABLE": ("turntable", "turntable"),
    "BOT_MESSAGE_BUCKET": ("turntable-messages", "turntable-messages"),
    "AWS_ENDPOINT_URL_S3": ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
    "BOT_DATA_DIR": ("/var/lib/bot", Path("/var/lib/bot")),
    "OPENAI_API_KEY": ("sk-key", "sk-key"),
    "OPENAI_BASE_URL": ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
    "BOT_DEFAULT_MODEL": ("llama", "llama"),
    "BOT_ALLOW_PRIVATE_BASE_URLS": ("true", True),
    "BOT_ALLOWED_BASE_URL_HOSTS": ("api.example.com,*.example.org", ("api.example.com", "*.example.org")),
    "BOT_PROVIDER_TIMEOUT": ("1.5", 1.5),
    "BOT_PROVIDER_RETRIES": ("0", 0),
    "BOT_PROVIDER_RETRY_SECONDS": ("2.5", 2.5),
    "BOT_LEASE_SECONDS": ("5", 5.0),
    "BOT_QUOTA_TOKENS_PER_DAY": ("50000", 50_000),
    "BOT_QUOTA_TOKENS_PER_MONTH": ("1000000", 1_000_000),
    "BOT_LIMIT_TURNS_AT_ONCE": ("3", 3),
    "BOT_LIMIT_REQUESTS_PER_MINUTE": ("3", 3),
    "BOT_LIMIT_REQUESTS_PER_MINUTE_OF_A_KEY": ("3", 3),
    "BOT_RETENTION_DAYS": ("30", 30),
    "BOT_SHARE_LINKS": ("true", True),
    "BOT_KEEP_STREAMS": ("false", False),
    "BOT_STREAM_BATCH_SECONDS": ("2", 2.0),
    "BOT_STREAM_BATCH_BYTES": ("16384", 16_384),
}


def variables(name: str, field: FieldInfo) -> tuple[str, ...]:
    """Return the environment variables of a setting, in order of precedence."""
    if isinstance(field.validation_alias, AliasChoices):
        return tuple(str(choice) for choice in field.validation_alias.choices)
    assert field.alias, f"{name} has no variable"
    return (field.alias,)


VARIABLES = {
    variable: name
    for name, field in Settings.model_fields.items()
    if name not in INTERNAL
    for variable in variables(name, field)
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_variable_sets_its_setting(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, expected = GIVEN[variable]
    monkeypatch.setenv(variable, text)
    assert plain(getattr(Settings(), VARIABLES[variable])) == expected


def test_the_more_specific_of_two_variables_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    for first, second in (("AWS_REGION", "AWS_DEFAULT_REGION"), ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL")):
        monkeypatch.setenv(second, "second")
        monkeypatch.setenv(first, "first")
        assert getattr(Settings(), VARIABLES[first]) == "first"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Settings()
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
    assert Settings() == bare


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("BOT_TABLE_NAME", "a"),
        ("BOT_TABLE_NAME", "a b"),
        ("PORT", "65536"),
        ("PORT", "x"),
        ("BOT_WORKERS", "0"),
        ("BOT_THREADS", "0"),
        ("BOT_GRACEFUL_TIMEOUT", "-1"),
        ("BOT_MAX_BODY_BYTES", "1"),
        ("BOT_LOG_LEVEL", "loud"),
        ("BOT_LOG_FORMAT", "xml"),
        ("BOT_TRUSTED_PROXIES", "-1"),
        ("BOT_HSTS_SECONDS", "-1"),
        ("BOT_AUDIT_DAYS", "0"),
        ("BOT_CORS_ORIGINS", "*"),
        ("BOT_CORS_ORIGINS", "app.example.com"),
        ("BOT_CORS_ORIGINS", "https://app.example.com/"),
        ("BOT_CORS_ORIGINS", "https://*.example.com"),
        ("BOT_CORS_ORIGINS", "null"),
        ("BOT_ALLOWED_BASE_URL_HOSTS", "https://api.example.com"),
        ("BOT_ALLOWED_BASE_URL_HOSTS", "*"),
        ("BOT_ALLOWED_BASE_URL_HOSTS", "api.*"),
        ("BOT_OIDC_ISSUER", "auth.example.com"),
        ("BOT_OIDC_ISSUER", "http://auth.example.com"),
        ("BOT_OIDC_ISSUER", "https://user:password@auth.example.com"),
        ("BOT_OIDC_ISSUER", "https://auth.example.com/?a=b"),
        ("BOT_OIDC_LEEWAY", "301"),
        ("BOT_OIDC_ADMIN_CLAIM", "groups"),
        ("BOT_SECRET_KEY", "short"),
        ("BOT_ALLOW_PRIVATE_BASE_URLS", "perhaps"),
        ("BOT_PROVIDER_TIMEOUT", "0"),
        ("BOT_PROVIDER_RETRIES", "-1"),
        ("BOT_PROVIDER_RETRY_SECONDS", "-1"),
        ("BOT_LEASE_SECONDS", "0.5"),
        ("BOT_RETENTION_DAYS", "0"),
        ("BOT_QUOTA_TOKENS_PER_DAY", "-1"),
        ("BOT_LIMIT_TURNS_AT_ONCE", "1001"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_the_variables_name(
    variable: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert [error["loc"] for error in refused.value.errors()] == [(variable,)]


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("BOT_SECRET_KEY", "BOT_API_KEY", "OPENAI_API_KEY", "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(variable, "s" * 40)
    assert "s" * 40 not in repr(Settings()) + str(Settings())


@pytest.mark.parametrize(
    ("endpoint", "invented"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost:4566", True),
        ("http://[::1]:8000", True),
        ("http://dynamodb.localhost:4566", True),
        ("http://10.0.0.5:8000", False),
        ("https://dynamodb.eu-central-1.amazonaws.com", False),
        ("", False),
    ],
)
def test_placeholder_credentials_are_used_only_for_an_engine_on_this_machine(
    endpoint: str, invented: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
    table = Settings().table
    assert (table.access_key_id is not None) == (table.secret_access_key is not None) == invented
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    assert Settings().table.access_key_id is None


def test_the_table_gets_a_connection_for_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_THREADS", "200")
    monkeypatch.setenv("BOT_TABLE_NAME", "mine")
    table = Settings().table
    assert (table.name, table.max_connections >= 200) == ("mine", True)


def row(name: str, field: FieldInfo) -> str:
    """Return the line of the page for a setting."""
    names = ", ".join(f"`{variable}`" for variable in variables(name, field))
    plain_default = str(field.default).lower() if isinstance(field.default, bool) else field.default
    default = "" if field.default in (None, ()) else f"`{plain_default}`"
    return f"| {names} | {default} | {field.description} |"


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name not in INTERNAL])
def test_the_page_has_every_setting_with_its_default(name: str) -> None:
    line = row(name, Settings.model_fields[name])
    assert line in PAGE.read_text().splitlines(), f"docs/settings.md lacks: {line}"


def test_the_page_has_no_unknown_setting() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == [row(name, field) for name, field in Settings.model_fields.items() if name not in INTERNAL]
