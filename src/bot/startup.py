"""Imports and the creation of the application, without the garbage collector, which would find nothing to free."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep what is created inside out of the garbage collector's sight, now and later.

    An application is some 300,000 objects that live as long as the process. The collector looks through them again and
    again while they are created, a tenth of the time of a start, and once more with every full collection after it.
    What is frozen is not looked through, and a forked worker does not copy its pages.

    Source: https://docs.python.org/3/library/gc.html#gc.freeze
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
