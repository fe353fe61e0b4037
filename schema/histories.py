"""History configurations, closings and what they recorded, as clients see them."""

import datetime as dt
import decimal
from typing import TYPE_CHECKING, Annotated

import strawberry

from app.domain.callers import Scope
from app.domain.histories import Status
from app.domain.ids import Kind
from resolvers import divisions as resolve
from resolvers.declarations import Coded, Identity, Lesser, One, Same
from resolvers.listings import DIVISIONS
from schema.fields import answered, column, stored
from schema.node import Node
from schema.pages import Currency, PageInfo, edge_cursor, edge_node, edges, nodes, page_info, total_count
from schema.refusals import UserError

if TYPE_CHECKING:
    from schema.divisions import Division

DivisionType = Annotated["Division", strawberry.lazy("schema.divisions")]

strawberry.enum(Status, name="BalanceHistoryConfigStatus")


@strawberry.type
class CycleConfigValidity:
    start: dt.datetime = column("start")
    end: dt.datetime | None = column("end")


@strawberry.type
class BalanceHistoryConfig(Node):
    id: strawberry.ID = stored(Identity(Kind.HISTORY_CONFIG))
    division: DivisionType = stored(One(DIVISIONS, "division_id", Scope.ACCOUNTS_READ))
    cycle_closing_time: str = column("closing_time", "HH:MM:SS in the division's time zone.", tell=dt.time.isoformat)
    cycle_event_delay: int = column("delay_minutes", "Minutes between the closing and its events, 5 to 1439.")
    cycle_config_validity: CycleConfigValidity = stored(Same())
    status: Status = answered(resolve.status)


@strawberry.type
class BalanceHistoryConfigEdge:
    cursor: str = edge_cursor()
    node: BalanceHistoryConfig = edge_node()


@strawberry.type
class BalanceHistoryConfigConnection:
    page_info: PageInfo = page_info()
    edges: list[BalanceHistoryConfigEdge] = edges()
    nodes: list[BalanceHistoryConfig] = nodes()
    total_count: int | None = total_count()


@strawberry.input
class CreateAccountBalanceHistoryConfigInput:
    division_code: str
    cycle_closing_time: str
    cycle_event_delay: int
    business_unit: str | None = strawberry.UNSET


@strawberry.input
class UpdateAccountBalanceHistoryConfigInput:
    cycle_closing_time: str | None = strawberry.UNSET
    cycle_event_delay: int | None = strawberry.UNSET


@strawberry.type
class CreateAccountBalanceHistoryConfigPayload:
    balance_history_config: BalanceHistoryConfig | None = column("made")
    user_errors: list[UserError] = column("user_errors")


@strawberry.type
class UpdateAccountBalanceHistoryConfigPayload:
    balance_history_config: BalanceHistoryConfig | None = column("made")
    user_errors: list[UserError] = column("user_errors")


@strawberry.type
class CycleClosing(Node):
    id: strawberry.ID = stored(Identity(Kind.CLOSING))
    business_date: dt.date = column("business_date")
    closing_at: dt.datetime = column("closing_at")
    completed_at: dt.datetime = column("completed_at", "When the events of this closing were written.")
    account_count: int = column("account_count")


@strawberry.type
class CycleClosingEdge:
    cursor: str = edge_cursor()
    node: CycleClosing = edge_node()


@strawberry.type
class CycleClosingConnection:
    page_info: PageInfo = page_info()
    edges: list[CycleClosingEdge] = edges()
    total_count: int | None = total_count()
    nodes: list[CycleClosing] = nodes()


@strawberry.type
class BalanceHistoryEntry(Node):
    id: strawberry.ID = stored(Identity(Kind.HISTORY_ENTRY))
    business_date: dt.date = column("business_date")
    closing_at: dt.datetime = column("closing_at")
    currency: Currency = stored(Coded("currency"))
    opening: decimal.Decimal = column("opening")
    closing: decimal.Decimal = column("closing")
    change: decimal.Decimal = stored(Lesser("change", "closing", "opening"))


@strawberry.type
class BalanceHistoryEdge:
    cursor: str = edge_cursor()
    node: BalanceHistoryEntry = edge_node()


@strawberry.type
class BalanceHistoryConnection:
    page_info: PageInfo = page_info()
    edges: list[BalanceHistoryEdge] = edges()
    total_count: int | None = total_count()
    nodes: list[BalanceHistoryEntry] = nodes()
