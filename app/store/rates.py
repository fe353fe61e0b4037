"""What the processes of one database have drawn of each caller's minute."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import rates


class Draw(NamedTuple):
    """So much of a caller's minute that a process draws; or what all have drawn of it."""

    caller: str
    requests: int
    cost: int


_DRAWN = text(
    "INSERT INTO rates (caller, minute, requests, cost) VALUES (:caller, :minute, :requests, :cost)"
    " ON CONFLICT (caller, minute) DO UPDATE SET requests = rates.requests + excluded.requests,"
    " cost = rates.cost + excluded.cost RETURNING requests, cost"
)


class Rates:
    """The shares within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def draw(self, minute: int, draws: Sequence[Draw]) -> dict[str, Draw]:
        """Draw shares, each caller's at most once; what all processes have drawn then, by caller."""
        drawn: dict[str, Draw] = {}
        # In one order, so that no two processes wait for each other.
        for draw in sorted(draws):
            row = (await self._connection.execute(_DRAWN, {"minute": minute, **draw._asdict()})).one()
            drawn[draw.caller] = Draw(draw.caller, *row)
        return drawn

    async def forget(self, before: int) -> None:
        """Forget the minutes before one."""
        await self._connection.execute(delete(rates).where(rates.c.minute < before))
