"""History configurations of divisions, as remembered."""

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.histories import HistoryConfig, Planned
from app.store.dialects import Dialect
from app.store.tables import divisions
from app.store.tables import history_configs as h
from app.store.types import Number

_ONE = select(divisions.c.id).where(divisions.c.id == bindparam("division", type_=Number))


class Histories:
    """Configurations within one transaction."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    async def hold(self, division_id: int) -> None:
        """Lock a division, so that one configuration is decided on at a time."""
        await self._connection.execute(self._dialect.locked(_ONE, divisions), {"division": division_id})

    async def newest(self, division_id: int) -> HistoryConfig | None:
        """The configuration with the latest first closing."""
        columns = [h.c[name] for name in HistoryConfig._fields]
        statement = select(*columns).where(h.c.division_id == division_id).order_by(h.c.first_closing.desc()).limit(1)
        row = (await self._connection.execute(statement)).first()
        return None if row is None else HistoryConfig._make(row)

    async def add(self, unit_id: int, division_id: int, planned: Planned) -> HistoryConfig:
        values = {"unit_id": unit_id, "division_id": division_id, **planned._asdict()}
        statement = insert(h).values(values).returning(h.c.id)
        number = int((await self._connection.execute(statement)).scalar_one())
        return HistoryConfig(number, division_id, *planned, None)

    async def replace(self, config: HistoryConfig) -> HistoryConfig:
        """Write a configuration as it is now."""
        values = config._asdict()
        await self._connection.execute(update(h).where(h.c.id == config.id).values(values))
        return config
