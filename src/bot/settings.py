"""All settings, and the only reader of the environment.

Standard AWS and OpenAI variables keep their usual names; the project's own begin with `BOT_`. `docs/settings.md` lists
them all, and a test checks that it does.
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
            raise ValueError(
                f"{origin!r} is not an origin: write it as a browser does, such as https://app.example.com"
            )
    return value


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    for host in value:
        if not _HOST.fullmatch(host):
            raise ValueError(f"{host!r} is not a host: write api.example.com, or *.example.com for all its subdomains")
    return value


def _issuers(value: tuple[str, ...]) -> tuple[str, ...]:
    for issuer in value:
        if not secure_or_loopback(issuer) or urlsplit(issuer).query or urlsplit(issuer).fragment:
            raise ValueError(
                f"{issuer!r} is not an issuer: write it exactly as in its tokens, such as https://auth.example.com/"
            )
    return value


def secure_or_loopback(url: str) -> bool:
    """Whether a URL uses TLS or a loopback address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _loopback(url))


# Comma-separated words in the environment.
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Issuers = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words), AfterValidator(_issuers)]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
Algorithms = Annotated[tuple[Algorithm, ...], NoDecode, BeforeValidator(_words)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words), AfterValidator(_origins)]
Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words), AfterValidator(_hosts)]


