"""The parts that statements are made of, as templates: how records, pages and counts are selected, whatever is told.

Each hangs on what the contract knows (sources, links, orders, forms of conditions), and on no name or number of a
document; so documents that were never seen find their parts made.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal_column,
    not_,
    select,
)
from sqlalchemy.sql.operators import and_ as both
from sqlalchemy.sql.type_api import TypeEngine

from app.domain.conditions import Order
from app.store import tables as t
from app.store.narrowing import Every, Form, beyond, form_sql
from app.store.pieces import BeforeForm, UnitsForm
from app.store.reads import in_order
from app.store.sources import ENTRIES, Source, View, newest_of_kind
from app.store.templates import TEXT, Language, Template, hole, reading, template, value
from app.store.types import Instant, Money, Number, Numbers
from app.store.windows import EVERY, RowsOfPage, Values, Walk, columns_of, passed, there
from app.store.written import DIGEST, EVERY_ROW, MARK, NUMBER, PARENT, JsonText, constant, only

SHAPES_MAX = 500
"""Parts of each kind that are kept; conditions come in any form that callers ask for."""

NEEDS = frozenset[int]
"""Joins of a reading, by their places."""


class Columns(NamedTuple):
    """How the columns of a reading are written."""

    texts: Mapping[str, str]
    types: Mapping[str, TypeEngine[Any]]
    needs: Mapping[str, int]
    """The joins that some need."""
    nullable: frozenset[str]


@lru_cache(maxsize=64)
def columns(of: Language, source: Source) -> Columns:
    """How the columns of a source are written."""
    view = reading(source)
    texts = {name: str(column.compile(dialect=of.driver)) for name, column in view.columns.items()}
    needs = {name: place for name, column in view.columns.items() for place in view.needs_of([column])}
    nullable = frozenset(name for name, column in view.columns.items() if getattr(column, "nullable", True))
    return Columns(texts, {name: column.type for name, column in view.columns.items()}, needs, nullable)


class Narrowing(NamedTuple):
    """A condition, and the joins that it needs."""

    template: Template
    needs: NEEDS
    values: int
    """How many values it has; Core leaves out those that decide nothing, as what is or-ed with something true."""


@lru_cache(maxsize=SHAPES_MAX)
def condition(of: Language, source: Source, form: Form, prefix: str = "") -> Narrowing | None:
    """A condition's form on a reading of a source; None where every row meets it."""
    if form == Every(()):
        return None
    view = reading(source, prefix)
    bind = Values()
    sql = form_sql(of.dialect, view, form, bind)
    return Narrowing(template(of, sql.self_group(against=both)), view.needs_of([sql]), bind.count)


@lru_cache(maxsize=2)
def told_as_bytes(of: Language) -> Template:
    """A whole text, as it is answered."""
    return template(of, of.dialect.as_bytes(hole("text")))


def _there(of: Language, units: UnitsForm, view: View, *, is_narrowed: bool) -> list[ColumnElement[bool]]:
    return [*([hole("condition")] if is_narrowed else []), *there(of.dialect, units, view)]


def _selected(
    view: View, needs: NEEDS, what: Sequence[ColumnElement[Any]], where: Sequence[ColumnElement[bool]]
) -> Select[Any]:
    tables = view.joined(needs | view.needs_of([*what, *where]))
    return select(*what).select_from(tables).where(*where)


@lru_cache(maxsize=SHAPES_MAX)
def found(of: Language, source: Source, units: UnitsForm, needs: NEEDS, *, through_units: bool) -> Template:
    """The record that meets a condition; a mark between those that are too many."""
    view = reading(source)
    where = and_(*_there(of, units, view, is_narrowed=True))
    # Keys are unique within a unit; who sees several may meet one several times.
    statement = select(of.dialect.gathered(hole("made"), MARK)).where(where)
    # Each unit's index is looked into; none has the key alone.
    tables = view.through_units(needs, EVERY) if through_units else view.joined(needs)
    return template(of, func.coalesce(statement.select_from(tables).scalar_subquery(), constant("null")))


@lru_cache(maxsize=SHAPES_MAX)
def related(of: Language, source: Source, units: UnitsForm, needs: NEEDS, *, is_nullable: bool) -> Template:
    """The record whose number a row holds."""
    view = reading(source)
    where = [view.id == hole("number_of", view.id.type), *_there(of, units, view, is_narrowed=False)]
    missing = constant("null" if is_nullable else MARK)
    statement = _selected(view, needs, [hole("made")], where)
    return template(of, func.coalesce(statement.scalar_subquery(), missing))


GIVEN = "given_"
"""What the ids of a list are called."""


