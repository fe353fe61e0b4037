"""Accounts, as clients see them."""

import datetime as dt
import decimal
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import strawberry

from app.domain.callers import Scope
from app.domain.ids import Kind
from app.domain.records import InvoicePeriod, ThresholdState
from app.domain.series import Interval
from resolvers import accounts as resolve
from resolvers.declarations import AsOf, Coded, Identity, Latest, One, Several
from resolvers.divisions import HISTORY
from resolvers.listings import (
    ACCOUNT_ORDERING,
    ACCOUNTS,
    CONTACTS,
    CONTRACTORS,
    DIVISIONS,
    ENTRIES,
    INVOICE_TEMPLATES,
    pages,
)
from schema.balances import Balance, BalanceConnection, balance_pages
from schema.costs import Cost, assumed
from schema.fields import column, stored
from schema.filters import ACCOUNT_FILTERS, ACCOUNT_ORDERS, AccountFilter, AccountOrder
from schema.node import Node
from schema.pages import (
    Currency,
    CurrencyInput,
    PageInfo,
    edge_cursor,
    edge_node,
    edges,
    nodes,
    page_info,
    total_count,
    totals,
)
from schema.refusals import UserError

if TYPE_CHECKING:
    from schema.directory import Contact, Contractor, InvoiceTemplate
    from schema.divisions import Division
    from schema.histories import BalanceHistoryConnection

ContractorType = Annotated["Contractor", strawberry.lazy("schema.directory")]
ContactType = Annotated["Contact", strawberry.lazy("schema.directory")]
InvoiceTemplateType = Annotated["InvoiceTemplate", strawberry.lazy("schema.directory")]
DivisionType = Annotated["Division", strawberry.lazy("schema.divisions")]
HistoryConnectionType = Annotated["BalanceHistoryConnection", strawberry.lazy("schema.histories")]

strawberry.enum(InvoicePeriod)
strawberry.enum(Interval, name="SeriesInterval")


_HISTORY_ARGUMENTS: dict[str, Any] = {
    "from": dt.date | None,
    "to": dt.date | None,
    "currency": str | None,
}
_SERIES_ARGUMENTS: dict[str, Any] = {
    "from": dt.datetime,
    "before": dt.datetime,
    "interval": Interval,
    "currency": str | None,
    "timezone": str | None,
}


@strawberry.type(directives=[Cost(weight="0.2")])
class BalancePoint:
    start: dt.datetime = column("start")
    open: decimal.Decimal | None = column("open")
    low: decimal.Decimal | None = column("low")
    high: decimal.Decimal | None = column("high")
    close: decimal.Decimal | None = column("close")
    entry_count: int = column("entry_count")


@strawberry.type
class Account(Node):
    id: strawberry.ID = stored(Identity(Kind.ACCOUNT))
    uuid: UUID = column("uuid")
    name: str = column("name")
    external_id: str | None = column("external_id")
    business_unit: str = column("business_unit")
    division: DivisionType | None = stored(One(DIVISIONS, "division_id", Scope.ACCOUNTS_READ))
    contractor: ContractorType = stored(One(CONTRACTORS, "contractor_id", Scope.ACCOUNTS_READ))
    currency: Currency = stored(Coded("currency"))

    balance: decimal.Decimal = column("balance", "The amount of currentBalance; 0 where the account has no entry yet.")
    current_balance: Balance | None = stored(
        One(ENTRIES, "current_entry_id", Scope.ACCOUNTS_READ),
        "The entry with the latest timestamp in the account's currency.",
    )
    current_balances: list[Balance] | None = stored(
        Latest(Scope.BALANCES_READ, ENTRIES),
        "The latest entry for each balance type and currency.",
        costs=[assumed(5)],
    )
    balance_as_of: Balance | None = stored(
        AsOf(Scope.BALANCES_READ, ENTRIES),
        "The last entry before an instant, in the account's currency unless another is named.",
        before=dt.datetime,
        balanceType=str | None,
        currency=str | None,
    )
    balances: BalanceConnection | None = balance_pages("account_id", "Newest first, unless ordered otherwise.")
    balance_history: HistoryConnectionType | None = stored(
        HISTORY,
        "One entry a business day with movement, as recorded at cycle closing; newest first.",
        **_HISTORY_ARGUMENTS,
    )
    balance_series: list[BalancePoint] | None = stored(
        resolve.SERIES,
        "Open, low, high and close for each interval, for charts; intervals without an entry carry the last close.",
        costs=[assumed(366)],
        **_SERIES_ARGUMENTS,
    )

    min_balance: decimal.Decimal = column("min_balance")
    max_balance: decimal.Decimal = column("max_balance")
    balance_low_threshold: decimal.Decimal | None = column("balance_low_threshold")
    balance_high_threshold: decimal.Decimal | None = column("balance_high_threshold")
    threshold_state: ThresholdState = column("threshold_state")

    vat: decimal.Decimal = column("vat", "A percentage, 0 to 100.")
    origination_capacity: int | None = column("origination_capacity", "Calls at once; null: unlimited.")
    termination_capacity: int | None = column("termination_capacity", "Calls at once; null: unlimited.")
    total_capacity: int | None = column("total_capacity", "Calls at once; null: unlimited.")
    destination_rate_limit: decimal.Decimal | None = column("destination_rate_limit")
    max_call_duration: int | None = column("max_call_duration", "Seconds.")
    invoice_period: InvoicePeriod | None = column("invoice_period")
    invoice_template: InvoiceTemplateType | None = stored(
        One(INVOICE_TEMPLATES, "invoice_template_id", Scope.ACCOUNTS_READ)
    )
    send_invoices_to: list[ContactType] = stored(
        Several(CONTACTS, "send_invoices_to", Scope.ACCOUNTS_READ), costs=[assumed(3)]
    )
    send_balance_notifications_to: list[ContactType] = stored(
        Several(CONTACTS, "send_balance_notifications_to", Scope.ACCOUNTS_READ), costs=[assumed(3)]
    )
    timezone: str = column("timezone", "IANA name.")

    created_at: dt.datetime = column("created_at")
    updated_at: dt.datetime = column("updated_at")


