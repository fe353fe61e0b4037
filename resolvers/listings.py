"""What the schema needs to declare connections: sources by name, and their usual orders."""

from collections.abc import Mapping

from app.domain.callers import Scope
from app.domain.conditions import Order
from app.store.sources import (
    ACCOUNTS,
    CLOSINGS,
    CONTACTS,
    CONTRACTORS,
    DIVISIONS,
    ENTRIES,
    HISTORY_CONFIGS,
    HISTORY_ENTRIES,
    INVOICE_TEMPLATES,
    WEBHOOKS,
    Source,
)
from resolvers.declarations import Pages
from resolvers.filters import FilterKey

ACCOUNT_ORDERING = BY_CREATION = Order("id", descending=False)

__all__ = [
    "ACCOUNTS",
    "ACCOUNT_ORDERING",
    "BY_CREATION",
    "CLOSINGS",
    "CONTACTS",
    "CONTRACTORS",
    "DIVISIONS",
    "ENTRIES",
    "HISTORY_CONFIGS",
    "HISTORY_ENTRIES",
    "INVOICE_TEMPLATES",
    "WEBHOOKS",
    "pages",
]


def pages(
    source: Source,
    link: str | None,
    scope: Scope,
    order: Order,
    filters: Mapping[str, FilterKey] | None = None,
    orders: Mapping[str, str] | None = None,
) -> Pages:
    """A connection over a source; without a link, over all of it that the caller may see."""
    return Pages(source, link, scope, order, filters or {}, orders or {})
