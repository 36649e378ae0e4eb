"""`bot serve`: the server; with `--local`, everything that it needs runs on this machine."""

from collections.abc import Callable
from contextlib import ExitStack

import click
from flask import Flask

from bot.access.keys import hash_of, issue_key
from bot.app import create_app, let_turns_end, start_background
from bot.cli.local import LocalServer, load
from bot.local.engine import EmbeddedEngine
from bot.local.model import EmbeddedModel, ModelUnavailable
from bot.local.service import EmbeddedService
from bot.logs import log_to_stderr, warnings_alone
from bot.server import listen
from bot.server import serve as run_server
from bot.settings import Settings
from models import schema
from models.access_patterns.api_keys import find_api_key
from models.access_patterns.users import create_user, get_user_by_email
from models.table import connection
from models.table.errors import EmailTaken, ItemNotFound

FIRST_USER = "you@example.com"


@click.command()
@click.option(
    "--local",
    is_flag=True,
    help="Start an embedded DynamoDB engine and a small language model unless the environment configures others; "
    "create the table and a first user.",
)
@click.option("--host", help="The address to listen on.  [HOST; 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="The port to listen on; 0 for any free one.  [PORT; 8000]")
@click.option("--workers", type=click.IntRange(1, 64), help="Server processes.  [BOT_WORKERS; 1]")
def serve(local: bool, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the API until Ctrl-C."""
    given = {"host": host, "port": port, "workers": workers}
    settings = Settings().model_copy(update={name: value for name, value in given.items() if value is not None})
    log_to_stderr(settings.log_level, settings.log_format, settings.secrets)
    with ExitStack() as stack:
        listener = stack.enter_context(listen(settings.host, settings.port))
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        children: list[EmbeddedService] = []
        announce: Callable[[], None] = lambda: _announce(settings)  # noqa: E731 - replaced for a local server
        if local:
            settings, children = _start_children(settings, stack)
            server = _prepare(settings)
            announce = lambda: _announce_local(settings, server)  # noqa: E731
        # Invalid settings are reported here, in one line, and not by every worker.
        create_app(settings)
        run_server(
            lambda: _application(settings),
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            threads=settings.threads,
            graceful_timeout=settings.graceful_timeout,
            on_ready=announce,
            on_stop=stack.pop_all().close,
            on_tick=lambda: _look_after(children),
            on_worker_stop=let_turns_end,
            listener=listener,
        )


def _application(settings: Settings) -> Flask:
    app = create_app(settings)
    start_background(app)
    return app


def _look_after(children: list[EmbeddedService]) -> None:
    for child in children:
        child.ensure_running()


def _start_children(settings: Settings, stack: ExitStack) -> tuple[Settings, list[EmbeddedService]]:
    """Start the services that the environment does not configure, and return settings that point to them."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    children: list[EmbeddedService] = []
    found: dict[str, object] = {}
    if settings.endpoint_url is None:
        engine = stack.enter_context(EmbeddedEngine(settings.data_dir))
        found["endpoint_url"] = engine.endpoint_url
        children.append(engine)
    if settings.openai_api_key is None and settings.openai_base_url is None:
        try:
            model = stack.enter_context(EmbeddedModel(settings.data_dir))
        except ModelUnavailable as reason:
            click.echo(f"{reason} Agents answer with a plain echo instead.", err=True)
        else:
            found |= {
                "embedded_base_url": model.base_url,
                "embedded_model": model.model_name,
                "embedded_context": model.context_tokens,
            }
            children.append(model)
    return settings.model_copy(update=found), children


def _prepare(settings: Settings) -> LocalServer:
    """Create the table and the first user if missing; the key of an earlier run is kept while it is valid."""
    connection.configure(settings.table)
    schema.create_table()
    try:
        user = create_user(FIRST_USER, role="admin")
    except EmailTaken:
        user = get_user_by_email(FIRST_USER)
    earlier = load(settings.data_dir)
    # The banner shows the key and should be the first thing a new user sees; the audit trail has the record.
    with warnings_alone("models.audit"):
        key = earlier.api_key if earlier and _works(earlier.api_key) else issue_key(user, name="bot serve --local")[0]
    server = LocalServer(f"http://{_bracketed(settings.host)}:{settings.port}", key, settings.endpoint_url or "")
    server.save(settings.data_dir)
    return server


def _works(key: str) -> bool:
    try:
        find_api_key(hash_of(key))
    except ItemNotFound:
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _announce(settings: Settings) -> None:
    click.echo(f"Turntable is running at http://{_bracketed(settings.host)}:{settings.port}; Ctrl-C stops it.")


def _announce_local(settings: Settings, server: LocalServer) -> None:
    answering = settings.embedded_model or ("openai" if settings.openai_api_key or settings.openai_base_url else "echo")
    click.echo(
        f"""
Turntable is running at {server.url}; Ctrl-C stops it.

  API key    {server.api_key}
  Model      {answering}
  Table      {settings.table_name}, kept under {settings.data_dir}/
  API page   {server.url}/docs

Talk to it, in another terminal:

  .venv/bin/bot chat
"""
    )
