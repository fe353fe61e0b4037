"""What has happened, as it is told: CloudEvents 1.0, with the fields of the documented systems.

Sources: Pismo, account-balances events (balance_change, balance_history, configuration and closing events); YETI
switch, account balance notifications (the four threshold events). Keys are snake_case, amounts are texts, instants are
UTC with Z, what is absent is null.
"""

import json
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from app.domain import moments, money
from app.domain.ids import Kind, id_text
from app.domain.records import Account, Entry, HistoryEntry, ThresholdState


class EventType(StrEnum):
    """What an event is about; the CloudEvents type."""

    BALANCE_CHANGE = "balance_change"
    CONFIG_CREATION = "balance_history_config_creation"
    CONFIG_CHANGE = "balance_history_config_change"
    BALANCE_HISTORY = "balance_history"
    DIVISION_CYCLE_CLOSING = "division_cycle_closing"
    LOW_REACHED = "AccountLowThresholdReached"
    LOW_CLEARED = "AccountLowThresholdCleared"
    HIGH_REACHED = "AccountHighThresholdReached"
    HIGH_CLEARED = "AccountHighThresholdCleared"


CROSSINGS = frozenset({EventType.LOW_REACHED, EventType.LOW_CLEARED, EventType.HIGH_REACHED, EventType.HIGH_CLEARED})

_CLEARED = {ThresholdState.LOW: EventType.LOW_CLEARED, ThresholdState.HIGH: EventType.HIGH_CLEARED}
_REACHED = {ThresholdState.LOW: EventType.LOW_REACHED, ThresholdState.HIGH: EventType.HIGH_REACHED}


def crossings(before: ThresholdState, after: ThresholdState) -> tuple[EventType, ...]:
    """What a change of the threshold state tells: cleared before reached; nothing where it stays (YETI switch)."""
    if before == after:
        return ()
    told = (_CLEARED.get(before), _REACHED.get(after))
    return tuple(each for each in told if each is not None)


class Event(NamedTuple):
    """An event in the log. Its number is its place: of one subject, events are numbered as they happened."""

    id: int
    type: EventType
    account_id: int | None
    division_id: int | None
    """The division itself, or the one that the account was in."""
    business_unit: str
    time: datetime
    """When it was recorded."""
    data: dict[str, Any]
    entry: Entry | None = None
    """The balance entry that a balance_change is about."""

    @property
    def subject(self) -> str:
        """The id of the account or division."""
        if self.account_id is not None:
            return id_text(Kind.ACCOUNT, self.account_id)
        assert self.division_id is not None
        return id_text(Kind.DIVISION, self.division_id)


class NewEvent(NamedTuple):
    """An event that is not numbered yet, with data of its own."""

    type: EventType
    unit_id: int
    account_id: int | None
    division_id: int | None
    data: dict[str, Any]


class Filter(NamedTuple):
    """Which events are asked for; None: whatever they are."""

    types: frozenset[EventType] | None = None
    accounts: frozenset[int] | None = None
    """Subjects; where one of the two is given, the other one is too."""
    divisions: frozenset[int] | None = None
    since: datetime | None = None
    before: datetime | None = None
    units: frozenset[str] | None = None
    """Business units, beside those that exist for who asks."""

    def takes(self, event: Event) -> bool:
        """Whether an event is one of those."""
        if self.units is not None and event.business_unit not in self.units:
            return False
        if self.types is not None and event.type not in self.types:
            return False
        if self.accounts is not None and self.divisions is not None and not self._names(event):
            return False
        if self.since is not None and event.time < self.since:
            return False
        return self.before is None or event.time < self.before

    def _names(self, event: Event) -> bool:
        assert self.accounts is not None
        assert self.divisions is not None
        if event.account_id is not None:
            return event.account_id in self.accounts
        return event.division_id in self.divisions


ALL = Filter()


