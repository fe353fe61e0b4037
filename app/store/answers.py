"""Answers that the database writes: a tree of pieces as one statement, whose one value is the JSON text.

A text that a row's piece can't be written into (a missing record where there must be one, an instant beyond the
calendar, a key that several records have) holds a mark instead; who reads it asks in the other way (resolvers.fetch),
which knows what to say.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple
from weakref import ref

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Label,
    Select,
    SmallInteger,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    not_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.engine import Dialect as Driver
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ExpressionClauseList
from sqlalchemy.sql.operators import concat_op
from sqlalchemy.sql.type_api import TypeEngine
from sqlalchemy.sql.visitors import InternalTraversal

from app.store import tables as t
from app.store.dialects import Dialect
from app.store.lanes import Compiled, Lanes, compiled
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
from app.store.reads import Units, in_order, order_by
from app.store.sources import ENTRIES, Source, View
from app.store.types import Flag, Identifier, Instant, Listed, Money, Number, Plain, Words

MARK = "\x01"
"""What no JSON text holds: the answer is to be made in the other way."""
STATEMENTS_MAX = 64
"""Statements that are kept for one question; each page size makes one."""
CHARACTERS_MAX = 16_000_000
"""Of all statements that are kept; then the oldest one is made anew when it is asked for."""
LARGE_READS = 20
"""Readings in a question whose statement is made in a thread, so that nobody else waits for that."""

SPLICE = "\x02"
"""Begins and ends a place where something is put in: the splice's number, a colon, and the value."""
BEYOND = b'infinityZ"'
"""How PostgreSQL writes instants that it keeps as infinite; a text may hold it too, which costs time and no more."""

DIGEST, PARENT, ROOTS, UNITS = "digest", "parent", "roots", "units"


@lru_cache(maxsize=10_000)
def site_name(site: int, what: int | str) -> str:
    """The parameter of a site's value: by its number, or by name."""
    return f"s{site}_{what}"


