"""A process that speaks Chat Completions as a stream, at a pace: `python -m bench.provider`.

The model's name says how: `bench-100-0.5` is 100 pieces of text with half a second between them.
"""

import asyncio
import json
import re
from collections.abc import Callable

from bench.http import serve

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
_PACE = re.compile(rb'"model": ?"bench-(\d+)-([\d.]+)"')


def _chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _event({**_COMMON, "choices": [choice], "usage": None})


def _event(data: dict[str, object]) -> bytes:
    return _framed(f"data: {json.dumps(data)}\n\n".encode())


def _framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


_COMMON: dict[str, object] = {
    "id": "chatcmpl-bench",
    "object": "chat.completion.chunk",
    "created": 1_795_000_000,
    "model": "bench",
    "system_fingerprint": "fp_bench",
}
_BEGIN = _chunk({"role": "assistant", "content": ""})
_PIECE = _chunk({"content": "word "})
_END = (
    _chunk({}, "stop")
    + _event({**_COMMON, "choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 100, "total_tokens": 200}})
    + _framed(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


def _answer(head: bytes, body: bytes, write: Callable[[bytes], None]) -> None:  # noqa: ARG001
    found = _PACE.search(body)
    if found is None:
        raise LookupError(f"no pace in {body[:200].decode()}")
    pieces, pause = int(found[1]), float(found[2])
    write(_HEAD + _BEGIN)
    if not pause:
        write(_PIECE * pieces + _END)
        return
    task = asyncio.get_running_loop().create_task(_speak(pieces, pause, write))
    _speaking.add(task)
    task.add_done_callback(_speaking.discard)


async def _speak(pieces: int, pause: float, write: Callable[[bytes], None]) -> None:
    for number in range(pieces):
        if number:
            await asyncio.sleep(pause)
        write(_PIECE)
    write(_END)


# A task that nobody holds may be collected while it runs.
_speaking: set["asyncio.Task[None]"] = set()

if __name__ == "__main__":
    serve(_answer)
