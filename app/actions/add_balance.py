"""Add one balance to an account (24SevenOffice: POST /bankaccounts/{id}/balances; YETI switch: balance-correction)."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from app.actions.business_units import refuse
from app.actions.register_balances import record
from app.domain import money
from app.domain.accounts import MUST_EXIST, amount_violations, text_violations
from app.domain.balances import REQUESTER_MAX, UNNUMBERED, NewEntry, Position, is_too_far_ahead, moved
from app.domain.callers import Caller
from app.domain.currencies import CURRENCIES
from app.domain.events import crossings
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


class _Addition(NamedTuple):
    """One entry that is to be recorded."""

    account: int
    caller: Caller
    judged: Callable[[Position | None], NewEntry]
    """The entry, by where its account stands; raises Violated. None: there is no such account."""
    now: datetime


async def _recorded(
    store: Store, caller: Caller, account: str, judged: Callable[[Position | None], NewEntry], *, now: datetime
) -> Entry | list[Violation]:
    """Record what is judged of an account: as it was last seen, where it still stands so, else under its lock."""
    number = number_of(Kind.ACCOUNT, account)
    if number is not None and store.records_as_seen:
        added = await store.together(_Addition(number, caller, judged, now), _record_together)
        if added is not None:
            return added

    async def act(work: Work) -> Entry:
        held = {} if number is None else await work.accounts.positions([number])
        position = held.get(number) if number is not None else None
        return (await record(work, [judged(position)], held, now=now, by=caller.subject))[0]

    try:
        return await store.work(caller.units, act)
    except Violated as violated:
        return list(violated.violations)
    finally:
        store.unsee([] if number is None else [number])


async def _record_together(store: Store, additions: Sequence[_Addition]) -> list[Entry | None]:
    """Record entries one after another, each by what those before it leave of its account, in one statement.

    None for each that is to be recorded under its account's lock, which decides: what was seen may be old.
    """
    await store.see({addition.account for addition in additions})
    # Nobody waits for an account that only another one writes to.
    free = {addition.account for addition in additions if not store.is_busy(addition.account)}
    async with store.turn(free):
        seen: dict[int, Position] = {}
        standing: dict[int, Position] = {}
        locked: set[int] = set()
        places: list[int] = []
        entries: list[NewEntry] = []
        became_current: list[bool] = []
        for place, (account, caller, judged, _) in enumerate(additions):
            position = store.position_seen(caller.units, account) if account in free else None
            if position is None or account in locked:
                continue
            seen[account] = position
            position = standing.get(account, position)
            try:
                entry = judged(position)
            except Exception:  # noqa: BLE001, S112 - whatever it is, it is told to who asked, and to no one else.
                continue
            after = moved(position, entry, UNNUMBERED)
            if after is not None and crossings(position.state, after.state):
                locked.add(account)  # Whoever comes after it waits for the lock too.
                continue
            if after is not None:
                standing[account] = after
            places.append(place)
            entries.append(entry)
            became_current.append(after is not None)
        recorded: list[Entry | None] = [None] * len(additions)
        if entries:
            now = max(additions[place].now for place in places)
            by = [additions[place].caller.subject for place in places]
            by = by[:1] if len(set(by)) == 1 else by
            added = await store.record_as_seen(entries, became_current, seen, now=now, by=by)
            for place, entry_or_none in zip(places, added or (), strict=False):
                recorded[place] = entry_or_none
    return recorded


def _moment_violations(moment: datetime, now: datetime, ahead_max: timedelta) -> list[Violation]:
    if not is_too_far_ahead(moment, now, ahead_max):
        return []
    return [Violation(UserErrorCode.OUT_OF_RANGE, TOO_FAR, ("input", "timestamp"))]


def _unknown(key: str) -> Violation:
    return Violation(UserErrorCode.NOT_FOUND, MUST_EXIST, (key,))
