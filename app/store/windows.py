"""Which rows a page has, and in which order: by which walks its template selects them."""

from collections.abc import Sequence
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, literal_column, select, true
from sqlalchemy.sql.type_api import TypeEngine

from app.store import tables as t
from app.store.dialects import Dialect
from app.store.pieces import UnitsForm, WindowForm
from app.store.sources import Source
from app.store.templates import OTHERS, hole, tables, value
from app.store.types import Listed, Number, Words
from app.store.written import NUMBER, ROOTS, UNITS

EVERY, NAMED = t.units.alias("every_unit"), t.units.alias("named_units")
"""Business units: those that a page or a look-up goes through, at a statement's root alone, and those of a caller."""
WALKED = "w"
"""Stands behind the number of tables that are walked for numbers alone."""


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


class Values:
    """Binds the values of a site, one after another."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        self.count += 1
        return value(self.count - 1, type_)


class Way(Enum):
    """By which ordered walks the rows of a page are found."""

    ALONE = "one"
    EACH_ACCOUNT = "one for each account that is named, merged"
    EACH_UNIT = "one for each business unit, merged"


def way_of(source: Source, link: str | None, units: UnitsForm, form: WindowForm) -> Way:
    """The way that costs what is asked, and not what is there."""
    if link is not None:
        return Way.ALONE
    if form.names_accounts:
        return Way.EACH_ACCOUNT
    if units is UnitsForm.ONE or seen_at_once(source, units, form):
        return Way.ALONE
    return Way.EACH_UNIT


def seen_at_once(source: Source, units: UnitsForm, form: WindowForm) -> bool:
    """Whether one walk goes through all business units."""
    if form.narrowed:
        return False
    return form.order.field in source.unindexed or (units is UnitsForm.ALL and form.order.field == "id")


class RowsOfPage:
    """How a page's rows are selected (see app.store.dialects.Page).

    There are holes for its columns but the `id`; for the `rows` that are walked, which are tables and what is asked of
    them, and their `order`; for `limit`. Where rows are walked for their numbers alone, `walked` says how their tables
    are told from those that the columns are of: `tables`.
    """

    def __init__(self, dialect: Dialect, way: Way, units: UnitsForm | None) -> None:
        self._dialect = dialect
        self._way = way
        self._units = units
        self.walked = ""
        self.key: ColumnElement[int] | None = None
        """What each walk is for, in its rows' conditions; None: it is one walk."""

    def rows(self) -> Select[Any]:
        if self._way is Way.ALONE:
            return self._walk(_columns())
        parents = self._parents()
        self.key = parents.c.key
        merged = self._dialect.first_of_each(parents, self).subquery("merged_$")
        statement = select(*passed(columns_of("merged_$"))).select_from(merged)
        return statement.order_by(hole("merged_order")).limit(hole("limit", NUMBER))

    def _parents(self) -> FromClause:
        if self._way is Way.EACH_ACCOUNT:
            # Named, as its rows' conditions name it.
            return select(self._dialect.each(value(ROOTS, Listed(Number)))).subquery("each_account")
        assert self._units is not None
        seen = visible(self._dialect, self._units, EVERY.c.id)
        return select(EVERY.c.id.label("key")).where(seen).subquery("each_unit")

    def _walk(self, columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
        return select(*columns).select_from(tables("rows")).order_by(hole("order")).limit(hole("limit", NUMBER))

    def selected(self, parents: FromClause) -> Select[Any]:
        del parents  # They are named in the conditions.
        return self._walk(_columns())

    def numbered(self, parents: FromClause) -> Select[Any]:
        del parents
        self.walked = WALKED
        return self._walk([hole("walked_id", Number)])

    def all_among(self, numbers: Select[Any], parents: FromClause) -> Select[Any]:
        joined = parents.join(tables("tables"), hole("id", Number).in_(numbers))
        return select(parents.c.key.label("key"), *_columns()).select_from(joined)

    def ordering(self, columns: Any) -> Sequence[ColumnElement[Any]]:
        del columns
        return []  # The merged rows are ordered.


def _columns() -> list[ColumnElement[Any]]:
    return [hole("id", Number).label("id"), hole(OTHERS).label(OTHERS)]


def columns_of(table: str) -> dict[str, ColumnElement[Any]]:
    """The columns that a table has of a page's rows, written out: SQLAlchemy takes long to make them of a table."""
    return {"id": literal_column(f'{table}."id"', Number), OTHERS: literal_column(f'{table}."{OTHERS}"')}


def passed(columns: "dict[str, ColumnElement[Any]]") -> list[ColumnElement[Any]]:
    """Columns of a statement inside, under the same names."""
    return [column.label(name) for name, column in columns.items()]
