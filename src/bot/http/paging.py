"""Lists: `{"data": […], "next_cursor": …}`, where only the last page has a null cursor."""

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from bot.http.requests import cursors, scope
from models.table.reading import Page

T = TypeVar("T")


def list_of(view: type[BaseModel]) -> type[BaseModel]:
    """Return the model of a page of `view`, for the OpenAPI document."""
    from pydantic import create_model

    return create_model(
        f"{view.__name__}List",
        __doc__=f"A page of {view.__name__}.",
        data=(list[view], Field(description="The items; always `limit` of them, except on the last page.")),  # type: ignore[valid-type]
        next_cursor=(str | None, Field(description="The cursor of the next page; null on the last one.")),
    )


class Listing:
    """One list as one caller sees it; reads the given cursor and signs the next one."""

    def __init__(self, route: str, cursor: str | None, **filters: Any) -> None:
        """Take the list's `route` and `filters`, which its cursors are bound to.

        Raises:
            InvalidCursor: the cursor was issued for something else.
        """
        self._scope = scope(route, **filters)
        self.position = cursors().read(self._scope, cursor) if cursor is not None else None

    def answer(
        self, page: Page[T], show: Callable[[T], BaseModel], position: Callable[[T], list[str]]
    ) -> dict[str, Any]:
        """Return the page as JSON; `position` gives the position of its last item, after which the next page begins."""
        following = cursors().sign(self._scope, position(page.items[-1])) if page.more else None
        return {"data": [show(item).model_dump(mode="json") for item in page.items], "next_cursor": following}
