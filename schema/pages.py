"""Connections: pages of things, with cursors."""

from typing import Any

import strawberry

from app.domain.currencies import CURRENCIES
from resolvers.declarations import Part, Same
from schema.costs import assumed
from schema.fields import column, stored


@strawberry.type
class PageInfo:
    has_next_page: bool = stored(Part("has_next_page"))
    has_previous_page: bool = stored(Part("has_previous_page"))
    start_cursor: str | None = stored(Part("start_cursor"))
    end_cursor: str | None = stored(Part("end_cursor"))


def page_info() -> Any:
    return stored(Same())


def edges() -> Any:
    return stored(Part("edges"))


def nodes() -> Any:
    return stored(Part("nodes"))


def total_count() -> Any:
    return stored(Part("total_count"), "How many there are in all; counted only when asked for.")


def totals(description: str) -> Any:
    return stored(Part("totals"), description, costs=[assumed(5)])


def edge_cursor() -> Any:
    return column("cursor")


def edge_node() -> Any:
    return column("node")


@strawberry.type(description="An ISO 4217 currency.")
class Currency:
    code: str = column("code")
    name: str = column("name")
    minor_units: int = column("minor_units", "How many digits the minor unit has: 2 for EUR, 0 for JPY.")


def every_currency(_root: Any, _info: Any) -> list[Any]:
    return list(CURRENCIES.values())


@strawberry.input
class CurrencyInput:
    code: str
