"""What the store remembers of each thing, as plain values."""

from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import NamedTuple
from uuid import UUID

from app.domain.money import EXACT


class ThresholdState(IntEnum):
    """Where an account's balance stands to its two thresholds (YETI switch: account_balance_threshold)."""

    NONE = 0
    LOW = 1
    HIGH = 2


class InvoicePeriod(StrEnum):
    """How often an account is invoiced; YETI switch's ids 1 to 7 in this order."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    BIWEEKLY = "BIWEEKLY"
    MONTHLY = "MONTHLY"
    BIWEEKLY_SPLIT = "BIWEEKLY_SPLIT"
    WEEKLY_SPLIT = "WEEKLY_SPLIT"
    SEMIMONTHLY = "SEMIMONTHLY"


class Account(NamedTuple):
    """An account whose balance is followed, with where it stands now."""

    id: int
    business_unit: str
    uuid: UUID
    name: str
    external_id: str | None
    division_id: int | None
    contractor_id: int
    currency: str
    balance: Decimal
    current_entry_id: int | None
    min_balance: Decimal
    max_balance: Decimal
    balance_low_threshold: Decimal | None
    balance_high_threshold: Decimal | None
    threshold_state: int
    vat: Decimal
    origination_capacity: int | None
    termination_capacity: int | None
    total_capacity: int | None
    destination_rate_limit: Decimal | None
    max_call_duration: int | None
    invoice_period: str | None
    invoice_template_id: int | None
    send_invoices_to: tuple[int, ...]
    send_balance_notifications_to: tuple[int, ...]
    timezone: str
    created_at: datetime
    updated_at: datetime


class Entry(NamedTuple):
    """A reported balance: what an account held at a moment."""

    id: int
    account_id: int
    amount: Decimal
    timestamp: datetime
    currency: str
    balance_type: str | None
    equivalent_value: Decimal | None
    communication_number: str | None
    requester: str | None
    recorded_at: datetime
    recorded_by: str


class Contractor(NamedTuple):
    id: int
    name: str
    business_unit: str
    external_id: str | None
    is_customer: bool
    is_vendor: bool


class Contact(NamedTuple):
    id: int
    contractor_id: int
    email: str
    name: str | None


class InvoiceTemplate(NamedTuple):
    id: int
    name: str
    business_unit: str


class Division(NamedTuple):
    id: int
    code: str
    business_unit: str
    name: str | None
    description: str | None
    timezone: str
    parent_id: int | None


class ClosingRecord(NamedTuple):
    """A cycle that was closed."""

    id: int
    division_id: int
    business_date: date
    closing_at: datetime
    completed_at: datetime
    account_count: int


class HistoryEntry(NamedTuple):
    """The balances of an account in one currency on one business day."""

    id: int
    account_id: int
    business_date: date
    closing_at: datetime
    currency: str
    opening: Decimal
    closing: Decimal

    @property
    def change(self) -> Decimal:
        """Closing less opening; exact also beyond what is stored."""
        return EXACT.subtract(self.closing, self.opening)


class Webhook(NamedTuple):
    """An address that events are posted to."""

    id: int
    business_unit: str
    url: str
    event_types: str | None
    """A JSON list; None: all."""
    created_at: datetime
    position: int
    last_delivered_at: datetime | None
    last_error: str | None


class CurrencyTotals(NamedTuple):
    """Balances of many accounts in one currency, exact."""

    currency: str
    account_count: int
    sum: Decimal
    min: Decimal
    max: Decimal
