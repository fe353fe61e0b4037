"""Create an account (YETI switch: POST /api/rest/admin/accounts)."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.actions.business_units import named_unit, refuse
from app.domain.accounts import MUST_EXIST, TAKEN, rule, violations_of
from app.domain.callers import Caller
from app.domain.currencies import CURRENCIES
from app.domain.ids import Kind, number_of
from app.domain.records import ThresholdState
from app.domain.refusals import UserErrorCode, Violated, Violation
from app.store.accounts import standing_of
from app.store.store import Store, Work
from app.store.tables import contacts, contractors, divisions, invoice_templates

DEFAULTS: Mapping[str, Any] = {
    "min_balance": Decimal(0),
    "max_balance": Decimal(0),
    "vat": Decimal(0),
    "timezone": "UTC",
    "send_invoices_to": (),
    "send_balance_notifications_to": (),
}
KEYS = {"name": "name", "uuid": "uuid", "external_id": "externalId"}
CONTACT_LISTS = {"send_invoices_to": "sendInvoicesTo", "send_balance_notifications_to": "sendBalanceNotificationsTo"}
THRESHOLDS = ("balance_low_threshold", "balance_high_threshold")


async def create_account(
    store: Store, caller: Caller, given: Mapping[str, Any], *, now: datetime, default_currency: str
) -> int | list[Violation]:
    """The new account's number, or every rule that was broken; then nothing was made.

    `given` has the input's values by their names in app.domain.records.Account, ids as texts; null is as absent.
    """
    values = {**DEFAULTS, **{name: value for name, value in given.items() if value is not None}}
    values["external_id"] = values.get("external_id") or None
    currency = values.get("currency", default_currency)

    async def act(work: Work) -> int:
        unit, violations = named_unit(caller, values.get("business_unit"))
        violations += violations_of(values)
        if currency not in CURRENCIES:
            path = ("input", "currency", "code")
            violations.append(Violation(UserErrorCode.INVALID, "is not found", path, "100"))
        unit_id = (await work.directory.unit_ids([unit])).get(unit) if unit is not None else None
        references, broken = await references_of(work, unit_id, values, required=True)
        violations += broken
        if unit_id is not None:
            violations += await taken_violations(work, unit_id, values, None)
        refuse(violations)
        assert unit_id is not None, "the contractor exists, so its unit does"
        row = {name: values.get(name) for name in _STORED} | references
        row |= {"uuid": values.get("uuid") or uuid.uuid4(), "currency": currency, "created_at": now, "updated_at": now}
        low, high = (values.get(name) for name in THRESHOLDS)
        return await work.accounts.add(row, unit_id=unit_id, standing=standing_of(low, high, ThresholdState.NONE))

    try:
        return await store.work(caller.units, act)
    except Violated as violated:
        return list(violated.violations)


_STORED = (
    "name",
    "external_id",
    "min_balance",
    "max_balance",
    "vat",
    "origination_capacity",
    "termination_capacity",
    "total_capacity",
    "destination_rate_limit",
    "max_call_duration",
    "invoice_period",
    "timezone",
)


async def taken_violations(work: Work, unit_id: int, values: Mapping[str, Any], but: int | None) -> list[Violation]:
    """Unique keys that another account of the unit has."""
    taken = await work.accounts.taken(unit_id, values, but)
    return [rule(UserErrorCode.TAKEN, TAKEN, key) for name, key in KEYS.items() if name in taken]


async def references_of(
    work: Work, unit_id: int | None, values: Mapping[str, Any], *, required: bool
) -> tuple[dict[str, Any], list[Violation]]:
    """What an account refers to, as stored numbers; and what of it doesn't exist in the account's business unit."""
    found: dict[str, Any] = {}
    broken: list[Violation] = []
    for name, key, kind, table in (
        ("contractor_id", "contractorId", Kind.CONTRACTOR, contractors),
        ("invoice_template_id", "invoiceTemplateId", Kind.INVOICE_TEMPLATE, invoice_templates),
    ):
        text = values.get(name)
        if text is None:
            found |= {name: None} if required or name in values else {}
            continue
        number = number_of(kind, text)
        known = unit_id is not None and number is not None and await work.directory.existing(table, unit_id, [number])
        found[name] = number
        if not known:
            broken.append(rule(UserErrorCode.NOT_FOUND, MUST_EXIST, key))
    if "division_code" in values or required:
        code = values.get("division_code")
        division = (
            None if code is None or unit_id is None else await work.directory.by_key(divisions, unit_id, "code", code)
        )
        found["division_id"] = division
        if code is not None and division is None:
            broken.append(Violation(UserErrorCode.NOT_FOUND, MUST_EXIST, ("input", "divisionCode")))
    for name, key in CONTACT_LISTS.items():
        if name in values:
            numbers, unknown = await _contacts(work, unit_id, values[name] or ())
            found[name] = numbers
            broken += [rule(UserErrorCode.NOT_FOUND, f"{text} must exist", key) for text in unknown]
    return found, broken


async def _contacts(work: Work, unit_id: int | None, given: tuple[str, ...]) -> tuple[tuple[int, ...], list[str]]:
    numbers = {text: number_of(Kind.CONTACT, text) for text in given}
    asked = [number for number in numbers.values() if number is not None]
    known = await work.directory.existing(contacts, unit_id, asked) if unit_id is not None else set()
    unknown = [text for text, number in numbers.items() if number not in known]
    return tuple(number for text in given if (number := numbers[text]) is not None), unknown
