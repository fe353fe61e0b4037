"""Which rows a page has, and in which order: as its template selects them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, FromClause, Select, literal_column, select, true
from sqlalchemy.sql.type_api import TypeEngine

from app.domain.conditions import Order
from app.store import tables as t
from app.store.dialects import Dialect
from app.store.narrowing import beyond
from app.store.pieces import UnitsForm, WindowForm
from app.store.reads import in_order, order_by
from app.store.sources import Source, View
from app.store.templates import OTHERS, hole, reading, value
from app.store.types import Listed, Number, Words
from app.store.written import NUMBER, ROOTS, UNITS

EVERY, NAMED = t.units.alias("every_unit"), t.units.alias("named_units")
"""Business units: those that a page or a look-up goes through, at a statement's root alone, and those of a caller."""
WALKED = "walked_"
"""How the tables are called that are walked for numbers alone."""


def visible(dialect: Dialect, units: UnitsForm, unit_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a row is in a business unit that exists for the caller."""
    match units:
        case UnitsForm.ALL:
            return true()
        case UnitsForm.ONE:
            name = value(UNITS, Words)
            return unit_id == select(t.units.c.id).where(t.units.c.name == name).scalar_subquery()
        case UnitsForm.SOME:
            names = value(UNITS, Listed(Words))
            return unit_id.in_(select(NAMED.c.id).where(dialect.among(NAMED.c.name, names)))


def there(dialect: Dialect, units: UnitsForm, view: View) -> list[ColumnElement[bool]]:
    """What is so for each row that exists for the caller."""
    return [visible(dialect, units, view.unit_id), *([] if view.only is None else [view.only])]


class Values:
    """Binds the values of a site, one after another."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        self.count += 1
        return value(self.count - 1, type_)


class Walk(NamedTuple):
    """What the rows of a page are selected by, whatever its size, its condition's and its columns' names."""

    source: Source
    link: str | None
    units: UnitsForm
    order: Order
    has_after: bool
    has_before: bool
    from_end: bool
    names_accounts: bool
    is_narrowed: bool
    """Whether every row is bound by something."""
    walks_joined: bool
    """Whether it is walked by the index of a joined table."""
    reads: frozenset[int]
    """The joins that its columns need."""
    narrows: frozenset[int] | None
    """The joins that its condition needs; None: it has none."""

    @classmethod
    def of(
        cls,
        source: Source,
        link: str | None,
        units: UnitsForm,
        form: WindowForm,
        reads: frozenset[int],
        narrows: frozenset[int] | None,
    ) -> "Walk":
        return cls(
            source,
            link,
            units,
            form.order,
            form.has_after,
            form.has_before,
            form.from_end,
            form.names_accounts,
            bool(form.narrowed),
            reading(source).walks_joined(form.narrowed, form.order.field),
            reads,
            narrows,
        )

    @property
    def kept(self) -> Sequence[str]:
        """The columns by which its rows are told apart and ordered."""
        return ["id"] if self.order.field == "id" else ["id", self.order.field]

    @property
    def is_backward(self) -> bool:
        """Whether its rows are walked against the order in which lists are walked."""
        return self.order.descending != self.from_end


class RowsOfPage:
    """How a page's rows are selected (see app.store.dialects.Page).

    There are holes for its columns but those that are `kept`, for its condition, for its limit, and for the number of
    whoever it belongs to.
    """

    def __init__(self, dialect: Dialect, walk: Walk) -> None:
        self._dialect = dialect
        self._walk = walk
        self.narrowed = ""
        """How the tables are called that its condition is about."""

    def rows(self) -> Select[Any]:
        walk, view = self._walk, reading(self._walk.source)
        if walk.link is not None:
            return self._first(view, self._columns(view), view.links[walk.link] == hole("owner", view.id.type))
        if walk.names_accounts:
            return self._merged(view, self._dialect.each(value(ROOTS, Listed(Number))))
        if walk.units is UnitsForm.ONE:
            owned = visible(self._dialect, walk.units, view.walked_unit_id(joined=walk.walks_joined))
            return self._first(view, self._columns(view), owned, is_seen=True)
        if walk.units is UnitsForm.ALL and walk.order.field == "id" and not walk.is_narrowed:
            return self._first(view, self._columns(view), true(), is_seen=True)
        if walk.order.field in walk.source.unindexed and not walk.is_narrowed:
            owned = visible(self._dialect, walk.units, view.unit_id)
            return self._first(view, self._columns(view), owned, is_seen=True)
        seen = visible(self._dialect, walk.units, EVERY.c.id)
        return self._merged(view, select(EVERY.c.id.label("key")).where(seen).subquery("each_unit"))

    def _columns(self, view: View) -> list[ColumnElement[Any]]:
        return [*(view.columns[name].label(name) for name in self._walk.kept), hole(OTHERS).label(OTHERS)]

    def _merged(self, view: View, parents: FromClause) -> Select[Any]:
        """One ordered walk for each parent, merged."""
        walk = self._walk
        merged = self._dialect.first_of_each(parents, self).subquery("merged_$")
        columns = columns_of("merged_$", view, walk)
        ordered = in_order(columns, walk.order.field, descending=walk.is_backward)
        return select(*passed(columns)).select_from(merged).order_by(*ordered).limit(hole("limit", NUMBER))

    def _first(
        self, view: View, columns: Sequence[ColumnElement[Any]], owned: ColumnElement[bool], *, is_seen: bool = False
    ) -> Select[Any]:
        walk = self._walk
        where = [owned, *([] if walk.narrows is None else [hole("condition")])]
        where += [part for part in there(self._dialect, walk.units, view) if not is_seen or part is view.only]
        bind, (field, descending) = Values(), walk.order
        if walk.has_after:
            where.append(beyond(view, field, bind, descending=descending))
        if walk.has_before:
            where.append(beyond(view, field, bind, descending=not descending))
        order = order_by(view, walk.order, descending=walk.is_backward)
        needs = view.needs_of([*columns, *where, *order]) | (walk.narrows or frozenset())
        if any(column.name == OTHERS for column in columns):
            needs |= walk.reads
        statement = select(*columns).select_from(view.joined(needs)).where(*where)
        return statement.order_by(*order).limit(hole("limit", NUMBER))

    def _owner(self, view: View) -> tuple[ColumnElement[int], bool]:
        if self._walk.names_accounts:
            return view.links["account_id"], False
        return view.walked_unit_id(joined=self._walk.walks_joined), True

    def selected(self, parents: FromClause) -> Select[Any]:
        view = reading(self._walk.source)
        owner, is_seen = self._owner(view)
        return self._first(view, self._columns(view), owner == parents.c.key, is_seen=is_seen).correlate(parents)

    def numbered(self, parents: FromClause) -> Select[Any]:
        self.narrowed = WALKED
        view = reading(self._walk.source, WALKED)
        owner, is_seen = self._owner(view)
        return self._first(view, [view.id], owner == parents.c.key, is_seen=is_seen).correlate(parents)

    def all_among(self, numbers: Select[Any], parents: FromClause) -> Select[Any]:
        view = reading(self._walk.source)
        columns = self._columns(view)
        joined = parents.join(view.joined(view.needs_of(columns) | self._walk.reads), view.id.in_(numbers))
        return select(parents.c.key.label("key"), *columns).select_from(joined)

    def ordering(self, columns: Any) -> Sequence[ColumnElement[Any]]:
        return in_order(columns, self._walk.order.field, descending=self._walk.order.descending)


def columns_of(table: str, view: View, walk: Walk) -> dict[str, ColumnElement[Any]]:
    """The columns that a table has of a page's rows, written out: SQLAlchemy takes long to make them of a table."""
    types = {**{name: view.columns[name].type for name in walk.kept}, OTHERS: None}
    return {name: literal_column(f'{table}."{name}"', type_) for name, type_ in types.items()}


def passed(columns: "dict[str, ColumnElement[Any]]") -> list[ColumnElement[Any]]:
    """Columns of a statement inside, under the same names."""
    return [column.label(name) for name, column in columns.items()]