def cloud_event(event: Event, source: str) -> bytes:
    """An event as CloudEvents JSON."""
    told = {
        "specversion": "1.0",
        "id": id_text(Kind.EVENT, event.id),
        "type": event.type.value,
        "source": source,
        "subject": event.subject,
        "time": moments.instant_text(event.time),
        "datacontenttype": "application/json",
        "businessunit": event.business_unit,
        "data": event.data,
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def _amount(amount: Decimal | None) -> str | None:
    return None if amount is None else money.text(amount)


def _account(account_id: int, external_id: str | None, division_code: str | None) -> dict[str, Any]:
    return {
        "account_id": id_text(Kind.ACCOUNT, account_id),
        "external_account_id": external_id,
        "division_code": division_code,
    }


def balance_change(
    *,
    entry_id: int,
    account_id: int,
    external_id: str | None,
    division_code: str | None,
    amount: Decimal,
    currency: str,
    balance_type: str | None,
    equivalent_value: Decimal | None,
    at: datetime,
    communication_number: str | None,
    requester: str | None,
    became_current: bool,
) -> dict[str, Any]:
    """The data of a recorded entry's event (Pismo: balance_change)."""
    return {
        "id": id_text(Kind.BALANCE, entry_id),
        **_account(account_id, external_id, division_code),
        "amount": money.text(amount),
        "currency": currency,
        "balance_type": balance_type,
        "equivalent_value": _amount(equivalent_value),
        "balance_update_datetime": moments.instant_text(at),
        "communication_number": communication_number,
        "requester": requester,
        "became_current": became_current,
    }


def balance_history(
    *,
    account_id: int,
    external_id: str | None,
    division_code: str | None,
    business_date: date,
    closing_at: datetime,
    rows: Sequence[HistoryEntry],
) -> dict[str, Any]:
    """The data of an account's closed cycle (Pismo: balance_history): the rows that the closing wrote for it."""
    balances = [
        {
            "currency": row.currency,
            "opening": money.text(row.opening),
            "closing": money.text(row.closing),
            "change": money.text(row.change),
        }
        for row in sorted(rows, key=lambda row: row.currency)
    ]
    return {
        **_account(account_id, external_id, division_code),
        "date": business_date.isoformat(),
        "cycle_closing_datetime": moments.instant_text(closing_at),
        "balances": balances,
    }


def cycle_closing(
    *, division_code: str, business_date: date, closing_at: datetime, account_count: int
) -> dict[str, Any]:
    """The data of a closing that is complete (Pismo: division_cycle_closing)."""
    return {
        "division_code": division_code,
        "business_date": business_date.isoformat(),
        "cycle_closing_datetime": moments.instant_text(closing_at),
        "account_count": account_count,
    }


def config_creation(
    division_code: str, closing_time: time, delay_minutes: int, start: datetime, end: datetime | None
) -> dict[str, Any]:
    """The data of a new configuration (Pismo: balance_history_config_creation)."""
    return {"division_code": division_code, **_config(closing_time, delay_minutes, start, end)}


def config_change(
    division_code: str,
    now: tuple[time, int, datetime, datetime | None],
    previous: tuple[time, int, datetime, datetime | None],
) -> dict[str, Any]:
    """The data of a changed configuration (Pismo: balance_history_config_change): closing time, delay, start, end."""
    return {"division_code": division_code, **_config(*now), "previous": _config(*previous)}


def _config(closing_time: time, delay_minutes: int, start: datetime, end: datetime | None) -> dict[str, Any]:
    return {
        "cycle_closing_time": closing_time.isoformat(),
        "cycle_event_delay": delay_minutes,
        "cycle_config_validity": {
            "start": moments.instant_text(start),
            "end": None if end is None else moments.instant_text(end),
        },
    }


def crossing(account: Account, balance: Decimal, division_code: str | None) -> dict[str, Any]:
    """The data of a threshold event: the account as it is then, with contacts' ids but no addresses (YETI switch)."""
    template, contractor = account.invoice_template_id, account.contractor_id
    return {
        "id": id_text(Kind.ACCOUNT, account.id),
        **_account(account.id, account.external_id, division_code),
        "uuid": str(account.uuid),
        "name": account.name,
        "contractor_id": id_text(Kind.CONTRACTOR, contractor),
        "currency": account.currency,
        "balance": money.text(balance),
        "min_balance": money.text(account.min_balance),
        "max_balance": money.text(account.max_balance),
        "balance_low_threshold": _amount(account.balance_low_threshold),
        "balance_high_threshold": _amount(account.balance_high_threshold),
        "vat": money.text(account.vat),
        "origination_capacity": account.origination_capacity,
        "termination_capacity": account.termination_capacity,
        "total_capacity": account.total_capacity,
        "destination_rate_limit": _amount(account.destination_rate_limit),
        "max_call_duration": account.max_call_duration,
        "invoice_period": account.invoice_period,
        "invoice_template_id": None if template is None else id_text(Kind.INVOICE_TEMPLATE, template),
        "send_invoices_to": [id_text(Kind.CONTACT, number) for number in account.send_invoices_to],
        "send_balance_notifications_to": [
            id_text(Kind.CONTACT, number) for number in account.send_balance_notifications_to
        ],
        "timezone": account.timezone,
    }
