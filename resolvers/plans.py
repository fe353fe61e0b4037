"""What declared fields ask of a store that writes the answer itself: the form and the values of their arguments."""

from collections.abc import Awaitable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from app.domain.conditions import EVERYTHING, AnyOf, Comparison, Condition, Operator, Order, conjoined
from app.domain.currencies import CURRENCIES
from app.domain.ids import parse_id
from app.domain.refusals import Code, Refusal
from app.store.answers import Asked
from app.store.dialects import Dialect
from app.store.narrowing import place_values, taken_apart
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
    Value,
    WindowForm,
    tells_places,
)
from app.store.reads import named_accounts, narrowed
from app.store.sources import ENTRIES, Source
from app.store.written import DIGEST, LATER, PARENT, ROOTS, SPLICE, site_name
from resolvers import declarations as d
from resolvers.context import Context
from resolvers.declarations import AsOf, Keyed, Pages
from resolvers.pages import ROOT, digest_of, window_of

__all__ = [
    "LATER",
    "SPLICE",
    "Asked",
    "Before",
    "Constant",
    "Cursor",
    "Difference",
    "Fact",
    "Facts",
    "Found",
    "Given",
    "Identified",
    "Later",
    "Latest",
    "Named",
    "Object",
    "Page",
    "Part",
    "Piece",
    "Related",
    "Rows",
    "Several",
    "SiteDeclaration",
    "Spliced",
    "Totals",
    "Unstored",
    "Value",
    "answer",
    "given_at",
    "statement",
    "tells_places",
]

SiteDeclaration = Keyed | d.Named | Pages | AsOf
"""The declarations whose fields take arguments."""


class Unstored(Exception):  # noqa: N818 - the field is resolved instead.
    """What a field's arguments ask for stands in no source."""


class Given(NamedTuple):
    """What was given at a site."""

    form: SiteForm
    values: Mapping[str, Any]


def given_at(
    site: int, declaration: SiteDeclaration, arguments: Mapping[str, Any], context: Context, *, tells_places: bool
) -> Given:
    """The form and the values of a field's arguments; `tells_places` says whether cursors are asked for.

    Raises the Refusal that the field's resolver would, and Unstored where its resolver is to be asked.
    """
    match declaration:
        case Keyed():
            return _keyed(site, declaration, arguments, context.store.dialect)
        case d.Named():
            return _ids(site, declaration, arguments, context)
        case Pages():
            return _page(site, declaration, arguments, context, tells_places=tells_places)
        case AsOf():
            return _before(site, arguments)


def _named(site: int, values: list[Any]) -> dict[str, Any]:
    return {site_name(site, number): value for number, value in enumerate(values)}


def _keyed(site: int, declaration: Keyed, arguments: Mapping[str, Any], dialect: Dialect) -> Given:
    key = declaration.key(arguments)
    if key is None:
        return Given(_key_form(dialect, declaration.source, None, has_unit=False), {})
    values = {site_name(site, 0): key.value}
    if key.business_unit is not None:
        values[site_name(site, 1)] = key.business_unit
    return Given(_key_form(dialect, declaration.source, key.field, has_unit=key.business_unit is not None), values)


@lru_cache(maxsize=256)
def _key_form(dialect: Dialect, source: Source, field: str | None, *, has_unit: bool) -> SiteForm:
    """The form of a look-up by a key, and by a business unit; its values come in that order."""
    parts: list[Condition] = [] if field is None else [Comparison(field, Operator.EQ, "")]
    assert field not in source.folded_first, "a key is compared as it is"
    if has_unit:
        parts.append(Comparison("business_unit", Operator.EQ, ""))
    return taken_apart(dialect, source, conjoined(parts) if parts else AnyOf(()), [])


def _ids(site: int, declaration: d.Named, arguments: Mapping[str, Any], context: Context) -> Given:
    given = arguments[declaration.argument]
    named = [parse_id(text) or (None, 0) for text in (given if declaration.is_list else [given])]
    kinds = sorted({kind for kind, _ in named if kind is not None})
    for kind in kinds:
        if kind in declaration.of.told:
            raise Unstored
        context.caller.must(declaration.of.stored[kind][1])
    numbers = [number for _, number in named]
    if not declaration.is_list:
        return Given(NamedForm(tuple(kinds)), _named(site, numbers if kinds else []))
    places = [-1 if kind is None else kinds.index(kind) for kind, _ in named]
    return Given(NamedForm(tuple(kinds)), _named(site, [numbers, places]))


def _page(
    site: int, declaration: Pages, arguments: Mapping[str, Any], context: Context, *, tells_places: bool
) -> Given:
    window, parents = window_of(declaration, arguments, context.limits.page_size)
    if len(set(parents.values())) > 1 or (declaration.link is None and set(parents.values()) - {ROOT}):
        raise Refusal(Code.BAD_REQUEST, "A cursor is of another list.")
    dialect = context.store.dialect
    values: list[Any] = []
    condition, order = window.condition, window.order
    form = taken_apart(dialect, declaration.source, condition, values)
    for place in (window.after, window.before):
        if place is not None:
            values += place_values(order.field, place)
    named = _named(site, values)
    if tells_places:
        named[site_name(site, DIGEST)] = digest_of(declaration, condition, order)
    for parent in parents.values():
        named[site_name(site, PARENT)] = parent
    accounts = named_accounts(condition) if declaration.source is ENTRIES and declaration.link is None else None
    if accounts is not None:
        named[site_name(site, ROOTS)] = sorted(accounts)
    window_form = WindowForm(
        condition=form,
        order=Order(*order),
        has_after=window.after is not None,
        has_before=window.before is not None,
        size=window.limit - 1,
        from_end=window.from_end,
        names_accounts=accounts is not None,
        narrowed=frozenset() if condition == EVERYTHING else frozenset(narrowed(condition)),
    )
    return Given(window_form, named)


def _before(site: int, arguments: Mapping[str, Any]) -> Given:
    currency, balance_type = arguments.get("currency"), arguments.get("balanceType")
    if currency is not None and currency not in CURRENCIES:
        raise Refusal(Code.BAD_REQUEST, "currency is not an active ISO 4217 code.")
    values = [value for value in (arguments["before"], currency, balance_type) if value is not None]
    return Given(BeforeForm(currency is not None, balance_type is not None), _named(site, values))


def answer(context: Context, asked: Asked, sites: Sequence[Given]) -> Awaitable[list[bytes | None]]:
    """The JSON text of each root that is asked for; None where it is to be asked for by its resolver.

    Raises Refusal TIMEOUT and UNAVAILABLE.
    """
    values: dict[str, Any] = {}
    for given in sites:
        values.update(given.values)
    return context.store.answer(asked, context.caller.units, tuple([given.form for given in sites]), values)


def statement(context: Context, asked: Asked, sites: Sequence[Given]) -> str:
    """The SQL by which that is answered, without values."""
    return context.store.statement(asked, context.caller.units, tuple([given.form for given in sites]))
