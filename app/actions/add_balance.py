"""Add one balance to an account (24SevenOffice: POST /bankaccounts/{id}/balances; YETI switch: balance-correction)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from app.actions.business_units import refuse
from app.actions.register_balances import record, record_as_seen
from app.domain import money
from app.domain.accounts import MUST_EXIST, amount_violations, text_violations
from app.domain.balances import REQUESTER_MAX, NewEntry, Position, is_too_far_ahead
from app.domain.callers import Caller
from app.domain.currencies import CURRENCIES
from app.domain.ids import Kind, number_of
from app.domain.records import Entry
from app.domain.refusals import UserErrorCode, Violated, Violation
from app.store.store import Store, Work

TOO_FAR = "is too far in the future"


async def add_balance(
    store: Store,
    caller: Caller,
    account: str,
    *,
    amount: Decimal,
    moment: datetime,
    currency: str,
    now: datetime,
    ahead_max: timedelta,
) -> Entry | list[Violation]:
    """The recorded entry, or every rule that was broken; then nothing was recorded."""
    violations = [*amount_violations(amount, "input", "amount"), *_moment_violations(moment, now, ahead_max)]
    if currency not in CURRENCIES:
        path = ("input", "currency", "code")
        violations.append(Violation(UserErrorCode.INVALID, "is not an active ISO 4217 code", path))

    def judged(position: Position | None) -> NewEntry:
        if position is None:
            refuse([_unknown("bankAccountId"), *violations])
        refuse(violations)
        assert position is not None
        return NewEntry(position.account_id, position.unit_id, moment, amount, currency)

    return await _recorded(store, caller, account, judged, now=now)


async def correct_balance(
    store: Store,
    caller: Caller,
    account: str,
    *,
    amount: Decimal,
    moment: datetime | None,
    requester: str | None,
    now: datetime,
    ahead_max: timedelta,
) -> Entry | list[Violation]:
    """Record the current balance plus a signed amount; decided on the locked position, so that none is lost."""
    violations = list(amount_violations(amount, "input", "amount"))
    if moment is not None:
        violations += _moment_violations(moment, now, ahead_max)
    if requester is not None:
        violations += text_violations(requester, "input", "requester", longest=REQUESTER_MAX)

    def judged(position: Position | None) -> NewEntry:
        if position is None:
            refuse([_unknown("accountId"), *violations])
        assert position is not None
        broken = list(violations)
        if moment is not None and position.at is not None and moment < position.at:
            message = "is earlier than the current balance"
            broken.append(Violation(UserErrorCode.INVALID, message, ("input", "timestamp")))
        corrected = money.EXACT.add(position.balance, amount)
        if not any("amount" in violation.path for violation in violations):
            broken += amount_violations(corrected, "input", "amount")
        refuse(broken)
        at = moment or (now if position.at is None else max(now, position.at))
        return NewEntry(position.account_id, position.unit_id, at, corrected, position.currency, requester=requester)

    return await _recorded(store, caller, account, judged, now=now)


async def _recorded(
    store: Store, caller: Caller, account: str, judged: Callable[[Position | None], NewEntry], *, now: datetime
) -> Entry | list[Violation]:
    """Record what is judged of an account: as it was last seen, where it still stands so, else under its lock."""
    number = number_of(Kind.ACCOUNT, account)
    seen = {} if number is None else await store.positions_seen(caller.units, [number])

    async def act(work: Work) -> Entry:
        held = {} if number is None else await work.accounts.positions([number])
        position = held.get(number) if number is not None else None
        return (await record(work, [judged(position)], held, now=now, by=caller.subject))[0]

    try:
        if seen:
            async with store.turn(seen):
                seen = store.seen_again(seen)
                (position,) = seen.values()
                added = await record_as_seen(store, [judged(position)], seen, now=now, by=caller.subject)
            if added is not None:
                return added[0]
    except Violated:
        pass  # What was seen may be old; the lock decides.
    try:
        return await store.work(caller.units, act)
    except Violated as violated:
        return list(violated.violations)


def _moment_violations(moment: datetime, now: datetime, ahead_max: timedelta) -> list[Violation]:
    if not is_too_far_ahead(moment, now, ahead_max):
        return []
    return [Violation(UserErrorCode.OUT_OF_RANGE, TOO_FAR, ("input", "timestamp"))]


def _unknown(key: str) -> Violation:
    return Violation(UserErrorCode.NOT_FOUND, MUST_EXIST, (key,))
