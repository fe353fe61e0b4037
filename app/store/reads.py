"""Readings of sources: look-ups, pages, counts and totals, all bounded to the caller's business units."""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, FromClause, Select, and_, bindparam, func, not_, null, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain import money
from app.domain.conditions import All, Comparison, Condition, Operator, Order, Place, Window
from app.domain.records import CurrencyTotals
from app.store.dialects import Dialect
from app.store.narrowing import among, beyond, binding, condition_sql, place_values
from app.store.sources import ENTRIES, Source, View, newest_of_kind
from app.store.tables import balance_kinds, entries, units
from app.store.types import Number, given_list

Units = frozenset[str] | None
"""Names of the business units that exist for the caller; None: all."""


def visible(dialect: Dialect, unit_id: ColumnElement[int], names: Units) -> ColumnElement[bool]:
    """Whether a row is in a business unit that exists for the caller."""
    if names is None:
        return true()
    named = units.alias()
    if len(names) == 1:
        return unit_id == select(named.c.id).where(named.c.name == next(iter(names))).scalar_subquery()
    return unit_id.in_(select(named.c.id).where(among(dialect, named.c.name, sorted(names))))


class WindowPage(NamedTuple):
    """A window of a source, for each of several parents (see app.store.dialects.Page)."""

    dialect: Dialect
    names: Units
    source: Source
    link: str
    window: Window

    def selected(self, parents: FromClause) -> Select[Any]:
        view = self.source.view()
        return self._first(view, parents, select(*_labelled(view)))

    def numbered(self, parents: FromClause) -> Select[Any]:
        view = self.source.view()
        return self._first(view, parents, select(view.id))

    def all_among(self, numbers: Select[Any], parents: FromClause) -> Select[Any]:
        view = self.source.view()
        joined = parents.join(view.tables, view.id.in_(numbers))
        return select(parents.c.key.label("key"), *_labelled(view)).select_from(joined)

    def _first(self, view: View, parents: FromClause, statement: Select[Any]) -> Select[Any]:
        window = self.window
        owner = view.links[self.link]
        if self.link == "unit_id":
            owner = view.walked_unit_id(joined=view.walks_joined(narrowed(window.condition), window.order.field))
        where = [
            owner == parents.c.key,
            visible(self.dialect, view.unit_id, self.names) if self.link != "unit_id" else true(),
            true() if view.only is None else view.only,
            condition_sql(self.dialect, self.source, view, window.condition),
            *_between(view, window),
        ]
        descending = window.order.descending != window.from_end
        statement = (
            statement.select_from(view.tables)
            .where(*where)
            .order_by(*order_by(view, window.order, descending=descending))
        )
        return statement.limit(exactly(window.limit)).correlate(parents)

    def ordering(self, columns: Any) -> Sequence[ColumnElement[Any]]:
        descending = self.window.order.descending
        return in_order(columns, self.window.order.field, descending=descending)


def narrowed(condition: Condition) -> set[str]:
    """The fields that every row of a list is bound by, to a value or a range."""
    parts = condition.of if isinstance(condition, All) else (condition,)
    return {part.field for part in parts if isinstance(part, Comparison) and part.operator in _BINDING}


_BINDING = frozenset(Operator) - {
    Operator.NOT_EQ,
    Operator.NOT_IN,
    Operator.IS_NULL,
    Operator.CONTAINS,
    Operator.ENDS_WITH,
}


@lru_cache
def _view(source: Source) -> View:
    """A reading of a source for statements that read it once; SQLAlchemy takes long to make one."""
    return source.view()


@lru_cache
def _all_of(source: Source) -> Select[Any]:
    """All records of a source."""
    view = _view(source)
    return select(*_labelled(view)).select_from(view.tables)


def _labelled(view: View) -> list[ColumnElement[Any]]:
    return [column.label(name) for name, column in view.columns.items()]


def _between(view: View, window: Window) -> list[ColumnElement[bool]]:
    field, descending = window.order
    places = ((window.after, descending), (window.before, not descending))
    return [_beyond(view, field, place, descending=down) for place, down in places if place is not None]


def _beyond(view: View, field: str, place: Place, *, descending: bool) -> ColumnElement[bool]:
    key, tie = (None, view.id) if field == "id" else (view.columns[field], view.tie(field))
    return beyond(key, tie, binding(list(place_values(field, place))), descending=descending)


