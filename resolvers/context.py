"""What one GraphQL operation carries with it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from graphql import GraphQLResolveInfo

from app.domain.balances import BatchRules
from app.domain.callers import Caller
from app.feed import Feed
from app.store.store import Store
from resolvers.loaders import Loaders

PAGE_DEFAULT = 50


@dataclass(frozen=True)
class Limits:
    """What may be sent and asked for, as the gateway is set."""

    page_size: int
    batch_items: int
    series_points: int
    currency: str
    """The currency of accounts that name none."""
    batch: BatchRules
    source: str = "balance-gateway"
    """The CloudEvents source of every event."""
    allow_private_webhooks: bool = False


@dataclass
class Context:
    """Who asks, what is remembered, and one instant for all rules of an operation."""

    caller: Caller
    store: Store
    now: datetime
    limits: Limits
    feed: Feed
    loaders: Loaders = field(default_factory=Loaders)


Info: TypeAlias = GraphQLResolveInfo[Context]
"""What graphql-core hands to a resolver."""
