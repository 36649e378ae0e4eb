"""The decorator that declares an access pattern on the typed function that implements it.

One declaration has three uses: logs name the pattern that a request belongs to, tests check every request against it,
and the documentation is generated from it.
"""

import functools
import logging
import pkgutil
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module
from typing import Literal, ParamSpec, TypeVar

from models.table import retries
from models.table.item import Item
from models.table.keys import Key

log = logging.getLogger("models.access")

P = ParamSpec("P")
R = TypeVar("R")

Operation = Literal[
    "GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"
]
Part = Literal["ConditionCheck", "Put", "Update", "Delete"]


@dataclass(frozen=True)
class Write:
    """One write of a transaction or batch: the action and its entity; `optional` if not every call includes it."""

    part: Part
    entity: type[Item]
    optional: bool = False


@dataclass(frozen=True)
class Request:
    """One kind of request to DynamoDB that a pattern makes.

    `entities` are the ones it may read. `sort_key` is the condition on a Query's sort key: `begins_with A`, `between A
    and B`, `SK < A` or `= A`, where A and B are templates; alternatives are joined by `or`. `page` says in words how
    many items a Query requests. `consistent` is "either" if the caller chooses. `optional`: not every call sends it;
    `alone`: a call that sends it sends nothing else; `in_a_branch`: only for a branch, and in addition to the others.
    """

    operation: Operation
    entities: tuple[type[Item], ...] = ()
    index: str | None = None
    sort_key: str | None = None
    consistent: bool | Literal["either"] = False
    order: Literal["ascending", "descending", "either"] | None = None
    writes: tuple[Write, ...] = ()
    optional: bool = False
    alone: bool = False
    in_a_branch: bool = False
    page: str | None = None

    @property
    def when(self) -> str:
        """When it is sent, in words; empty if every call sends it."""
        if self.alone:
            return "instead of the others"
        if self.in_a_branch:
            return "only in a branch"
        return "not in every call" if self.optional else ""

    @property
    def partition_key(self) -> str:
        """The template of the partition key, from the entity's declaration."""
        if self.writes:
            return ", ".join(dict.fromkeys(template(write.entity, "PK") for write in self.writes))
        if self.index is None:
            return template(self.entities[0], "PK")
        from models.table.indexes import INDEXES

        return template(self.entities[0], next(i.partition_key for i in INDEXES if i.name == self.index))


def template(entity: type[Item], attribute: str) -> str:
    """Return the template of an entity's key attribute; `{name}` for a plain attribute."""
    declared = entity.get_attributes()[attribute]
    return declared.template.text if isinstance(declared, Key) else "{" + attribute + "}"


@dataclass(frozen=True)
class Budget:
    """The maximum cost of one call in requests, read units and write units, for the case that `basis` describes.

    `in_a_branch`: how many requests more a call may send for a branch: for its root, and for the conversations on its
    path.

    `grows`: the cost grows with the data (an erasure, for example), so `basis` is an example, not a limit.
    """

    requests: int
    rcu: float
    wcu: float
    basis: str
    grows: bool = False
    in_a_branch: int = 0


@dataclass(frozen=True)
class AccessPattern:
    """One declared access pattern; `function` implements it."""

    id: str
    title: str
    question: str
    requests: tuple[Request, ...]
    budget: Budget
    routes: tuple[str, ...] = ()
    function: Callable[..., object] = field(default=lambda: None, repr=False, compare=False)


@dataclass(eq=False)
class Call:
    """One call of a pattern. `seconds` and `error` are set when it ends."""

    pattern: AccessPattern
    seconds: float = 0.0
    error: BaseException | None = None


# The pattern that runs in this thread or task, and its call: for logs, metrics and the checks on the wire.
current: ContextVar[AccessPattern | None] = ContextVar("access_pattern", default=None)
running: ContextVar[Call | None] = ContextVar("access_pattern_call", default=None)

_declared: dict[str, AccessPattern] = {}
_observers: list[Callable[[Call], object]] = []


class AccessPatternFilter(logging.Filter):
    """Adds the id of the running pattern to each log record as `access_pattern`; empty outside a pattern."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id; no record is dropped."""
        pattern = current.get()
        if not hasattr(record, "access_pattern"):
            record.access_pattern = pattern.id if pattern else ""
        return True


def observe(observer: Callable[[Call], object]) -> Callable[[], None]:
    """Call `observer` with each call of a pattern when it ends; return a function that unregisters it."""
    _observers.append(observer)
    return lambda: _observers.remove(observer)


def access_pattern(
    id: str,  # noqa: A002 - the documentation's word
    title: str,
    *,
    question: str,
    requests: tuple[Request, ...],
    budget: Budget,
    routes: tuple[str, ...] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare the decorated function as an access pattern."""

    def declare(function: Callable[P, R]) -> Callable[P, R]:
        pattern = AccessPattern(id, title, question, requests, budget, routes, function)
        if id in _declared:
            raise TypeError(f"{id} is declared twice: {_declared[id].title} and {title}")
        _declared[id] = pattern

        @functools.wraps(function)
        def perform(*args: P.args, **kwargs: P.kwargs) -> R:
            # A pattern that calls another one is reported under its own id: the outermost pattern counts.
            if current.get() is not None:
                return function(*args, **kwargs)
            call = Call(pattern)
            tokens = current.set(pattern), running.set(call)
            trying = retries.begin()
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                call.error = error
                raise
            finally:
                call.seconds = time.perf_counter() - started
                log.debug("%s %s took %.1f ms", id, title, call.seconds * 1000, extra={"access_pattern": id})
                for observer in tuple(_observers):
                    observer(call)
                retries.end(trying)
                current.reset(tokens[0])
                running.reset(tokens[1])

        return perform

    return declare


def patterns() -> tuple[AccessPattern, ...]:
    """Return all declared patterns, sorted by id; imports the modules that are not loaded yet."""
    package = import_module(__name__.rpartition(".")[0])
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)
    return tuple(sorted(_declared.values(), key=lambda pattern: int(pattern.id.removeprefix("AP-"))))
