"""The process of the embedded language model: `python -m bot.local.model_child WEIGHTS PORT`."""

import os
import sys
from importlib import import_module
from urllib.parse import urlsplit

from bot.local.lifeline import Announcement, ignore_interrupts, wait_for_end
from bot.local.model import CONTEXT_TOKENS, MODEL_NAME

HOST = "127.0.0.1"
PARALLEL = 4
LONGEST_UNLIMITED_ANSWER = 512
READING_THREADS = 4


def main() -> None:
    """Serve the model until the parent is gone or sends SIGTERM."""
    announcement = Announcement()
    ignore_interrupts()
    weights, port = sys.argv[1], int(sys.argv[2])
    try:
        xllamacpp = import_module("xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path = weights
        params.model_alias = {MODEL_NAME}
        params.n_ctx = CONTEXT_TOKENS * PARALLEL
        params.n_parallel = PARALLEL
        # One thread generates faster than people read; prompts are processed by several threads, which scales. Idle
        # threads sleep, because threads that poll starve each other on busy cores.
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = min(READING_THREADS, os.cpu_count() or 1)
        params.cpuparams.poll = params.cpuparams_batch.poll = 0
        # The model's authors recommend these as defaults.
        params.sampling.temp = 0.2
        params.sampling.top_p = 0.9
        # Such a small model may never end its answer.
        params.n_predict = LONGEST_UNLIMITED_ANSWER
        params.n_threads_http = 16
        # Four conversations stay in the slots; keeping more costs 50 MB each.
        params.cache_ram_mib = 0
        params.hostnames = [HOST]
        params.port = port
        # Only the API, and only for programs on this machine.
        params.offline = True
        params.ui = False
        params.endpoint_slots = False
        params.cors_origins = ""
        params.cors_credentials = False
        params.verbosity = 2
        server = xllamacpp.Server(params)
    except Exception as failure:
        announcement.refuse(f"The embedded language model cannot run here: {' '.join(str(failure).split())}")
    announcement.ready(port=urlsplit(server.listening_address).port)
    wait_for_end()
    del server


if __name__ == "__main__":
    main()