@strawberry.type
class AccountEdge:
    cursor: str = edge_cursor()
    node: Account = edge_node()


@strawberry.type
class CurrencyTotal:
    currency: Currency = stored(Coded("currency"))
    account_count: int = column("account_count")
    sum: decimal.Decimal = column("sum")
    min: decimal.Decimal = column("min")
    max: decimal.Decimal = column("max")


@strawberry.type
class AccountConnection:
    page_info: PageInfo = page_info()
    edges: list[AccountEdge] = edges()
    nodes: list[Account] = nodes()
    total_count: int | None = total_count()
    totals: list[CurrencyTotal] | None = totals(
        "Of all accounts that match, not only of this page; one row a currency."
    )


def account_pages(link: str | None, description: str | None = None) -> Any:
    """A connection of accounts: all, or those of a parent."""
    return stored(
        pages(ACCOUNTS, link, Scope.ACCOUNTS_READ, ACCOUNT_ORDERING, ACCOUNT_FILTERS, ACCOUNT_ORDERS),
        description,
        filter=AccountFilter | None,
        orderBy=AccountOrder | None,
    )


@strawberry.input
class AccountUuidInput:
    uuid: UUID
    business_unit: str | None = strawberry.UNSET


@strawberry.input
class ExternalIdInput:
    external_id: str
    business_unit: str | None = strawberry.UNSET


@strawberry.input
class AccountNameInput:
    name: str
    business_unit: str | None = strawberry.UNSET


@strawberry.input(one_of=True, description="Exactly one key.")
class AccountIdentifier:
    id: strawberry.ID | None = strawberry.UNSET
    uuid: AccountUuidInput | None = strawberry.UNSET
    external_id: ExternalIdInput | None = strawberry.UNSET
    name: AccountNameInput | None = strawberry.UNSET


@strawberry.input
class _AccountValues:
    """What may be said of an account, when it is made and later."""

    division_code: str | None = strawberry.UNSET
    min_balance: decimal.Decimal | None = strawberry.UNSET
    max_balance: decimal.Decimal | None = strawberry.UNSET
    balance_low_threshold: decimal.Decimal | None = strawberry.UNSET
    balance_high_threshold: decimal.Decimal | None = strawberry.UNSET
    vat: decimal.Decimal | None = strawberry.UNSET
    origination_capacity: int | None = strawberry.UNSET
    termination_capacity: int | None = strawberry.UNSET
    total_capacity: int | None = strawberry.UNSET
    destination_rate_limit: decimal.Decimal | None = strawberry.UNSET
    max_call_duration: int | None = strawberry.UNSET
    external_id: str | None = strawberry.UNSET
    invoice_period: InvoicePeriod | None = strawberry.UNSET
    invoice_template_id: strawberry.ID | None = strawberry.UNSET
    send_invoices_to: list[strawberry.ID] | None = strawberry.UNSET
    send_balance_notifications_to: list[strawberry.ID] | None = strawberry.UNSET
    timezone: str | None = strawberry.UNSET


@strawberry.input
class CreateAccountInput(_AccountValues):
    name: str
    contractor_id: strawberry.ID
    business_unit: str | None = strawberry.UNSET
    currency: CurrencyInput | None = strawberry.UNSET
    uuid: UUID | None = strawberry.UNSET


@strawberry.input
class UpdateAccountInput(_AccountValues):
    name: str | None = strawberry.UNSET
    contractor_id: strawberry.ID | None = strawberry.UNSET


@strawberry.type
class CreateAccountPayload:
    account: Account | None = column("made")
    user_errors: list[UserError] = column("user_errors")


@strawberry.type
class UpdateAccountPayload:
    account: Account | None = column("made")
    user_errors: list[UserError] = column("user_errors")
