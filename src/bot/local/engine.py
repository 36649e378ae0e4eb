"""The embedded DynamoDB engine, as the server sees it."""

from importlib.util import find_spec

from bot.local.children import EmbeddedUnavailable
from bot.local.service import EmbeddedService


class EngineUnavailable(EmbeddedUnavailable):
    """The embedded DynamoDB engine cannot run here; the message is one line for the user."""


class EmbeddedEngine(EmbeddedService):
    """A DynamoDB for one machine, with its data under `engine/` in the data directory.

    Acknowledged writes are on disk: see `docs/embedded.md`. Streams work, but their records do not survive a restart.
    """

    name = "The embedded DynamoDB engine"
    module = "bot.local.engine_child"
    log_name = "engine.log"
    unavailable = EngineUnavailable

    @property
    def endpoint_url(self) -> str:
        """The URL for `AWS_ENDPOINT_URL_DYNAMODB`, known after the start."""
        return self.address

    def _arguments(self) -> list[str]:
        if not find_spec("ministack"):
            raise EngineUnavailable("The embedded DynamoDB engine is not installed: pip install 'turntable-bot[local]'")
        return [str(self._data_dir / "engine")]
