"""Reads lists to their end, and checks each page."""

from collections.abc import Callable
from typing import TypeVar

from models.table.reading import Page

T = TypeVar("T")
Fetch = Callable[[int, T | None], Page[T]]


def read_to_the_end(fetch: Fetch[T], limit: int) -> list[T]:
    """Follow a list page by page; each is full unless it is the last, and the last is not empty unless it is the first.

    `fetch` takes the limit and the last item of the page before.
    """
    items: list[T] = []
    last: T | None = None
    while True:
        page = fetch(limit, last)
        assert len(page.items) <= limit
        items += page.items
        if not page.more:
            assert page.items or last is None, "a page said that more would come, and nothing came"
            return items
        assert len(page.items) == limit, "a page that is not the last one is full"
        last = page.items[-1]
