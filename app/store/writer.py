"""Writes the statement of a tree of pieces, whose one value is the JSON text.

A text that a row's piece can't be written into (a missing record where there must be one, an instant beyond the
calendar, a key that several records have) holds a mark instead; who reads it asks in the other way (resolvers.fetch),
which knows what to say.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Label,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal_column,
    not_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.type_api import TypeEngine

from app.store import tables as t
from app.store.dialects import Dialect
from app.store.narrowing import Bind, Some, Test, beyond, form_sql
from app.store.pieces import (
    Before,
    BeforeForm,
    Constant,
    Cursor,
    Difference,
    Fact,
    Facts,
    Found,
    Identified,
    Latest,
    Object,
    Page,
    Part,
    Piece,
    Related,
    Rows,
    Several,
    SiteForm,
    Spliced,
    Totals,
    UnitsForm,
    Value,
    WindowForm,
    columns_of,
)
from app.store.reads import in_order
from app.store.sources import ENTRIES, Source, View
from app.store.types import Instant, Listed, Money, Number, Words
from app.store.windows import EVERY, NAMED, RowsOfPage
from app.store.written import (
    DIGEST,
    MARK,
    NUMBER,
    PARENT,
    TEXT,
    UNITS,
    JsonText,
    Told,
    constant,
    given,
    only,
    site_name,
)


class _TheUnit(ColumnElement[int]):
    """The number of a caller's one business unit."""

    inherit_cache = False
    type = NUMBER
    _traverse_internals = []


@compiles(_TheUnit)
def _compile_unit(_unit: _TheUnit, compiler: SQLCompiler, **more: Any) -> str:
    return f"(SELECT units.id FROM units WHERE units.name = {compiler.process(_UNIT_NAME, **more)})"  # noqa: S608 - a parameter's place.


_UNIT_NAME = given(UNITS, Words)
_THE_UNIT = _TheUnit()
READINGS_MAX = 128
"""Readings of sources that are kept for statements to come; each takes up to 100 kB."""


@lru_cache(maxsize=READINGS_MAX)
def _reading(source: Source, number: int) -> View:
    """One of the readings of a source that a statement may hold; naming all columns anew takes long."""
    del number  # It tells one from another.
    return source.view()


class Row(NamedTuple):
    """Where a row's columns are found."""

    columns: Mapping[str, ColumnElement[Any]]
    nullable: frozenset[str]
    tables: Sequence[FromClause]
    """What a statement inside is correlated with."""


