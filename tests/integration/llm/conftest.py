from collections.abc import Callable, Iterator

import pytest

from bot.llm.providers import Providers
from bot.llm.types import Provider
from tests.model_server import _model_server, model_server

__all__ = ["_model_server", "model_server"]

KEY = "sk-test-0123456789abcdef"


@pytest.fixture
def provider() -> Iterator[Callable[..., Provider]]:
    """Make the provider `openai` for a base URL; its connections are closed after the test."""
    opened = []

    def make(base_url: str, *, timeout: float = 20.0, max_retries: int = 0, retry_seconds: float = 10.0) -> Provider:
        opened.append(Providers(KEY, base_url, timeout=timeout, max_retries=max_retries, retry_seconds=retry_seconds))
        return opened[-1].get("openai")

    yield make
    for providers in opened:
        providers.close()
