"""Contractors, contacts and invoice templates, as clients see them."""

import strawberry

from app.domain.callers import Scope
from app.domain.ids import Kind
from resolvers.declarations import Identity, One
from resolvers.listings import BY_CREATION, CONTACTS, CONTRACTORS, pages
from schema.accounts import AccountConnection, account_pages
from schema.fields import column, stored
from schema.node import Node
from schema.pages import PageInfo, edge_cursor, edge_node, edges, nodes, page_info, total_count
from schema.refusals import UserError


@strawberry.type
class Contact(Node):
    id: strawberry.ID = stored(Identity(Kind.CONTACT))
    contractor: "Contractor" = stored(One(CONTRACTORS, "contractor_id", Scope.ACCOUNTS_READ))
    email: str = column("email")
    name: str | None = column("name")


@strawberry.type
class ContactEdge:
    cursor: str = edge_cursor()
    node: Contact = edge_node()


@strawberry.type
class ContactConnection:
    page_info: PageInfo = page_info()
    edges: list[ContactEdge] = edges()
    nodes: list[Contact] = nodes()
    total_count: int | None = total_count()


@strawberry.type
class Contractor(Node):
    id: strawberry.ID = stored(Identity(Kind.CONTRACTOR))
    name: str = column("name")
    business_unit: str = column("business_unit")
    external_id: str | None = column("external_id")
    is_customer: bool = column("is_customer")
    is_vendor: bool = column("is_vendor")
    accounts: AccountConnection | None = account_pages("contractor_id")
    contacts: ContactConnection | None = stored(pages(CONTACTS, "contractor_id", Scope.ACCOUNTS_READ, BY_CREATION))


@strawberry.type
class ContractorEdge:
    cursor: str = edge_cursor()
    node: Contractor = edge_node()


@strawberry.type
class ContractorConnection:
    page_info: PageInfo = page_info()
    edges: list[ContractorEdge] = edges()
    nodes: list[Contractor] = nodes()
    total_count: int | None = total_count()


@strawberry.type
class InvoiceTemplate(Node):
    id: strawberry.ID = stored(Identity(Kind.INVOICE_TEMPLATE))
    name: str = column("name")
    business_unit: str = column("business_unit")


@strawberry.type
class InvoiceTemplateEdge:
    cursor: str = edge_cursor()
    node: InvoiceTemplate = edge_node()


@strawberry.type
class InvoiceTemplateConnection:
    page_info: PageInfo = page_info()
    edges: list[InvoiceTemplateEdge] = edges()
    nodes: list[InvoiceTemplate] = nodes()
    total_count: int | None = total_count()


@strawberry.input
class CreateContractorInput:
    name: str
    business_unit: str | None = strawberry.UNSET
    external_id: str | None = strawberry.UNSET
    is_customer: bool | None = strawberry.UNSET
    is_vendor: bool | None = strawberry.UNSET


@strawberry.type
class CreateContractorPayload:
    contractor: Contractor | None = column("made")
    user_errors: list[UserError] = column("user_errors")


@strawberry.input
class CreateContactInput:
    contractor_id: strawberry.ID
    email: str
    name: str | None = strawberry.UNSET


@strawberry.type
class CreateContactPayload:
    contact: Contact | None = column("made")
    user_errors: list[UserError] = column("user_errors")


@strawberry.input
class CreateInvoiceTemplateInput:
    name: str
    business_unit: str | None = strawberry.UNSET


@strawberry.type
class CreateInvoiceTemplatePayload:
    invoice_template: InvoiceTemplate | None = column("made")
    user_errors: list[UserError] = column("user_errors")
