"""Divisions, as clients see them."""

import datetime as dt

import strawberry

from app.domain.callers import Scope
from app.domain.conditions import Order
from app.domain.ids import Kind
from resolvers import divisions as resolve
from resolvers.declarations import Identity, One
from resolvers.listings import CLOSINGS, DIVISIONS, HISTORY_CONFIGS, pages
from schema.accounts import AccountConnection, account_pages
from schema.fields import answered, column, stored
from schema.histories import BalanceHistoryConfig, BalanceHistoryConfigConnection, CycleClosingConnection
from schema.node import Node
from schema.pages import PageInfo, edge_cursor, edge_node, edges, nodes, page_info, total_count
from schema.refusals import UserError


@strawberry.type
class Division(Node):
    id: strawberry.ID = stored(Identity(Kind.DIVISION))
    code: str = column("code")
    business_unit: str = column("business_unit")
    name: str | None = column("name")
    description: str | None = column("description")
    timezone: str = column("timezone", "IANA name; the parent's, else UTC, where none was given.")
    parent: "Division | None" = stored(One(DIVISIONS, "parent_id", Scope.ACCOUNTS_READ))
    balance_history_config: BalanceHistoryConfig | None = answered(
        resolve.config_in_force, "The configuration in force now; null before the first one starts."
    )
    pending_balance_history_config: BalanceHistoryConfig | None = answered(
        resolve.pending_config, "The configuration that has not started yet."
    )
    balance_history_configs: BalanceHistoryConfigConnection | None = stored(
        pages(HISTORY_CONFIGS, "division_id", Scope.CONFIG_READ, Order("first_closing", descending=True)),
        "All of them, newest first: the one to come, the one in force, the previous ones.",
    )
    next_closing_at: dt.datetime | None = answered(resolve.next_closing_at)
    cycle_closings: CycleClosingConnection | None = stored(
        pages(CLOSINGS, "division_id", Scope.CONFIG_READ, Order("closing_at", descending=True))
    )
    accounts: AccountConnection | None = account_pages("division_id")


@strawberry.type
class DivisionEdge:
    cursor: str = edge_cursor()
    node: Division = edge_node()


@strawberry.type
class DivisionConnection:
    page_info: PageInfo = page_info()
    edges: list[DivisionEdge] = edges()
    nodes: list[Division] = nodes()
    total_count: int | None = total_count()


@strawberry.input
class CreateDivisionInput:
    code: str
    business_unit: str | None = strawberry.UNSET
    name: str | None = strawberry.UNSET
    description: str | None = strawberry.UNSET
    timezone: str | None = strawberry.UNSET
    parent_code: str | None = strawberry.UNSET


@strawberry.type
class CreateDivisionPayload:
    division: Division | None = column("made")
    user_errors: list[UserError] = column("user_errors")
