"""Makes the parts of statements before anything is asked.

A document that is the first in its process to need a part would pay for it, several times what the document costs
otherwise. The parts are few, as they hang on no source, name or number: some 400, which take a tenth of a second of a
process's start. What was considered: to make them in the background, which would hold up whoever asks meanwhile; and to
keep them in a file, which would have to be kept in step with SQLAlchemy and the schema.
"""

from collections.abc import Iterator
from itertools import product

from sqlalchemy.engine import Dialect as Driver

from app.domain.conditions import Operator
from app.domain.ids import Kind
from app.store import shapes
from app.store.dialects import Dialect
from app.store.movements import moved
from app.store.narrowing import MANY, Test, sizes
from app.store.pieces import BeforeForm, Identified, Spliced, UnitsForm, Value
from app.store.shapes import FieldTypes
from app.store.sources import SOURCES
from app.store.spelling import spelling
from app.store.templates import Language
from app.store.types import Money
from app.store.windows import Way
from app.store.written import difference, later, told

_NO, _YES = (False, True)
_BOTH = (_NO, _YES)
_LATER_MAX = 3
"""Columns by which something is asked for later."""


def make_ready(of: Language, driver: Driver) -> None:
    """Make every part that a statement can need in the language of a database."""
    spelled = {source: spelling(of, source) for source in SOURCES}
    columns = {(type_, name in each.nullable) for each in spelled.values() for name, type_ in each.types.items()}
    for type_, is_nullable in columns | {(type_, False) for type_ in shapes.TOTAL_TYPES.values()}:
        for piece in (Value(""), Spliced("", 0)):
            told(of, piece, type_, is_nullable=is_nullable)
    fields = {field.types for each in spelled.values() for field in each.fields.values()}
    folded_first = {each.fields[name].types for source, each in spelled.items() for name in source.folded_first}
    for types in fields:
        for test in _tests(of.dialect, types, is_folded_first=types in folded_first):
            shapes.compared(of, test, types)
    for key in {None, *(types.column for types in fields)}:
        for up, is_not in product(_BOTH, _BOTH):
            shapes.beyond(of, key, up=up, is_not=is_not)
    for key, is_owned in product({types.column for types in fields}, _BOTH):
        shapes.cursor(of, key, is_owned=is_owned)
    _make_pages(of)
    _make_others(of, driver)


def _tests(dialect: Dialect, types: FieldTypes, *, is_folded_first: bool) -> Iterator[Test]:
    """The ways in which a field of some types may be compared."""
    lists = [*sizes(dialect), MANY]
    for operator, size in product((Operator.EQ, Operator.NOT_EQ), lists):
        yield Test("", operator, size)
    for size in (0, 1):
        yield Test("", Operator.IS_NULL, size)
    if types.folded is None:
        for operator in (Operator.GT, Operator.GTE, Operator.LT, Operator.LTE):
            yield Test("", operator)
        return
    if is_folded_first:
        for size in lists:
            yield Test("", Operator.EQ, size, also_folded=True)
    for operator, size in product((Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH), (0, 1)):
        yield Test("", operator, size)
    yield Test("", Operator.STARTS_WITH, 2)


def _make_pages(of: Language) -> None:
    ways = [
        *[(Way.ALONE, None, is_owned) for is_owned in _BOTH],
        (Way.EACH_ACCOUNT, None, _NO),
        *[(Way.EACH_UNIT, units, _NO) for units in (UnitsForm.ALL, UnitsForm.SOME)],
    ]
    for (way, units, is_owned), (is_numbered, from_end) in product(ways, ((_NO, _NO), (_YES, _NO), (_YES, _YES))):
        shapes.page(of, way, units, is_numbered=is_numbered, from_end=from_end, is_owned=is_owned)
    for one, other in product(_BOTH, _BOTH):
        shapes.goes_on(of, is_counted=one, is_looked_for=other)
    for one in _BOTH:
        shapes.rows(of, is_numbered=one)
        shapes.edge(of, is_first=one)
    shapes.count(of)
    shapes.totals(of)
    shapes.total_sum(of)


def _make_others(of: Language, driver: Driver) -> None:
    shapes.told_as_bytes(of)
    shapes.found(of)
    shapes.named(of)
    shapes.is_not_true(of)
    for is_bound in _BOTH:
        shapes.several(of, is_bound=is_bound)
        shapes.latest(of, is_bound=is_bound)
        shapes.related(of, is_nullable=is_bound)
        for has_currency, has_type in product(_BOTH, _BOTH):
            shapes.before(of, form=BeforeForm(has_currency, has_type), is_bound=is_bound)
    for units in UnitsForm:
        if units is not UnitsForm.ALL:
            shapes.seen(of, units)
        for has_currency in _BOTH:
            moved(of, driver, units, has_currency=has_currency)
    for kind in Kind:
        told(of, Identified(kind.value), spelling(of, SOURCES[0]).types["id"], is_nullable=False)
    for columns in range(1, _LATER_MAX + 1):
        later(of, columns)
    amount = spelling(of, SOURCES[0]).types["balance"]
    assert isinstance(amount, Money)
    difference(of, amount, amount)