def order_by(view: View, order: Order, *, descending: bool) -> list[ColumnElement[Any]]:
    """The order in which a view's rows are walked; the id breaks ties in the same direction."""
    field = order.field
    columns = [view.id] if field == "id" else [view.columns[field], view.tie(field)]
    return [column.desc() if descending else column.asc() for column in columns]


def in_order(columns: Any, field: str, *, descending: bool) -> list[ColumnElement[Any]]:
    """A list's order over the columns of a record; the id breaks ties in the same direction."""
    ordered = [columns["id"]] if field == "id" else [columns[field], columns["id"]]
    return [column.desc() if descending else column.asc() for column in ordered]


def exactly(limit: int) -> ColumnElement[int]:
    """A limit that stands in the statement as a number, so that the planner knows it."""
    return bindparam(None, limit, type_=Number, unique=True, literal_execute=True)


class Edge(NamedTuple):
    """A place in an ordered list, and the side of it that is asked about: towards the list's end or its start."""

    order: Order
    place: Place
    towards_end: bool


def _from(view: View, edge: Edge) -> ColumnElement[bool]:
    field, descending = edge.order
    return not_(_beyond(view, field, edge.place, descending=descending != edge.towards_end))


def named_accounts(condition: Condition) -> Collection[int] | None:
    """The accounts that a condition is bound to, where it names them outright."""
    parts = condition.of if isinstance(condition, All) else (condition,)
    for part in parts:
        if isinstance(part, Comparison) and part.field == "account_id" and part.operator is Operator.IN:
            return frozenset(part.value)
    return None


