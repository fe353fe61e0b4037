"""History configurations of divisions, as remembered."""

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.histories import HistoryConfig
from app.store.dialects import Dialect
from app.store.tables import divisions, history_configs


class Histories:
    """Configurations within one transaction."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    async def hold(self, division_id: int) -> None:
        """Lock a division, so that one configuration is decided on at a time."""
        statement = select(divisions.c.id).where(divisions.c.id == division_id)
        await self._connection.execute(self._dialect.locked(statement, divisions))
