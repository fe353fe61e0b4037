"""Balance entries and batches of them, as clients see them."""

import datetime as dt
import decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from app.domain.callers import Scope
from app.domain.conditions import Order
from app.domain.ids import Kind
from resolvers.declarations import Coded, Identity, One
from resolvers.listings import ACCOUNTS, ENTRIES, pages
from schema.costs import Cost, said
from schema.fields import column, stored
from schema.filters import BALANCE_FILTERS, BALANCE_ORDERS, BalanceFilter, BalanceOrder
from schema.node import Node
from schema.pages import Currency, CurrencyInput, PageInfo, edge_cursor, edge_node, edges, nodes, page_info, total_count
from schema.refusals import UserError

if TYPE_CHECKING:
    from schema.accounts import Account

AccountType = Annotated["Account", strawberry.lazy("schema.accounts")]


@strawberry.type
class Balance(Node):
    id: strawberry.ID = stored(Identity(Kind.BALANCE))
    account: AccountType | None = stored(One(ACCOUNTS, "account_id", Scope.ACCOUNTS_READ))
    amount: decimal.Decimal = column("amount")
    timestamp: dt.datetime = column("timestamp", "The moment at which the balance held.")
    currency: Currency = stored(Coded("currency"))
    balance_type: str | None = column("balance_type")
    equivalent_value: decimal.Decimal | None = column(
        "equivalent_value", "The same balance in the institution's reporting currency."
    )
    communication_number: str | None = column("communication_number")
    requester: str | None = column("requester")
    recorded_at: dt.datetime = column("recorded_at", "The moment at which the gateway recorded it.")
    recorded_by: str | None = column("recorded_by", "The subject of the token that recorded it.")


@strawberry.type
class BalanceEdge:
    cursor: str = edge_cursor()
    node: Balance = edge_node()


@strawberry.type
class BalanceConnection:
    page_info: PageInfo = page_info()
    edges: list[BalanceEdge] = edges()
    nodes: list[Balance] = nodes()
    total_count: int | None = total_count()


def balance_pages(link: str | None, description: str) -> Any:
    """A connection of entries, newest first: all, or those of a parent."""
    newest_first = Order("timestamp", descending=True)
    return stored(
        pages(ENTRIES, link, Scope.BALANCES_READ, newest_first, BALANCE_FILTERS, BALANCE_ORDERS),
        description,
        filter=BalanceFilter | None,
        orderBy=BalanceOrder | None,
    )


@strawberry.input
class CreateBankAccountBalanceInput:
    amount: decimal.Decimal
    timestamp: dt.datetime
    currency: CurrencyInput


@strawberry.input
class CorrectAccountBalanceInput:
    amount: decimal.Decimal
    timestamp: dt.datetime | None = strawberry.UNSET
    requester: str | None = strawberry.UNSET


@strawberry.type
class CreateBankAccountBalancePayload:
    balance: Balance | None = column("made")
    user_errors: list[UserError] = column("user_errors")


@strawberry.type
class CorrectAccountBalancePayload:
    balance: Balance | None = column("made")
    user_errors: list[UserError] = column("user_errors")


@strawberry.input
class AccountBalanceInput:
    account_ext_id: str
    communication_number: str
    requester: str
    value: decimal.Decimal
    balance_at: dt.datetime | None = strawberry.field(
        default=strawberry.UNSET, description="Mandatory, unless the older updateAt is sent instead."
    )
    update_at: dt.datetime | None = strawberry.field(
        default=strawberry.UNSET, description="The older name of balanceAt."
    )
    balance_type: str | None = strawberry.UNSET
    business_unit: str | None = strawberry.UNSET
    equivalent_value: decimal.Decimal | None = strawberry.UNSET


@strawberry.input
class BatchAccountBalancesInput:
    account_balances: list[AccountBalanceInput] = strawberry.field(directives=[Cost(weight="0.1")])


BATCH_SIZE = said("input.accountBalances", "results")
"""A batch has as many results as items. Each of both costs a tenth, so that the largest batch is within the limit."""


@strawberry.enum
class BatchResultType(Enum):
    REQUEST_ACCEPTED = "REQUEST_ACCEPTED"
    REQUEST_REJECTED = "REQUEST_REJECTED"


_RESULT_TYPES = {True: BatchResultType.REQUEST_ACCEPTED, False: BatchResultType.REQUEST_REJECTED}


@strawberry.type(directives=[Cost(weight="0.1")])
class BatchItemResult:
    result_type: BatchResultType = column("accepted", tell=_RESULT_TYPES.__getitem__)
    index: int = column("place", "The item's place in the input, from 0.")
    communication_number: str | None = column("communication_number")
    account_ext_id: str | None = column("account_ext_id")
    business_unit: str | None = column("business_unit")
    error_code: str | None = column(
        "error_code", "Set where the item was rejected: the documented code (O001, O005, ...)."
    )
    error_description: str | None = column("error_description")
    same_content: bool | None = column("same_content", "With O005: whether the stored entry is what this item says.")
    error_field: str | None = column("error_field", "The item's key that is wrong, such as value.")
    time_elapsed_ms: int = column("time_elapsed_ms")
    balance: Balance | None = column(
        "balance",
        "The recorded entry, where the item was accepted and stored; with O005, the entry that holds the number.",
        costs=[Cost(weight="0.5")],
    )


@strawberry.type
class BatchResult:
    results: list[BatchItemResult] = column("results")
    accepted_count: int = column("accepted_count")
    rejected_count: int = column("rejected_count")
    time_elapsed_ms: int = column("time_elapsed_ms")