def given(name: str, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    """A value that comes when the statement is asked."""
    return bindparam(name, None, type_=type_)


class _Row(NamedTuple):
    """Where a row's columns are found."""

    columns: Mapping[str, ColumnElement[Any]]
    nullable: frozenset[str]
    tables: Sequence[FromClause]
    """What a statement inside is correlated with."""


class _Joined(ExpressionClauseList[str]):
    """Texts behind each other. Whoever selects one says which tables it reads of; looking through all takes long."""

    inherit_cache = False
    _from_objects: ClassVar[list[FromClause]] = []


class _Text(list[ColumnElement[str]]):
    """A text that is put together; constant parts that meet become one."""

    def add(self, part: "str | ColumnElement[Any]") -> "_Text":
        if isinstance(part, str):
            self._constant += part
        else:
            self._flush()
            self.append(part)
        return self

    def whole(self) -> ColumnElement[str]:
        self._flush()
        if not self:
            return constant("")
        if len(self) == 1:
            return type_coerce(self[0], Text())
        # All at once: a chain of pairs takes twice as long to make and to compile.
        return _Joined._construct_for_list(concat_op, _TEXT, *self)  # noqa: SLF001 - it has no other name.

    _constant = ""

    def _flush(self) -> None:
        if self._constant:
            self.append(constant(self._constant))
            self._constant = ""


_TEXT = Text()


def _only(limit: int) -> ColumnElement[int]:
    """A limit that stands in the statement."""
    return literal_column(str(limit), _NUMBER)


_NUMBER = Integer()


def _literal(value: int | str) -> str:
    """A value of an enumeration, as it stands in a statement."""
    return str(int(value)) if isinstance(value, int) else f"'{value}'"


def constant(text: str) -> ColumnElement[str]:
    """A text that stands in the statement itself."""
    return literal_column("'" + text.replace("'", "''") + "'", Text())


class _Told(ColumnElement[str]):
    """A column as JSON. How its type is written is worked out once; a statement has hundreds of such texts."""

    inherit_cache = False
    type = _TEXT
    _traverse_internals = [("column", InternalTraversal.dp_clauseelement)]

    def __init__(
        self, dialect: Dialect, piece: Value | Spliced | Identified, column: ColumnElement[Any], *, is_nullable: bool
    ) -> None:
        self.column = column
        self.form = dialect, piece, column.type, is_nullable

    _from_objects: ClassVar[list[FromClause]] = []


@compiles(_Told)
def _compile_told(told: _Told, compiler: SQLCompiler, **more: Any) -> str:
    return _template(compiler.dialect, *told.form).replace(_COLUMN, compiler.process(told.column, **more))


_COLUMN = "\x03"
"""Where a column comes into a text that is worked out for its type."""


@lru_cache(maxsize=2_000)
def _template(
    driver: Driver,
    dialect: Dialect,
    piece: Value | Spliced | Identified,
    type_: TypeEngine[Any],
    is_nullable: bool,
) -> str:
    made = _told(dialect, piece, literal_column(_COLUMN, type_), is_nullable=is_nullable).compile(dialect=driver)
    assert not made.params, "what is told of a column is told by itself"
    return str(made)


def _told(
    dialect: Dialect, piece: Value | Spliced | Identified, at: ColumnElement[Any], *, is_nullable: bool
) -> ColumnElement[str]:
    match piece:
        case Identified(kind=kind):
            return _Text().add(f'"{kind}_').add(cast(at, Text)).add('"').whole()
        case Spliced(splice=splice):
            text = _Text().add(f"{SPLICE}{splice}:").add(at).add(SPLICE).whole()
        case Value(names=names) if names:
            told = [(at == literal_column(_literal(value)), constant(f'"{name}"')) for value, name in names]
            return case(*told, else_=constant("null"))
        case _:
            text = _written(dialect, at)
    return func.coalesce(text, constant("null")) if is_nullable else text


def _written(dialect: Dialect, at: ColumnElement[Any]) -> ColumnElement[str]:
    """A value as JSON, by its column's type; null where it is."""
    match at.type:
        case Money():
            return _Text().add('"').add(dialect.money_text(at)).add('"').whole()
        case Instant():
            return _Text().add('"').add(dialect.instant_text(at)).add('"').whole()
        case Flag() | Boolean():
            nothing: ColumnElement[Any] = literal_column("NULL", Text())
            return case((at.is_(None), nothing), (at, constant("true")), else_=constant("false"))
        case Identifier() | Date() | Plain():
            return _Text().add('"').add(cast(at, Text)).add('"').whole()
        case Integer() | BigInteger() | SmallInteger():
            return cast(at, Text)
        case Text():
            return dialect.quoted(at)
        case _:
            return _Text().add('"').add(cast(at, Text)).add('"').whole()


class _TheUnit(ColumnElement[int]):
    """The number of a caller's one business unit."""

    inherit_cache = False
    type = _NUMBER
    _traverse_internals = []


@compiles(_TheUnit)
def _compile_unit(_unit: _TheUnit, compiler: SQLCompiler, **more: Any) -> str:
    return f"(SELECT units.id FROM units WHERE units.name = {compiler.process(_UNIT_NAME, **more)})"  # noqa: S608 - a parameter's place.


_UNIT_NAME = given(UNITS, Words)
_THE_UNIT = _TheUnit()
_EVERY, _NAMED = t.units.alias(), t.units.alias()
"""Business units: those that a page or a look-up goes through, at a statement's root alone, and those of a caller."""

READINGS_MAX = 128
"""Readings of sources that are kept for statements to come; each takes up to 100 kB."""


@lru_cache(maxsize=READINGS_MAX)
def _reading(source: Source, number: int) -> View:
    """One of the readings of a source that a statement may hold; naming all columns anew takes long."""
    del number  # It tells one from another.
    return source.view()


class Writer:
    """Writes the statement of a tree for a database, for callers who see some units or all."""

    def __init__(self, dialect: Dialect, sites: Sequence[SiteForm], units: UnitsForm) -> None:
        self._dialect = dialect
        self._sites = sites
        self._units = units
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
        texts: list[ColumnElement[Any]] = [self._dialect.as_bytes(self._piece(root, None)) for root in roots]
        return select(*texts)

    def _piece(self, piece: "Piece | Part", row: _Row | None) -> ColumnElement[str]:
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

    def _of_row(self, piece: "Piece | Part", row: _Row) -> ColumnElement[str]:
        """What the row itself holds."""
        match piece:
            case Value(column=column) | Spliced(column=column):
                return _Told(self._dialect, piece, row.columns[column], is_nullable=column in row.nullable)
            case Identified():
                return _Told(self._dialect, piece, row.columns["id"], is_nullable=False)
            case Difference(column=column, less=less):
                difference = self._dialect.difference_text(row.columns[column], row.columns[less])
                return _Text().add('"').add(func.coalesce(difference, constant(MARK))).add('"').whole()
            case Object(fields=fields):
                return self._object(fields, lambda inner: self._piece(inner, row))
            case _:
                raise AssertionError(piece)

    def _object(
        self, fields: Iterable[tuple[str, Any]], write: Callable[[Any], ColumnElement[str]]
    ) -> ColumnElement[str]:
        text = _Text().add("{")
        for place, (key, piece) in enumerate(fields):
            text.add(f'{"," if place else ""}"{key}":')
            if isinstance(piece, Constant):
                text.add(piece.text)
            else:
                text.add(write(piece))
        return text.add("}").whole()

    def _bind(self, site: int) -> Bind:
        """Binds a site's values, from its first one on."""
        number = -1

        def bind(type_: TypeEngine[Any]) -> ColumnElement[Any]:
            nonlocal number
            number += 1
            return given(site_name(site, number), type_)

        return bind

    def _visible(self, unit_id: ColumnElement[int]) -> ColumnElement[bool]:
        """Whether a row is in a business unit that exists for the caller."""
        match self._units:
            case UnitsForm.ALL:
                return true()
            case UnitsForm.ONE:
                return unit_id == _THE_UNIT
            case UnitsForm.SOME:
                names = given(UNITS, Listed(Words))
                return unit_id.in_(select(_NAMED.c.id).where(self._dialect.among(_NAMED.c.name, names)))

    def _there(self, view: View) -> list[ColumnElement[bool]]:
        return [self._visible(view.unit_id), *([] if view.only is None else [view.only])]

    def _scalar(self, statement: Select[Any], view: View, row: _Row | None) -> ColumnElement[Any]:
        """A statement as a value, reading of the view's tables what it needs, and bound to its row."""
        used = [*statement.selected_columns, *([] if statement.whereclause is None else [statement.whereclause])]
        used += list(statement._order_by_clauses)  # noqa: SLF001 - it has no other name.
        statement = statement.select_from(view.tables_of(used))
        return (statement if row is None else statement.correlate(*row.tables)).scalar_subquery()

    def _row_of(self, view: View) -> _Row:
        nullable = frozenset(name for name, column in view.columns.items() if getattr(column, "nullable", True))
        return _Row(view.columns, nullable, [view.own, *[join.table for join in view.joins]])

    def _found(self, piece: Found) -> ColumnElement[str]:
        view = self.view(piece.source)
        form: Any = self._sites[piece.site]
        where = and_(form_sql(self._dialect, view, form, self._bind(piece.site)), *self._there(view))
        made = self._piece(piece.object, self._row_of(view))
        # Keys are unique within a unit; who sees several may meet one several times.
        gathered = self._dialect.gathered(made, MARK)
        statement = select(gathered).where(where)
        if self._units is not UnitsForm.ONE and not _names_number(form):
            # Each unit's index is looked into; none has the key alone.
            tables = _EVERY.join(view.tables_of([gathered, where]), view.unit_id == _EVERY.c.id)
            return func.coalesce(statement.select_from(tables).scalar_subquery(), constant("null"))
        return func.coalesce(self._scalar(statement, view, None), constant("null"))

    def _related(self, piece: Related, row: _Row) -> ColumnElement[str]:
        view = self.view(piece.source)
        made = self._piece(piece.object, self._row_of(view))
        statement = select(made).where(view.id == row.columns[piece.by], *self._there(view))
        missing = constant("null" if piece.is_nullable else MARK)
        return func.coalesce(self._scalar(statement, view, row), missing)

    def _several(self, piece: Several, row: _Row) -> ColumnElement[str]:
        listed = self._dialect.items(row.columns[piece.by])
        view = self.view(piece.source)
        made = self._piece(piece.object, self._row_of(view))
        tables = listed.join(view.tables_of([made]), and_(view.id == listed.c.number, *self._there(view)))
        each = select(made.label("piece")).select_from(tables).order_by(listed.c.place).limit(_only(_ALL))
        return self._array(each.correlate(*row.tables), row)

    def _latest(self, piece: Latest, row: _Row) -> ColumnElement[str]:
        kinds, newest = t.balance_kinds.alias(), t.entries.alias()
        number = (
            select(newest.c.id)
            .where(
                newest.c.account_id == kinds.c.account_id,
                newest.c.currency == kinds.c.currency,
                newest.c.balance_type.is_not_distinct_from(kinds.c.balance_type),
            )
            .order_by(newest.c.at.desc(), newest.c.id.desc())
            .limit(_only(1))
            .correlate(kinds)
            .scalar_subquery()
        )
        view = self.view(ENTRIES)
        made = self._piece(piece.object, self._row_of(view))
        tables = kinds.join(view.tables_of([made]), view.id == number)
        where = [kinds.c.account_id == row.columns["id"], *self._there(view)]
        each = select(made.label("piece")).select_from(tables).where(*where)
        each = each.order_by(kinds.c.kind).limit(_only(_ALL)).correlate(*row.tables)
        return self._array(each, row)

    def _before(self, piece: Before, row: _Row) -> ColumnElement[str]:
        view = self.view(ENTRIES)
        form = self._sites[piece.site]
        assert isinstance(form, BeforeForm)
        bind = self._bind(piece.site)
        columns = view.columns
        where = [
            view.links["account_id"] == row.columns["id"],
            columns["timestamp"] < bind(columns["timestamp"].type),
            columns["currency"] == (bind(columns["currency"].type) if form.has_currency else row.columns["currency"]),
            *([columns["balance_type"] == bind(columns["balance_type"].type)] if form.has_type else []),
            *self._there(view),
        ]
        made = self._piece(piece.object, self._row_of(view))
        statement = select(made).where(*where).order_by(columns["timestamp"].desc(), view.id.desc()).limit(_only(1))
        return func.coalesce(self._scalar(statement, view, row), constant("null"))

    def _array(self, each: Select[Any], row: _Row | None) -> ColumnElement[str]:
        """The pieces of a statement's rows, in its order, as an array."""
        pieces, columns = self.named(each, {"piece": _TEXT})
        gathered = select(self._dialect.gathered(columns["piece"], ",")).select_from(pieces)
        del row  # What it is bound to stands in the statement inside.
        inner = func.coalesce(gathered.scalar_subquery(), constant(""))
        return _Text().add("[").add(inner).add("]").whole()

    def _page(self, page: Page, row: _Row | None) -> ColumnElement[str]:
        form = self._sites[page.site]
        assert isinstance(form, WindowForm)
        facts = set(_facts_of(page.parts))
        if not any(isinstance(part, Rows) for _, part in page.parts) and not any(
            _is_read(fact, form) for fact in facts
        ):
            return self._object(page.parts, lambda part: self._part(part, page, form, row, {}, {}))
        is_numbered = bool(facts - {Fact.COUNT}) or form.from_end
        picked = self._picked(page, form, row, is_numbered=is_numbered)
        inner = _Row(picked.columns, picked.nullable, picked.tables)
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

    def _row_piece(
        self, each: Object, page: Page, form: WindowForm, outer: _Row | None, row: _Row
    ) -> ColumnElement[str]:
        """What a page tells of a row: an object of it, or an edge with its cursor."""

        def write(piece: Any) -> ColumnElement[str]:
            return self._cursor(page, form, outer, row) if isinstance(piece, Cursor) else self._piece(piece, row)

        return self._object(each.fields, write)

    def _part(
        self,
        part: Part,
        page: Page,
        form: WindowForm,
        row: _Row | None,
        read: Mapping[str, ColumnElement[Any]],
        names: Mapping[int, str],
    ) -> ColumnElement[str]:
        match part:
            case Rows():
                gathered = self._dialect.gathered(read[names[id(part)]], ",")
                if "rn" in read:
                    gathered = gathered.filter(read["rn"] <= literal_column(str(form.size)))
                return _Text().add("[").add(func.coalesce(gathered, constant(""))).add("]").whole()
            case Facts(fields=fields):
                return self._object(fields, lambda fact: self._fact(fact, page, form, row, read))
            case Fact():
                return self._fact(part, page, form, row, read)
            case _:
                return self._beside(part, page, form, row)

    def _fact(
        self, fact: Fact, page: Page, form: WindowForm, row: _Row | None, read: Mapping[str, ColumnElement[Any]]
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
                last = self._dialect.least(read["n"], size)
                of_page = [read["rn"] <= size, read["rn"] == (literal_column("1") if is_first else last)]
                return func.coalesce(func.max(read["cursor"]).filter(*of_page), constant("null"))

    def _beside(self, part: Part, page: Page, form: WindowForm, row: _Row | None) -> ColumnElement[str]:
        """What is told of all that matches, whatever the page."""
        view = self.view(page.source)
        where = [form_sql(self._dialect, view, form.condition, self._bind(page.site)), *self._there(view)]
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
        self, each: Object, view: View, where: Sequence[ColumnElement[bool]], row: _Row | None
    ) -> ColumnElement[str]:
        balance, currency = view.columns["balance"], view.columns["currency"]
        summed = {
            "currency": currency,
            "account_count": func.count(),
            "sum": self._dialect.sum_text(balance),
            "min": func.min(balance),
            "max": func.max(balance),
        }
        statement = select(*[value.label(name) for name, value in summed.items()]).where(*where)
        statement = statement.select_from(view.tables_of([*summed.values(), *where]))
        if row is not None:
            statement = statement.correlate(*row.tables)
        totals = statement.group_by(currency).order_by(currency).subquery()
        inner = _Row(dict(totals.c.items()), frozenset(), [totals])

        def write(piece: Any) -> ColumnElement[str]:
            if isinstance(piece, Value) and piece.column == "sum":
                return _Text().add('"').add(func.coalesce(totals.c.sum, constant(MARK))).add('"').whole()
            return self._piece(piece, inner)

        pieces = select(self._object(each.fields, write).label("piece")).select_from(totals)
        return self._array(pieces.order_by(totals.c.currency).limit(_only(_ALL)), row)

    def _cursor(self, page: Page, form: WindowForm, outer: _Row | None, row: _Row) -> ColumnElement[str]:
        """A row's place in its list, as app.domain.cursors writes it."""
        field = form.order.field
        text = _Text().add('"').add(given(site_name(page.site, DIGEST), Text())).add(".")
        if outer is None or page.link is None:
            text.add("0")
        else:
            text.add(cast(outer.columns["id"], Text))
        key = row.columns[field]
        match key.type:
            case Money():
                text.add(".n").add(self._dialect.units_text(key))
            case Instant():
                text.add(".t").add(self._dialect.micros_text(key))
            case Integer() | BigInteger():
                text.add(".i").add(cast(key, Text))
            case _:
                text.add(".s").add(self._dialect.hex(key))
        return text.add(".").add(cast(row.columns["id"], Text)).add('"').whole()

    def _goes_on(self, page: Page, form: WindowForm, row: _Row | None, *, towards_end: bool) -> ColumnElement[bool]:
        """Whether there are rows at a page's given edge, or behind it."""
        view = self.view(page.source)
        bind = self._bind(page.site)
        where = [form_sql(self._dialect, view, form.condition, bind), *self._there(view)]
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

    def _picked(self, page: Page, form: WindowForm, row: _Row | None, *, is_numbered: bool) -> _Row:
        """The rows of a page, and one more where it must be known whether there are more."""
        names = {"id", form.order.field}
        for _, part in page.parts:
            if isinstance(part, Rows):
                names.update(columns_of(part.each))
        limit = form.size + 1 if is_numbered else form.size
        window = _Window(self, page, form, sorted(names), limit)
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
            return _Row(columns, nullable, [picked])
        ordered = in_order(columns, form.order.field, descending=form.order.descending != form.from_end)
        place = func.row_number().over(order_by=ordered).label("rn")
        numbered = [column.label(name) for name, column in columns.items()]
        numbered += [place, func.count().over().label("n")]
        counted, columns = self.named(select(*numbered).select_from(picked), {**types, "rn": _NUMBER, "n": _NUMBER})
        return _Row(columns, nullable, [counted])


class _Window:
    """How a page's rows are selected (see app.store.dialects.Page)."""

    def __init__(self, of: Writer, page: Page, form: WindowForm, names: Sequence[str], limit: int) -> None:
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
            parents = of._dialect.each(roots)  # noqa: SLF001 - one mechanism in two classes.
            return view, self._merged(view, parents)
        if of._units is UnitsForm.ONE:  # noqa: SLF001
            owner = view.walked_unit_id(form.narrowed, form.order.field)
            return view, self.first(view, of._visible(owner), is_seen=True)  # noqa: SLF001
        if of._units is UnitsForm.ALL and form.order.field == "id" and not form.narrowed:  # noqa: SLF001
            return view, self.first(view, true(), is_seen=True)
        parents = select(_EVERY.c.id.label("key")).where(of._visible(_EVERY.c.id)).subquery("each_unit")  # noqa: SLF001
        return view, self._merged(view, parents)

    def _merged(self, view: View, parents: FromClause) -> Select[Any]:
        """One ordered walk for each parent, merged."""
        types = {name: column.type for name, column in view.columns.items() if name in self._names}
        merged, columns = self._of.named(self._of._dialect.first_of_each(parents, self), types)  # noqa: SLF001
        field, descending = self._form.order
        ordered = in_order(columns, field, descending=descending != self._form.from_end)
        picked = [columns[name].label(name) for name in self._names]
        return select(*picked).select_from(merged).order_by(*ordered).limit(_only(self._limit))

    def first(self, view: View, owned: ColumnElement[bool], *, is_seen: bool = False) -> Select[Any]:
        return self._first(view, [view.columns[name].label(name) for name in self._names], owned, is_seen=is_seen)

    def _first(
        self, view: View, columns: Sequence[ColumnElement[Any]], owned: ColumnElement[bool], *, is_seen: bool
    ) -> Select[Any]:
        of, form = self._of, self._form
        bind = of._bind(self._page.site)  # noqa: SLF001
        where = [owned, form_sql(of._dialect, view, form.condition, bind)]  # noqa: SLF001
        where += [part for part in of._there(view) if not is_seen or part is view.only]  # noqa: SLF001
        field, descending = form.order
        if form.has_after:
            where.append(beyond(view, field, bind, descending=descending))
        if form.has_before:
            where.append(beyond(view, field, bind, descending=not descending))
        order = order_by(view, form.order, descending=descending != form.from_end)
        tables = view.tables_of([*columns, *where, *order])
        return select(*columns).select_from(tables).where(*where).order_by(*order).limit(_only(self._limit))

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


class Asked:
    """Roots that are asked for together, again and again: each is known by itself, not by what it says."""

    __slots__ = ("__weakref__", "reads", "roots", "statements")

    def __init__(self, roots: Sequence[Piece], reads: int = 0) -> None:
        """`reads` says how many readings of sources there are in it, more or less."""
        self.roots = tuple(roots)
        self.reads = reads
        self.statements: OrderedDict[Hashable, Compiled] = OrderedDict()
        """Those that were made for it, by the forms of its sites and of the caller's units."""


class Answers:
    """Has answers written by the database."""

    def __init__(self, dialect: Dialect, driver: Driver, lanes: Lanes) -> None:
        self._dialect = dialect
        self._driver = driver
        self._lanes = lanes
        self._kept: deque[tuple[ref[Asked], Hashable, int]] = deque()
        """Whose statements were made, in this order, and how long each is; whoever asked may be gone."""
        self._characters = 0
        self.heard: Callable[[str], None] = lambda _sql: None
        """Told each statement before it is asked, for whoever counts them."""

    def statement(self, asked: Asked, units: UnitsForm, forms: Sequence[SiteForm]) -> Compiled:
        """The statement for what is asked; made once for each form."""
        found = asked.statements.get((units, forms))
        return self._keep(asked, (units, forms), self._made(asked, units, forms)) if found is None else found

    def _made(self, asked: Asked, units: UnitsForm, forms: Sequence[SiteForm]) -> Compiled:
        return compiled(Writer(self._dialect, forms, units).statement(asked.roots), self._driver)

    def _keep(self, asked: Asked, key: Hashable, made: Compiled) -> Compiled:
        asked.statements[key] = made
        if len(asked.statements) > STATEMENTS_MAX:
            asked.statements.popitem(last=False)
        self._kept.append((ref(asked), key, len(made.sql)))
        self._characters += len(made.sql)
        while self._characters > CHARACTERS_MAX:
            owner, oldest, size = self._kept.popleft()
            self._characters -= size
            known = owner()
            if known is not None:
                known.statements.pop(oldest, None)
        return made

    async def of(
        self, asked: Asked, units: Units, forms: Sequence[SiteForm], values: Mapping[str, Any]
    ) -> list[bytes | None]:
        """The text of each root; None where it holds a mark."""
        form, names = units_form(units)
        if asked.reads > LARGE_READS and (form, forms) not in asked.statements:
            made = await asyncio.to_thread(self._made, asked, form, forms)
            statement = self._keep(asked, (form, forms), made)
        else:
            statement = self.statement(asked, form, forms)
        self.heard(statement.sql)
        row = await self._lanes.row(statement, values if names is None else {**values, UNITS: names})
        return [None if _MARK in text or BEYOND in text else text for text in row]


_MARK = MARK.encode()


def units_form(units: Units) -> tuple[UnitsForm, Any]:
    """The form of a caller's units, and their value."""
    if units is None:
        return UnitsForm.ALL, None
    if len(units) == 1:
        return UnitsForm.ONE, next(iter(units))
    return UnitsForm.SOME, sorted(units)
