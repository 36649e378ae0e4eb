"""Sends a request and waits for the headers of its response: through the SDK, with our own retries and errors."""

import contextlib
import math
from collections.abc import Mapping
from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletionChunk

from bot.errors import ProviderError

from . import failures
from .retrying import Retries, is_transient

Response = openai.APIResponse[openai.Stream[ChatCompletionChunk]]

NO_KEY = "no-key-needed"
"""Sent if the server needs no key, because the SDK requires one."""

TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.StreamError, OSError)


class _Transient(Exception):
    """A transient failure: the error, and the headers of the provider's response, if there was one."""

    def __init__(self, error: ProviderError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.error = error
        self.headers = headers


class Sender:
    """Sends requests to one server with one key. Safe to share between threads."""

    def __init__(
        self,
        *,
        name: str,
        api_key: str,
        base_url: str,
        http_client: httpx2.Client,
        max_retries: int,
        retry_seconds: float,
    ) -> None:
        """Prepare it; sends no request. For the arguments see `OpenAIProvider`."""
        self._name = name
        self._secret = api_key
        self._max_retries = max_retries
        self._retry_seconds = retry_seconds
        self.timeout = http_client.timeout.read or math.inf
        self._client = openai.OpenAI(
            api_key=api_key or NO_KEY,
            base_url=base_url,
            http_client=http_client,
            # Explicit, because OPENAI_CUSTOM_HEADERS in the environment would override the key otherwise.
            default_headers={"Authorization": f"Bearer {api_key or NO_KEY}"},
            timeout=http_client.timeout,
            max_retries=0,
        )

    def retries(self) -> Retries:
        """Return the retries of a request that starts now, for all forms in which it is sent."""
        return Retries(self._max_retries, self._retry_seconds)

    def send(self, params: dict[str, Any], stack: contextlib.ExitStack, retries: Retries) -> Response:
        """Send a request, retry it after transient failures, and return the response when its headers have arrived.

        `stack` closes the response.

        Raises:
            ProviderError: The provider cannot be reached, or its answer is an error.
            Interrupted: The reader was told to stop.
        """
        while True:
            try:
                return self._attempt(params, stack)
            except _Transient as failure:
                if not retries.wait(failure.headers):
                    raise failure.error from None

    def _attempt(self, params: dict[str, Any], stack: contextlib.ExitStack) -> Response:
        create = self._client.chat.completions.with_streaming_response.create
        # Each `from None` keeps the SDK's and httpx2's own texts, which may quote the key, out of tracebacks.
        try:
            # `extra_body` is sent as it is. The SDK would compare each message with the types of its parameters, 4 ms
            # for a window of 20, and change nothing.
            asked = create(
                model=params["model"],
                messages=(),
                stream=True,
                stream_options={"include_usage": True},
                extra_body=params,
            )
            return stack.enter_context(asked)
        except openai.APIStatusError as error:
            failure = failures.from_status(error, provider=self._name, secret=self._secret)
            if is_transient(error.status_code, error.response.headers):
                raise _Transient(failure, error.response.headers) from None
            raise failure from None
        except openai.APIConnectionError as error:
            raise _Transient(self.cut(error.__cause__, began=False)) from None
        except TRANSPORT_ERRORS as error:
            raise _Transient(self.cut(error, began=False)) from None
        except openai.OpenAIError as error:
            raise self.reported(str(error)) from None

    def cut(self, error: BaseException | None, *, began: bool) -> ProviderError:
        """Return the error for a connection that failed."""
        return failures.from_transport(error, provider=self._name, timeout=self.timeout, began=began)

    def reported(self, body: object) -> ProviderError:
        """Return the error for one that the provider sent inside the stream."""
        return failures.from_event(body, provider=self._name, secret=self._secret)
