"""What may be listened to: the contract's fields, refused as long as no events are recorded."""

from collections.abc import AsyncIterator
from typing import NoReturn

import strawberry

from app.domain.refusals import Code, Refusal
from schema.balances import Balance
from schema.events import Event


def _refuse() -> NoReturn:
    raise Refusal(Code.UNAVAILABLE, "This release records no events: subscriptions come with a later one.")


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="Every entry from now on; of these accounts, or of all that the caller may see."
    )
    async def balance_created(
        self,
        account_ids: list[strawberry.ID] | None = strawberry.UNSET,  # noqa: ARG002 - the contract's.
        after: str | None = strawberry.UNSET,  # noqa: ARG002
    ) -> AsyncIterator[Balance]:
        _refuse()
        yield

    @strawberry.subscription(
        description="Every event from now on; with after, first those in the log behind that event."
    )
    async def events(
        self,
        types: list[str] | None = strawberry.UNSET,  # noqa: ARG002
        subjects: list[strawberry.ID] | None = strawberry.UNSET,  # noqa: ARG002
        after: str | None = strawberry.UNSET,  # noqa: ARG002
    ) -> AsyncIterator[Event]:
        _refuse()
        yield