@lru_cache(maxsize=SHAPES_MAX)
def named(of: Language, kinds: int) -> Template:
    """What ids of some kinds name, in their order: each kind's records are made by themselves."""
    given = of.dialect.side_by_side(value(0, Numbers), value(1, Numbers))
    ids = select(given.c.number, given.c.other, given.c.place).subquery(f"{GIVEN}$")
    made = [(ids.c.other == literal_column(str(kind), NUMBER), hole(f"made{kind}")) for kind in range(kinds)]
    piece = case(*made, else_=constant("null")) if made else constant("null")
    return template(
        of, _array(of, select(piece.label("piece")).select_from(ids).order_by(ids.c.place).limit(only(EVERY_ROW)))
    )


def _array(of: Language, each: Select[Any]) -> ColumnElement[str]:
    """The pieces of a statement's rows, in its order, as an array."""
    pieces = each.subquery("pieces_$")
    gathered = select(of.dialect.gathered(literal_column('pieces_$."piece"', TEXT), ",")).select_from(pieces)
    return JsonText().add("[").add(func.coalesce(gathered.scalar_subquery(), constant(""))).add("]").whole()


def _piece() -> ColumnElement[str]:
    return hole("made").label("piece")


@lru_cache(maxsize=SHAPES_MAX)
def several(of: Language, source: Source, units: UnitsForm, needs: NEEDS) -> Template:
    """The records whose numbers a row lists."""
    listed = of.dialect.items(hole("numbers", Numbers))
    view = reading(source)
    on = and_(view.id == listed.c.number, *_there(of, units, view, is_narrowed=False))
    each = (
        select(_piece())
        .select_from(listed.join(view.joined(needs), on))
        .order_by(listed.c.place)
        .limit(only(EVERY_ROW))
    )
    return template(of, _array(of, each))


@lru_cache(maxsize=SHAPES_MAX)
def latest(of: Language, units: UnitsForm, needs: NEEDS) -> Template:
    """The latest entry of each kind of an account's balances."""
    kinds, newest = t.balance_kinds.alias("kinds_$"), t.entries.alias("newest_$")
    number = newest_of_kind(kinds, newest).limit(only(1)).scalar_subquery()
    view = reading(ENTRIES)
    tables = kinds.join(view.joined(needs), view.id == number)
    where = [kinds.c.account_id == hole("owner", Number), *_there(of, units, view, is_narrowed=False)]
    each = select(_piece()).select_from(tables).where(*where).order_by(kinds.c.kind).limit(only(EVERY_ROW))
    return template(of, _array(of, each))


@lru_cache(maxsize=SHAPES_MAX)
def before(of: Language, units: UnitsForm, needs: NEEDS, form: BeforeForm) -> Template:
    """An account's last entry before an instant."""
    view, bind = reading(ENTRIES), Values()
    at, currency, kind = (view.columns[name] for name in ("timestamp", "currency", "balance_type"))
    where = [
        view.links["account_id"] == hole("owner", Number),
        at < bind(at.type),
        currency == (bind(currency.type) if form.has_currency else hole("currency", currency.type)),
        *([kind == bind(kind.type)] if form.has_type else []),
        *_there(of, units, view, is_narrowed=False),
    ]
    statement = _selected(view, needs, [hole("made")], where).order_by(at.desc(), view.id.desc()).limit(only(1))
    return template(of, func.coalesce(statement.scalar_subquery(), constant("null")))


class PageShape(NamedTuple):
    """The rows of a page, and what is told of each and of all: `written` of the rows, `whole` of what was written."""

    template: Template
    narrowed: str
    """How the tables are called that its condition is about."""


ROW, TOLD = "row_", "told_"
"""What the rows of a page are called, and what is told of them."""


@lru_cache(maxsize=SHAPES_MAX)
def page(of: Language, walk: Walk, *, is_numbered: bool) -> PageShape:
    """A page; its rows are numbered where it must be known which are its first and last ones."""
    rows = RowsOfPage(of.dialect, walk)
    picked = _numbered(rows.rows(), walk) if is_numbered else rows.rows()
    written = select(hole("written")).select_from(picked.subquery(f"{ROW}$"))
    if is_numbered:
        place = literal_column(f'{ROW}$."rn"', NUMBER)
        written = written.order_by(place.desc() if walk.from_end else place)
    text: ColumnElement[str] = select(hole("whole")).select_from(written.subquery(f"{TOLD}$")).scalar_subquery()
    if walk.link is not None and (walk.has_after or walk.has_before):
        # A cursor is of one parent's list.
        text = case((hole("owner", Number) == value(PARENT, Number), text), else_=constant(MARK))
    return PageShape(template(of, text), rows.narrowed)


def _numbered(rows: Select[Any], walk: Walk) -> Select[Any]:
    """The rows of a page with their places, and how many they are."""
    picked = columns_of("picked_$", reading(walk.source), walk)
    ordered = in_order(picked, walk.order.field, descending=walk.is_backward)
    place = func.row_number().over(order_by=ordered).label("rn")
    count = func.count().over().label("n")
    return select(*passed(picked), place, count).select_from(rows.subquery("picked_$"))


