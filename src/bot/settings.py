"""All settings, and the only reader of the environment.

What any AWS or OpenAI program reads keeps its usual name; the project's own begin with `BOT_`. `docs/settings.md` lists
them all, and a test holds it to that.
"""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.allowance import Limits
from models.table.blobs import BlobSettings
from models.table.connection import TableSettings
from models.table.side_by_side import AT_ONCE

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*")


def _words(value: object) -> object:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin: write it as a browser does, such as https://app.example.com")
    return value


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    for host in value:
        if not _HOST.fullmatch(host):
            raise ValueError(f"{host!r} is no host: write api.example.com, or *.example.com for all below it")
    return value


def _issuers(value: tuple[str, ...]) -> tuple[str, ...]:
    for issuer in value:
        if not secure_or_loopback(issuer) or urlsplit(issuer).query or urlsplit(issuer).fragment:
            raise ValueError(f"{issuer!r} is no issuer: write it as its tokens do, such as https://auth.example.com/")
    return value


def secure_or_loopback(url: str) -> bool:
    """Whether an address is behind TLS, or on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _loopback(url))


# In the environment, words that are parted by commas.
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Issuers = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words), AfterValidator(_issuers)]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
Algorithms = Annotated[tuple[Algorithm, ...], NoDecode, BeforeValidator(_words)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words), AfterValidator(_origins)]
Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words), AfterValidator(_hosts)]


class Settings(BaseSettings):
    """What a deployment can set. Times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", populate_by_name=True, frozen=True)

    table_name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{3,255}$")] = Field(
        "turntable", alias="BOT_TABLE_NAME", description="The DynamoDB table."
    )
    region: str = Field(
        "us-east-1",
        validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"),
        description="The AWS region of the table.",
    )
    endpoint_url: str | None = Field(
        None,
        validation_alias=AliasChoices("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"),
        description="Where DynamoDB answers: LocalStack, DynamoDB Local, or unset for AWS itself.",
    )
    access_key_id: SecretStr | None = Field(
        None, alias="AWS_ACCESS_KEY_ID", description="AWS credentials; unset, the usual AWS chain finds them."
    )

    host: str = Field(
        "127.0.0.1", alias="HOST", description="The address to listen on: loopback unless told otherwise."
    )
    port: int = Field(8000, alias="PORT", ge=0, le=65535, description="The port to listen on.")
    workers: int = Field(1, alias="BOT_WORKERS", ge=1, le=64, description="Server processes.")
    threads: int = Field(
        128,
        alias="BOT_THREADS",
        ge=1,
        le=1024,
        description="Threads of each process; each open stream takes one, which is made when it is needed. 1,000 "
        "streams at once are BOT_THREADS=1024 in one process, or as many in several.",
    )
    graceful_timeout: int = Field(
        30, alias="BOT_GRACEFUL_TIMEOUT", ge=0, le=3600, description="How long a stop waits for running requests."
    )
    max_body_bytes: int = Field(
        8 * 1024 * 1024,
        alias="BOT_MAX_BODY_BYTES",
        ge=1024,
        description="The largest request body. An image takes a third more than its size.",
    )
    log_level: LogLevel = Field("INFO", alias="BOT_LOG_LEVEL", description="How much is logged.")
    log_format: Literal["text", "json"] = Field(
        "text", alias="BOT_LOG_FORMAT", description="`text` for people, `json` for log stores: one object a line."
    )
    trusted_proxies: int = Field(
        0,
        alias="BOT_TRUSTED_PROXIES",
        ge=0,
        le=10,
        description="How many proxies stand before the server. Their X-Forwarded-For and X-Forwarded-Proto are "
        "believed; with 0, nobody's.",
    )
    hsts_seconds: int = Field(
        0,
        alias="BOT_HSTS_SECONDS",
        ge=0,
        le=63_072_000,
        description="For how long browsers that came by TLS shall use nothing else; 0 tells them nothing.",
    )
    audit_days: int = Field(
        365, alias="BOT_AUDIT_DAYS", ge=1, le=3650, description="How many days a record of the audit trail is kept."
    )
    cors_origins: Origins = Field(
        (),
        alias="BOT_CORS_ORIGINS",
        description="Origins whose web pages may call the API, parted by commas; unset, none may.",
    )

    api_url: str | None = Field(None, alias="BOT_URL", description="Where `bot chat` finds the server.")
    api_key: SecretStr | None = Field(None, alias="BOT_API_KEY", description="The API key that `bot chat` presents.")

    oidc_issuers: Issuers = Field(
        (),
        alias="BOT_OIDC_ISSUER",
        description="OpenID Connect issuers whose tokens are taken, exactly as the tokens name them, parted by commas.",
    )
    oidc_audiences: Words = Field(
        (),
        alias="BOT_OIDC_AUDIENCE",
        description="For whom their tokens must be made: one of these, parted by commas; for Cognito, the app client's "
        "id.",
    )
    oidc_algorithms: Algorithms = Field(
        (),
        alias="BOT_OIDC_ALGORITHMS",
        description="How their tokens may be signed, parted by commas; asymmetric algorithms alone. Unset, RS256 and "
        "ES256.",
    )
    oidc_leeway: int = Field(
        30, alias="BOT_OIDC_LEEWAY", ge=0, le=300, description="By how much an issuer's clock may differ from ours."
    )
    oidc_admin_claim: Annotated[str, StringConstraints(pattern=r"^[^=]+=.+$")] | None = Field(
        None,
        alias="BOT_OIDC_ADMIN_CLAIM",
        description="The claim that makes an administrator, such as `cognito:groups=admins`; unset, no token does.",
    )

    secret_key: SecretStr | None = Field(
        None,
        alias="BOT_SECRET_KEY",
        min_length=32,
        description="Signs cursors and encrypts integration details; the same on all hosts. "
        "Unset, a key is made once under BOT_DATA_DIR.",
    )
    old_secret_keys: tuple[Annotated[SecretStr, Field(min_length=1)], ...] = Field(
        (),
        alias="BOT_OLD_SECRET_KEYS",
        description="Earlier values of BOT_SECRET_KEY as a JSON list: they are still read, until `bot secrets rotate` "
        "has ended.",
    )
    kms_key_id: str | None = Field(
        None,
        alias="BOT_KMS_KEY_ID",
        description="The KMS key that encrypts integration details: an id, an ARN or an alias (`alias/turntable`). "
        "Unset, BOT_SECRET_KEY does.",
    )
    kms_endpoint_url: str | None = Field(
        None,
        validation_alias=AliasChoices("AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL"),
        description="Where KMS answers: LocalStack, or unset for AWS itself.",
    )
    kms_context_table: str | None = Field(
        None,
        alias="BOT_KMS_CONTEXT_TABLE",
        description="The table's name that encryption contexts carry, where the table was restored under another "
        "name; unset, BOT_TABLE_NAME.",
    )
    message_bucket: str | None = Field(
        None,
        alias="BOT_MESSAGE_BUCKET",
        description="The S3 bucket for messages and state that are too large for an item; unset, they are refused.",
    )
    s3_endpoint_url: str | None = Field(
        None,
        validation_alias=AliasChoices("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        description="Where S3 answers: LocalStack, or unset for AWS itself.",
    )
    data_dir: Path = Field(Path(".turntable"), alias="BOT_DATA_DIR", description="Where local files are kept.")

    openai_api_key: SecretStr | None = Field(
        None, alias="OPENAI_API_KEY", description="The deployment's key for the provider `openai`."
    )
    openai_base_url: str | None = Field(
        None, alias="OPENAI_BASE_URL", description="Any OpenAI-compatible endpoint; unset, OpenAI itself."
    )
    default_model: str | None = Field(
        None,
        alias="BOT_DEFAULT_MODEL",
        description="The model of an agent of `openai` that names none; unset, OpenAI's smallest.",
    )
    allow_private_base_urls: bool = Field(
        False,
        alias="BOT_ALLOW_PRIVATE_BASE_URLS",
        description="Whether a user's own base URL may be plain http, or inside the deployment's network.",
    )
    allowed_base_url_hosts: Hosts = Field(
        (),
        alias="BOT_ALLOWED_BASE_URL_HOSTS",
        description="The only hosts that a user's own base URL may name, parted by commas; `*.example.com` is all "
        "below it. Unset, any host with a public address.",
    )
    provider_timeout: float = Field(
        60.0, alias="BOT_PROVIDER_TIMEOUT", gt=0, le=3600, description="How long a provider may be silent."
    )
    provider_retries: int = Field(
        2, alias="BOT_PROVIDER_RETRIES", ge=0, le=10, description="Retries of a provider call before its first byte."
    )
    lease: float = Field(
        30.0, alias="BOT_LEASE_SECONDS", ge=1, le=900, description="How long a dead worker blocks its conversation."
    )

    retention_days: int | None = Field(
        None,
        alias="BOT_RETENTION_DAYS",
        ge=1,
        le=36500,
        description="After how many days what is said expires; an agent can shorten it. Unset, it is kept.",
    )

    quota_tokens_per_day: int | None = Field(
        None,
        alias="BOT_QUOTA_TOKENS_PER_DAY",
        ge=0,
        description="How many tokens a user's turns may take on a day (UTC). Unset, any.",
    )
    quota_tokens_per_month: int | None = Field(
        None,
        alias="BOT_QUOTA_TOKENS_PER_MONTH",
        ge=0,
        description="How many tokens a user's turns may take in a month (UTC). Unset, any.",
    )
    turns_at_once: int | None = Field(
        None,
        alias="BOT_LIMIT_TURNS_AT_ONCE",
        ge=0,
        le=1000,
        description="How many turns of a user may run at one moment. Unset, any.",
    )

    # Set by `bot serve --local`, not by the environment.
    embedded_base_url: str | None = Field(None, exclude=True)
    embedded_model: str | None = Field(None, exclude=True)
    embedded_context: int = Field(2048, exclude=True)

    requests_per_minute: int | None = Field(
        None,
        alias="BOT_LIMIT_REQUESTS_PER_MINUTE",
        ge=1,
        description="How many requests a user may make in a minute, with all keys and tokens. Unset, any.",
    )
    requests_per_minute_of_a_key: int | None = Field(
        None,
        alias="BOT_LIMIT_REQUESTS_PER_MINUTE_OF_A_KEY",
        ge=1,
        description="How many requests may be made in a minute with one API key. Unset, any.",
    )

    @property
    def limits(self) -> Limits:
        """What a user without own limits may use."""
        return Limits(self.quota_tokens_per_day, self.quota_tokens_per_month, self.turns_at_once)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be written anywhere."""
        values = [getattr(self, name) for name in type(self).model_fields]
        found = [*values, *self.old_secret_keys]
        return tuple(value.get_secret_value() for value in found if isinstance(value, SecretStr))

    @property
    def table(self) -> TableSettings:
        """Where the table is, for `models.table.item.configure`."""
        invented = self.invented_credential(self.endpoint_url)
        return TableSettings(
            name=self.table_name,
            region=self.region,
            endpoint_url=self.endpoint_url,
            access_key_id=invented,
            secret_access_key=invented,
            max_connections=self.threads + AT_ONCE + 32,
            audit_days=self.audit_days,
        )

    @property
    def blobs(self) -> BlobSettings | None:
        """Where large texts go, for `models.table.blobs.configure`."""
        if self.message_bucket is None:
            return None
        invented = self.invented_credential(self.s3_endpoint_url)
        return BlobSettings(
            self.message_bucket,
            region=self.region,
            endpoint_url=self.s3_endpoint_url,
            access_key_id=invented,
            secret_access_key=invented,
        )

    def invented_credential(self, endpoint_url: str | None) -> str | None:
        """Return what stands for both halves of a credential at an endpoint on this machine, else None.

        Such an engine takes any; a laptop without some should not need to make them up.
        """
        return "local" if self.access_key_id is None and endpoint_url and _loopback(endpoint_url) else None


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
