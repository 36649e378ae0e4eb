"""Any server that speaks Chat Completions: OpenAI, Azure's and Bedrock's compatible endpoints, Ollama, vLLM, llama.cpp.

The answer is always streamed from the provider, whatever the caller wants, so a stall, a cut and a cancelled turn are
handled in the same way and noticed equally soon. Failures that may pass (429, 5xx, connection failures) are retried
before the response begins (`bot.llm.retrying`); nothing is retried once it has begun.
"""

import contextlib
import json
import logging
import time
from collections.abc import Collection, Generator, Iterable, Iterator
from dataclasses import replace
from functools import cache

import httpx2

from bot.errors import ProviderError, ProviderIncomplete, ProviderRejected, ProviderTimeout

from .answer import Answer
from .content import images_of
from .dialects import Dialect, Dialects
from .history_form import takes_no_images
from .refusals import explained
from .sending import TRANSPORT_ERRORS, Response, Sender
from .sse import Event, StreamFormatError, read_events
from .types import ChatMessage, Completion, ModelRequest, ReasoningDelta, TextDelta
from .wire import request_params, sent_messages

log = logging.getLogger(__name__)

_PINGS_FOR = 10
"""For how many timeouts a server may send only comments, which the socket's timeout does not notice."""

_REST_OF_BODY = 64 * 1024


