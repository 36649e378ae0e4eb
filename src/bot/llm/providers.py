"""The providers that this deployment has, by name."""

import re
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from bot.errors import NotConfigured, ProviderAuthFailed, ProviderRejected

from .dialects import Dialects
from .echo import EchoProvider
from .egress import base_url_problem
from .types import Credentials, Provider

if TYPE_CHECKING:
    import httpx2

    from .clients import Clients
    from .openai_provider import OpenAIProvider

PROVIDER_NAMES = ("embedded", "openai", "echo")
"""Every provider that this version knows, whether a deployment has it or not."""

OPENAI_BASE_URL = "https://api.openai.com/v1"
DEFAULT_OPENAI_MODEL = "gpt-6-luna"
"""OpenAI's smallest current model, and what it recommends in place of gpt-4o-mini and gpt-4.1-mini, which end in
January 2027: https://developers.openai.com/api/docs/deprecations"""

ECHO_MODEL = "echo"


class UnknownProvider(KeyError):
    """There is no provider with this name. `name` is the name, `known` are the existing ones."""

    def __init__(self, name: str) -> None:
        """Take the requested name."""
        super().__init__(name)
        self.name = name
        self.known = PROVIDER_NAMES

    def __str__(self) -> str:
        """Return a sentence; `KeyError` would return only the key, in quotes."""
        return f"There is no provider {self.name!r}; there are {', '.join(self.known)}."