class Reads:
    """Answers about sources, for one caller, on one connection."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect, names: Units) -> None:
        self._connection = connection
        self._dialect = dialect
        self._names = names

    async def by_ids(self, source: Source, ids: Collection[int]) -> dict[int, Any]:
        """The records with these ids that exist for the caller."""
        return {record.id: record for record in await self._matching(source, "id", ids)}

    async def by_key(self, source: Source, field: str, values: Collection[Any]) -> list[Any]:
        """The records whose field has one of these values, exactly."""
        return await self._matching(source, field, values)

    async def by_parents(self, source: Source, link: str, parents: Collection[int]) -> dict[int, list[Any]]:
        """All records of each parent, in order of their ids; for children that are few."""
        view = _view(source)
        where = and_(among(self._dialect, view.links[link], sorted(parents)), self._visible(view))
        statement = select(view.links[link].label("key"), *_labelled(view)).select_from(view.tables).where(where)
        return await self._grouped(source, statement.order_by(view.id))

    async def windows(
        self, source: Source, link: str, parents: Collection[int], window: Window
    ) -> dict[int, list[Any]]:
        """For each parent the rows of its window, in one statement."""
        page = WindowPage(self._dialect, self._names, source, link, window)
        each = self._dialect.each(given_list(Number, sorted(parents)))
        found = await self._grouped(source, self._dialect.first_of_each(each, page))
        return {parent: found.get(parent, []) for parent in parents}

    async def window(self, source: Source, window: Window) -> list[Any]:
        """The rows of a window over all that the caller may see: one ordered walk for each unit, merged."""
        link, parents = self._roots(source, window.condition)
        page = WindowPage(self._dialect, self._names, source, link, window)
        statement = self._dialect.first_of_each(parents, page)
        descending = window.order.descending != window.from_end
        merged = statement.subquery()
        columns = [merged.c[name] for name in source.record._fields]
        statement = select(*columns).order_by(*in_order(merged.c, window.order.field, descending=descending))
        statement = statement.limit(exactly(window.limit))
        rows = (await self._connection.execute(statement)).all()
        records = [source.record._make(row) for row in rows]
        return records[::-1] if window.from_end else records

    def _roots(self, source: Source, condition: Condition) -> tuple[str, FromClause]:
        """By what a page over everything is walked: by the accounts that it names, else by business units."""
        named = named_accounts(condition) if source.name == "entries" else None
        if named is not None:
            return "account_id", self._dialect.each(given_list(Number, sorted(named)))
        every = units.alias()
        statement = select(every.c.id.label("key"))
        if self._names is not None:
            statement = statement.where(among(self._dialect, every.c.name, sorted(self._names)))
        return "unit_id", statement.subquery("each_unit")

    async def count(self, source: Source, condition: Condition) -> int:
        view = _view(source)
        statement = select(func.count()).select_from(view.tables).where(self._where(source, view, condition))
        return int((await self._connection.execute(statement)).scalar_one())

    async def counts(self, source: Source, link: str, parents: Collection[int], condition: Condition) -> dict[int, int]:
        """How many rows each parent has that meet a condition."""
        view = _view(source)
        owner = view.links[link]
        where = and_(among(self._dialect, owner, sorted(parents)), self._where(source, view, condition))
        statement = select(owner, func.count()).select_from(view.tables).where(where).group_by(owner)
        found = {row[0]: int(row[1]) for row in await self._connection.execute(statement)}
        return {parent: found.get(parent, 0) for parent in parents}

    async def with_rows_from(
        self, source: Source, link: str | None, parents: Collection[int], condition: Condition, edge: "Edge"
    ) -> set[int]:
        """The parents that have a row at the edge or behind it; without a link, units that have one."""
        if link is None:
            link, each = self._roots(source, condition)
        else:
            each = self._dialect.each(given_list(Number, sorted(parents)))
        view = _view(source)
        where = [view.links[link] == each.c.key, self._where(source, view, condition), _from(view, edge)]
        there = select(true()).select_from(view.tables).where(*where).correlate(each).exists()
        return set((await self._connection.execute(select(each.c.key).where(there))).scalars())

    async def totals(
        self, source: Source, condition: Condition, link: str | None = None, parents: Collection[int] = ()
    ) -> dict[int | None, list[CurrencyTotals]]:
        """The balances of all accounts that meet a condition, a row a currency, for each parent (None: over all)."""
        view = _view(source)
        currency, balance = view.columns["currency"], view.columns["balance"]
        high, low = self._dialect.halves(balance)
        summed = [currency, func.count(), high, low, func.min(balance), func.max(balance)]
        where = [self._where(source, view, condition)]
        groups = [currency]
        if link is not None:
            where.append(among(self._dialect, view.links[link], sorted(parents)))
            groups = [view.links[link], currency]
        owner: ColumnElement[Any] = view.links[link] if link is not None else null()
        statement = select(owner, *summed).select_from(view.tables).where(*where).group_by(*groups).order_by(*groups)
        found: dict[int | None, list[CurrencyTotals]] = {}
        for key, code, count, above, below, least, most in await self._connection.execute(statement):
            total = money.from_units((int(above) << 32) + int(below))
            found.setdefault(key, []).append(CurrencyTotals(code, int(count), total, least, most))
        return found

    async def latest_of_kinds(self, accounts: Collection[int]) -> dict[int, list[Any]]:
        """For each account the latest entry of each balance type and currency, without reading the others."""
        kinds, each = balance_kinds.alias(), entries.alias()
        newest = newest_of_kind(kinds, each).limit(exactly(1)).scalar_subquery()
        view = _view(ENTRIES)
        joined = kinds.join(view.tables, view.id == newest)
        where = and_(among(self._dialect, kinds.c.account_id, sorted(accounts)), self._visible(view))
        statement = select(kinds.c.account_id.label("key"), *_labelled(view)).select_from(joined).where(where)
        return await self._grouped(ENTRIES, statement.order_by(kinds.c.account_id, kinds.c.kind))

    async def units(self, names: Collection[str] | None = None) -> list[str]:
        """The business units that exist for the caller, by name; of these names alone, where some are given."""
        named = units.c.name
        statement = select(named).where(visible(self._dialect, units.c.id, self._names)).order_by(named)
        if names is not None:
            statement = statement.where(among(self._dialect, named, sorted(names)))
        return list((await self._connection.execute(statement)).scalars())

    async def _matching(self, source: Source, field: str, values: Collection[Any]) -> list[Any]:
        view = _view(source)
        where = and_(
            condition_sql(self._dialect, source, view, Comparison(field, Operator.IN, tuple(values))),
            self._visible(view),
        )
        rows = await self._connection.execute(_all_of(source).where(where))
        return [source.record._make(row) for row in rows.all()]

    async def _grouped(self, source: Source, statement: Select[Any]) -> dict[int, list[Any]]:
        make: Callable[[Any], Any] = source.record._make
        found: dict[int, list[Any]] = {}
        for row in (await self._connection.execute(statement)).all():
            found.setdefault(row[0], []).append(make(row[1:]))
        return found

    def _visible(self, view: View) -> ColumnElement[bool]:
        seen = visible(self._dialect, view.unit_id, self._names)
        return seen if view.only is None else and_(seen, view.only)

    def _where(self, source: Source, view: View, condition: Condition) -> ColumnElement[bool]:
        return and_(self._visible(view), condition_sql(self._dialect, source, view, condition))
