"""Answers that the database writes: what is asked again and again, its statements, and their texts."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any
from weakref import ref

from sqlalchemy.engine import Dialect as Driver

from app.domain.series import Movement
from app.store.dialects import Dialect
from app.store.lanes import Compiled, Lanes
from app.store.movements import moved, movements
from app.store.pieces import (
    Piece,
    SiteForm,
    UnitsForm,
)
from app.store.readiness import make_ready
from app.store.reads import Units
from app.store.templates import language
from app.store.writer import Writer
from app.store.written import (
    BEYOND,
    MARK,
    UNITS,
)
from app.threads import apart

STATEMENTS_MAX = 64
"""Statements that are kept for one question; each page size makes one."""
CHARACTERS_MAX = 16_000_000
"""Of all statements that are kept; then the oldest one is made anew when it is asked for."""
LARGE_READS = 20
"""Readings in a question whose statement is made in a thread, so that nobody else waits for that."""


_ENTRY_CHARACTERS = 30
"""What an entry of a movement takes, more or less."""


class Asked:
    """Roots that are asked for together, again and again: each is known by itself, not by what it says."""

    __slots__ = ("__weakref__", "reads", "roots", "statements")

    def __init__(self, roots: Sequence[Piece], reads: int = 0) -> None:
        """`reads` says how many readings of sources there are in it, more or less."""
        self.roots = tuple(roots)
        self.reads = reads
        self.statements: OrderedDict[Hashable, Compiled] = OrderedDict()
        """Those that were made for it, by the forms of its sites and of the caller's units."""


class Answers:
    """Has answers written by the database."""

    def __init__(self, dialect: Dialect, driver: Driver, lanes: Lanes) -> None:
        self._language = language(dialect, driver)
        self._driver = driver
        self._lanes = lanes
        self._kept: deque[tuple[ref[Asked], Hashable, int]] = deque()
        """Whose statements were made, in this order, and how long each is; whoever asked may be gone."""
        self._characters = 0
        self.heard: Callable[[str], None] = lambda _sql: None
        """Told each statement before it is asked, for whoever counts them."""

    def make_ready(self) -> None:
        make_ready(self._language, self._driver)

    def statement(self, asked: Asked, units: UnitsForm, forms: Sequence[SiteForm]) -> Compiled:
        """The statement for what is asked; made once for each form."""
        found = asked.statements.get((units, forms))
        return self._keep(asked, (units, forms), self._made(asked, units, forms)) if found is None else found

    def _made(self, asked: Asked, units: UnitsForm, forms: Sequence[SiteForm]) -> Compiled:
        return Writer(self._language, forms, units).statement(asked.roots, self._driver)

    def _keep(self, asked: Asked, key: Hashable, made: Compiled) -> Compiled:
        asked.statements[key] = made
        if len(asked.statements) > STATEMENTS_MAX:
            asked.statements.popitem(last=False)
        self._kept.append((ref(asked), key, len(made.sql)))
        self._characters += len(made.sql)
        while self._characters > CHARACTERS_MAX:
            owner, oldest, size = self._kept.popleft()
            self._characters -= size
            known = owner()
            if known is not None:
                known.statements.pop(oldest, None)
        return made

    async def of(
        self, asked: Asked, units: Units, forms: Sequence[SiteForm], values: Mapping[str, Any]
    ) -> list[bytes | None]:
        """The text of each root; None where it holds a mark."""
        form, names = units_form(units)
        if asked.reads > LARGE_READS and (form, forms) not in asked.statements:
            made = await asyncio.to_thread(self._made, asked, form, forms)
            statement = self._keep(asked, (form, forms), made)
        else:
            statement = self.statement(asked, form, forms)
        self.heard(statement.sql)
        (row,) = await self._lanes.rows(statement, values if names is None else {**values, UNITS: names})
        return [None if _MARK in text or BEYOND in text else text for text in row]

    async def movements(
        self, units: Units, since: Mapping[int, datetime], before: datetime, currency: str | None
    ) -> Mapping[int, Movement]:
        """See Store.movements."""
        statement = self.moved(units, currency)
        self.heard(statement.sql)
        values = {"accounts": list(since), "since": list(since.values()), "before": before, "currency": currency}
        rows = await self._lanes.rows(statement, {**values, UNITS: units_form(units)[1]})
        return await apart(sum([len(later) for *_, later in rows]) // _ENTRY_CHARACTERS, lambda: movements(rows))

    def moved(self, units: Units, currency: str | None) -> Compiled:
        """The statement that reads them."""
        return moved(self._language, self._driver, units_form(units)[0], has_currency=currency is not None)


_MARK = MARK.encode()


def units_form(units: Units) -> tuple[UnitsForm, Any]:
    """The form of a caller's units, and their value."""
    if units is None:
        return UnitsForm.ALL, None
    if len(units) == 1:
        return UnitsForm.ONE, next(iter(units))
    return UnitsForm.SOME, sorted(units)
