"""The GraphQL contract."""

from typing import Any

import strawberry
from graphql import GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from app.domain import records
from app.domain.events import Event
from app.domain.histories import HistoryConfig
from schema.fields import bind
from schema.mutation import Mutation
from schema.query import Query
from schema.scalars import SCALARS
from schema.subscription import Subscription

TYPE_NAMES = {
    records.Account: "Account",
    records.Entry: "Balance",
    records.Contractor: "Contractor",
    records.Contact: "Contact",
    records.InvoiceTemplate: "InvoiceTemplate",
    records.Division: "Division",
    HistoryConfig: "BalanceHistoryConfig",
    records.ClosingRecord: "CycleClosing",
    records.HistoryEntry: "BalanceHistoryEntry",
    records.Webhook: "Webhook",
    Event: "Event",
}
"""The GraphQL type of each record that has an id."""


def _type_name(record: Any, _info: Any, _abstract: Any) -> str | None:
    return TYPE_NAMES.get(type(record))


def _prepared(schema: GraphQLSchema) -> GraphQLSchema:
    """Resolve declared fields directly, and records by their type."""
    bind(schema)
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLInterfaceType):
            type_.resolve_type = _type_name
        elif isinstance(type_, GraphQLObjectType):
            type_.is_type_of = None
        elif isinstance(type_, GraphQLInputObjectType) and type_.name == "AccountIdentifier":
            type_.is_one_of = True
    return schema


strawberry_schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    config=StrawberryConfig(scalar_map=SCALARS),
)
schema: GraphQLSchema = _prepared(strawberry_schema._schema)  # noqa: SLF001 - it has no other name.


def sdl() -> str:
    """The schema in GraphQL's own language."""
    return strawberry_schema.as_str() + "\n"
