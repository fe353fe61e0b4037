"""What may be asked."""

from typing import Any

import strawberry

from app.domain.callers import Scope
from resolvers import accounts as of_accounts
from resolvers import balances as of_balances
from resolvers import divisions as of_divisions
from resolvers import events as of_events
from resolvers import gateway as of_gateway
from resolvers import nodes as of_nodes
from resolvers.listings import BY_CREATION, CONTRACTORS, DIVISIONS, INVOICE_TEMPLATES, WEBHOOKS, pages
from schema.accounts import Account, AccountConnection, AccountIdentifier, account_pages
from schema.balances import BATCH_SIZE, BalanceConnection, BatchAccountBalancesInput, BatchResult, balance_pages
from schema.costs import assumed, said
from schema.directory import ContractorConnection, InvoiceTemplateConnection
from schema.divisions import Division, DivisionConnection
from schema.events import EventConnection, WebhookConnection
from schema.fields import PAGE_ARGUMENTS, answered, column, stored
from schema.filters import (
    CONTRACTOR_FILTERS,
    DIVISION_FILTERS,
    ContractorFilter,
    DateTimeFilter,
    DivisionFilter,
)
from schema.node import Node
from schema.pages import Currency, every_currency


@strawberry.type
class Viewer:
    subject: str = column("subject")
    scopes: list[str] = column("scopes")
    business_units: list[str] = column(
        "business_units", "The units that the caller may see, named one by one, also where it may see all."
    )
    all_business_units: bool = column(
        "all_business_units", "Whether units that come into being later are the caller's too."
    )


@strawberry.type
class Limits:
    page_size: int = column("page_size")
    batch_items: int = column("batch_items")
    series_points: int = column("series_points")
    balance_types: list[str] | None = column("balance_types", "Null: any text.")


_EVENT_ARGUMENTS: dict[str, Any] = {
    **PAGE_ARGUMENTS,
    "types": list[str] | None,
    "subjects": list[strawberry.ID] | None,
    "time": DateTimeFilter | None,
}


@strawberry.type
class Query:
    node: Node | None = stored(of_nodes.NODE, id=strawberry.ID)
    nodes: list[Node | None] = stored(of_nodes.NODES, costs=[said("ids")], ids=list[strawberry.ID])
    viewer: Viewer = answered(of_gateway.viewer, "Who is asking: the caller's subject, scopes and business units.")
    account: Account | None = stored(of_accounts.ACCOUNT, id=strawberry.ID)
    account_by_identifier: Account | None = stored(of_accounts.ACCOUNT_BY_IDENTIFIER, identifier=AccountIdentifier)
    accounts: AccountConnection | None = account_pages(None)
    balances: BalanceConnection | None = balance_pages(
        None, "Balance entries over all accounts that the caller may see."
    )
    validate_batch_account_balances: BatchResult | None = answered(
        of_balances.validate,
        "What registerBatchAccountBalances would answer; nothing is stored.",
        costs=[BATCH_SIZE],
        input=BatchAccountBalancesInput,
    )
    contractors: ContractorConnection | None = stored(
        pages(CONTRACTORS, None, Scope.ACCOUNTS_READ, BY_CREATION, CONTRACTOR_FILTERS),
        filter=ContractorFilter | None,
    )
    invoice_templates: InvoiceTemplateConnection | None = stored(
        pages(INVOICE_TEMPLATES, None, Scope.ACCOUNTS_READ, BY_CREATION)
    )
    currencies: list[Currency] | None = answered(
        every_currency, "The currencies that the gateway knows.", costs=[assumed(180)]
    )
    limits: Limits | None = answered(of_gateway.limits, "What may be sent and asked for.")
    division: Division | None = stored(of_divisions.DIVISION, code=str, businessUnit=str | None)
    divisions: DivisionConnection | None = stored(
        pages(DIVISIONS, None, Scope.ACCOUNTS_READ, BY_CREATION, DIVISION_FILTERS), filter=DivisionFilter | None
    )
    events: EventConnection | None = answered(
        of_events.events, "The log of events, oldest first; kept for the configured retention.", **_EVENT_ARGUMENTS
    )
    webhooks: WebhookConnection | None = stored(pages(WEBHOOKS, None, Scope.WEBHOOKS_WRITE, BY_CREATION))
