"""What must hold of a database whatever happened to it, looked for in the rows themselves."""

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import CheckConstraint, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from app.domain.accounts import Thresholds
from app.domain.events import ALL, CROSSINGS, EventType, crossings
from app.domain.records import ThresholdState
from app.store.log import CODES, TYPES
from app.store.store import Reading, Store
from app.store.tables import metadata
from app.store.types import Instant
from tests.faults.asking import Item

Rows = list[Any]

TRANSACTION_MAX = timedelta(minutes=1)
"""Longer than any transaction may take."""


class Told(NamedTuple):
    """What the clients were told of communication numbers."""

    accepted: Mapping[str, Item]
    """Items whose acceptance reached a client, as they were sent, by their numbers."""
    rejected: Iterable[str] = ()
    """Numbers that were only ever rejected."""
    batches: Iterable[Iterable[str]] = ()
    """The numbers that were sent together: all of them are there, or none."""


NOTHING = Told({})


async def violations(url: str, told: Told = NOTHING, *, clock_stands: bool = False) -> list[str]:
    """Which invariants are broken, as sentences.

    clock_stands: whether an account may have been changed at the very instant at which it was made.
    """
    store = Store(url)
    try:
        async with store.reading(None) as reads:
            entries = await _rows(reads, _ENTRIES, at=Instant(), recorded_at=Instant())
            broken = [
                *(await _entries(reads, entries, told)),
                *(await _positions(reads, entries)),
                *(await _crossings(reads, entries, clock_stands=clock_stands)),
                *(await _cycles(reads)),
                *(await _snapshots(reads, entries)),
                *(await _keys(reads)),
                *(await _constraints(reads)),
            ]
            broken += await (_file(reads) if store.dialect.name == "sqlite" else _indexes(reads))
    finally:
        await store.close()
    return broken


async def _rows(reads: Reading, statement: str, **types: TypeEngine[Any]) -> Rows:
    return list((await reads._connection.execute(text(statement).columns(**types))).all())


_ENTRIES = """SELECT e.id, e.unit_id, e.account_id, e.at, e.amount, e.currency, e.balance_type, e.equivalent_value,
    e.communication_number, e.requester, e.recorded_at, e.became_current, a.external_id, a.currency AS own_currency
  FROM entries e LEFT JOIN accounts a ON a.id = e.account_id ORDER BY e.account_id, e.at, e.id"""


async def _entries(reads: Reading, entries: Rows, told: Told) -> list[str]:
    """INV1 to INV4: what was accepted is there once, as it was sent; what was rejected is not; no batch is split."""
    stored: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    for e in entries:
        content = (e.external_id, e.amount, e.at, e.balance_type, e.equivalent_value, e.requester)
        stored[e.communication_number].append(content)
    sent = {number: _content(item) for number, item in told.accepted.items()}
    broken = [
        f"{number} was accepted as {content}, and stored are {stored[number]}"
        for number, content in sent.items()
        if stored[number] != [content]
    ]
    numbered = [(e.unit_id, e.communication_number) for e in entries if e.communication_number is not None]
    if len(set(numbered)) != len(numbered):
        broken.append("a communication number is stored twice")
    broken += [f"{number} was rejected, and is stored" for number in told.rejected if stored.get(number)]
    for batch in told.batches:
        is_stored = {bool(stored.get(number)) for number in batch}
        if len(is_stored) > 1:
            broken.append(f"of the batch {sorted(batch)} only a part is stored")
    both = await _rows(reads, "SELECT id FROM entries WHERE id IN (SELECT id FROM events)")
    broken += [f"the place {number} of the log is taken twice" for (number,) in both]
    return broken


def _content(item: Item) -> tuple[object, ...]:
    """What an item says, as it is stored; accounts keep their external ids."""
    moment, equivalent = datetime.fromisoformat(item["balanceAt"]), item.get("equivalentValue")
    amounts = _units(item["value"]), None if equivalent is None else _units(equivalent)
    return item["accountExtId"], amounts[0], moment, item.get("balanceType"), amounts[1], item["requester"]


