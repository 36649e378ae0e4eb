"""`bot chat`: talk to an agent in the terminal, through the API."""

import sys

import click
import httpx2

from bot.cli.client import ApiClient, ApiProblem
from bot.cli.local import load
from bot.printable import printable, printable_line
from bot.settings import Settings

HELP = "/new starts another conversation, /quit or Ctrl-D exits."


@click.command()
@click.argument("message", nargs=-1)
@click.option(
    "--agent", "agent_id", help="The agent to talk to; by default your first one, which is created if you have none."
)
@click.option("--conversation", "conversation_id", help="Continue this conversation.")
@click.option("--url", help="The server's address.  [BOT_URL; the local server]")
@click.option("--key", help="The API key; safer in BOT_API_KEY.  [the local server's]")
def chat(
    message: tuple[str, ...], agent_id: str | None, conversation_id: str | None, url: str | None, key: str | None
) -> None:
    """Talk to an agent. With MESSAGE, send it and print the answer; without, chat until Ctrl-D."""
    with _client(url, key) as client:
        try:
            _talk(client, " ".join(message), agent_id, conversation_id)
        except ApiProblem as problem:
            raise click.ClickException(printable(str(problem))) from problem
        except httpx2.HTTPError as error:
            raise click.ClickException(
                f"{client.url} did not answer: {printable(str(error))}. Is the server running?"
            ) from error


def _client(url: str | None, key: str | None) -> ApiClient:
    settings = Settings()
    local = load(settings.data_dir)
    if not key and settings.api_key is not None:
        key = settings.api_key.get_secret_value()
    if not key and local is not None:
        key = local.api_key
    if not key:
        raise click.UsageError(
            "No API key: set BOT_API_KEY (`bot keys create` creates one), or start `bot serve --local` in this folder."
        )
    default = local.url if local else f"http://{settings.host}:{settings.port}"
    return ApiClient(url or settings.api_url or default, key)


def _talk(client: ApiClient, message: str, agent_id: str | None, conversation_id: str | None) -> None:
    interactive = not message and sys.stdin.isatty()
    if conversation_id is None:
        agent = client.agent(agent_id)
        conversation_id = client.start(agent["id"])
    else:
        opened = client.open(conversation_id)
        agent = client.agent(opened["agent_id"])
        if interactive:
            _show(opened)
    if interactive:
        who = printable_line(f"{agent['name']} ({agent['provider']}/{agent['model']}), {conversation_id}")
        click.echo(f"{who}. {HELP}\n", err=True)
    if message:
        _say(client, conversation_id, message)
        return
    while (line := _next_line(interactive)) is not None:
        if line in ("/quit", "/exit"):
            return
        if line == "/new":
            conversation_id = client.start(agent["id"])
            click.echo(conversation_id, err=True)
        elif line:
            _say_and_go_on(client, conversation_id, line)


def _show(opened: dict[str, object]) -> None:
    messages = opened["messages"]
    assert isinstance(messages, list)
    for each in messages:
        speaker = "you" if each["sender"] == "user" else each["sender"]
        click.echo(f"{speaker}> {printable(each['content']) if isinstance(each['content'], str) else '[parts]'}")


def _next_line(interactive: bool) -> str | None:
    try:
        if interactive:
            return str(input("you> ")).strip()
        line = sys.stdin.readline()
    except (EOFError, KeyboardInterrupt):
        click.echo()
        return None
    return line.strip() if line else None


def _say_and_go_on(client: ApiClient, conversation_id: str, line: str) -> None:
    try:
        _say(client, conversation_id, line)
    except ApiProblem as problem:
        click.echo(f"\n{printable(str(problem))}", err=True)


def _say(client: ApiClient, conversation_id: str, text: str) -> None:
    """Send a message, and print the answer as it arrives."""
    for event, data in client.send(conversation_id, text):
        if event == "message.delta":
            click.echo(printable(data["text"]), nl=False)
        elif event == "turn.failed":
            raise ApiProblem(data["problem"])
        elif event == "turn.completed":
            for message in data["output"]:
                if message["type"] == "function_call":
                    call = printable_line(f"{message['attributes']['function_name']}({message['content']})")
                    click.echo(f"[the agent called {call}; send its result through the API]")
    click.echo()
