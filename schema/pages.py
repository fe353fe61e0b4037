"""Connections: pages of things, with cursors."""

from typing import Any

import strawberry

from app.domain.currencies import CURRENCIES
from resolvers.pages import Listing
from schema.costs import assumed
from schema.fields import answered


def _of(question: str) -> Any:
    """A resolver that asks the page."""

    def resolve(listing: Listing, _info: Any) -> Any:
        return getattr(listing, question)()

    return resolve


@strawberry.type
class PageInfo:
    has_next_page: bool = answered(_of("has_next_page"))
    has_previous_page: bool = answered(_of("has_previous_page"))
    start_cursor: str | None = answered(_of("start_cursor"))
    end_cursor: str | None = answered(_of("end_cursor"))


def _same(listing: Listing, _info: Any) -> Listing:
    return listing


def page_info() -> Any:
    return answered(_same)


def edges() -> Any:
    return answered(_of("edges"))


def nodes() -> Any:
    return answered(_of("nodes"))


def total_count() -> Any:
    return answered(_of("total_count"), "How many there are in all; counted only when asked for.")


def totals(description: str) -> Any:
    return answered(_of("totals"), description, costs=[assumed(5)])


def edge_cursor() -> Any:
    return answered(lambda edge, _info: edge.cursor)


def edge_node() -> Any:
    return answered(lambda edge, _info: edge.node)


@strawberry.type(description="An ISO 4217 currency.")
class Currency:
    code: str = answered(lambda currency, _info: currency.code)
    name: str = answered(lambda currency, _info: currency.name)
    minor_units: int = answered(
        lambda currency, _info: currency.minor_units, "How many digits the minor unit has: 2 for EUR, 0 for JPY."
    )


def every_currency(_root: Any, _info: Any) -> list[Any]:
    return list(CURRENCIES.values())


@strawberry.input
class CurrencyInput:
    code: str
