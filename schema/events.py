"""Events and webhooks, as clients see them."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry.scalars import JSON

from app.domain.callers import Scope
from app.domain.ids import Kind
from resolvers import events as of_events
from resolvers import webhooks as of_webhooks
from resolvers.declarations import Identity, One
from resolvers.listings import ACCOUNTS, DIVISIONS
from schema.fields import answered, column, stored
from schema.node import Node
from schema.pages import PageInfo, edge_cursor, edge_node, edges, nodes, page_info, total_count
from schema.refusals import UserError

if TYPE_CHECKING:
    from schema.accounts import Account
    from schema.divisions import Division

AccountType = Annotated["Account", strawberry.lazy("schema.accounts")]
DivisionType = Annotated["Division", strawberry.lazy("schema.divisions")]


@strawberry.type(description="A CloudEvents 1.0 event.")
class Event(Node):
    id: strawberry.ID = stored(Identity(Kind.EVENT))
    type: str = column("type")
    source: str = answered(of_events.source)
    subject: str = column("subject", "The id of the account or division.")
    account: AccountType | None = stored(One(ACCOUNTS, "account_id", Scope.ACCOUNTS_READ))
    division: DivisionType | None = stored(One(DIVISIONS, "division_id", Scope.ACCOUNTS_READ))
    time: dt.datetime = column("time")
    business_unit: str = column("business_unit")
    data: JSON = column("data")


@strawberry.type
class EventEdge:
    cursor: str = edge_cursor()
    node: Event = edge_node()


@strawberry.type
class EventConnection:
    page_info: PageInfo = page_info()
    edges: list[EventEdge] = edges()
    total_count: int | None = total_count()
    nodes: list[Event] = nodes()


@strawberry.type
class Webhook(Node):
    id: strawberry.ID = stored(Identity(Kind.WEBHOOK))
    url: str = column("url")
    event_types: list[str] | None = answered(of_webhooks.event_types, "Null: all.")
    business_unit: str = column("business_unit")
    created_at: dt.datetime = column("created_at")
    last_delivered_at: dt.datetime | None = column("last_delivered_at")
    pending_count: int | None = answered(of_webhooks.pending_count, "Events that wait for delivery.")
    last_error: str | None = column("last_error")


@strawberry.type
class WebhookEdge:
    cursor: str = edge_cursor()
    node: Webhook = edge_node()


@strawberry.type
class WebhookConnection:
    page_info: PageInfo = page_info()
    edges: list[WebhookEdge] = edges()
    nodes: list[Webhook] = nodes()
    total_count: int | None = total_count()


@strawberry.input
class CreateWebhookInput:
    url: str
    event_types: list[str] | None = strawberry.UNSET
    business_unit: str | None = strawberry.UNSET


@strawberry.type
class CreateWebhookPayload:
    webhook: Webhook | None = column("made")
    secret: str | None = column("secret", "Shown this once: the key that signs the deliveries.")
    user_errors: list[UserError] = column("user_errors")


@strawberry.type
class DeleteWebhookPayload:
    deleted_id: strawberry.ID | None = column("made")
    user_errors: list[UserError] = column("user_errors")
