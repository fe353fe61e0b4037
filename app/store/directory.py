"""Business units, contractors, contacts, invoice templates and divisions, as remembered."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import tables as t
from app.store.dialects import Dialect
from app.store.narrowing import among
from app.store.reads import Units, visible

_FOLDED = {"contractors": ("name", "external_id"), "divisions": ("name",)}


class Directory:
    """Who and what accounts refer to, within one transaction."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect, units: Units) -> None:
        self._connection = connection
        self._dialect = dialect
        self._units = units

    async def unit_ids(self, names: Collection[str]) -> dict[str, int]:
        """Ids of those business units that exist for the caller."""
        wanted = [name for name in names if self._units is None or name in self._units]
        if not wanted:
            return {}
        statement = select(t.units.c.name, t.units.c.id).where(among(self._dialect, t.units.c.name, sorted(wanted)))
        rows = await self._connection.execute(statement)
        return {row[0]: row[1] for row in rows}

    async def every_unit(self) -> dict[str, int]:
        """Ids of all business units, by name."""
        rows = await self._connection.execute(select(t.units.c.name, t.units.c.id))
        return {row[0]: row[1] for row in rows}

    async def add_unit(self, name: str) -> int:
        """Bring a business unit into being; raises IntegrityError where another transaction just did."""
        statement = insert(t.units).values(name=name, name_folded=name.casefold()).returning(t.units.c.id)
        return int((await self._connection.execute(statement)).scalar_one())

    async def add(self, table: Table, unit_id: int, values: Mapping[str, Any]) -> int:
        """Store one thing of a business unit; raises IntegrityError where a unique key is taken."""
        folded = {
            f"{name}_folded": None if values[name] is None else values[name].casefold()
            for name in _FOLDED.get(table.name, ())
        }
        statement = insert(table).values(unit_id=unit_id, **values, **folded).returning(table.c.id)
        return int((await self._connection.execute(statement)).scalar_one())

    async def existing(self, table: Table, unit_id: int, numbers: Collection[int]) -> set[int]:
        """Which of these things of a business unit exist."""
        if not numbers:
            return set()
        where = among(self._dialect, table.c.id, sorted(numbers))
        statement = select(table.c.id).where(table.c.unit_id == unit_id, where)
        return set((await self._connection.execute(statement)).scalars())

    async def by_key(self, table: Table, unit_id: int, key: str, value: str) -> int | None:
        """The id of what a business unit has under a unique key."""
        statement = select(table.c.id).where(table.c.unit_id == unit_id, table.c[key] == value)
        number: int | None = (await self._connection.execute(statement)).scalar()
        return number

    async def unit_of(self, table: Table, number: int) -> int | None:
        """The business unit of something, where that exists for the caller."""
        where = visible(self._dialect, table.c.unit_id, self._units)
        statement = select(table.c.unit_id).where(table.c.id == number, where)
        unit_id: int | None = (await self._connection.execute(statement)).scalar()
        return unit_id

    async def value(self, table: Table, number: int, column: str) -> Any:
        """One column of one row."""
        return (await self._connection.execute(select(table.c[column]).where(table.c.id == number))).scalar()
