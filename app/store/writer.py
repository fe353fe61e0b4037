"""Writes the statement of a tree of pieces, whose one value for each root is the JSON text.

A text that a row's piece can't be written into (a missing record where there must be one, an instant beyond the
calendar, a key that several records have) holds a mark instead; who reads it asks in the other way (resolvers.fetch),
which knows what to say.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy.engine import Dialect as Driver
from sqlalchemy.sql.type_api import TypeEngine

from app.store import shapes
from app.store.lanes import Compiled
from app.store.narrowing import Some, Test
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
    Later,
    Latest,
    Named,
    NamedForm,
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
from app.store.shapes import GIVEN, NEEDS, ROW, SUM, TOLD, TOTAL
from app.store.sources import ENTRIES, Source
from app.store.templates import NUMBERED, OTHERS, Language, Process, Template, parameter, placed
from app.store.windows import Walk
from app.store.written import UNITS, difference, later, site_name, told


class Row(NamedTuple):
    """A row, and how its columns are written."""

    types: Mapping[str, TypeEngine[Any]]
    nullable: frozenset[str]
    number: int
    """Tells its tables from others."""
    texts: Mapping[str, str] | None = None
    """Those of a reading; else it is of one table, under the names of the columns."""
    table: str = ROW

    def text(self, name: str) -> str:
        if self.texts is None:
            return f'{self.table}{self.number}."{name}"'
        return self.texts[name].replace(NUMBERED, f"_{self.number}")


class _Text(list[str]):
    """A text that is put together in a statement; constant parts that meet become one."""

    def add(self, constant: str) -> None:
        self._constant += constant

    def put(self, sql: str) -> None:
        self._flush()
        self.append(sql)

    def whole(self) -> str:
        self._flush()
        return " || ".join(self)

    _constant = ""

    def _flush(self) -> None:
        if self._constant:
            self.append(_quoted(self._constant))
            self._constant = ""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Writer:
    """Writes one statement in the language of a database, for callers who see some units or all."""

    def __init__(self, of: Language, sites: Sequence[SiteForm], units: UnitsForm) -> None:
        self.of = of
        self._sites = sites
        self.units = units
        self._parts = 0
        self._processes: dict[str, Process] = {}

    def statement(self, roots: Sequence[Piece], driver: Driver) -> Compiled:
        """One row, a text for each root; JSON null where it tells of what does not exist."""
        whole = shapes.told_as_bytes(self.of)
        texts = [whole.filled(0, {"text": self._root(root)}) for root in roots]
        sql, names = placed(f"SELECT {', '.join(texts)}", driver)
        return Compiled(sql, [(name, self._processes[name]) for name in names])

    def _root(self, root: Piece) -> str:
        match root:
            case Constant(text=text):
                return _quoted(text)
            case Found():
                return self._found(root)
            case Named():
                return self._named(root)
            case Page():
                return self._page(root, None)
            case _:
                raise AssertionError(root)

    def number(self) -> int:
        """The number of another part; its tables are told from others by it."""
        self._parts += 1
        return self._parts

    def filled(
        self, template: Template, texts: dict[str, str], *, number: int = 0, site: int = 0, first: int = 0
    ) -> str:
        """A part with what comes into it; its values are the site's, from the first one on."""
        for name, process in template.named:
            full = name if name == UNITS else site_name(site, name)
            self._processes[full] = process
            texts[name] = parameter(full)
        for name, at, process in template.values:
            full = site_name(site, first + at)
            self._processes[full] = process
            texts[name] = parameter(full)
        return template.filled(number, texts)

    # Rows of sources.

    def _read(self, source: Source, number: int, each: Object) -> tuple[str, NEEDS]:
        """A piece of each row of a source, and the joins that it needs."""
        columns = shapes.columns(self.of, source)
        made = self._object(each.fields, Row(columns.types, columns.nullable, number, columns.texts))
        return made, self.needs(source, columns_of(each))

    def needs(self, source: Source, names: Iterable[str]) -> NEEDS:
        needs = shapes.columns(self.of, source).needs
        return frozenset([needs[name] for name in names if name in needs])

    def _found(self, piece: Found) -> str:
        form: Any = self._sites[piece.site]
        number = self.number()
        made, needs = self._read(piece.source, number, piece.object)
        narrowing = shapes.condition(self.of, piece.source, form)
        assert narrowing is not None, "a key names something"
        through_units = self.units is not UnitsForm.ONE and not _names_number(form)
        shape = shapes.found(self.of, piece.source, self.units, needs | narrowing.needs, through_units=through_units)
        texts = {"made": made, "condition": self.filled(narrowing.template, {}, number=number, site=piece.site)}
        return self.filled(shape, texts, number=number)

    def _named(self, piece: Named) -> str:
        form = self._sites[piece.site]
        assert isinstance(form, NamedForm)
        kinds = [piece.kinds[kind] for kind in form.kinds]
        if not piece.is_list:
            name = site_name(piece.site, 0)
            self._processes[name] = None
            return self._numbered(*kinds[0], parameter(name)) if kinds else _quoted("null")
        number = self.number()
        each = f'{GIVEN}{number}."number"'
        made = {f"made{place}": self._numbered(*kind, each) for place, kind in enumerate(kinds)}
        return self.filled(shapes.named(self.of, len(kinds)), made, number=number, site=piece.site)

    def _related(self, piece: Related, row: Row) -> str:
        return self._numbered(piece.source, piece.object, row.text(piece.by), is_nullable=piece.is_nullable)

    def _numbered(self, source: Source, each: Object, number_of: str, *, is_nullable: bool = True) -> str:
        """What is made of the record with a number."""
        number = self.number()
        made, needs = self._read(source, number, each)
        shape = shapes.related(self.of, source, self.units, needs, is_nullable=is_nullable)
        return self.filled(shape, {"made": made, "number_of": number_of}, number=number)

    def _several(self, piece: Several, row: Row) -> str:
        number = self.number()
        made, needs = self._read(piece.source, number, piece.object)
        shape = shapes.several(self.of, piece.source, self.units, needs)
        return self.filled(shape, {"made": made, "numbers": row.text(piece.by)}, number=number)

    def _latest(self, piece: Latest, row: Row) -> str:
        number = self.number()
        made, needs = self._read(ENTRIES, number, piece.object)
        shape = shapes.latest(self.of, self.units, needs)
        return self.filled(shape, {"made": made, "owner": row.text("id")}, number=number)

    def _before(self, piece: Before, row: Row) -> str:
        form = self._sites[piece.site]
        assert isinstance(form, BeforeForm)
        number = self.number()
        made, needs = self._read(ENTRIES, number, piece.object)
        shape = shapes.before(self.of, self.units, needs, form)
        texts = {"made": made, "owner": row.text("id"), "currency": row.text("currency")}
        return self.filled(shape, texts, number=number, site=piece.site)

    # What a row holds.

    def piece(self, piece: "Piece | Part", row: Row) -> str:
        match piece:
            case Value() | Spliced() | Later() | Identified() | Difference():
                return self._told(piece, row)
            case Related():
                return self._related(piece, row)
            case Page():
                return self._page(piece, row)
            case Object(fields=fields):
                return self._object(fields, row)
            case Several():
                return self._several(piece, row)
            case Latest():
                return self._latest(piece, row)
            case Before():
                return self._before(piece, row)
            case _:
                raise AssertionError(piece)

    def _told(self, piece: Value | Spliced | Later | Identified | Difference, row: Row) -> str:
        types = row.types
        match piece:
            case Value(column=column):
                template = told(self.of, piece, types[column], is_nullable=column in row.nullable)
                return template.filled(0, {"column": row.text(column)})
            case Spliced(column=column, splice=splice):
                alike = Spliced(column, 0)
                template = told(self.of, alike, types[column], is_nullable=column in row.nullable)
                return template.filled(0, {"column": row.text(column), "splice": str(splice)})
            case Identified():
                return told(self.of, piece, types["id"], is_nullable=False).filled(0, {"column": row.text("id")})
            case Later(columns=columns, later=number):
                texts = {f"column{place}": row.text(column) for place, column in enumerate(columns)}
                return later(self.of, len(columns)).filled(0, {"later": str(number), **texts})
            case Difference(column=column, less=less):
                template = difference(self.of, types[column], types[less])
                return template.filled(0, {"amount": row.text(column), "less": row.text(less)})

    def _object(self, fields: Iterable[tuple[str, Any]], row: Row) -> str:
        return _object(fields, lambda piece: self.piece(piece, row))

    def _page(self, page: Page, row: Row | None) -> str:
        form = self._sites[page.site]
        assert isinstance(form, WindowForm)
        return _PageWriter(self, page, form, row).text()


