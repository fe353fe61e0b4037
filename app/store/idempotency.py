"""What was answered for clients' keys, so that a retry is answered and does nothing again."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.idempotency import KEPT, WAIT_SECONDS, Key
from app.domain.refusals import Code, Refusal
from app.store.dialects import Dialect
from app.store.failures import is_lock_timeout
from app.store.tables import idempotency_keys as t

STILL_RUNNING = "A request with this Idempotency-Key is still running; ask again later."


class Remembered(NamedTuple):
    """What a key stands for: the request, and what its answer is made of."""

    fingerprint: str
    facts: str | None
    """None only within the transaction that does what is asked."""


class Idempotency:
    """Keys within one transaction, or one reading."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    async def find(self, key: Key, now: datetime) -> Remembered | None:
        """What a key stands for; None for one that is new, or older than keys are kept."""
        statement = select(t.c.fingerprint, t.c.facts).where(*_is(key), t.c.created_at > now - KEPT)
        row = (await self._connection.execute(statement)).first()
        return None if row is None else Remembered(*row)

    async def begin(self, key: Key, fingerprint: str, facts: str | None, now: datetime) -> bool:
        """Take a key for this transaction; False where another one has it, which is committed then.

        The unique row is the lock: whoever comes second waits for the first one's end.
        Raises Refusal CONFLICT where that takes too long.
        """
        await self._dialect.wait_at_most(self._connection, WAIT_SECONDS)
        new = {"fingerprint": fingerprint, "facts": facts, "created_at": now}
        insert = sqlite.insert if self._dialect.name == "sqlite" else postgresql.insert
        statement = (
            insert(t)
            .values(issuer=key.issuer, subject=key.subject, key=key.text, **new)
            .on_conflict_do_update(
                index_elements=[t.c.issuer, t.c.subject, t.c.key], set_=new, where=t.c.created_at <= now - KEPT
            )
            .returning(t.c.key)
        )
        try:
            return (await self._connection.execute(statement)).first() is not None
        except DBAPIError as error:
            if is_lock_timeout(error):
                raise Refusal(Code.CONFLICT, STILL_RUNNING) from error
            raise

    async def finish(self, key: Key, facts: str) -> None:
        """Remember what the answer is made of, in the transaction that took the key."""
        await self._connection.execute(update(t).where(*_is(key)).values(facts=facts))

    async def forget(self, now: datetime, limit: int) -> int:
        """Forget keys that are older than they are kept, so many at most; how many went."""
        names = (t.c.issuer, t.c.subject, t.c.key)
        old = select(*names).where(t.c.created_at <= now - KEPT).order_by(t.c.created_at).limit(limit)
        gone = await self._connection.execute(t.delete().where(tuple_(*names).in_(old)))
        return gone.rowcount


def _is(key: Key) -> tuple[ColumnElement[bool], ...]:
    return t.c.issuer == key.issuer, t.c.subject == key.subject, t.c.key == key.text
