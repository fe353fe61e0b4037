"""Filters and orders, as clients write them, and which field of a source each key narrows."""

import datetime as dt
import decimal
from enum import Enum

import strawberry

from app.domain.ids import Kind
from app.domain.records import ThresholdState
from resolvers.filters import FilterKey, FilterKind

strawberry.enum(ThresholdState)

_NOTHING = strawberry.UNSET


@strawberry.input
class StringFilter:
    eq: str | None = _NOTHING
    not_eq: str | None = _NOTHING
    in_: list[str] | None = strawberry.field(name="in", default=_NOTHING)
    not_in: list[str] | None = _NOTHING
    contains: str | None = _NOTHING
    starts_with: str | None = _NOTHING
    ends_with: str | None = _NOTHING
    is_null: bool | None = _NOTHING


@strawberry.input
class DecimalFilter:
    eq: decimal.Decimal | None = _NOTHING
    not_eq: decimal.Decimal | None = _NOTHING
    gt: decimal.Decimal | None = _NOTHING
    gte: decimal.Decimal | None = _NOTHING
    lt: decimal.Decimal | None = _NOTHING
    lte: decimal.Decimal | None = _NOTHING
    in_: list[decimal.Decimal] | None = strawberry.field(name="in", default=_NOTHING)
    not_in: list[decimal.Decimal] | None = _NOTHING
    is_null: bool | None = _NOTHING


@strawberry.input(description="From is inclusive, before is exclusive.")
class DateTimeFilter:
    from_: dt.datetime | None = strawberry.field(name="from", default=_NOTHING)
    before: dt.datetime | None = _NOTHING


@strawberry.input
class AccountFilter:
    and_: "list[AccountFilter] | None" = strawberry.field(name="and", default=_NOTHING)
    or_: "list[AccountFilter] | None" = strawberry.field(name="or", default=_NOTHING)
    not_: "AccountFilter | None" = strawberry.field(name="not", default=_NOTHING)
    name: StringFilter | None = _NOTHING
    external_id: StringFilter | None = _NOTHING
    business_unit: StringFilter | None = _NOTHING
    division_code: StringFilter | None = _NOTHING
    contractor_id: strawberry.ID | None = _NOTHING
    currency: StringFilter | None = _NOTHING
    timezone: StringFilter | None = _NOTHING
    balance: DecimalFilter | None = _NOTHING
    min_balance: DecimalFilter | None = _NOTHING
    max_balance: DecimalFilter | None = _NOTHING
    balance_low_threshold: DecimalFilter | None = _NOTHING
    balance_high_threshold: DecimalFilter | None = _NOTHING
    vat: DecimalFilter | None = _NOTHING
    threshold_state: list[ThresholdState] | None = _NOTHING
    created_at: DateTimeFilter | None = _NOTHING


ACCOUNT_FILTERS = {
    "name": FilterKey("name"),
    "externalId": FilterKey("external_id"),
    "businessUnit": FilterKey("business_unit"),
    "divisionCode": FilterKey("division_code"),
    "contractorId": FilterKey("contractor_id", FilterKind.ID, Kind.CONTRACTOR),
    "currency": FilterKey("currency"),
    "timezone": FilterKey("timezone"),
    "balance": FilterKey("balance"),
    "minBalance": FilterKey("min_balance"),
    "maxBalance": FilterKey("max_balance"),
    "balanceLowThreshold": FilterKey("balance_low_threshold"),
    "balanceHighThreshold": FilterKey("balance_high_threshold"),
    "vat": FilterKey("vat"),
    "thresholdState": FilterKey("threshold_state", FilterKind.LISTED),
    "createdAt": FilterKey("created_at", FilterKind.RANGE),
}


@strawberry.input
class BalanceFilter:
    account_ids: list[strawberry.ID] | None = _NOTHING
    timestamp: DateTimeFilter | None = _NOTHING
    recorded_at: DateTimeFilter | None = _NOTHING
    amount: DecimalFilter | None = _NOTHING
    currency: StringFilter | None = _NOTHING
    balance_type: StringFilter | None = _NOTHING
    communication_number: StringFilter | None = _NOTHING
    requester: StringFilter | None = _NOTHING


BALANCE_FILTERS = {
    "accountIds": FilterKey("account_id", FilterKind.IDS, Kind.ACCOUNT),
    "timestamp": FilterKey("timestamp", FilterKind.RANGE),
    "recordedAt": FilterKey("recorded_at", FilterKind.RANGE),
    "amount": FilterKey("amount"),
    "currency": FilterKey("currency"),
    "balanceType": FilterKey("balance_type"),
    "communicationNumber": FilterKey("communication_number"),
    "requester": FilterKey("requester"),
}


@strawberry.input
class ContractorFilter:
    name: StringFilter | None = _NOTHING
    external_id: StringFilter | None = _NOTHING
    business_unit: StringFilter | None = _NOTHING


CONTRACTOR_FILTERS = {
    "name": FilterKey("name"),
    "externalId": FilterKey("external_id"),
    "businessUnit": FilterKey("business_unit"),
}


@strawberry.input
class DivisionFilter:
    code: StringFilter | None = _NOTHING
    name: StringFilter | None = _NOTHING
    business_unit: StringFilter | None = _NOTHING


DIVISION_FILTERS = {
    "code": FilterKey("code"),
    "name": FilterKey("name"),
    "businessUnit": FilterKey("business_unit"),
}


@strawberry.enum
class OrderDirection(Enum):
    ASC = "ASC"
    DESC = "DESC"


@strawberry.enum
class AccountOrderField(Enum):
    ID = "id"
    NAME = "name"
    BALANCE = "balance"
    MIN_BALANCE = "min_balance"
    MAX_BALANCE = "max_balance"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"


@strawberry.enum
class BalanceOrderField(Enum):
    TIMESTAMP = "timestamp"
    RECORDED_AT = "recorded_at"
    AMOUNT = "amount"


ACCOUNT_ORDERS = {field.name: field.value for field in AccountOrderField}
BALANCE_ORDERS = {field.name: field.value for field in BalanceOrderField}


@strawberry.input
class AccountOrder:
    field: AccountOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input
class BalanceOrder:
    field: BalanceOrderField
    direction: OrderDirection = OrderDirection.ASC