class Writer:
    """Writes the statement of a tree for a database, for callers who see some units or all."""

    def __init__(self, dialect: Dialect, sites: Sequence[SiteForm], units: UnitsForm) -> None:
        self.dialect = dialect
        self._sites = sites
        self.units = units
        self._views: dict[str, int] = {}
        """How many readings of each source there are so far."""
        self._named = 0

    def view(self, source: Source) -> View:
        """A reading of a source, with names that no other one in the statement has."""
        number = self._views.get(source.name, 0)
        self._views[source.name] = number + 1
        return _reading(source, number)

    def named(
        self, statement: Select[Any], types: Mapping[str, TypeEngine[Any]]
    ) -> tuple[FromClause, dict[str, ColumnElement[Any]]]:
        """A statement as a table, and its columns, written out: SQLAlchemy takes long to make them of a table."""
        self._named += 1
        name = f"t{self._named}"
        columns: dict[str, ColumnElement[Any]] = {
            column: literal_column(f'{name}."{column}"', type_) for column, type_ in types.items()
        }
        return statement.subquery(name), columns

    def statement(self, roots: Sequence[Piece]) -> Select[Any]:
        """One row, a text for each root; JSON null where what it tells of does not exist."""
        texts: list[ColumnElement[Any]] = [self.dialect.as_bytes(self._piece(root, None)) for root in roots]
        return select(*texts)

    def _piece(self, piece: "Piece | Part", row: Row | None) -> ColumnElement[str]:
        match piece:
            case Constant(text=text):
                return constant(text)
            case Found():
                return self._found(piece)
            case Page():
                return self._page(piece, row)
        assert row is not None
        match piece:
            case Related():
                return self._related(piece, row)
            case Several():
                return self._several(piece, row)
            case Latest():
                return self._latest(piece, row)
            case Before():
                return self._before(piece, row)
            case _:
                return self._of_row(piece, row)

    def _of_row(self, piece: "Piece | Part", row: Row) -> ColumnElement[str]:
        """What the row itself holds."""
        match piece:
            case Value(column=column) | Spliced(column=column):
                return Told(self.dialect, piece, row.columns[column], is_nullable=column in row.nullable)
            case Identified():
                return Told(self.dialect, piece, row.columns["id"], is_nullable=False)
            case Difference(column=column, less=less):
                difference = self.dialect.difference_text(row.columns[column], row.columns[less])
                return JsonText().add('"').add(func.coalesce(difference, constant(MARK))).add('"').whole()
            case Object(fields=fields):
                return self._object(fields, lambda inner: self._piece(inner, row))
            case _:
                raise AssertionError(piece)

    def _object(
        self, fields: Iterable[tuple[str, Any]], write: Callable[[Any], ColumnElement[str]]
    ) -> ColumnElement[str]:
        text = JsonText().add("{")
        for place, (key, piece) in enumerate(fields):
            text.add(f'{"," if place else ""}"{key}":')
            if isinstance(piece, Constant):
                text.add(piece.text)
            else:
                text.add(write(piece))
        return text.add("}").whole()

    def bind(self, site: int) -> Bind:
        """Binds a site's values, from its first one on."""
        number = -1

        def bind(type_: TypeEngine[Any]) -> ColumnElement[Any]:
            nonlocal number
            number += 1
            return given(site_name(site, number), type_)

        return bind

    def visible(self, unit_id: ColumnElement[int]) -> ColumnElement[bool]:
        """Whether a row is in a business unit that exists for the caller."""
        match self.units:
            case UnitsForm.ALL:
                return true()
            case UnitsForm.ONE:
                return unit_id == _THE_UNIT
            case UnitsForm.SOME:
                names = given(UNITS, Listed(Words))
                return unit_id.in_(select(NAMED.c.id).where(self.dialect.among(NAMED.c.name, names)))

    def there(self, view: View) -> list[ColumnElement[bool]]:
        return [self.visible(view.unit_id), *([] if view.only is None else [view.only])]

    def _scalar(self, statement: Select[Any], view: View, row: Row | None) -> ColumnElement[Any]:
        """A statement as a value, reading of the view's tables what it needs, and bound to its row."""
        used = [*statement.selected_columns, *([] if statement.whereclause is None else [statement.whereclause])]
        used += list(statement._order_by_clauses)  # noqa: SLF001 - it has no other name.
        statement = statement.select_from(view.tables_of(used))
        return (statement if row is None else statement.correlate(*row.tables)).scalar_subquery()

    def _row_of(self, view: View) -> Row:
        nullable = frozenset(name for name, column in view.columns.items() if getattr(column, "nullable", True))
        return Row(view.columns, nullable, [view.own, *[join.table for join in view.joins]])

    def _found(self, piece: Found) -> ColumnElement[str]:
        view = self.view(piece.source)
        form: Any = self._sites[piece.site]
        where = and_(form_sql(self.dialect, view, form, self.bind(piece.site)), *self.there(view))
        made = self._piece(piece.object, self._row_of(view))
        # Keys are unique within a unit; who sees several may meet one several times.
        gathered = self.dialect.gathered(made, MARK)
        statement = select(gathered).where(where)
        if self.units is not UnitsForm.ONE and not _names_number(form):
            # Each unit's index is looked into; none has the key alone.
            tables = view.through_units([gathered, where], EVERY)
            return func.coalesce(statement.select_from(tables).scalar_subquery(), constant("null"))
        return func.coalesce(self._scalar(statement, view, None), constant("null"))

    def _related(self, piece: Related, row: Row) -> ColumnElement[str]:
        view = self.view(piece.source)
        made = self._piece(piece.object, self._row_of(view))
        statement = select(made).where(view.id == row.columns[piece.by], *self.there(view))
        missing = constant("null" if piece.is_nullable else MARK)
        return func.coalesce(self._scalar(statement, view, row), missing)

    def _several(self, piece: Several, row: Row) -> ColumnElement[str]:
        listed = self.dialect.items(row.columns[piece.by])
        view = self.view(piece.source)
        made = self._piece(piece.object, self._row_of(view))
        tables = listed.join(view.tables_of([made]), and_(view.id == listed.c.number, *self.there(view)))
        each = select(made.label("piece")).select_from(tables).order_by(listed.c.place).limit(only(_ALL))
        return self._array(each.correlate(*row.tables), row)

    def _latest(self, piece: Latest, row: Row) -> ColumnElement[str]:
        kinds, newest = t.balance_kinds.alias(), t.entries.alias()
        number = (
            select(newest.c.id)
            .where(
                newest.c.account_id == kinds.c.account_id,
                newest.c.currency == kinds.c.currency,
                newest.c.balance_type.is_not_distinct_from(kinds.c.balance_type),
            )
            .order_by(newest.c.at.desc(), newest.c.id.desc())
            .limit(only(1))
            .correlate(kinds)
            .scalar_subquery()
        )
        view = self.view(ENTRIES)
        made = self._piece(piece.object, self._row_of(view))
        tables = kinds.join(view.tables_of([made]), view.id == number)
        where = [kinds.c.account_id == row.columns["id"], *self.there(view)]
        each = select(made.label("piece")).select_from(tables).where(*where)
        each = each.order_by(kinds.c.kind).limit(only(_ALL)).correlate(*row.tables)
        return self._array(each, row)

    def _before(self, piece: Before, row: Row) -> ColumnElement[str]:
        view = self.view(ENTRIES)
        form = self._sites[piece.site]
        assert isinstance(form, BeforeForm)
        bind = self.bind(piece.site)
        columns = view.columns
        where = [
            view.links["account_id"] == row.columns["id"],
            columns["timestamp"] < bind(columns["timestamp"].type),
            columns["currency"] == (bind(columns["currency"].type) if form.has_currency else row.columns["currency"]),
            *([columns["balance_type"] == bind(columns["balance_type"].type)] if form.has_type else []),
            *self.there(view),
        ]
        made = self._piece(piece.object, self._row_of(view))
        statement = select(made).where(*where).order_by(columns["timestamp"].desc(), view.id.desc()).limit(only(1))
        return func.coalesce(self._scalar(statement, view, row), constant("null"))

    def _array(self, each: Select[Any], row: Row | None) -> ColumnElement[str]:
        """The pieces of a statement's rows, in its order, as an array."""
        pieces, columns = self.named(each, {"piece": TEXT})
        gathered = select(self.dialect.gathered(columns["piece"], ",")).select_from(pieces)
        del row  # What it is bound to stands in the statement inside.
        inner = func.coalesce(gathered.scalar_subquery(), constant(""))
        return JsonText().add("[").add(inner).add("]").whole()

    def _page(self, page: Page, row: Row | None) -> ColumnElement[str]:
        form = self._sites[page.site]
        assert isinstance(form, WindowForm)
        facts = set(_facts_of(page.parts))
        if not any(isinstance(part, Rows) for _, part in page.parts) and not any(
            _is_read(fact, form) for fact in facts
        ):
            return self._object(page.parts, lambda part: self._part(part, page, form, row, {}, {}))
        is_numbered = bool(facts - {Fact.COUNT}) or form.from_end
        picked = self._picked(page, form, row, is_numbered=is_numbered)
        inner = Row(picked.columns, picked.nullable, picked.tables)
        pieces = {
            f"p{place}": self._row_piece(part.each, page, form, row, inner)
            for place, (_, part) in enumerate(page.parts)
            if isinstance(part, Rows)
        }
        if facts & {Fact.START, Fact.END}:
            pieces["cursor"] = self._cursor(page, form, row, inner)
        labelled: list[Label[Any]] = [piece.label(name) for name, piece in pieces.items()]
        if is_numbered:
            labelled += [inner.columns["rn"].label("rn"), inner.columns["n"].label("n")]
        written = select(*labelled or [literal_column("1").label("one")]).select_from(*picked.tables)
        if is_numbered:
            place = picked.columns["rn"]
            written = written.order_by(place.desc() if form.from_end else place)
        if row is not None:
            written = written.correlate(*row.tables)
        read, columns = self.named(written, {label.name: label.type for label in labelled})
        names = _names(page.parts)
        whole = self._object(page.parts, lambda part: self._part(part, page, form, row, columns, names))
        if row is None:
            return select(whole).select_from(read).scalar_subquery()
        text = select(whole).select_from(read).correlate(*row.tables).scalar_subquery()
        if not (form.has_after or form.has_before):
            return text
        parent = given(site_name(page.site, PARENT), Number)
        return case((row.columns["id"] == parent, text), else_=constant(MARK))

    def _row_piece(self, each: Object, page: Page, form: WindowForm, outer: Row | None, row: Row) -> ColumnElement[str]:
        """What a page tells of a row: an object of it, or an edge with its cursor."""

        def write(piece: Any) -> ColumnElement[str]:
            return self._cursor(page, form, outer, row) if isinstance(piece, Cursor) else self._piece(piece, row)

        return self._object(each.fields, write)

    def _part(
        self,
        part: Part,
        page: Page,
        form: WindowForm,
        row: Row | None,
        read: Mapping[str, ColumnElement[Any]],
        names: Mapping[int, str],
    ) -> ColumnElement[str]:
        match part:
            case Rows():
                gathered = self.dialect.gathered(read[names[id(part)]], ",")
                if "rn" in read:
                    gathered = gathered.filter(read["rn"] <= literal_column(str(form.size)))
                return JsonText().add("[").add(func.coalesce(gathered, constant(""))).add("]").whole()
            case Facts(fields=fields):
                return self._object(fields, lambda fact: self._fact(fact, page, form, row, read))
            case Fact():
                return self._fact(part, page, form, row, read)
            case _:
                return self._beside(part, page, form, row)

    def _fact(
        self, fact: Fact, page: Page, form: WindowForm, row: Row | None, read: Mapping[str, ColumnElement[Any]]
    ) -> ColumnElement[str]:
        size: ColumnElement[int] = literal_column(str(form.size))
        match fact:
            case Fact.COUNT:
                return self._beside(fact, page, form, row)
            case Fact.HAS_NEXT | Fact.HAS_PREVIOUS:
                towards_end = fact is Fact.HAS_NEXT
                more = [func.count() > size] if _is_read(fact, form) else []
                if form.has_before if towards_end else form.has_after:
                    more.append(self._goes_on(page, form, row, towards_end=towards_end))
                if not more:
                    return constant("false")
                return case(*[(each, constant("true")) for each in more], else_=constant("false"))
            case Fact.START | Fact.END:
                is_first = (fact is Fact.START) != form.from_end
                last = self.dialect.least(read["n"], size)
                of_page = [read["rn"] <= size, read["rn"] == (literal_column("1") if is_first else last)]
                return func.coalesce(func.max(read["cursor"]).filter(*of_page), constant("null"))

    def _beside(self, part: Part, page: Page, form: WindowForm, row: Row | None) -> ColumnElement[str]:
        """What is told of all that matches, whatever the page."""
        view = self.view(page.source)
        where = [form_sql(self.dialect, view, form.condition, self.bind(page.site)), *self.there(view)]
        if page.link is not None:
            assert row is not None
            where.append(view.links[page.link] == row.columns["id"])
        match part:
            case Fact.COUNT:
                counted = select(cast(func.count(), Text)).where(*where)
                return self._scalar(counted, view, row)
            case Totals(each=each):
                return self._totals(each, view, where, row)
            case _:
                raise AssertionError(part)

    def _totals(
        self, each: Object, view: View, where: Sequence[ColumnElement[bool]], row: Row | None
    ) -> ColumnElement[str]:
        balance, currency = view.columns["balance"], view.columns["currency"]
        summed = {
            "currency": currency,
            "account_count": func.count(),
            "sum": self.dialect.sum_text(balance),
            "min": func.min(balance),
            "max": func.max(balance),
        }
        statement = select(*[value.label(name) for name, value in summed.items()]).where(*where)
        statement = statement.select_from(view.tables_of([*summed.values(), *where]))
        if row is not None:
            statement = statement.correlate(*row.tables)
        totals = statement.group_by(currency).order_by(currency).subquery()
        inner = Row(dict(totals.c.items()), frozenset(), [totals])

        def write(piece: Any) -> ColumnElement[str]:
            if isinstance(piece, Value) and piece.column == "sum":
                return JsonText().add('"').add(func.coalesce(totals.c.sum, constant(MARK))).add('"').whole()
            return self._piece(piece, inner)

        pieces = select(self._object(each.fields, write).label("piece")).select_from(totals)
        return self._array(pieces.order_by(totals.c.currency).limit(only(_ALL)), row)

    def _cursor(self, page: Page, form: WindowForm, outer: Row | None, row: Row) -> ColumnElement[str]:
        """A row's place in its list, as app.domain.cursors writes it."""
        field = form.order.field
        text = JsonText().add('"').add(given(site_name(page.site, DIGEST), Text())).add(".")
        if outer is None or page.link is None:
            text.add("0")
        else:
            text.add(cast(outer.columns["id"], Text))
        key = row.columns[field]
        match key.type:
            case Money():
                text.add(".n").add(self.dialect.units_text(key))
            case Instant():
                text.add(".t").add(self.dialect.micros_text(key))
            case Integer() | BigInteger():
                text.add(".i").add(cast(key, Text))
            case _:
                text.add(".s").add(self.dialect.hex(key))
        return text.add(".").add(cast(row.columns["id"], Text)).add('"').whole()

    def _goes_on(self, page: Page, form: WindowForm, row: Row | None, *, towards_end: bool) -> ColumnElement[bool]:
        """Whether there are rows at a page's given edge, or behind it."""
        view = self.view(page.source)
        bind = self.bind(page.site)
        where = [form_sql(self.dialect, view, form.condition, bind), *self.there(view)]
        field, descending = form.order
        if towards_end and form.has_after:
            beyond(view, field, bind, descending=descending)  # Its values come first.
        behind = beyond(view, field, bind, descending=descending != towards_end)
        where.append(not_(behind))
        if page.link is not None:
            assert row is not None
            where.append(view.links[page.link] == row.columns["id"])
        statement: Select[Any] = select(literal_column("1")).where(*where).select_from(view.tables_of(where))
        return (statement if row is None else statement.correlate(*row.tables)).exists()

    def _picked(self, page: Page, form: WindowForm, row: Row | None, *, is_numbered: bool) -> Row:
        """The rows of a page, and one more where it must be known whether there are more."""
        names = {"id", form.order.field}
        for _, part in page.parts:
            if isinstance(part, Rows):
                names.update(columns_of(part.each))
        limit = form.size + 1 if is_numbered else form.size
        window = RowsOfPage(self, page, form, sorted(names), limit)
        if row is not None and page.link is not None:
            view = self.view(page.source)
            owner = view.links[page.link]
            rows = window.first(view, owner == row.columns["id"]).correlate(*row.tables)
        else:
            view, rows = window.over_all()
        nullable = frozenset(name for name in names if getattr(view.columns[name], "nullable", True))
        types = {name: view.columns[name].type for name in sorted(names)}
        picked, columns = self.named(rows, types)
        if not is_numbered:
            return Row(columns, nullable, [picked])
        ordered = in_order(columns, form.order.field, descending=form.order.descending != form.from_end)
        place = func.row_number().over(order_by=ordered).label("rn")
        numbered = [column.label(name) for name, column in columns.items()]
        numbered += [place, func.count().over().label("n")]
        counted, columns = self.named(select(*numbered).select_from(picked), {**types, "rn": NUMBER, "n": NUMBER})
        return Row(columns, nullable, [counted])


def _names_number(form: SiteForm) -> bool:
    """Whether a key is the record's number, or none at all."""
    return form == Some(()) or (isinstance(form, Test) and form.field == "id")


_ALL = 1_000_000_000
"""A limit that keeps an ordered subquery ordered on SQLite, and limits nothing."""


def _is_read(fact: Fact, form: WindowForm) -> bool:
    """Whether a fact is told by the rows of the page, and one more."""
    if fact in {Fact.HAS_NEXT, Fact.HAS_PREVIOUS}:
        return form.from_end != (fact is Fact.HAS_NEXT)
    return fact in {Fact.START, Fact.END}


def _facts_of(parts: Iterable[tuple[str, Part]]) -> Iterable[Fact]:
    for _, part in parts:
        if isinstance(part, Fact) and part is not Fact.COUNT:
            yield part
        elif isinstance(part, Facts):
            yield from (fact for _, fact in part.fields if isinstance(fact, Fact))


def _names(parts: Sequence[tuple[str, Part]]) -> Mapping[int, str]:
    """Under which name each part of rows is written, by its identity."""
    return {id(part): f"p{place}" for place, (_, part) in enumerate(parts) if isinstance(part, Rows)}