class _PageWriter:
    """Writes one page of a statement; `owner` is the row that it belongs to."""

    def __init__(self, writer: Writer, page: Page, form: WindowForm, owner: Row | None) -> None:
        assert (page.link is None) == (owner is None)
        self._writer = writer
        self._page = page
        self._form = form
        self._owner = owner
        self._size = str(form.size)
        self._narrowing = shapes.condition(writer.of, page.source, form.condition)
        self._number = writer.number()

    def text(self) -> str:
        page, form = self._page, self._form
        facts = set(_facts_of(page.parts))
        reads_rows = any(isinstance(part, Rows) for _, part in page.parts)
        if not reads_rows and not any(_is_read(fact, form) for fact in facts):
            return self._whole(is_numbered=False)
        is_numbered = bool(facts - {Fact.COUNT}) or form.from_end
        walk, others = self._walk()
        shape = shapes.page(self._writer.of, walk, is_numbered=is_numbered)
        texts = {
            "written": self._written(facts, is_numbered=is_numbered),
            "whole": self._whole(is_numbered=is_numbered),
            "limit": str(form.size + 1 if is_numbered else form.size),
            **self._owned(),
            **self._others(shape.template, others),
        }
        if self._narrowing is not None:
            texts["condition"] = self._condition(self._number, shape.narrowed)
        return self._filled(shape.template, texts, number=self._number, first=self._places)

    def _filled(self, template: Template, texts: dict[str, str], *, number: int = 0, first: int = 0) -> str:
        return self._writer.filled(template, texts, number=number, site=self._page.site, first=first)

    @property
    def _places(self) -> int:
        """The first value that is of a place, behind those of the condition."""
        return 0 if self._narrowing is None else self._narrowing.values

    @property
    def _narrows(self) -> NEEDS | None:
        return None if self._narrowing is None else self._narrowing.needs

    def _owned(self) -> dict[str, str]:
        return {} if self._owner is None else {"owner": self._owner.text("id")}

    def _condition(self, number: int, prefix: str = "") -> str:
        narrowing = shapes.condition(self._writer.of, self._page.source, self._form.condition, prefix)
        assert narrowing is not None
        return self._filled(narrowing.template, {}, number=number)

    def _walk(self) -> tuple[Walk, list[str]]:
        """How its rows are walked, and which columns are read besides those that the walk itself needs."""
        page = self._page
        names = {name for _, part in page.parts if isinstance(part, Rows) for name in columns_of(part.each)}
        needs = self._writer.needs(page.source, names)
        walk = Walk.of(page.source, page.link, self._writer.units, self._form, needs, self._narrows)
        return walk, sorted(names.difference(walk.kept))

    def _others(self, template: Template, names: Sequence[str]) -> dict[str, str]:
        """Columns where they are read, and where they are passed on."""
        texts = shapes.columns(self._writer.of, self._page.source).texts
        number = f"_{self._number}"
        read = "".join([f', {texts[name]} AS "{name}"' for name in names]).replace(NUMBERED, number)
        found = {OTHERS: read}
        for place, table in enumerate(template.passing):
            named = table.replace(NUMBERED, number)
            found[f"{OTHERS}{place}"] = "".join([f', {named}."{name}" AS "{name}"' for name in names])
        return found

    def _written(self, facts: set[Fact], *, is_numbered: bool) -> str:
        """What is written of each row."""
        columns = shapes.columns(self._writer.of, self._page.source)
        row = Row(columns.types, columns.nullable, self._number)
        texts = [
            f"{self._each(part.each, row)} AS p{place}"
            for place, (_, part) in enumerate(self._page.parts)
            if isinstance(part, Rows)
        ]
        if facts & {Fact.START, Fact.END}:
            texts.append(f"{self._cursor(row)} AS cursor")
        if is_numbered:
            texts += [f"{row.text(name)} AS {name}" for name in ("rn", "n")]
        return ", ".join(texts)

    def _each(self, each: Object, row: Row) -> str:
        """What a page tells of a row: an object of it, or an edge with its cursor."""
        piece = self._writer.piece
        return _object(each.fields, lambda part: self._cursor(row) if isinstance(part, Cursor) else piece(part, row))

    def _cursor(self, row: Row) -> str:
        field = self._form.order.field
        template = shapes.cursor(self._writer.of, row.types[field], is_owned=self._owner is not None)
        return self._filled(template, {"key": row.text(field), "number_of": row.text("id"), **self._owned()})

    def _whole(self, *, is_numbered: bool) -> str:
        """What is told of the page, by what was written of its rows."""
        places = {id(part): place for place, (_, part) in enumerate(self._page.parts)}

        def write(part: Any) -> str:
            match part:
                case Rows():
                    template = shapes.rows(self._writer.of, is_numbered=is_numbered)
                    each = f'{TOLD}{self._number}."p{places[id(part)]}"'
                    return self._filled(template, {"each": each, "size": self._size}, number=self._number)
                case Facts(fields=fields):
                    return _object(fields, self._fact)
                case Totals(each=each):
                    return self._totals(each)
                case _:
                    return self._fact(part)

        return _object(self._page.parts, write)

    def _fact(self, fact: Fact) -> str:
        match fact:
            case Fact.COUNT:
                return self._count()
            case Fact.HAS_NEXT | Fact.HAS_PREVIOUS:
                return self._goes_on(fact)
            case Fact.START | Fact.END:
                is_first = (fact is Fact.START) != self._form.from_end
                template = shapes.edge(self._writer.of, is_first=is_first)
                return self._filled(template, {"size": self._size}, number=self._number)

    def _goes_on(self, fact: Fact) -> str:
        form = self._form
        towards_end = fact is Fact.HAS_NEXT
        is_counted, is_looked_for = _is_read(fact, form), form.has_before if towards_end else form.has_after
        if not is_counted and not is_looked_for:
            return "'false'"
        template = shapes.goes_on(self._writer.of, is_counted=is_counted, is_looked_for=is_looked_for)
        texts = {"size": self._size}
        if is_looked_for:
            texts["look"] = self._behind(towards_end=towards_end)
        return self._filled(template, texts)

    def _behind(self, *, towards_end: bool) -> str:
        """Whether there are rows at the page's given edge, or behind it."""
        order = self._form.order
        first = self._places
        if towards_end and self._form.has_after:
            first += 1 if order.field == "id" else 2  # Its values come first.
        template = shapes.behind(*self._all, order, self._narrows, up=order.descending != towards_end)
        return self._of_all(template, first=first)

    @property
    def _all(self) -> tuple[Language, Source, str | None, UnitsForm]:
        return self._writer.of, self._page.source, self._page.link, self._writer.units

    def _of_all(self, template: Template, *, first: int = 0, made: str = "", number: int | None = None) -> str:
        """What is told of all that matches, whatever the page."""
        number = self._writer.number() if number is None else number
        texts = {"made": made, **self._owned()}
        if self._narrowing is not None:
            texts["condition"] = self._condition(number)
        return self._filled(template, texts, number=number, first=first)

    def _count(self) -> str:
        return self._of_all(shapes.count(*self._all, self._narrows))

    def _totals(self, each: Object) -> str:
        of, number = self._writer.of, self._writer.number()
        row = Row(shapes.total_types(self._page.source), frozenset(), number, table=TOTAL)

        def write(piece: Any) -> str:
            if isinstance(piece, Value) and piece.column == SUM:
                return shapes.total_sum(of).filled(number, {})
            return self._writer.piece(piece, row)

        made = _object(each.fields, write)
        return self._of_all(shapes.totals(*self._all, self._narrows), made=made, number=number)


def _object(fields: Iterable[tuple[str, Any]], write: Callable[[Any], str]) -> str:
    text = _Text()
    opened = "{"
    for key, piece in fields:
        text.add(f'{opened}"{key}":')
        opened = ","
        if isinstance(piece, Constant):
            text.add(piece.text)
        else:
            text.put(write(piece))
    text.add("{}" if opened == "{" else "}")
    return text.whole()


def _names_number(form: SiteForm) -> bool:
    """Whether a key is the record's number, or none at all."""
    return form == Some(()) or (isinstance(form, Test) and form.field == "id")


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
