"""The rules of accounts, and where a balance stands to its thresholds.

Source of the rules and their texts: YETI switch, app/models/account.rb and app/forms/admin_api/account_form.rb.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from app.domain import money, texts, zones
from app.domain.records import ThresholdState
from app.domain.refusals import UserErrorCode, Violation

DOCUMENTED = "100"
"""The code that YETI switch gives for every broken rule of an account."""

TEXT_MAX = 255
CAPACITY_MAX = 32767
VAT_MAX = Decimal(100)
INT_MAX = 2**31 - 1

BLANK = "can't be blank"
TAKEN = "has already been taken"
MUST_EXIST = "must exist"
FORBIDDEN_CHARACTERS = "has characters that are not allowed"

AMOUNTS = {
    "min_balance": "minBalance",
    "max_balance": "maxBalance",
    "balance_low_threshold": "balanceLowThreshold",
    "balance_high_threshold": "balanceHighThreshold",
    "vat": "vat",
    "destination_rate_limit": "destinationRateLimit",
}
CAPACITIES = {
    "origination_capacity": "originationCapacity",
    "termination_capacity": "terminationCapacity",
    "total_capacity": "totalCapacity",
}
NOT_CLEARED = {
    "name": "name",
    "contractor_id": "contractorId",
    "min_balance": "minBalance",
    "max_balance": "maxBalance",
    "vat": "vat",
    "timezone": "timezone",
}
"""What every account has, so that null can't clear it."""


def rule(code: UserErrorCode, message: str, *path: str) -> Violation:
    """A documented rule that was broken."""
    return Violation(code, message, ("input", *path), DOCUMENTED)


def violations_of(account: Mapping[str, Any]) -> list[Violation]:
    """Every rule that an account's own values break; what depends on others is asked elsewhere.

    `account` holds the account as it would be, by the names of app.domain.records.Account; a missing key is null.
    """
    found = [*_name(account), *_external_id(account)]
    amounts = list(_amounts(account))
    sound = {name for name, key in AMOUNTS.items() if not any(key in violation.path for violation in amounts)}
    found += amounts
    found += _bounds(account, sound)
    found += _capacities(account)
    found += _timezone(account)
    return found


def _name(account: Mapping[str, Any]) -> Iterator[Violation]:
    name = account.get("name")
    if name is None or texts.blank(name):
        yield rule(UserErrorCode.REQUIRED, BLANK, "name")
    else:
        yield from text_violations(name, "input", "name")


def _external_id(account: Mapping[str, Any]) -> Iterator[Violation]:
    external_id = account.get("external_id")
    if external_id is not None:
        yield from text_violations(external_id, "input", "externalId")


def text_violations(text: str, *path: str, longest: int = TEXT_MAX) -> Iterator[Violation]:
    """What is wrong with a text that people and systems name something by."""
    if len(text) > longest:
        yield Violation(UserErrorCode.TOO_LONG, f"is too long (maximum is {longest} characters)", path)
    elif not texts.allowed(text):
        yield Violation(UserErrorCode.INVALID, FORBIDDEN_CHARACTERS, path)


def amount_violations(amount: Decimal, *path: str) -> Iterator[Violation]:
    """What keeps a number from being stored as an amount."""
    fault = money.fault(amount)
    if fault is not None:
        yield Violation(UserErrorCode.OUT_OF_RANGE, fault.value, path)


def _amounts(account: Mapping[str, Any]) -> Iterator[Violation]:
    for name, key in AMOUNTS.items():
        amount = account.get(name)
        if amount is not None:
            yield from amount_violations(amount, "input", key)
        elif name in NOT_CLEARED:
            yield rule(UserErrorCode.REQUIRED, BLANK, key)


def _bounds(account: Mapping[str, Any], sound: set[str]) -> Iterator[Violation]:
    """Rules between numbers; only of numbers that are sound by themselves."""

    def given(name: str) -> Decimal | None:
        return account.get(name) if name in sound else None

    least, most = given("min_balance"), given("max_balance")
    if least is not None and most is not None and most < least:
        yield _at_least(least, "maxBalance")
    low, high = given("balance_low_threshold"), given("balance_high_threshold")
    if low is not None and high is not None and low >= high:
        yield rule(UserErrorCode.OUT_OF_RANGE, "must be less than balance high threshold", "balanceLowThreshold")
    vat = given("vat")
    if vat is not None and vat < 0:
        yield _at_least(Decimal(0), "vat")
    if vat is not None and vat > VAT_MAX:
        yield rule(UserErrorCode.OUT_OF_RANGE, f"must be less than or equal to {VAT_MAX}", "vat")
    rate = given("destination_rate_limit")
    if rate is not None and rate < 0:
        yield _at_least(Decimal(0), "destinationRateLimit")


def _at_least(bound: Decimal, key: str) -> Violation:
    return rule(UserErrorCode.OUT_OF_RANGE, f"must be greater than or equal to {money.text(bound)}", key)


def _capacities(account: Mapping[str, Any]) -> Iterator[Violation]:
    for name, key in (*CAPACITIES.items(), ("max_call_duration", "maxCallDuration")):
        number = account.get(name)
        if number is None:
            continue
        if number <= 0:
            yield rule(UserErrorCode.OUT_OF_RANGE, "must be greater than 0", key)
        elif name in CAPACITIES and number > CAPACITY_MAX:
            yield rule(UserErrorCode.OUT_OF_RANGE, f"must be less than or equal to {CAPACITY_MAX}", key)


def _timezone(account: Mapping[str, Any]) -> Iterator[Violation]:
    name = account.get("timezone")
    if name is None or texts.blank(name):
        yield rule(UserErrorCode.REQUIRED, BLANK, "timezone")
    elif zones.zone(name) is None:
        shown = name if len(name) <= TEXT_MAX else name[:TEXT_MAX] + "…"
        yield rule(UserErrorCode.INVALID, f"{shown} is not a valid timezone", "timezone")


class Thresholds(NamedTuple):
    """Bounds outside which a balance is told to somebody; None: no such bound."""

    low: Decimal | None
    high: Decimal | None

    def state_of(self, balance: Decimal) -> ThresholdState:
        """Where a balance stands. Strictly outside counts, equality does not (YETI switch)."""
        if self.low is not None and balance < self.low:
            return ThresholdState.LOW
        if self.high is not None and balance > self.high:
            return ThresholdState.HIGH
        return ThresholdState.NONE
