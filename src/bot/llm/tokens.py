"""How many tokens a text, or a message, takes in a model's context.

Counted offline: exactly for OpenAI's models, approximately for others.

The overhead of a message is OpenAI's own count (`num_tokens_from_messages`):
https://github.com/openai/openai-cookbook/blob/main/examples/How_to_count_tokens_with_tiktoken.ipynb
"""

import functools
import importlib.util
import json
from importlib.machinery import PathFinder
from typing import Protocol

from .content import sent_content
from .types import ChatMessage

REPLY_PRIMING = 3
"""Tokens that every request takes on top of its messages: the answer is primed with `<|start|>assistant<|message|>`."""

_PER_MESSAGE = 3
_PER_NAME = 1
# How a call is written for the model is not documented; role, recipient and delimiters come to about this.
_PER_TOOL_CALL = 8

# OpenAI's price for an image on GPT-4o and its successors: 85 tokens and 170 for each tile of 512 pixels; with low
# detail 85. Without fetching the image its size is unknown; six tiles are the documentation's example of a large one.
# https://platform.openai.com/docs/guides/images-vision#calculating-costs
_IMAGE = 85 + 6 * 170
_IMAGE_LOW_DETAIL = 85

# The tokenizer holds the interpreter's lock while it counts, up to 1.5 s for a megabyte of dashes. Between pieces,
# other threads can run; each cut adds at most one token.
_PIECE = 20_000


class _Tokenizer(Protocol):
    def count(self, text: str) -> int: ...


def count_tokens(text: str, model: str = "") -> int:
    """Return the number of tokens of `text`.

    Args:
        text: Any text; markers such as `<|endoftext|>` count as the plain text that they are.
        model: The model's name; only GPT-4 and GPT-3.5 differ. Other vendors' models count about the same.

    Takes about 0.02 s for 400 KB of prose, and time proportional to the length for any text; the first call loads the
    vocabulary (0.1 s, 65 MB).
    """
    tokenizer = _tokenizer(_encoding_name(model))
    # A lone surrogate has no UTF-8, from which tokens are made.
    text = text.encode("utf-8", "replace").decode()
    return sum(tokenizer.count(text[start : start + _PIECE]) for start in range(0, len(text), _PIECE))


def count_message(message: ChatMessage, model: str = "") -> int:
    """Return the number of tokens that a message takes in the context, its overhead included; images are estimated."""
    total = _PER_MESSAGE + _count_role(message.role, model)
    content = sent_content(message)
    if isinstance(content, str):
        total += count_tokens(content, model)
    else:
        total += sum(_count_part(part, model) for part in content or ())
    if message.name is not None:
        total += _PER_NAME + count_tokens(message.name, model)
    for call in message.tool_calls:
        total += _PER_TOOL_CALL + count_tokens(call.name, model) + count_tokens(call.arguments, model)
    return total


def count_tools(tools: tuple[dict[str, object], ...], model: str = "") -> int:
    """Return about how many tokens function declarations take: a little more than the models' own short notation."""
    return sum(_PER_TOOL_CALL + count_tokens(json.dumps(tool, ensure_ascii=False), model) for tool in tools)


@functools.lru_cache(256)
def _count_role(role: str, model: str) -> int:
    return count_tokens(role, model)


def _count_part(part: dict[str, object], model: str) -> int:
    if isinstance(text := part.get("text"), str):
        return count_tokens(text, model)
    image = part.get("image_url")
    detail = image.get("detail") if isinstance(image, dict) else None
    # A sound or a file counts at least as much; the model does not read its base64.
    return _IMAGE_LOW_DETAIL if detail == "low" else _IMAGE


def _encoding_name(model: str) -> str:
    # As in tiktoken/model.py: of OpenAI's chat models only these are older than o200k_base.
    older = model.startswith(("gpt-4", "gpt-3.5", "gpt-35")) and not model.startswith(("gpt-4o", "gpt-4.1", "gpt-4.5"))
    return "cl100k_base" if older else "o200k_base"


@functools.cache
def _tokenizer(encoding: str) -> _Tokenizer:
    """Load only the compiled tokenizer.

    `import bpe_openai` also builds tables of three vocabularies in Python: a second of CPU and 80 MB for each worker
    process that counting does not need. If the package has another layout, it is imported.
    """
    package = importlib.util.find_spec("bpe_openai")
    found = PathFinder.find_spec("_bindings", package.submodule_search_locations if package else None)
    if found is None or found.loader is None:
        module = importlib.import_module("bpe_openai._bindings")
    else:
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
    tokenizer: _Tokenizer = module.tokenizer_for_encoding(encoding)
    return tokenizer
