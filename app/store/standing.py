"""Where accounts were last seen to stand, remembered in this process.

What is remembered may be old, and is never an answer: a write that leans on it names what it has seen, and is done only
where the locked row still says so (app.store.recording). So a write to an account that was written to before, here and
last, needs no reading.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager

from app.domain.balances import NewEntry, Position
from app.domain.columns import Columns, made_of
from app.store.failures import TooMany
from app.store.places import WRITERS_SECONDS
from app.store.reads import Units

TURN_SECONDS = 8.0
"""How long an account is waited for while nobody is done with it: as long as for its lock. The largest batches, many at
a time, may need more than a place is waited for."""

REMEMBERED_MAX = 200_000
"""Accounts, names and kinds that are remembered, of each; then all are forgotten at once, and read anew."""


class Standing:
    """Positions, accounts by external id, business units by name, and the kinds of balances that accounts have."""

    def __init__(self) -> None:
        self._positions: dict[int, Position] = {}
        self.named: dict[tuple[int, str], Position] = {}
        """Accounts by business unit and external id: who they are, and not where they stand by now."""
        self._kinds: set[tuple[int, str, str | None]] = set()
        """Accounts with a currency and a type that one of their balances has."""
        self._busy: set[int] = set()
        self._turns: list[asyncio.Future[set[int]]] = []
        self._unit_ids: dict[str, int] = {}
        self._unit_names: dict[int, str] = {}

    @asynccontextmanager
    async def turn(self, accounts: Collection[int]) -> AsyncIterator[None]:
        """Write to accounts while nobody else of this process does: who comes second sees how the first leaves them.

        The database would make it wait for the same, and then find that the accounts stand otherwise. Raises TooMany
        where that takes too long.
        """
        mine = set(accounts)
        if not self._busy.isdisjoint(mine):
            await self._free(mine)
        self._busy |= mine
        try:
            yield
        finally:
            self._busy -= mine
            turns, self._turns = self._turns, []
            for each in turns:
                if not each.done():
                    each.set_result(mine)

    async def _free(self, mine: set[int]) -> None:
        """Return when nobody writes to accounts. Raises Refusal TooMany as app.store.places.Places does."""
        loop = asyncio.get_running_loop()
        still_at = loop.time() + TURN_SECONDS
        longest = loop.time() + WRITERS_SECONDS
        while not self._busy.isdisjoint(mine):
            waiting: asyncio.Future[set[int]] = loop.create_future()
            self._turns.append(waiting)
            try:
                async with asyncio.timeout_at(min(still_at, longest)):
                    left = await waiting
            except TimeoutError:
                raise TooMany from None
            if not left.isdisjoint(mine):
                still_at = loop.time() + TURN_SECONDS

    def is_busy(self, account: int) -> bool:
        """Whether somebody of this process writes to an account."""
        return account in self._busy

    def learn_units(self, ids: Mapping[str, int]) -> None:
        """Business units never change, and never go."""
        self._unit_ids.update(ids)
        self._unit_names.update({number: name for name, number in ids.items()})

    def unit_id(self, name: str) -> int | None:
        return self._unit_ids.get(name)

    def is_seen(self, position: Position, units: Units) -> bool:
        """Whether an account is known to exist for a caller."""
        return units is None or self._unit_names.get(position.unit_id) in units

    def learn(self, positions: Iterable[Position]) -> None:
        if len(self._positions) > REMEMBERED_MAX:
            self._positions.clear()
        self._positions.update({position.account_id: position for position in positions})

    def learn_names(self, accounts: Mapping[tuple[int, str], Position]) -> None:
        """What accounts are called, by business unit."""
        if len(self.named) > REMEMBERED_MAX:
            self.named.clear()
        self.named.update(accounts)

    def move(self, moved: Iterable[tuple[Position, NewEntry, int]]) -> None:
        """Accounts that stood so stand at new entries, which have these numbers and crossed no threshold."""
        for position, entry, number in moved:
            account, unit, currency, _, _, _, thresholds, state, external_id, division = position
            values = (account, unit, currency, entry.amount, number, entry.at, thresholds, state, external_id, division)
            self._positions[account] = made_of(Position, values)

    def forget(self, accounts: Iterable[int]) -> None:
        """Where they stand may not be as it was remembered any more."""
        for number in self._positions.keys() & set(accounts):
            del self._positions[number]

    def forget_names(self, accounts: Iterable[Position]) -> None:
        """One of them may be called otherwise by now."""
        for unit_id, external_id in [(account.unit_id, account.external_id or "") for account in accounts]:
            self.named.pop((unit_id, external_id), None)

    def __contains__(self, account: int) -> bool:
        return account in self._positions

    def by_numbers(self, accounts: Iterable[int]) -> dict[int, Position]:
        """Where those of some accounts stand of which it is remembered."""
        known = self._positions
        return {number: known[number] for number in accounts if number in known}

    def known_kinds(self, entries: Columns[NewEntry]) -> list[bool]:
        """Whether each entry is of a kind that its account is known to have."""
        accounts, _, _, _, currencies, types, _, _, _ = entries.columns
        return list(map(self._kinds.__contains__, zip(accounts, currencies, types, strict=True)))

    def learn_kinds(self, entries: Iterable[NewEntry]) -> None:
        if len(self._kinds) > REMEMBERED_MAX:
            self._kinds.clear()
        self._kinds.update([(entry.account_id, entry.currency, entry.balance_type) for entry in entries])
