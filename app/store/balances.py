"""Balance entries, as remembered: added, never changed, never removed."""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import repeat
from typing import NamedTuple

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.balances import NewEntry, Position
from app.domain.columns import Columns, many_of
from app.domain.records import Entry
from app.store.dialects import Dialect
from app.store.narrowing import among
from app.store.tables import balance_kinds, entries
from app.threads import apart


class Numbered(NamedTuple):
    """An entry at its place in the log, and the position that it found its account in."""

    number: int
    entry: NewEntry
    position: Position
    became_current: bool


class Balances:
    """Entries within one transaction."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    async def add(self, new: Sequence[Numbered], *, now: datetime, by: str) -> list[Entry]:
        """Store entries, whose accounts this transaction holds. Raises IntegrityError where a number is taken."""
        added, rows_of_entries = await apart(len(new), lambda: _rows(new, now=now, by=by))
        await self._dialect.insert(self._connection, entries, rows_of_entries)
        kinds = {(entry.account_id, entry.currency, entry.balance_type) for entry in added}
        rows = [
            {"account_id": account_id, "kind": _kind(currency, name), "currency": currency, "balance_type": name}
            for account_id, currency, name in sorted(kinds, key=lambda kind: (kind[0], kind[1], kind[2] or ""))
        ]
        await self._dialect.insert_new(self._connection, balance_kinds, rows)
        return added

    async def holders(self, unit_id: int, numbers: Collection[str]) -> dict[str, Entry]:
        """The entries of a business unit that have these communication numbers, by number."""
        columns = [entries.c.at if name == "timestamp" else entries.c[name] for name in Entry._fields]
        # By the folded numbers alone: PostgreSQL takes two lists for a product of both, and would rather read all.
        folded = sorted({number.casefold() for number in numbers})
        where = and_(entries.c.unit_id == unit_id, among(self._dialect, entries.c.communication_number_folded, folded))
        rows = await self._connection.execute(select(*columns).where(where))
        wanted = set(numbers)
        return {
            entry.communication_number: entry
            for entry in map(Entry._make, rows)
            if entry.communication_number in wanted
        }


def _rows(new: Sequence[Numbered], *, now: datetime, by: str) -> tuple[list[Entry], list[dict[str, object]]]:
    """The entries, and their rows by the unique key: two transactions that want the same numbers wait in one order."""
    numbers, given, _, _ = zip(*new, strict=True)
    of_all = recorded(numbers, Columns.of(NewEntry, given), now=now, by=[by])
    added = [entry for entry in of_all if entry is not None]
    rows_of = zip(new, added, strict=True)
    ordered = sorted(rows_of, key=lambda both: (both[0].entry.unit_id, both[0].entry.communication_number or ""))
    return added, [_row(numbered, entry) for numbered, entry in ordered]


def recorded(
    numbers: Sequence[int | None], new: Columns[NewEntry], *, now: datetime, by: Sequence[str]
) -> list[Entry | None]:
    """New entries as they are remembered, with their numbers; None where one has none. `by` may be one for all."""
    accounts, _, moments, amounts, currencies, types, equivalents, communication_numbers, requesters = new.columns
    columns = [numbers, accounts, amounts, moments, currencies, types, equivalents, communication_numbers, requesters]
    names = by if len(by) > 1 else repeat(by[0])
    entries_: list[Entry] = many_of(Entry, [*columns, repeat(now), names])
    if None not in numbers:
        return [*entries_]
    return [None if number is None else entry for number, entry in zip(numbers, entries_, strict=True)]


def _row(numbered: Numbered, entry: Entry) -> dict[str, object]:
    number = entry.communication_number
    return {
        "id": entry.id,
        "unit_id": numbered.entry.unit_id,
        "account_id": entry.account_id,
        "at": entry.timestamp,
        "amount": entry.amount,
        "currency": entry.currency,
        "balance_type": entry.balance_type,
        "balance_type_folded": _folded_apart(entry.balance_type),
        "equivalent_value": entry.equivalent_value,
        "communication_number": number,
        "communication_number_folded": None if number is None else number.casefold(),
        "requester": entry.requester,
        "requester_folded": _folded_apart(entry.requester),
        "recorded_at": entry.recorded_at,
        "recorded_by": entry.recorded_by,
        "external_id": numbered.position.external_id,
        "division_id": numbered.position.division_id,
        "became_current": numbered.became_current,
    }


def _folded_apart(text: str | None) -> str | None:
    """The casefolded text where it is another; most are not, and no index needs it."""
    if text is None:
        return None
    folded = text.casefold()
    return None if folded == text else folded


def _kind(currency: str, balance_type: str | None) -> str:
    return currency if balance_type is None else f"{currency}:{balance_type}"
