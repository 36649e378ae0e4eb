"""The application: all services are created and wired here, once per process."""

import threading

from flask import Flask
from flask_openapi import Info
from werkzeug.middleware.proxy_fix import ProxyFix

from bot import __version__
from bot.access.agent_cache import AgentCache, ConversationAgents
from bot.access.auth_failures import AuthFailureLog
from bot.access.authentication import Authentication, tokens_of
from bot.access.cursors import Cursors
from bot.access.key_ring import key_ring_of
from bot.access.kms import data_keys_of
from bot.access.last_used import LastUsedRecorder
from bot.access.secrets import Vault
from bot.access.sign_in_log import SignInLog
from bot.api import (
    agents,
    api_keys,
    audit,
    branches,
    conversation_events,
    conversations,
    docs,
    erasures,
    exports,
    health,
    limits,
    messages,
    share_links,
    shared_conversations,
    sharing,
    states,
    turns,
    usage,
    users,
)
from bot.erasures import Erasures
from bot.http import cors, headers, problems, requests
from bot.http.blueprint import SECURITY_SCHEMES
from bot.http.context import EXTENSION, Services
from bot.http.invalid_fields import from_validation
from bot.http.openapi import Application
from bot.llm.providers import Providers
from bot.openai_api import chat as v1_chat
from bot.openai_api import envelope
from bot.openai_api import models as v1_models
from bot.openai_api import responses as v1_responses
from bot.settings import Settings
from bot.turns.completions import CompletionService
from bot.turns.event_log import BatchSize
from bot.turns.follower_room import FollowerRoom
from bot.turns.leases import LeaseKeeper
from bot.turns.model_requests import ModelRequests
from bot.turns.quotas import Quotas
from bot.turns.recovery import TurnRecovery
from bot.turns.service import TurnService
from bot.turns.streams import TurnStreams
from models.table import blobs, connection

DESCRIPTION = """Every turn of every conversation, on one DynamoDB table.

Lists are paged by `cursor`; errors are RFC 9457 problem documents with a stable `code`; an id that belongs to somebody
else answers exactly like one that does not exist."""


def create_app(settings: Settings | None = None) -> Application:
    """Create the application, and configure this process's models for its table. Sends no request."""
    settings = settings or Settings()
    connection.configure(settings.table)
    blobs.configure(settings.blobs)
    app = Application(
        "bot",
        info=Info(title="Turntable", version=__version__, description=DESCRIPTION),
        security_schemes=SECURITY_SCHEMES,
        validation_error_model=problems.Problem,
        validation_error_callback=lambda error: problems.respond(from_validation(error, requests.sent())),
    )
    # Today's tools read 3.1; nothing here needs 3.2.
    app.openapi_version = "3.1.0"
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.extensions[EXTENSION] = _services(settings)
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    requests.install(app)
    headers.install(app, hsts_seconds=settings.hsts_seconds)
    cors.install(app, settings.cors_origins)
    problems.install(app)
    envelope.install(app)
    docs.install(app)
    for resource in (
        health,
        users,
        audit,
        api_keys,
        agents,
        sharing,
        conversations,
        branches,
        conversation_events,
        share_links,
        shared_conversations,
        messages,
        turns,
        states,
        limits,
        usage,
        erasures,
        exports,
        v1_models,
        v1_chat,
        v1_responses,
    ):
        app.register_api(resource.api)
    return app


def start_background(app: Flask) -> None:
    """Start the background threads of a serving process."""
    services: Services = app.extensions[EXTENSION]
    services.last_used.start()
    services.erasures.start()
    threading.Thread(target=services.providers.prepare, name="providers", daemon=True).start()


def let_turns_end(app: Flask) -> None:
    """Wait until the turns whose clients have disconnected are complete and stored, and stop the background threads."""
    services: Services = app.extensions[EXTENSION]
    services.streams.close()
    services.leases.close()
    services.recovery.close()
    services.last_used.close()
    services.erasures.close()


def _services(settings: Settings) -> Services:
    ring = key_ring_of(settings)
    vault = Vault(ring, data_keys_of(settings))
    providers = _providers(settings)
    leases = LeaseKeeper(settings.lease)
    sign_in_log = SignInLog()
    auth_failures = AuthFailureLog()
    last_used = LastUsedRecorder(also=(auth_failures.flush, sign_in_log.flush))
    quotas = Quotas(settings.limits)
    recovery = TurnRecovery(settings.lease)
    model_requests = ModelRequests(providers, vault, embedded_context=settings.embedded_context)
    return Services(
        settings=settings,
        authentication=Authentication(last_used, tokens_of(settings)),
        last_used=last_used,
        sign_in_log=sign_in_log,
        auth_failures=auth_failures,
        cursors=Cursors(ring),
        agent_cache=AgentCache(),
        conversation_agents=ConversationAgents(),
        vault=vault,
        providers=providers,
        leases=leases,
        recovery=recovery,
        turns=TurnService(
            model_requests,
            leases,
            quotas,
            recovery,
            retention_days=settings.retention_days,
            keep_streams=settings.keep_streams,
            batch=BatchSize(settings.stream_batch_seconds, settings.stream_batch_bytes),
        ),
        completions=CompletionService(model_requests, quotas),
        streams=TurnStreams(settings.threads),
        followers=FollowerRoom(settings.threads),
        erasures=Erasures(settings.lease),
    )


def _providers(settings: Settings) -> Providers:
    try:
        return Providers(
            openai_api_key=settings.openai_api_key.get_secret_value() if settings.openai_api_key else None,
            openai_base_url=settings.openai_base_url,
            embedded_base_url=settings.embedded_base_url,
            embedded_model=settings.embedded_model,
            timeout=settings.provider_timeout,
            max_retries=settings.provider_retries,
            retry_seconds=settings.provider_retry_seconds,
            default_model=settings.default_model,
            allow_private_base_urls=settings.allow_private_base_urls,
            allowed_base_url_hosts=settings.allowed_base_url_hosts,
        )
    except ValueError as error:
        raise ValueError(f"the settings OPENAI_API_KEY and OPENAI_BASE_URL: {error}") from error