class OpenAIProvider:
    """Answers through Chat Completions. Safe to share between threads; the caller closes the HTTP client."""

    def __init__(
        self,
        *,
        name: str,
        api_key: str,
        base_url: str,
        http_client: httpx2.Client,
        max_retries: int,
        retry_seconds: float,
        plain_text: bool = False,
        dialects: Dialects | None = None,
    ) -> None:
        """Create a provider; sends no request.

        Args:
            name: Its name in errors.
            api_key: The key, or `""` if the server needs none.
            base_url: The root of the API, such as `https://api.openai.com/v1`.
            http_client: Has the timeouts; its read timeout is the allowed silence.
            max_retries: How often a request is retried before the response begins.
            retry_seconds: How long after the start of the first attempt a retry may start. A provider that never
                responds holds the caller for about this time plus one timeout.
            plain_text: The model reads text only and calls no functions.
            dialects: The learned dialects, which outlive a provider.
        """
        self._name = name
        self._plain_text = plain_text
        self._base_url = base_url
        self._dialects = dialects or Dialects()
        self._sender = Sender(
            name=name,
            api_key=api_key,
            base_url=base_url,
            http_client=http_client,
            max_retries=max_retries,
            retry_seconds=retry_seconds,
        )

    @property
    def name(self) -> str:
        """Its name in errors."""
        return self._name

    @property
    def supports_tools(self) -> bool:
        """False for a model that calls no functions: declarations are left out of its requests."""
        return not self._plain_text

    def takes_images(self, model: str) -> bool:
        """False if the model reads text only, or its server has refused images before."""
        return not self._plain_text and self._dialects.get(self._base_url, model).history.past_images

    def stream(self, request: ModelRequest) -> Generator[TextDelta | ReasoningDelta | Completion, None, None]:
        """Answer a request: see `Provider.stream`."""
        answer = Answer(request.model, provider=self._name, salt=str(len(request.messages)))
        with self._open(request) as response:
            body = response.iter_bytes()
            yield from self._deltas(body, answer)
            if not answer.begun and "event-stream" not in response.headers.get("content-type", ""):
                raise ProviderError(
                    f"{self._name} did not answer with a stream of events; is its base URL right?",
                    extra={"provider": self._name},
                )
            completion = answer.completion()
            yield from answer.rest()
            yield completion
            # The connection can be reused only if the body was read to its end, which is a few bytes away.
            with contextlib.suppress(*TRANSPORT_ERRORS):
                _read_rest(body)

    @contextlib.contextmanager
    def _open(self, request: ModelRequest) -> Iterator[Response]:
        """Send the request, and yield the response when its headers have arrived; closes it on exit."""
        if request.reasoning is not None:
            request = replace(request, reasoning=cache(request.reasoning))
        known = dialect = self._dialects.get(self._base_url, request.model)
        lasting = known.history.past_images
        tried = {dialect}
        retries = self._sender.retries()
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    params = request_params(request, dialect, plain_text=self._plain_text)
                    response = self._sender.send(params, stack, retries)
                    break
                except ProviderError as error:
                    other = self._after_refusal(error, request, dialect, tried)
                    if other is None or other in tried:
                        if "provider_status" not in error.extra:
                            raise
                        raise explained(error, self._sent(request, dialect)) from None
                    if not other.history.past_images and dialect.history.past_images:
                        # One image that cannot be fetched says nothing about the next.
                        lasting = not takes_no_images(error.detail.lower())
                    tried.add(other)
                    dialect = other
            past_images = lasting or self._saw(request, dialect)
            learnt = replace(dialect, history=replace(dialect.history, past_images=past_images))
            if learnt != known:
                self._dialects.learn(self._base_url, request.model, learnt)
            yield response

    def _after_refusal(
        self, error: ProviderError, request: ModelRequest, dialect: Dialect, tried: Collection[Dialect]
    ) -> Dialect | None:
        # Transport failures have no status. llama.cpp answers 500 or 501 if its template raises, or to an image.
        status = error.extra.get("provider_status")
        if self._plain_text or not isinstance(status, int):
            return None
        if not isinstance(error, ProviderRejected) and status not in (500, 501):
            return None
        return dialect.after_refusal(request, error.detail, tried)

    def _sent(self, request: ModelRequest, dialect: Dialect) -> tuple[ChatMessage, ...]:
        return sent_messages(request, dialect, plain_text=self._plain_text)

    def _saw(self, request: ModelRequest, dialect: Dialect) -> bool:
        """Whether the server has just accepted an image, although it was known to accept none."""
        return any(images_of(message) for message in self._sent(request, dialect))

    def _deltas(self, body: Iterator[bytes], answer: Answer) -> Iterator[TextDelta | ReasoningDelta]:
        """Read chunks into `answer` up to `[DONE]` or the end, and yield what they add."""
        try:
            for event in self._events(body):
                if event.data.startswith("[DONE]"):
                    return
                yield from answer.add(self._chunk(event))
        except (*TRANSPORT_ERRORS, StreamFormatError, ProviderTimeout) as error:
            # The answer is complete; at most the token counts are missing.
            if answer.finished:
                log.info("%s: the stream broke after the end of the answer (%s)", self._name, type(error).__name__)
                return
            if isinstance(error, ProviderTimeout):
                raise
            if isinstance(error, StreamFormatError):
                raise ProviderIncomplete(
                    f"{self._name} broke the answer off: {error}.", extra={"provider": self._name}
                ) from None
            raise self._sender.cut(error, began=answer.begun) from None

    def _events(self, body: Iterable[bytes]) -> Iterator[Event]:
        """Yield events; raise `ProviderTimeout` if the server sends only comments for too long."""
        patience = self._sender.timeout * _PINGS_FOR
        last_event = time.monotonic()

        def watched() -> Iterator[bytes]:
            for chunk in body:
                if time.monotonic() - last_event > patience:
                    raise ProviderTimeout(
                        f"{self._name} kept the connection open for {patience:g} seconds and sent nothing.",
                        extra={"provider": self._name},
                    )
                yield chunk

        for event in read_events(watched()):
            yield event
            # Measured from when the caller resumes: a slow caller is not the server's silence.
            last_event = time.monotonic()

    def _chunk(self, event: Event) -> dict[str, object]:
        """Return an event's JSON object.

        Raises:
            ProviderError: The event reports an error.
            StreamFormatError: It is not a JSON object.
        """
        try:
            chunk = json.loads(event.data)
        except (ValueError, RecursionError):
            raise StreamFormatError("an event is not JSON") from None
        if not isinstance(chunk, dict):
            raise StreamFormatError("an event is not a JSON object")
        # vLLM has sent the error unwrapped, with `"object": "error"`.
        error = chunk.get("error") or (chunk if event.type == "error" or chunk.get("object") == "error" else None)
        if error:
            raise self._sender.reported(error)
        return chunk


def _read_rest(body: Iterator[bytes]) -> None:
    read = 0
    for chunk in body:
        read += len(chunk)
        # More than the end of a chunked body: a server that continues after `[DONE]` loses its connection.
        if read > _REST_OF_BODY:
            return