def _units(amount: object) -> Decimal:
    """An amount as it is stored, from a number or a text."""
    return Decimal(str(amount)) * 10_000


async def _positions(reads: Reading, entries: Rows) -> list[str]:
    """INV6: where an account stands is what its entries say, and its threshold state what its balance says."""
    last: dict[int, Any] = {}
    became: dict[int, int] = {}
    kinds: set[tuple[int, str, str | None]] = set()
    for entry in entries:
        kinds.add((entry.account_id, entry.currency, entry.balance_type))
        if entry.currency == entry.own_currency:
            last[entry.account_id] = (entry.id, entry.at, entry.amount)
            if entry.became_current:
                became[entry.account_id] = max(became.get(entry.account_id, 0), entry.id)
    broken = []
    positions = await _rows(
        reads,
        """SELECT account_id, entry_id, at, balance, low_threshold, high_threshold, threshold_state FROM positions""",
        at=Instant(),
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


class _Crossing(NamedTuple):
    """What was told of a threshold, and the account's current entry then."""

    type: EventType
    balance: Decimal
    thresholds: Thresholds
    entry_id: int
    amount: int | None


_STATES = {
    crossings(before, after)[0]: (before, after)
    for state in (ThresholdState.LOW, ThresholdState.HIGH)
    for before, after in ((ThresholdState.NONE, state), (state, ThresholdState.NONE))
}
"""From which state to which one each crossing leads."""
_TOLD = f"""SELECT id, account_id, type, data FROM events
  WHERE type IN ({", ".join(str(CODES[each]) for each in CROSSINGS)}) ORDER BY id"""
_JUDGED = """SELECT p.account_id, p.low_threshold, p.high_threshold, p.threshold_state, a.created_at = a.updated_at
  FROM positions p JOIN accounts a ON a.id = p.account_id"""


async def _crossings(reads: Reading, entries: Rows, *, clock_stands: bool) -> list[str]:
    """INV4: each crossing of a threshold is told once, and nothing else is.

    Of every account: what was told leads from state to state, is true of the current balance and the thresholds that it
    names, and ends where the account stands. Which thresholds an account had before it was changed no row says: so that
    nothing was left out is seen of accounts that were never changed. Their entries are judged again.
    """
    kept_from = (await reads.log.bounds()).kept_from
    current: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for entry in sorted(entries, key=attrgetter("id")):
        if entry.became_current:
            current[entry.account_id].append((entry.id, entry.amount))
    told: dict[int, list[_Crossing]] = defaultdict(list)
    for place, account, code, data in await _rows(reads, _TOLD):
        before = bisect_left(current[account], (place,))
        if place > kept_from:
            stood = current[account][before - 1] if before else (0, None)
            told[account].append(_crossing(TYPES[code], json.loads(data), *stood))
    broken: list[str] = []
    for account, low, high, state, is_unchanged in await _rows(reads, _JUDGED):
        broken += _untrue(account, told[account], None if kept_from else ThresholdState.NONE, state)
        if is_unchanged and not clock_stands:
            thresholds = Thresholds(low, high)
            states = [ThresholdState.NONE, *(thresholds.state_of(Decimal(amount)) for _, amount in current[account])]
            due = [
                (number, type_)
                for (number, _), between in zip(current[account], pairwise(states), strict=True)
                for type_ in crossings(*between)
                if number > kept_from
            ]
            found = [(each.entry_id, each.type) for each in told[account] if each.entry_id > kept_from]
            if found != due:
                broken.append(f"the entries of account {account} crossed {due}, and told was {found}")
    return broken


def _crossing(type_: EventType, data: dict[str, Any], entry_id: int, amount: int | None) -> _Crossing:
    low, high = (
        None if bound is None else _units(bound)
        for bound in (data["balance_low_threshold"], data["balance_high_threshold"])
    )
    return _Crossing(type_, _units(data["balance"]), Thresholds(low, high), entry_id, amount)


def _untrue(account: int, told: list[_Crossing], state: ThresholdState | None, stands: int) -> Iterator[str]:
    """What is wrong with what was told of an account that was in a state before, None: in an unknown one."""
    for each in told:
        before, after = _STATES[each.type]
        if state not in {None, before}:
            yield f"account {account} was in the state {state} when {each} was told"
        state = after
        found = each.thresholds.state_of(each.balance)
        # What is cleared may be crossed on the other side at once.
        is_so = found is after or (after is ThresholdState.NONE and found is not before)
        if each.balance != each.amount or not is_so:
            yield f"account {account} had the balance {each.amount} when {each} was told"
    if state not in {None, stands}:
        yield f"account {account} is in the state {stands}, and told was {state}"


async def _cycles(reads: Reading) -> list[str]:
    """INV7: each division's closings follow each other day by day, each told once; rows of history are a chain."""
    broken = []
    closings: dict[int, Rows] = defaultdict(list)
    for number, *row in await _rows(
        reads, "SELECT division_id, business_date, completed_at FROM closings ORDER BY closing_at"
    ):
        closings[number].append(row)
    told = await _told_closings(reads)
    is_whole = (await reads.log.bounds()).kept_from == 0
    for configured in await reads.closings.configured():
        rows = closings[configured.division_id]
        dates = [_date(day) for day, _ in rows]
        if any(later - earlier != timedelta(days=1) for earlier, later in pairwise(dates)):
            broken.append(f"division {configured.code} closed on {dates}")
        if any(done is None for _, done in rows[:-1]):
            broken.append(f"division {configured.code} went on without completing a closing")
        complete = sum(done is not None for _, done in rows)
        times = told[configured.division_id]
        if times > complete or (is_whole and times != complete):
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


_CLOSED = """SELECT e.id, e.closing_id, e.account_id, e.at, c.closing_at
  FROM events e JOIN closings c ON c.id = e.closing_id ORDER BY e.id"""
_CLOSINGS = "SELECT account_id, closing_at, currency, closing FROM history_entries"


async def _snapshots(reads: Reading, entries: Rows) -> list[str]:
    """INV7: a closing says of each account what its entries before that instant said, of those recorded by then.

    A late entry changes no row; it shows in the next one. When a closing came to an account is told by the place of its
    balance_history, where that is not forgotten. On PostgreSQL what was being recorded at that very time may have a
    smaller place, and yet have been committed later: whether it counts no row says.
    """
    is_whole = (await reads.log.bounds()).kept_from == 0
    is_serial = reads._dialect.name == "sqlite"
    closed = await _rows(reads, _CLOSED, at=Instant(), closing_at=Instant())
    places = {(each.account_id, each.closing_at): each.id for each in reversed(closed)}
    said: dict[int, dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        said[entry.account_id][entry.currency].append(entry)
    written: dict[tuple[int, str], list[tuple[datetime, int, int]]] = defaultdict(list)
    broken = []
    for account, closing_at, currency, closing in await _rows(reads, _CLOSINGS, closing_at=Instant()):
        place = places.get((account, closing_at), 0)
        if is_whole and not place:
            broken.append(f"nothing was told of the closing of account {account} at {closing_at}")
        said[account].setdefault(currency, [])
        written[account, currency].append((closing_at, place, closing))
    for place, _, account, now, closing_at in closed:
        for currency, own in said[account].items():
            earlier = own[: bisect_left(own, closing_at, key=attrgetter("at"))]
            there = [(at, row) for at, told, row in written[account, currency] if at <= closing_at and told <= place]
            found = max(there)[1] if there else None
            by_then = [entry for entry in earlier if entry.id < place]
            possible = list(_possible(by_then, None if is_serial else now - TRANSACTION_MAX))
            if found not in possible:
                broken.append(f"account {account} closed at {closing_at} with {found}, and its entries say {possible}")
    counts = Counter(each.closing_id for each in closed)
    return broken + [
        f"closing {number} is of {count} accounts, and told of {counts[number]}"
        for number, count in await _rows(reads, "SELECT id, account_count FROM closings")
        if is_whole and counts[number] != count
    ]


def _possible(entries: Rows, sure_before: datetime | None) -> Iterator[int | None]:
    """What entries in order of moments may have said, where those recorded later may have been there or not."""
    for entry in reversed(entries):
        yield entry.amount
        if sure_before is None or entry.recorded_at < sure_before:
            return
    yield None


async def _keys(reads: Reading) -> list[str]:
    """INV5: a client's key is there only with what its request is answered."""
    rows = await _rows(reads, "SELECT key FROM idempotency_keys WHERE facts IS NULL")
    return [f"the key {key} is there without an answer" for (key,) in rows]


_UNCHECKED = {
    "entries": {"account_id": "accounts", "division_id": "divisions"},
    "events": {"account_id": "accounts", "division_id": "divisions", "closing_id": "closings"},
    "history_entries": {"account_id": "accounts"},
    "positions": {"division_id": "divisions"},
    "balance_kinds": {"account_id": "accounts"},
}
"""What refers to what without a constraint."""


def _unmet() -> Iterator[str]:
    """Statements that name what is broken."""
    for table in metadata.sorted_tables:
        referred = {key.parent.name: key.column.table.name for key in table.foreign_keys}
        for column, parent in (referred | _UNCHECKED.get(table.name, {})).items():
            units = "unit_id" in table.c and "unit_id" in metadata.tables[parent].c
            is_foreign = "p.unit_id <> c.unit_id" if units else "FALSE"
            yield f"""SELECT 'a row of {table.name} has the {column} of none, or one of another unit'
                FROM {table.name} c LEFT JOIN {parent} p ON p.id = c.{column}
                WHERE c.{column} IS NOT NULL AND (p.id IS NULL OR {is_foreign})"""
        for check in table.constraints:
            if isinstance(check, CheckConstraint):
                yield f"""SELECT 'a row of {table.name} breaks {check.name}'
                    FROM {table.name} WHERE NOT ({check.sqltext})"""
    yield """SELECT 'what waits for a receiver is of another unit'
        FROM deliveries d JOIN receivers r ON r.id = d.receiver_id
          LEFT JOIN entries e ON e.id = d.event_id LEFT JOIN events o ON o.id = d.event_id
        WHERE r.unit_id IS NOT NULL AND coalesce(e.unit_id, o.unit_id, 0) <> r.unit_id"""


_UNMET = " UNION ".join(_unmet())


async def _constraints(reads: Reading) -> list[str]:
    """INV9 and INV12: whatever a row refers to is there, and in its business unit; what is checked holds."""
    return [sentence for (sentence,) in await _rows(reads, _UNMET)]


async def _file(reads: Reading) -> list[str]:
    """INV12: the file itself is sound."""
    sound = await _rows(reads, "PRAGMA integrity_check")
    foreign = await _rows(reads, "PRAGMA foreign_key_check")
    return [str(row) for row in (*sound, *foreign) if tuple(row) != ("ok",)]


_MAY_CHECK = """SELECT 1 FROM pg_available_extensions, pg_roles
  WHERE name = 'amcheck' AND rolname = current_user AND rolsuper"""
_BTREES = """SELECT bt_index_check(i.indexrelid, true)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
  WHERE m.amname = 'btree' AND c.relnamespace = 'public'::regnamespace"""


async def may_check_indexes(reads: Reading) -> bool:
    return await _rows(reads, _MAY_CHECK) != []


async def _indexes(reads: Reading) -> list[str]:
    """INV12: each index has all rows, in order; seen where the role may, with an extension that is not left there."""
    if not await may_check_indexes(reads):
        return []
    connection = reads._connection
    await connection.exec_driver_sql("BEGIN")
    try:
        await connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS amcheck")
        await connection.exec_driver_sql(_BTREES)
    except DBAPIError as error:
        return [str(error.orig)]
    finally:
        await connection.exec_driver_sql("ROLLBACK")
    return []
