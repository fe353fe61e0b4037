"""What may be listened to."""

from collections.abc import AsyncIterator

import strawberry

from resolvers.gateway import no_events
from schema.balances import Balance
from schema.events import Event


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="Every entry from now on; of these accounts, or of all that the caller may see."
    )
    async def balance_created(
        self, account_ids: list[strawberry.ID] | None = strawberry.UNSET, after: str | None = strawberry.UNSET
    ) -> AsyncIterator[Balance]:
        no_events(None, None, accountIds=account_ids, after=after)
        yield  # type: ignore[misc]  # Never reached: it makes this a stream.

    @strawberry.subscription(
        description="Every event from now on; with after, first those in the log behind that event."
    )
    async def events(
        self,
        types: list[str] | None = strawberry.UNSET,
        subjects: list[strawberry.ID] | None = strawberry.UNSET,
        after: str | None = strawberry.UNSET,
    ) -> AsyncIterator[Event]:
        no_events(None, None, types=types, subjects=subjects, after=after)
        yield  # type: ignore[misc]  # Never reached: it makes this a stream.
