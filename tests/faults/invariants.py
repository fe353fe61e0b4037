"""What must hold of a database whatever happened to it, looked for in the rows themselves."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import text

from app.domain.events import ALL, EventType
from app.store.store import Reading, Store

Rows = list[Any]


class Told(NamedTuple):
    """What the clients were told of communication numbers."""

    accepted: Mapping[str, int]
    """Numbers whose acceptance reached a client, with the amounts that they were sent with."""
    rejected: Iterable[str] = ()
    """Numbers that were only ever rejected."""
    batches: Iterable[Iterable[str]] = ()
    """The numbers that were sent together: all of them are there, or none."""


NOTHING = Told({})


async def violations(url: str, told: Told = NOTHING) -> list[str]:
    """Which invariants are broken, as sentences."""
    store = Store(url)
    try:
        async with store.reading(None) as reads:
            broken = [
                *(await _entries(reads, told)),
                *(await _positions(reads)),
                *(await _cycles(reads)),
                *(await _keys(reads)),
            ]
            if store.dialect.name == "sqlite":
                broken += await _file(reads)
    finally:
        await store.close()
    return broken


async def _rows(reads: Reading, statement: str) -> Rows:
    return list((await reads._connection.execute(text(statement))).all())


async def _entries(reads: Reading, told: Told) -> list[str]:
    """INV1 to INV4: what was accepted is there once, what was rejected left nothing, no batch is split."""
    rows = await _rows(reads, "SELECT unit_id, communication_number, amount FROM entries")
    amounts: dict[str, Rows] = defaultdict(list)
    for _, number, amount in rows:
        amounts[number].append(amount)
    broken = [
        f"{number} was accepted with {amount}, and stored are {amounts[number]}"
        for number, amount in told.accepted.items()
        if amounts[number] != [amount * 10_000]
    ]
    numbered = [(unit, number) for unit, number, _ in rows if number is not None]
    if len(set(numbered)) != len(numbered):
        broken.append("a communication number is stored twice")
    broken += [f"{number} was rejected, and is stored" for number in told.rejected if amounts.get(number)]
    for batch in told.batches:
        stored = {bool(amounts.get(number)) for number in batch}
        if len(stored) > 1:
            broken.append(f"of the batch {sorted(batch)} only a part is stored")
    both = await _rows(reads, "SELECT id FROM entries WHERE id IN (SELECT id FROM events)")
    broken += [f"the place {number} of the log is taken twice" for (number,) in both]
    return broken


async def _positions(reads: Reading) -> list[str]:
    """INV6: where an account stands is what its entries say, and its threshold state what its balance says."""
    last: dict[int, Any] = {}
    became: dict[int, int] = {}
    kinds: set[tuple[int, str, str | None]] = set()
    entries = await _rows(
        reads,
        """SELECT e.account_id, e.id, e.at, e.amount, e.currency, e.balance_type, e.became_current, a.currency
        FROM entries e JOIN accounts a ON a.id = e.account_id ORDER BY e.account_id, e.at, e.id""",
    )
    for account, number, at, amount, currency, kind, current, own in entries:
        kinds.add((account, currency, kind))
        if currency == own:
            last[account] = (number, at, amount)
            if current:
                became[account] = max(became.get(account, 0), number)
    broken = []
    positions = await _rows(
        reads,
        """SELECT account_id, entry_id, at, balance, low_threshold, high_threshold, threshold_state FROM positions""",
    )
    for account, number, at, balance, low, high, state in positions:
        stands = (number, at, balance)
        if stands != last.get(account, (None, None, 0)):
            broken.append(f"account {account} stands at {stands}, and its entries say {last.get(account)}")
        if number != became.get(account):
            broken.append(f"account {account} stands at entry {number}, and {became.get(account)} became current last")
        is_low, is_high = low is not None and balance < low, high is not None and balance > high
        if number is not None and state != (1 if is_low else 2 if is_high else 0):
            broken.append(f"account {account} is in the state {state} with {balance} between {low} and {high}")
    known = {tuple(row) for row in await _rows(reads, "SELECT account_id, currency, balance_type FROM balance_kinds")}
    if known != kinds:
        broken.append(f"the kinds of balances are {known}, and the entries have {kinds}")
    accounts = await _rows(reads, "SELECT id FROM accounts WHERE id NOT IN (SELECT account_id FROM positions)")
    return broken + [f"account {number} stands nowhere" for (number,) in accounts]


async def _cycles(reads: Reading) -> list[str]:
    """INV7: each division's closings follow each other day by day, each told once; rows of history are a chain."""
    broken = []
    closings: dict[int, Rows] = defaultdict(list)
    for number, *row in await _rows(
        reads, "SELECT division_id, business_date, completed_at FROM closings ORDER BY closing_at"
    ):
        closings[number].append(row)
    told = await _told_closings(reads)
    for configured in await reads.closings.configured():
        rows = closings[configured.division_id]
        dates = [_date(day) for day, _ in rows]
        if any(later - earlier != timedelta(days=1) for earlier, later in pairwise(dates)):
            broken.append(f"division {configured.code} closed on {dates}")
        if any(done is None for _, done in rows[:-1]):
            broken.append(f"division {configured.code} went on without completing a closing")
        complete = sum(done is not None for _, done in rows)
        if told[configured.division_id] != complete:
            times = told[configured.division_id]
            broken.append(f"division {configured.code} completed {complete} closings and told of {times}")
    chain: dict[tuple[int, str], int] = {}
    history = await _rows(
        reads, "SELECT account_id, currency, opening, closing FROM history_entries ORDER BY closing_at, id"
    )
    for account, currency, opening, closing in history:
        before = chain.get((account, currency))
        if before is not None and before != opening:
            broken.append(f"the history of account {account} in {currency} goes from {before} to {opening}")
        chain[account, currency] = closing
    return broken


async def _told_closings(reads: Reading) -> Counter[int | None]:
    """How many events tell of a closing of each division."""
    closed = ALL._replace(types=frozenset({EventType.DIVISION_CYCLE_CLOSING}))
    end, after, told = (await reads.log.bounds()).end, 0, Counter[int | None]()
    while events := await reads.log.page(closed, after=after, until=end, limit=1000):
        told.update(event.division_id for event in events)
        after = events[-1].id
    return told


def _date(day: Any) -> Any:
    return date.fromisoformat(day) if isinstance(day, str) else day


async def _keys(reads: Reading) -> list[str]:
    """INV5: a client's key is there only with what its request is answered."""
    rows = await _rows(reads, "SELECT key FROM idempotency_keys WHERE facts IS NULL")
    return [f"the key {key} is there without an answer" for (key,) in rows]


async def _file(reads: Reading) -> list[str]:
    """INV12: the file itself is sound."""
    sound = await _rows(reads, "PRAGMA integrity_check")
    foreign = await _rows(reads, "PRAGMA foreign_key_check")
    return [str(row) for row in (*sound, *foreign) if tuple(row) != ("ok",)]