@lru_cache(maxsize=8)
def rows(of: Language, *, is_numbered: bool) -> Template:
    """What is told of the rows of a page."""
    gathered = of.dialect.gathered(hole("each"), ",")
    if is_numbered:
        gathered = gathered.filter(literal_column(f'{TOLD}$."rn"', NUMBER) <= hole("size", NUMBER))
    return template(of, JsonText().add("[").add(func.coalesce(gathered, constant(""))).add("]").whole())


@lru_cache(maxsize=8)
def goes_on(of: Language, *, is_counted: bool, is_looked_for: bool) -> Template:
    """Whether there are more rows than a page tells: by their count, or by a look behind its edge."""
    more: list[ColumnElement[bool]] = [func.count() > hole("size", NUMBER)] if is_counted else []
    if is_looked_for:
        more.append(hole("look"))
    return template(of, case(*[(each, constant("true")) for each in more], else_=constant("false")))


@lru_cache(maxsize=8)
def edge(of: Language, *, is_first: bool) -> Template:
    """The cursor of a page's first or last row."""
    number, count = (literal_column(f'{TOLD}$."{name}"', NUMBER) for name in ("rn", "n"))
    size = hole("size", NUMBER)
    place = literal_column("1", NUMBER) if is_first else of.dialect.least(count, size)
    cursors = func.max(literal_column(f'{TOLD}$."cursor"', TEXT)).filter(number <= size, number == place)
    return template(of, func.coalesce(cursors, constant("null")))


@lru_cache(maxsize=SHAPES_MAX)
def behind(
    of: Language, source: Source, link: str | None, units: UnitsForm, order: Order, narrows: NEEDS | None, *, up: bool
) -> Template:
    """Whether there are rows at an edge that is given, or behind it; `up`: towards smaller values."""
    view = reading(source)
    where = _there(of, units, view, is_narrowed=narrows is not None)
    where.append(not_(beyond(view, order.field, Values(), descending=up)))
    if link is not None:
        where.append(view.links[link] == hole("owner", Number))
    return template(of, _selected(view, narrows or NEEDS(), [literal_column("1")], where).exists())


@lru_cache(maxsize=SHAPES_MAX)
def count(of: Language, source: Source, link: str | None, units: UnitsForm, narrows: NEEDS | None) -> Template:
    """How many rows there are, whatever the page."""
    view = reading(source)
    where = _there(of, units, view, is_narrowed=narrows is not None)
    if link is not None:
        where.append(view.links[link] == hole("owner", Number))
    counted = _selected(view, narrows or NEEDS(), [cast(func.count(), Text)], where)
    return template(of, counted.scalar_subquery())


TOTAL = "total_"
"""What the sums of a list are called."""
SUM = "sum"


@lru_cache(maxsize=SHAPES_MAX)
def totals(of: Language, source: Source, link: str | None, units: UnitsForm, narrows: NEEDS | None) -> Template:
    """The balances of a list added up, a row a currency."""
    view = reading(source)
    balance, currency = view.columns["balance"], view.columns["currency"]
    summed = {
        "currency": currency,
        "account_count": func.count(),
        SUM: of.dialect.sum_text(balance),
        "min": func.min(balance),
        "max": func.max(balance),
    }
    where = _there(of, units, view, is_narrowed=narrows is not None)
    if link is not None:
        where.append(view.links[link] == hole("owner", Number))
    statement = _selected(view, narrows or NEEDS(), [each.label(name) for name, each in summed.items()], where)
    total = statement.group_by(currency).order_by(currency).subquery(f"{TOTAL}$")
    return template(
        of, _array(of, select(_piece()).select_from(total).order_by(total.c.currency).limit(only(EVERY_ROW)))
    )


@lru_cache(maxsize=8)
def total_types(source: Source) -> Mapping[str, TypeEngine[Any]]:
    """The types of its columns, save that of the sum, which is a text."""
    of = reading(source).columns
    amount = of["balance"].type
    return MappingProxyType({"currency": of["currency"].type, "account_count": NUMBER, "min": amount, "max": amount})


@lru_cache(maxsize=2)
def total_sum(of: Language) -> Template:
    text = func.coalesce(literal_column(f'{TOTAL}$."{SUM}"', TEXT), constant(MARK))
    return template(of, JsonText().add('"').add(text).add('"').whole())


@lru_cache(maxsize=64)
def cursor(of: Language, type_: TypeEngine[Any], *, is_owned: bool) -> Template:
    """A row's place in its list, as app.domain.cursors writes it."""
    text = JsonText().add('"').add(value(DIGEST, TEXT)).add(".")
    text.add(cast(hole("owner", Number), Text) if is_owned else "0")
    key = hole("key", type_)
    match type_:
        case Money():
            text.add(".n").add(of.dialect.units_text(key))
        case Instant():
            text.add(".t").add(of.dialect.micros_text(key))
        case Integer() | BigInteger():
            text.add(".i").add(cast(key, Text))
        case _:
            text.add(".s").add(of.dialect.hex(key))
    return template(of, text.add(".").add(cast(hole("number_of", Number), Text)).add('"').whole())