class Providers:
    """The providers of a process: created once, shared by all its threads, closed at its end.

    Users' keys are never kept: `get` creates a small object for each, which uses a shared HTTP client.
    """

    def __init__(
        self,
        openai_api_key: str | None = None,
        openai_base_url: str | None = None,
        embedded_base_url: str | None = None,
        embedded_model: str | None = None,
        timeout: float = 60.0,
        max_retries: int = 2,
        *,
        retry_seconds: float = 5.0,
        default_model: str | None = None,
        allow_private_base_urls: bool = False,
        allowed_base_url_hosts: Sequence[str] = (),
    ) -> None:
        """Prepare the providers; sends no request.

        Args:
            openai_api_key: The deployment's key for the provider `openai`.
            openai_base_url: A server other than OpenAI's that speaks its API; without a key if it needs none (Ollama,
                vLLM).
            embedded_base_url: Where the embedded model listens, if this deployment runs one.
            embedded_model: Its name.
            timeout: Seconds for which a provider may be silent, before the answer and within it.
            max_retries: How often a failed request is retried before its answer begins.
            retry_seconds: How long after the start of the first attempt a retry may start.
            default_model: The model for agents of the provider `openai` that name none.
            allow_private_base_urls: Whether users' base URLs may be plain http or inside the deployment's network.
            allowed_base_url_hosts: The only hosts that users' base URLs may have; empty, any host.

        Raises:
            ValueError: A base URL is not an http or https address, or the key cannot be sent in a header.
        """
        for base_url in filter(None, (openai_base_url, embedded_base_url)):
            if problem := base_url_problem(base_url, private_allowed=True):
                raise ValueError(problem)
        self._key = (openai_api_key or "").strip()
        if not _can_be_sent(self._key):
            raise ValueError("The OpenAI API key contains characters that no key has.")
        self._configured = bool(self._key or openai_base_url)
        self._base_url = openai_base_url or OPENAI_BASE_URL
        self._default_model = default_model or DEFAULT_OPENAI_MODEL
        self._embedded_model = embedded_model or "embedded"
        self._max_retries = max_retries
        self._retry_seconds = retry_seconds
        self._allow_private = allow_private_base_urls
        self._hosts = tuple(allowed_base_url_hosts)
        self._timeout = timeout
        self._embedded_base_url = embedded_base_url or None
        self._dialects = Dialects()
        self._echo = EchoProvider()
        # The SDK and the clients are loaded with the first model request, or before it, by `prepare`.
        self._making = threading.Lock()
        self._made: Clients | None = None
        self._kept: dict[str, OpenAIProvider] = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        self.close()

    def close(self) -> None:
        """Close every connection. Streams that still run end with a `ProviderError`."""
        with self._making:
            if self._made is not None:
                self._made.close()

    def prepare(self) -> None:
        """Import the SDK and create the clients: a third of a second that no turn should wait for. Sends no request.

        Call it in a thread of its own once the process serves; a turn that comes earlier waits for it.
        """
        from . import openai_provider  # noqa: F401 - it is the import that takes long

        _ = self._clients

    @property
    def _clients(self) -> "Clients":
        from .clients import Clients

        with self._making:
            if self._made is None:
                self._made = Clients(self._timeout)
            return self._made

    def names(self) -> tuple[str, ...]:
        """Return the providers that work here without a user's own credentials, best first."""
        usable = {"embedded": self._embedded_base_url is not None, "openai": self._configured, "echo": True}
        return tuple(name for name in PROVIDER_NAMES if usable[name])

    def default(self) -> tuple[str, str]:
        """Return the provider and the model for agents that name none: embedded, else openai, else echo."""
        name = self.names()[0]
        return name, {"embedded": self._embedded_model, "openai": self._default_model, "echo": ECHO_MODEL}[name]

    def get(self, name: str, credentials: Credentials | None = None) -> Provider:
        """Return a provider.

        Args:
            name: One of `PROVIDER_NAMES`.
            credentials: A user's own, for `openai`; the others need none and never see them. A `base_url` of None
                means the deployment's. The deployment's key never goes to a user's `base_url`.

        Raises:
            UnknownProvider: There is no such provider.
            NotConfigured: The provider needs something that this deployment lacks.
            ProviderAuthFailed: The key has characters that no key has.
            ProviderRejected: The base URL is not one that users may send requests to.
        """
        if name not in PROVIDER_NAMES:
            raise UnknownProvider(name)
        if name == "echo":
            return self._echo
        if name == "embedded":
            address = self._embedded_base_url
            if address is None:
                raise NotConfigured("This deployment runs no embedded model.")
            return self._keep(name, lambda: self._make(name, "", address, self._clients.loopback, plain_text=True))
        if credentials is not None:
            return self._with_own_key(credentials)
        if not self._configured:
            raise NotConfigured(
                "This deployment has no key for the provider openai: set OPENAI_API_KEY, or OPENAI_BASE_URL for a"
                " server that needs no key, or store a key of your own."
            )
        return self._keep(name, lambda: self._make(name, self._key, self._base_url, self._clients.deployment))

    def _keep(self, name: str, make: "Callable[[], OpenAIProvider]") -> "OpenAIProvider":
        """Return a provider of the deployment's own, created once; two concurrent threads may create it twice."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def _with_own_key(self, credentials: Credentials) -> "OpenAIProvider":
        key = credentials.api_key.strip()
        if not _can_be_sent(key):
            raise ProviderAuthFailed("The API key contains characters that no key has.")
        if credentials.base_url is None:
            if not key:
                raise ProviderAuthFailed("The API key is empty.")
            return self._make("openai", key, self._base_url, self._clients.neutral)
        if problem := base_url_problem(credentials.base_url, private_allowed=self._allow_private, hosts=self._hosts):
            raise ProviderRejected(problem)
        client = self._clients.neutral if self._allow_private else self._clients.guarded
        return self._make("openai", key, credentials.base_url, client)

    def _make(
        self, name: str, key: str, base_url: str, client: "httpx2.Client", *, plain_text: bool = False
    ) -> "OpenAIProvider":
        from .openai_provider import OpenAIProvider

        return OpenAIProvider(
            name=name,
            api_key=key,
            base_url=base_url,
            http_client=client,
            max_retries=self._max_retries,
            retry_seconds=self._retry_seconds,
            plain_text=plain_text,
            dialects=self._dialects,
        )


def _can_be_sent(key: str) -> bool:
    # httpx2 quotes a header that it refuses in its error, and with it the key.
    return re.fullmatch(r"[\x21-\x7e]*", key) is not None
