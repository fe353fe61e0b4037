"""Which rows a page has, and in which order, as the writer of a statement selects them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    select,
    true,
)

from app.store import tables as t
from app.store.narrowing import beyond, form_sql
from app.store.pieces import (
    Page,
    UnitsForm,
    WindowForm,
)
from app.store.reads import in_order, order_by
from app.store.sources import View
from app.store.types import Listed, Number
from app.store.written import (
    ROOTS,
    given,
    only,
    site_name,
)

if TYPE_CHECKING:
    from app.store.writer import Writer

EVERY, NAMED = t.units.alias(), t.units.alias()
"""Business units: those that a page or a look-up goes through, at a statement's root alone, and those of a caller."""


class RowsOfPage:
    """How a page's rows are selected (see app.store.dialects.Page)."""

    def __init__(self, of: "Writer", page: Page, form: WindowForm, names: Sequence[str], limit: int) -> None:
        self._of = of
        self._page = page
        self._form = form
        self._names = names
        self._limit = limit

    def over_all(self) -> tuple[View, Select[Any]]:
        """The rows of a page over all that the caller may see, and the view that tells of their columns."""
        of, form, source = self._of, self._form, self._page.source
        view = of.view(source)
        if form.names_accounts:
            roots = given(site_name(self._page.site, ROOTS), Listed(Number))
            parents = of.dialect.each(roots)
            return view, self._merged(view, parents)
        if of.units is UnitsForm.ONE:
            owner = view.walked_unit_id(form.narrowed, form.order.field)
            return view, self.first(view, of.visible(owner), is_seen=True)
        if of.units is UnitsForm.ALL and form.order.field == "id" and not form.narrowed:
            return view, self.first(view, true(), is_seen=True)
        parents = select(EVERY.c.id.label("key")).where(of.visible(EVERY.c.id)).subquery("each_unit")
        return view, self._merged(view, parents)

    def _merged(self, view: View, parents: FromClause) -> Select[Any]:
        """One ordered walk for each parent, merged."""
        types = {name: column.type for name, column in view.columns.items() if name in self._names}
        merged, columns = self._of.named(self._of.dialect.first_of_each(parents, self), types)
        field, descending = self._form.order
        ordered = in_order(columns, field, descending=descending != self._form.from_end)
        picked = [columns[name].label(name) for name in self._names]
        return select(*picked).select_from(merged).order_by(*ordered).limit(only(self._limit))

    def first(self, view: View, owned: ColumnElement[bool], *, is_seen: bool = False) -> Select[Any]:
        return self._first(view, [view.columns[name].label(name) for name in self._names], owned, is_seen=is_seen)

    def _first(
        self, view: View, columns: Sequence[ColumnElement[Any]], owned: ColumnElement[bool], *, is_seen: bool
    ) -> Select[Any]:
        of, form = self._of, self._form
        bind = of.bind(self._page.site)
        where = [owned, form_sql(of.dialect, view, form.condition, bind)]
        where += [part for part in of.there(view) if not is_seen or part is view.only]
        field, descending = form.order
        if form.has_after:
            where.append(beyond(view, field, bind, descending=descending))
        if form.has_before:
            where.append(beyond(view, field, bind, descending=not descending))
        order = order_by(view, form.order, descending=descending != form.from_end)
        tables = view.tables_of([*columns, *where, *order])
        return select(*columns).select_from(tables).where(*where).order_by(*order).limit(only(self._limit))

    def _owner(self, view: View) -> tuple[ColumnElement[int], bool]:
        if self._form.names_accounts:
            return view.links["account_id"], False
        return view.walked_unit_id(self._form.narrowed, self._form.order.field), True

    def selected(self, parents: FromClause) -> Select[Any]:
        view = self._of.view(self._page.source)
        owner, is_seen = self._owner(view)
        return self.first(view, owner == parents.c.key, is_seen=is_seen).correlate(parents)

    def numbered(self, parents: FromClause) -> Select[Any]:
        view = self._of.view(self._page.source)
        owner, is_seen = self._owner(view)
        return self._first(view, [view.id], owner == parents.c.key, is_seen=is_seen).correlate(parents)

    def all_among(self, numbers: Select[Any], parents: FromClause) -> Select[Any]:
        view = self._of.view(self._page.source)
        columns = [view.columns[name].label(name) for name in self._names]
        joined = parents.join(view.tables_of(columns), view.id.in_(numbers))
        return select(parents.c.key.label("key"), *columns).select_from(joined)

    def ordering(self, columns: Any) -> Sequence[ColumnElement[Any]]:
        return in_order(columns, self._form.order.field, descending=self._form.order.descending)
