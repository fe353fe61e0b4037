"""The parts that statements are made of, as templates: how records, pages and counts are selected, whatever the source.

What is of a source, a condition or an order comes into their holes (app.store.spelling), and no name or number of a
document is in them. So they are few: all are made before anything is asked (`make_ready`), and documents that were
never seen find them made.
"""

from collections.abc import Mapping
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

from app.store import narrowing
from app.store import tables as t
from app.store.narrowing import Test
from app.store.pieces import BeforeForm, UnitsForm
from app.store.sources import ENTRIES, Field, newest_of_kind
from app.store.templates import TEXT, Language, Template, hole, reading, tables, template, value
from app.store.types import Instant, Letters, Money, Number, Numbers, alike
from app.store.windows import RowsOfPage, Values, Way, columns_of, passed, visible
from app.store.written import DIGEST, EVERY_ROW, MARK, NUMBER, PARENT, JsonText, constant, only

SHAPES_MAX = 500
"""Parts of each kind that are kept; they are fewer."""


class Compared(NamedTuple):
    """How a field is compared: its holes are those of app.store.spelling.FieldSpelling."""

    template: Template
    values: int
    """How many values it has."""


class FieldTypes(NamedTuple):
    """What a field must be known by to be compared."""

    column: TypeEngine[Any]
    folded: TypeEngine[Any] | None
    is_through: bool
    """Whether it stands in another table."""


@lru_cache(maxsize=SHAPES_MAX)
def compared(of: Language, test: Test, types: FieldTypes) -> Compared:
    """A comparison of a field of some types; the test names no field."""
    assert not test.field
    field = Field(hole("column", types.column), None if types.folded is None else hole("folded", types.folded))
    if types.is_through:
        inner = select(hole("inner_id", Number)).select_from(tables("inner"))
        field = field._replace(through=inner, link=hole("link", Number))
    bind = Values()
    sql = narrowing.tested(of.dialect, field, test, bind)
    return Compared(template(of, sql.self_group(against=both)), bind.count)


@lru_cache(maxsize=2)
def is_not_true(of: Language) -> Template:
    """Whether a condition is false or tells nothing."""
    return template(of, narrowing.is_not_true(hole("condition")))


@lru_cache(maxsize=SHAPES_MAX)
def beyond(of: Language, key: TypeEngine[Any] | None, *, up: bool, is_not: bool = False) -> Template:
    """Whether a row lies strictly behind a place, or not, in the order of a key and the number that breaks its ties."""
    at = None if key is None else hole("key", key)
    sql = narrowing.beyond(at, hole("tie", Number), Values(), descending=not up)
    return template(of, not_(sql) if is_not else sql)


@lru_cache(maxsize=4)
def seen(of: Language, units: UnitsForm) -> Template:
    """Whether a row is in a business unit that exists for the caller."""
    return template(of, visible(of.dialect, units, hole("unit_id", Number)))


@lru_cache(maxsize=2)
def told_as_bytes(of: Language) -> Template:
    """A whole text, as it is answered."""
    return template(of, of.dialect.as_bytes(hole("text")))


@lru_cache(maxsize=2)
def found(of: Language) -> Template:
    """The record that meets a condition; a mark between those that are too many."""
    # Keys are unique within a unit; who sees several may meet one several times.
    statement = select(of.dialect.gathered(hole("made"), MARK)).select_from(tables("rows"))
    return template(of, func.coalesce(statement.scalar_subquery(), constant("null")))


@lru_cache(maxsize=4)
def related(of: Language, *, is_nullable: bool) -> Template:
    """The record whose number a row holds."""
    missing = constant("null" if is_nullable else MARK)
    statement = select(hole("made")).select_from(tables("rows"))
    return template(of, func.coalesce(statement.scalar_subquery(), missing))


GIVEN = "given_"
"""What the ids of a list are called."""


@lru_cache(maxsize=2)
def named(of: Language) -> Template:
    """What ids name, in their order."""
    given = of.dialect.side_by_side(value(0, Numbers), value(1, Numbers))
    ids = select(given.c.number, given.c.other, given.c.place).subquery(f"{GIVEN}$")
    pieces = select(hole("piece").label("piece")).select_from(ids).order_by(ids.c.place).limit(only(EVERY_ROW))
    return template(of, _array(of, pieces))


def _array(of: Language, each: Select[Any]) -> ColumnElement[str]:
    """The pieces of a statement's rows, in its order, as an array."""
    pieces = each.subquery("pieces_$")
    gathered = select(of.dialect.gathered(literal_column('pieces_$."piece"', TEXT), ",")).select_from(pieces)
    return JsonText().add("[").add(func.coalesce(gathered.scalar_subquery(), constant(""))).add("]").whole()


def _piece() -> ColumnElement[str]:
    return hole("made").label("piece")


def _there(*, is_bound: bool) -> list[ColumnElement[bool]]:
    """What is so for each row that exists for the caller, where there is something."""
    return [hole("there")] if is_bound else []


@lru_cache(maxsize=4)
def several(of: Language, *, is_bound: bool) -> Template:
    """The records whose numbers a row lists."""
    listed = of.dialect.items(hole("numbers", Numbers))
    on = and_(hole("id", Number) == listed.c.number, *_there(is_bound=is_bound))
    joined = listed.join(tables("tables"), on)
    each = select(_piece()).select_from(joined).order_by(listed.c.place).limit(only(EVERY_ROW))
    return template(of, _array(of, each))


