"""Writes the statement of a tree of pieces, whose one value for each root is the JSON text.

A text that a row's piece can't be written into (a missing record where there must be one, an instant beyond the
calendar, a key that several records have) holds a mark instead; who reads it asks in the other way (resolvers.fetch),
which knows what to say.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy.engine import Dialect as Driver
from sqlalchemy.sql.type_api import TypeEngine

from app.store import shapes
from app.store.conditions import Condition
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
from app.store.shapes import GIVEN, MERGED, PICKED, ROW, SUM, TOLD, TOTAL, TOTAL_TYPES, PageShape
from app.store.sources import ENTRIES, Source
from app.store.spelling import NEEDS, NONE, Placing, Spelling, nested, numbered, ordered, spelling
from app.store.tables import units
from app.store.templates import OTHERS, Language, Process, Template, parameter, placed
from app.store.windows import EVERY, Way, seen_at_once, way_of
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
        return numbered(self.texts[name], self.number)


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
        self, template: Template, texts: dict[str, str], *, number: int | str = 0, site: int = 0, first: int = 0
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

    def spelling(self, source: Source) -> Spelling:
        return spelling(self.of, source)

    # Which rows.

    def rows(self, tables: str, where: Sequence[str], number: int | str) -> str:
        """Tables, and what is asked of their rows."""
        return numbered(f"{tables}{' WHERE ' if where else ''}{' AND '.join(where)}", number)

    def seen(self, unit_id: str) -> list[str]:
        """That a row is in a business unit that exists for the caller, where that says anything."""
        if self.units is UnitsForm.ALL:
            return []
        return [self.filled(shapes.seen(self.of, self.units), {"unit_id": unit_id})]

    def there(self, spelling: Spelling, *, is_seen: bool = False) -> list[str]:
        """What is so for each row that exists for the caller; `is_seen`: its business unit is known to."""
        # Its number comes with those of the other texts.
        only = [] if spelling.only is None else [spelling.only.filled("$", {})]
        return [*([] if is_seen else self.seen(spelling.unit_id)), *only]

    # Rows of sources.

    def _read(self, source: Source, number: int, each: Object) -> tuple[str, NEEDS]:
        """A piece of each row of a source, and the joins that it needs."""
        spelling = self.spelling(source)
        made = self._object(each.fields, Row(spelling.types, spelling.nullable, number, spelling.texts))
        return made, spelling.needs_of(columns_of(each))

    def _found(self, piece: Found) -> str:
        form: Any = self._sites[piece.site]
        number = self.number()
        made, needs = self._read(piece.source, number, piece.object)
        spelling = self.spelling(piece.source)
        condition = Condition(self, spelling, form, piece.site)
        needs |= condition.needs
        if self.units is UnitsForm.ONE or _names_number(form):
            tables = spelling.tables(needs)
        else:
            # Each unit's index is looked into; none has the key alone.
            tables = spelling.through_units(needs, _EVERY, f"{EVERY.name}.id")
        rows = self.rows(tables, [*condition.text(), *self.there(spelling)], number)
        return self.filled(shapes.found(self.of), {"made": made, "rows": rows})

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
        places = f'{GIVEN}{number}."other"'
        made = [f" WHEN {places} = {place} THEN {self._numbered(*kind, each)}" for place, kind in enumerate(kinds)]
        piece_of = f"CASE{''.join(made)} ELSE 'null' END" if made else _quoted("null")
        return self.filled(shapes.named(self.of), {"piece": piece_of}, number=number, site=piece.site)

    def _related(self, piece: Related, row: Row) -> str:
        return self._numbered(piece.source, piece.object, row.text(piece.by), is_nullable=piece.is_nullable)

    def _numbered(self, source: Source, each: Object, number_of: str, *, is_nullable: bool = True) -> str:
        """What is made of the record with a number."""
        number = self.number()
        made, needs = self._read(source, number, each)
        spelling = self.spelling(source)
        is_it = f"{numbered(spelling.id, number)} = {number_of}"
        rows = self.rows(spelling.tables(needs), [is_it, *self.there(spelling)], number)
        return self.filled(shapes.related(self.of, is_nullable=is_nullable), {"made": made, "rows": rows})

    def _several(self, piece: Several, row: Row) -> str:
        number = self.number()
        made, needs = self._read(piece.source, number, piece.object)
        spelling = self.spelling(piece.source)
        texts = {"id": spelling.id, "tables": nested(spelling.tables(needs))}
        texts = {name: numbered(text, number) for name, text in texts.items()}
        texts |= {"made": made, "numbers": row.text(piece.by)}
        return self._there_of(shapes.several, spelling, texts, number)

    def _latest(self, piece: Latest, row: Row) -> str:
        number = self.number()
        made, _ = self._read(ENTRIES, number, piece.object)
        return self._there_of(shapes.latest, self.spelling(ENTRIES), {"made": made, "owner": row.text("id")}, number)

    def _before(self, piece: Before, row: Row) -> str:
        form = self._sites[piece.site]
        assert isinstance(form, BeforeForm)
        number = self.number()
        made, _ = self._read(ENTRIES, number, piece.object)
        texts = {"made": made, "owner": row.text("id"), "currency": row.text("currency")}
        shape = partial(shapes.before, form=form)
        return self._there_of(shape, self.spelling(ENTRIES), texts, number, site=piece.site)

    def _there_of(
        self, shape: Callable[..., Template], spelling: Spelling, texts: dict[str, str], number: int, site: int = 0
    ) -> str:
        """A part that tells of rows that exist for the caller."""
        there = self.there(spelling)
        if there:
            texts["there"] = numbered(" AND ".join(there), number)
        return self.filled(shape(self.of, is_bound=bool(there)), texts, number=number, site=site)

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
                alike = piece._replace(column="")
                template = told(self.of, alike, types[column], is_nullable=column in row.nullable)
                return template.filled(0, {"column": row.text(column)})
            case Spliced(column=column, splice=splice):
                template = told(self.of, Spliced("", 0), types[column], is_nullable=column in row.nullable)
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


_EVERY = f"{units.name} AS {EVERY.name}"
"""All business units."""


class _PageWriter:
    """Writes one page of a statement; `owner` is the row that it belongs to."""

    def __init__(self, writer: Writer, page: Page, form: WindowForm, owner: Row | None) -> None:
        assert (page.link is None) == (owner is None)
        self._writer = writer
        self._page = page
        self._form = form
        self._owner = owner
        self._size = str(form.size)
        self._number = writer.number()
        self._spelling = writer.spelling(page.source)
        self._condition = Condition(writer, self._spelling, form.condition, page.site)
        self._narrows = self._condition.text()

    def text(self) -> str:
        page, form = self._page, self._form
        facts = set(_facts_of(page.parts))
        reads_rows = any(isinstance(part, Rows) for _, part in page.parts)
        if not reads_rows and not any(_is_read(fact, form) for fact in facts):
            return self._whole(is_numbered=False)
        is_numbered = bool(facts - {Fact.COUNT}) or form.from_end
        way = way_of(page.source, page.link, self._writer.units, form)
        shape = shapes.page(
            self._writer.of,
            way,
            self._writer.units if way is Way.EACH_UNIT else None,
            is_numbered=is_numbered,
            from_end=form.from_end,
            is_owned=page.link is not None and (form.has_after or form.has_before),
        )
        texts = {
            "written": self._written(facts, is_numbered=is_numbered),
            "whole": self._whole(is_numbered=is_numbered),
            "limit": str(form.size + 1 if is_numbered else form.size),
            **self._owned(),
            **self._walked(shape, way),
        }
        return self._filled(shape.template, texts, number=self._number)

    def _filled(self, template: Template, texts: dict[str, str], *, number: int = 0, first: int = 0) -> str:
        return self._writer.filled(template, texts, number=number, site=self._page.site, first=first)

    def _owned(self) -> dict[str, str]:
        return {} if self._owner is None else {"owner": self._owner.text("id")}

    # Its rows.

    def _walked(self, shape: PageShape, way: Way) -> dict[str, str]:
        """The rows of the page, in their order, and their columns."""
        form, spelling = self._form, self._spelling
        order = form.order
        names = {name for _, part in self._page.parts if isinstance(part, Rows) for name in columns_of(part.each)}
        others = sorted(names - {"id", order.field})
        if order.field != "id":
            others = [order.field, *others]
        walked, number = f"{self._number}{shape.walked}", self._number
        place, backward = spelling.placing(order.field), order.descending != form.from_end
        reads = spelling.needs_of(others)
        tables, where = self._rows(way, shape.key, place, NONE if shape.walked else reads)
        key = None if order.field == "id" else order.field
        return {
            "rows": self._writer.rows(tables, where, walked),
            "order": numbered(ordered(place.key, place.tie, descending=backward), walked),
            "walked_id": numbered(spelling.id, walked),
            "id": numbered(spelling.id, number),
            "tables": numbered(nested(spelling.tables(reads)), number),
            "merged_order": _passed_order(f"{MERGED}{number}", key, descending=backward),
            "picked_order": _passed_order(f"{PICKED}{number}", key, descending=backward),
            **self._others(shape.template, others),
        }

    def _rows(self, way: Way, key: str, place: Placing, reads: NEEDS) -> tuple[str, list[str]]:
        """The rows that are walked: tables, and what is asked of them."""
        form, spelling = self._form, self._spelling
        owned, is_seen, needs = self._owners(way, key)
        where = [*owned, *self._narrows, *self._writer.there(spelling, is_seen=is_seen)]
        first = self._condition.values
        for is_bound, up in ((form.has_after, not form.order.descending), (form.has_before, form.order.descending)):
            if is_bound:
                where.append(self._beyond(place, first, up=up))
                first += 1 if place.key is None else 2
        return spelling.tables(reads | needs | place.needs | self._condition.needs), where

    def _owners(self, way: Way, key: str) -> tuple[list[str], bool, NEEDS]:
        """Whose rows are walked, whether their business unit is known to exist by that, and the joins that it needs."""
        page, form, spelling, writer = self._page, self._form, self._spelling, self._writer
        if page.link is not None:
            assert self._owner is not None
            return [f"{spelling.links[page.link]} = {self._owner.text('id')}"], False, NONE
        if way is Way.EACH_ACCOUNT:
            return [f"{spelling.links['account_id']} = {key}"], False, NONE
        if way is Way.ALONE and writer.units is not UnitsForm.ONE:
            assert seen_at_once(page.source, writer.units, form)
            return writer.seen(spelling.unit_id), True, NONE
        joined = spelling.view.walks_joined(form.narrowed, form.order.field)
        unit_id, needs = spelling.walked_unit_id(joined=joined)
        return writer.seen(unit_id) if way is Way.ALONE else [f"{unit_id} = {key}"], True, needs

    def _beyond(self, place: Placing, first: int, *, up: bool, is_not: bool = False) -> str:
        types = self._spelling.types
        key = None if place.key is None else types[self._form.order.field]
        texts = {"tie": place.tie} if place.key is None else {"key": place.key, "tie": place.tie}
        return self._filled(shapes.beyond(self._writer.of, key, up=up, is_not=is_not), texts, first=first)

    def _others(self, template: Template, names: Sequence[str]) -> dict[str, str]:
        """Columns where they are read, and where they are passed on."""
        texts, number = self._spelling.texts, self._number
        found = {OTHERS: numbered("".join([f', {texts[name]} AS "{name}"' for name in names]), number)}
        for place, table in enumerate(template.passing):
            named = numbered(table, number)
            found[f"{OTHERS}{place}"] = "".join([f', {named}."{name}" AS "{name}"' for name in names])
        return found

    # What is told of them.

    def _written(self, facts: set[Fact], *, is_numbered: bool) -> str:
        """What is written of each row."""
        row = Row(self._spelling.types, self._spelling.nullable, self._number)
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
            texts["rows"] = self._behind(towards_end=towards_end)
        return self._filled(template, texts)

    def _behind(self, *, towards_end: bool) -> str:
        """The rows at the page's given edge, or behind it."""
        form = self._form
        place = self._spelling.placing(form.order.field)
        first = self._condition.values
        if towards_end and form.has_after:
            first += 1 if place.key is None else 2  # Its values come first.
        behind = self._beyond(place, first, up=form.order.descending == towards_end, is_not=True)
        return self._all(self._writer.number(), [behind], place.needs)

    def _all(self, number: int, also: Sequence[str] = (), needs: NEEDS = NONE) -> str:
        """All rows of the list, whatever the page."""
        spelling, link = self._spelling, self._page.link
        where = [*self._narrows, *self._writer.there(spelling), *also]
        if link is not None and self._owner is not None:
            where.append(f"{spelling.links[link]} = {self._owner.text('id')}")
        return self._writer.rows(spelling.tables(needs | self._condition.needs), where, number)

    def _count(self) -> str:
        return self._filled(shapes.count(self._writer.of), {"rows": self._all(self._writer.number())})

    def _totals(self, each: Object) -> str:
        of, number, spelling = self._writer.of, self._writer.number(), self._spelling
        row = Row(TOTAL_TYPES, frozenset(), number, table=TOTAL)

        def write(piece: Any) -> str:
            if isinstance(piece, Value) and piece.column == SUM:
                return shapes.total_sum(of).filled(number, {})
            return self._writer.piece(piece, row)

        summed = ("balance", "currency")
        texts = {name: numbered(spelling.texts[name], number) for name in summed}
        texts["made"] = _object(each.fields, write)
        texts["rows"] = self._all(number, needs=spelling.needs_of(summed))
        return self._filled(shapes.totals(of), texts, number=number)


def _passed_order(table: str, key: str | None, *, descending: bool) -> str:
    """The order of rows that are passed on by a table."""
    return ordered(None if key is None else f'{table}."{key}"', f'{table}."id"', descending=descending)


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
