"""Tell that balances crossed thresholds (YETI switch: account balance notifications)."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from app.domain import events
from app.domain.events import EventType, NewEvent
from app.domain.records import Account
from app.store.sources import ACCOUNTS, DIVISIONS
from app.store.store import Work


class Crossed(NamedTuple):
    """A crossing, and its place in the log, drawn under the account's lock."""

    type: EventType
    account_id: int
    balance: Decimal
    place: int


async def tell_crossings(work: Work, crossed: Sequence[Crossed], *, now: datetime) -> None:
    """Add crossings to the log, each with its account as this transaction leaves it."""
    if not crossed:
        return
    accounts: dict[int, Account] = await work.reads.by_ids(ACCOUNTS, {each.account_id for each in crossed})
    codes = await _codes(work, {each.division_id for each in accounts.values() if each.division_id is not None})
    units = await work.directory.unit_ids({each.business_unit for each in accounts.values()})
    told = []
    for type_, account_id, balance, place in crossed:
        account = accounts[account_id]
        code = None if account.division_id is None else codes[account.division_id]
        data = events.crossing(account, balance, code)
        event = NewEvent(type_, units[account.business_unit], account_id, account.division_id, data)
        told.append((place, event))
    await work.log.add(told, now=now)


async def _codes(work: Work, divisions: Collection[int]) -> dict[int, str]:
    if not divisions:
        return {}
    return {number: division.code for number, division in (await work.reads.by_ids(DIVISIONS, divisions)).items()}