@lru_cache(maxsize=4)
def latest(of: Language, *, is_bound: bool) -> Template:
    """The latest entry of each kind of an account's balances."""
    kinds, newest = t.balance_kinds.alias("kinds_$"), t.entries.alias("newest_$")
    number = newest_of_kind(kinds, newest).limit(only(1)).scalar_subquery()
    view = reading(ENTRIES)
    joined = kinds.join(view.tables, view.id == number)
    where = [kinds.c.account_id == hole("owner", Number), *_there(is_bound=is_bound)]
    each = select(_piece()).select_from(joined).where(*where).order_by(kinds.c.kind).limit(only(EVERY_ROW))
    return template(of, _array(of, each))


@lru_cache(maxsize=16)
def before(of: Language, form: BeforeForm, *, is_bound: bool) -> Template:
    """An account's last entry before an instant."""
    view, bind = reading(ENTRIES), Values()
    at, currency, kind = (view.columns[name] for name in ("timestamp", "currency", "balance_type"))
    where = [
        view.links["account_id"] == hole("owner", Number),
        at < bind(at.type),
        currency == (bind(currency.type) if form.has_currency else hole("currency", currency.type)),
        *([kind == bind(kind.type)] if form.has_type else []),
        *_there(is_bound=is_bound),
    ]
    statement = select(hole("made")).select_from(view.tables).where(*where)
    newest = statement.order_by(at.desc(), view.id.desc()).limit(only(1))
    return template(of, func.coalesce(newest.scalar_subquery(), constant("null")))


class PageShape(NamedTuple):
    """The rows of a page, and what is told of each and of all: `written` of the rows, `whole` of what was written."""

    template: Template
    walked: str
    """Stands behind the number of the tables that are walked."""
    key: str
    """What each of several walks is for."""


ROW, PICKED, MERGED, TOLD = "row_", "picked_", "merged_", "told_"
"""What the rows of a page are called, from the inside out, and what is told of them."""


@lru_cache(maxsize=64)
def page(
    of: Language, way: Way, units: UnitsForm | None, *, is_numbered: bool, from_end: bool, is_owned: bool
) -> PageShape:
    """A page; its rows are numbered where it must be known which are its first and last ones.

    units: the caller's, where each is walked. is_owned: whether there are cursors, which are of one parent's list.
    """
    rows = RowsOfPage(of.dialect, way, units)
    picked = _numbered(rows.rows()) if is_numbered else rows.rows()
    written = select(hole("written")).select_from(picked.subquery(f"{ROW}$"))
    if is_numbered:
        place = literal_column(f'{ROW}$."rn"', NUMBER)
        written = written.order_by(place.desc() if from_end else place)
    text: ColumnElement[str] = select(hole("whole")).select_from(written.subquery(f"{TOLD}$")).scalar_subquery()
    if is_owned:
        text = case((hole("owner", Number) == value(PARENT, Number), text), else_=constant(MARK))
    key = "" if rows.key is None else str(rows.key.compile(dialect=of.driver))
    return PageShape(template(of, text), rows.walked, key)


def _numbered(rows: Select[Any]) -> Select[Any]:
    """The rows of a page with their places, and how many they are."""
    place = func.row_number().over(order_by=hole("picked_order")).label("rn")
    count = func.count().over().label("n")
    return select(*passed(columns_of(f"{PICKED}$")), place, count).select_from(rows.subquery(f"{PICKED}$"))


@lru_cache(maxsize=4)
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
        more.append(select(literal_column("1")).select_from(tables("rows")).exists())
    return template(of, case(*[(each, constant("true")) for each in more], else_=constant("false")))


@lru_cache(maxsize=4)
def edge(of: Language, *, is_first: bool) -> Template:
    """The cursor of a page's first or last row."""
    number, count = (literal_column(f'{TOLD}$."{name}"', NUMBER) for name in ("rn", "n"))
    size = hole("size", NUMBER)
    place = literal_column("1", NUMBER) if is_first else of.dialect.least(count, size)
    cursors = func.max(literal_column(f'{TOLD}$."cursor"', TEXT)).filter(number <= size, number == place)
    return template(of, func.coalesce(cursors, constant("null")))


@lru_cache(maxsize=2)
def count(of: Language) -> Template:
    """How many rows there are."""
    return template(of, select(cast(func.count(), Text)).select_from(tables("rows")).scalar_subquery())


TOTAL = "total_"
"""What the sums of a list are called."""
SUM = "sum"


@lru_cache(maxsize=2)
def totals(of: Language) -> Template:
    """The balances of a list added up, a row a currency."""
    balance, currency = hole("balance", Money()), hole("currency", Letters)
    summed = {
        "currency": currency,
        "account_count": func.count(),
        SUM: of.dialect.sum_text(balance),
        "min": func.min(balance),
        "max": func.max(balance),
    }
    statement = select(*[each.label(name) for name, each in summed.items()]).select_from(tables("rows"))
    total = statement.group_by(currency).order_by(currency).subquery(f"{TOTAL}$")
    return template(
        of, _array(of, select(_piece()).select_from(total).order_by(total.c.currency).limit(only(EVERY_ROW)))
    )


TOTAL_TYPES: Mapping[str, TypeEngine[Any]] = MappingProxyType(
    {"currency": Letters, "account_count": NUMBER, "min": alike(Money()), "max": alike(Money())}
)
"""The types of its columns, save that of the sum, which is a text."""


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
