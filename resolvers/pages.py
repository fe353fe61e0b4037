"""Connections: which page is asked for, and its rows, cursors and counts, each read only when asked for."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from app.domain import cursors
from app.domain.conditions import Comparison, Condition, Operator, Order, Place, Window, conjoined
from app.domain.currencies import CURRENCIES
from app.domain.records import CurrencyTotals
from app.domain.refusals import Code, Refusal
from app.store.reads import Edge
from resolvers.context import PAGE_DEFAULT, Context
from resolvers.declarations import Bound, Pages, key_of
from resolvers.filters import condition_of

ROOT = 0
"""The key under which a loader asks for a page that belongs to nobody."""


class RowEdge(NamedTuple):
    """A row of a page and the place where it stands."""

    cursor: str
    node: Any


class Listing:
    """One page of a connection. Nothing is read before it is asked for, and nothing twice."""

    def __init__(self, context: Context, declaration: Pages, parent: int | None, window: Window) -> None:
        self._context = context
        self._declaration = declaration
        self._parent = ROOT if parent is None else parent
        self._window = window
        self._size = window.limit - 1

    async def nodes(self) -> Sequence[Any]:
        rows = await self._rows()
        return rows[-self._size :] if self._window.from_end and self._size else rows[: self._size]

    async def edges(self) -> Sequence[RowEdge]:
        return [RowEdge(self._cursor(row), row) for row in await self.nodes()]

    async def start_cursor(self) -> str | None:
        nodes = await self.nodes()
        return self._cursor(nodes[0]) if nodes else None

    async def end_cursor(self) -> str | None:
        nodes = await self.nodes()
        return self._cursor(nodes[-1]) if nodes else None

    async def has_next_page(self) -> bool:
        if not self._window.from_end and len(await self._rows()) > self._size:
            return True
        return await self._rows_from(self._window.before, towards_end=True)

    async def has_previous_page(self) -> bool:
        if self._window.from_end and len(await self._rows()) > self._size:
            return True
        return await self._rows_from(self._window.after, towards_end=False)

    async def total_count(self) -> int:
        async def load(parents: list[int]) -> list[int]:
            declaration, condition = self._declaration, self._window.condition
            async with self._context.store.reading(self._context.caller.units) as reads:
                if declaration.link is None:
                    return [await reads.count(declaration.source, condition)]
                found = await reads.counts(declaration.source, declaration.link, parents, condition)
            return [found[parent] for parent in parents]

        question = ("count", *key_of(self._declaration), self._window.condition)
        return int(await self._context.loaders.of(question, load).load(self._parent))

    async def totals(self) -> Sequence[CurrencyTotals]:
        async def load(parents: list[int]) -> list[Sequence[CurrencyTotals]]:
            declaration, condition = self._declaration, self._window.condition
            async with self._context.store.reading(self._context.caller.units) as reads:
                found = await reads.totals(declaration.source, condition, declaration.link, parents)
            return [found.get(None if declaration.link is None else parent, []) for parent in parents]

        question = ("totals", *key_of(self._declaration), self._window.condition)
        answer: Sequence[CurrencyTotals] = await self._context.loaders.of(question, load).load(self._parent)
        return answer

    async def _rows(self) -> Sequence[Any]:
        """The rows of the page and one more, where there is one: it tells whether the list goes on."""

        async def load(parents: list[int]) -> list[Sequence[Any]]:
            declaration = self._declaration
            async with self._context.store.reading(self._context.caller.units) as reads:
                if declaration.link is None:
                    return [await reads.window(declaration.source, self._window)]
                found = await reads.windows(declaration.source, declaration.link, parents, self._window)
            return [found[parent] for parent in parents]

        question = ("rows", *key_of(self._declaration), self._window)
        rows: Sequence[Any] = await self._context.loaders.of(question, load).load(self._parent)
        return rows

    async def _rows_from(self, place: Place | None, *, towards_end: bool) -> bool:
        if place is None:
            return False
        edge = Edge(self._window.order, place, towards_end)

        async def load(parents: list[int]) -> list[bool]:
            declaration, condition = self._declaration, self._window.condition
            async with self._context.store.reading(self._context.caller.units) as reads:
                found = await reads.with_rows_from(declaration.source, declaration.link, parents, condition, edge)
            return [bool(found) if declaration.link is None else parent in found for parent in parents]

        question = ("beyond", *key_of(self._declaration), self._window.condition, edge)
        return bool(await self._context.loaders.of(question, load).load(self._parent))

    def _cursor(self, row: Any) -> str:
        digest = digest_of(self._declaration, self._window.condition, self._window.order)
        return cursors.written(digest, self._parent, getattr(row, self._window.order.field), row.id)


def listing(context: Context, declaration: Pages, parent: int | None, arguments: Mapping[str, Any]) -> Listing:
    """The page that a connection's arguments ask for.

    Raises BAD_REQUEST where they contradict each other or a cursor is of another list, PAGE_TOO_LARGE above the limit.
    """
    window, parents = window_of(declaration, arguments, context.limits.page_size)
    for name, of in parents.items():
        if of != (ROOT if parent is None else parent):
            raise _strange(name)
    return Listing(context, declaration, parent, window)


def window_of(declaration: Pages, arguments: Mapping[str, Any], size_max: int) -> tuple[Window, Mapping[str, int]]:
    """The window that a connection's arguments ask for, and whose list its cursors are of. Raises as `listing` does."""
    condition = condition_of(arguments.get("filter"), declaration.filters)
    also = [each for name, bound in declaration.bounds.items() for each in _bound(name, bound, arguments.get(name))]
    if also:
        condition = conjoined([condition, *also])
    order = _order(declaration, arguments.get("orderBy"))
    size, from_end = size_of(arguments, size_max)
    parents: dict[str, int] = {}

    def place(name: str) -> Place | None:
        text = arguments.get(name)
        if text is None:
            return None
        found = cursors.read(text, digest_of(declaration, condition, order))
        if found is None or not isinstance(found[1].key, _KEYS[order.field]):
            raise _strange(name)
        parents[name], at = found
        return at

    after, before = place("after"), place("before")
    window = Window(condition=condition, order=order, after=after, before=before, limit=size + 1, from_end=from_end)
    return window, parents