class Settings(BaseSettings):
    """The settings of a deployment. Times are in seconds, sizes in bytes."""

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
        description="The DynamoDB endpoint, such as LocalStack or DynamoDB Local; unset for AWS.",
    )
    access_key_id: SecretStr | None = Field(
        None, alias="AWS_ACCESS_KEY_ID", description="AWS credentials; if unset, the standard AWS chain applies."
    )

    host: str = Field("127.0.0.1", alias="HOST", description="The address to listen on; loopback by default.")
    port: int = Field(8000, alias="PORT", ge=0, le=65535, description="The port to listen on.")
    workers: int = Field(1, alias="BOT_WORKERS", ge=1, le=64, description="Server processes.")
    threads: int = Field(
        128,
        alias="BOT_THREADS",
        ge=1,
        le=1024,
        description="The most threads per process, started when needed; each open stream takes one. For 1,000 "
        "concurrent streams, set 1024 for one process, or less for several.",
    )
    graceful_timeout: int = Field(
        30, alias="BOT_GRACEFUL_TIMEOUT", ge=0, le=3600, description="How long a shutdown waits for running requests."
    )
    max_body_bytes: int = Field(
        8 * 1024 * 1024,
        alias="BOT_MAX_BODY_BYTES",
        ge=1024,
        description="The largest request body. An image takes a third more than its size, for base64.",
    )
    log_level: LogLevel = Field("INFO", alias="BOT_LOG_LEVEL", description="The lowest level that is logged.")
    log_format: Literal["text", "json"] = Field(
        "text", alias="BOT_LOG_FORMAT", description="`text` for people, `json` for log stores: one object per line."
    )
    trusted_proxies: int = Field(
        0,
        alias="BOT_TRUSTED_PROXIES",
        ge=0,
        le=10,
        description="How many proxies are in front of the server. Their X-Forwarded-For and X-Forwarded-Proto are "
        "trusted; with 0, no such header is.",
    )
    hsts_seconds: int = Field(
        0,
        alias="BOT_HSTS_SECONDS",
        ge=0,
        le=63_072_000,
        description="The max-age of Strict-Transport-Security, sent over TLS; 0 sends no such header.",
    )
    audit_days: int = Field(
        365, alias="BOT_AUDIT_DAYS", ge=1, le=3650, description="How many days records of the audit trail are kept."
    )
    cors_origins: Origins = Field(
        (),
        alias="BOT_CORS_ORIGINS",
        description="Origins whose web pages may call the API, comma-separated; none by default.",
    )

    api_url: str | None = Field(None, alias="BOT_URL", description="Where `bot chat` finds the server.")
    api_key: SecretStr | None = Field(None, alias="BOT_API_KEY", description="The API key that `bot chat` presents.")

    oidc_issuers: Issuers = Field(
        (),
        alias="BOT_OIDC_ISSUER",
        description="OpenID Connect issuers whose tokens are accepted, exactly as in their tokens, comma-separated.",
    )
    oidc_audiences: Words = Field(
        (),
        alias="BOT_OIDC_AUDIENCE",
        description="Audiences, comma-separated: a token must be issued for one of them; for Cognito, the app "
        "client's id.",
    )
    oidc_algorithms: Algorithms = Field(
        (),
        alias="BOT_OIDC_ALGORITHMS",
        description="The accepted signature algorithms, comma-separated; asymmetric ones only. By default RS256 and "
        "ES256.",
    )
    oidc_leeway: int = Field(
        30, alias="BOT_OIDC_LEEWAY", ge=0, le=300, description="How far an issuer's clock may differ from ours."
    )
    oidc_admin_claim: Annotated[str, StringConstraints(pattern=r"^[^=]+=.+$")] | None = Field(
        None,
        alias="BOT_OIDC_ADMIN_CLAIM",
        description="The claim of an administrator's token, such as `cognito:groups=admins`; none by default.",
    )

    secret_key: SecretStr | None = Field(
        None,
        alias="BOT_SECRET_KEY",
        min_length=32,
        description="Signs cursors and encrypts integration details; the same on all hosts. "
        "If unset, a key is generated once under BOT_DATA_DIR.",
    )
    old_secret_keys: tuple[Annotated[SecretStr, Field(min_length=1)], ...] = Field(
        (),
        alias="BOT_OLD_SECRET_KEYS",
        description="Earlier values of BOT_SECRET_KEY as a JSON list, still needed for decryption until "
        "`bot secrets rotate` has completed.",
    )
    kms_key_id: str | None = Field(
        None,
        alias="BOT_KMS_KEY_ID",
        description="The KMS key that encrypts integration details: an id, an ARN or an alias (`alias/turntable`). "
        "If unset, BOT_SECRET_KEY does.",
    )
    kms_endpoint_url: str | None = Field(
        None,
        validation_alias=AliasChoices("AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL"),
        description="The KMS endpoint, such as LocalStack; unset for AWS.",
    )
    kms_context_table: str | None = Field(
        None,
        alias="BOT_KMS_CONTEXT_TABLE",
        description="The table name in encryption contexts, if the table was restored under another name; by default "
        "BOT_TABLE_NAME.",
    )
    message_bucket: str | None = Field(
        None,
        alias="BOT_MESSAGE_BUCKET",
        description="The S3 bucket for messages and state that are too large for an item; if unset, those are refused.",
    )
    s3_endpoint_url: str | None = Field(
        None,
        validation_alias=AliasChoices("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        description="The S3 endpoint, such as LocalStack; unset for AWS.",
    )
    data_dir: Path = Field(Path(".turntable"), alias="BOT_DATA_DIR", description="Where local files are kept.")

    openai_api_key: SecretStr | None = Field(
        None, alias="OPENAI_API_KEY", description="The deployment's key for the provider `openai`."
    )
    openai_base_url: str | None = Field(
        None, alias="OPENAI_BASE_URL", description="Any OpenAI-compatible endpoint; by default OpenAI itself."
    )
    default_model: str | None = Field(
        None,
        alias="BOT_DEFAULT_MODEL",
        description="The model of `openai` agents that name none; by default OpenAI's smallest.",
    )
    allow_private_base_urls: bool = Field(
        False,
        alias="BOT_ALLOW_PRIVATE_BASE_URLS",
        description="Whether a user's own base URL may be plain http, or inside the deployment's network.",
    )
    allowed_base_url_hosts: Hosts = Field(
        (),
        alias="BOT_ALLOWED_BASE_URL_HOSTS",
        description="The only hosts that a user's own base URL may name, comma-separated; `*.example.com` allows all "
        "its subdomains. By default any host with a public address.",
    )
    provider_timeout: float = Field(
        60.0, alias="BOT_PROVIDER_TIMEOUT", gt=0, le=3600, description="How long a provider may be silent."
    )
    provider_retries: int = Field(
        2,
        alias="BOT_PROVIDER_RETRIES",
        ge=0,
        le=10,
        description="The most retries of a provider call before its first byte.",
    )
    provider_retry_seconds: float = Field(
        5.0,
        alias="BOT_PROVIDER_RETRY_SECONDS",
        ge=0,
        le=3600,
        description="How long after a provider call began its retries may still start; 0 allows none. If the "
        "provider's Retry-After is longer, the caller gets the error and the Retry-After at once. The longest wait for "
        "the first byte or an error is about this plus one BOT_PROVIDER_TIMEOUT.",
    )
    lease: float = Field(
        30.0,
        alias="BOT_LEASE_SECONDS",
        ge=1,
        le=900,
        description="The lease of a turn: how long a dead worker blocks it.",
    )

    retention_days: int | None = Field(
        None,
        alias="BOT_RETENTION_DAYS",
        ge=1,
        le=36500,
        description="After how many days conversations and messages expire; an agent can shorten it. By default never.",
    )

    share_links: bool = Field(
        False,
        alias="BOT_SHARE_LINKS",
        description="Whether users may share conversations by link. While it is off, no link can be read.",
    )

    keep_streams: bool = Field(
        True,
        alias="BOT_KEEP_STREAMS",
        description="Whether streams are stored while they run, so that they can be resumed and followed live from any "
        "process; an agent or a request can override it.",
    )
    stream_batch_seconds: float = Field(
        0.5,
        alias="BOT_STREAM_BATCH_SECONDS",
        ge=0.1,
        le=10,
        description="How old a batch of a stream's text gets before it is stored.",
    )
    stream_batch_bytes: int = Field(
        4096,
        alias="BOT_STREAM_BATCH_BYTES",
        ge=1024,
        le=65_536,
        description="How much text of a stream is stored at once, however young it is.",
    )

    quota_tokens_per_day: int | None = Field(
        None,
        alias="BOT_QUOTA_TOKENS_PER_DAY",
        ge=0,
        description="How many tokens a user's turns may use per day (UTC). Unlimited by default.",
    )
    quota_tokens_per_month: int | None = Field(
        None,
        alias="BOT_QUOTA_TOKENS_PER_MONTH",
        ge=0,
        description="How many tokens a user's turns may use per month (UTC). Unlimited by default.",
    )
    turns_at_once: int | None = Field(
        None,
        alias="BOT_LIMIT_TURNS_AT_ONCE",
        ge=0,
        le=1000,
        description="How many turns of a user may run at once. Unlimited by default.",
    )

    # Set by `bot serve --local`, not from the environment.
    embedded_base_url: str | None = Field(None, exclude=True)
    embedded_model: str | None = Field(None, exclude=True)
    embedded_context: int = Field(2048, exclude=True)

    requests_per_minute: int | None = Field(
        None,
        alias="BOT_LIMIT_REQUESTS_PER_MINUTE",
        ge=1,
        description="How many requests a user may make per minute, with all keys and tokens. Unlimited by default.",
    )
    requests_per_minute_of_a_key: int | None = Field(
        None,
        alias="BOT_LIMIT_REQUESTS_PER_MINUTE_OF_A_KEY",
        ge=1,
        description="How many requests may be made per minute with one API key. Unlimited by default.",
    )

    @property
    def limits(self) -> Limits:
        """The limits of users who have none of their own."""
        return Limits(self.quota_tokens_per_day, self.quota_tokens_per_month, self.turns_at_once)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never appear in a log, an error or an answer."""
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
        """Return a placeholder for both halves of a credential at an endpoint on this machine, else None.

        Local engines accept any credentials; a developer without some should not have to invent them.
        """
        return "local" if self.access_key_id is None and endpoint_url and _loopback(endpoint_url) else None


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