def _strange(name: str) -> Refusal:
    return Refusal(Code.BAD_REQUEST, f"{name} is no cursor of this list.")


def _bound(name: str, bound: Bound, value: Any) -> Iterator[Comparison]:
    if value is None:
        return
    if bound.is_currency and value not in CURRENCIES:
        raise Refusal(Code.BAD_REQUEST, f"{name} is not an active ISO 4217 code.")
    yield Comparison(bound.field, bound.operator, value)


def _order(declaration: Pages, given: Mapping[str, Any] | None) -> Order:
    if given is None:
        return declaration.default_order
    return Order(declaration.orders[given["field"].name], given["direction"].name == "DESC")


def size_of(arguments: Mapping[str, Any], size_max: int) -> tuple[int, bool]:
    """How many rows a page has at most, and whether they are the list's last."""
    first, last = arguments.get("first"), arguments.get("last")
    if first is not None and last is not None:
        raise Refusal(Code.BAD_REQUEST, "first and last exclude each other.")
    name, size = ("last", last) if last is not None else ("first", PAGE_DEFAULT if first is None else first)
    if size < 0:
        raise Refusal(Code.BAD_REQUEST, f"{name} must not be negative.")
    if size > size_max:
        raise Refusal(Code.PAGE_TOO_LARGE, f"{name} must be at most {size_max}.", limit=size_max)
    return size, last is not None


_KEYS: Mapping[str, type] = {
    "id": int,
    "name": str,
    "balance": Decimal,
    "min_balance": Decimal,
    "max_balance": Decimal,
    "amount": Decimal,
    "created_at": datetime,
    "updated_at": datetime,
    "timestamp": datetime,
    "recorded_at": datetime,
    "first_closing": datetime,
    "closing_at": datetime,
}
"""What the ordered field's value in a cursor must be: a cursor is a stranger's text."""


@lru_cache(maxsize=1024)
def digest_of(declaration: Pages, condition: Condition, order: Order) -> str:
    """What a list is, in a few letters: a cursor is good for the list that it was made in."""
    said = repr((key_of(declaration), _canonical(condition), tuple(order)))
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _canonical(value: Any) -> Any:
    match value:
        case Decimal():
            return str(value.normalize())
        case datetime() | date():
            return value.isoformat()
        case Operator():
            return value.value
        case tuple():
            return (type(value).__name__, *map(_canonical, value))
        case _:
            return value
