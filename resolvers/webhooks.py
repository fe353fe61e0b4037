"""Who may have events posted to an address, and what of it is seen."""

import json
from typing import Any, NamedTuple

from app.actions.webhooks import create_webhook, delete_webhook
from app.domain.callers import Scope
from app.domain.events import EventType, Filter
from app.domain.records import Webhook
from app.domain.refusals import Violation
from app.store.sources import WEBHOOKS
from resolvers.accounts import Made
from resolvers.context import Context, Info
from resolvers.fetch import load_record


class MadeWebhook(NamedTuple):
    """A new webhook and its secret, which is told this once; or why there is none."""

    made: Webhook | None
    secret: str | None
    user_errors: list[Violation]


async def create(_root: Any, info: Info, *, input: dict[str, Any]) -> MadeWebhook:
    context: Context = info.context
    context.caller.must(Scope.WEBHOOKS_WRITE)
    made = await create_webhook(
        context.store,
        context.caller,
        input,
        now=context.now,
        allow_private=context.limits.allow_private_webhooks,
    )
    context.loaders.forget()
    if isinstance(made, list):
        return MadeWebhook(None, None, made)
    number, secret = made
    return MadeWebhook(await load_record(context, WEBHOOKS, number), secret, [])


async def delete(_root: Any, info: Info, *, id: str) -> Made:
    context: Context = info.context
    context.caller.must(Scope.WEBHOOKS_WRITE)
    violations = await delete_webhook(context.store, context.caller, id)
    context.loaders.forget()
    return Made(None if violations else id, violations)


def event_types(webhook: Webhook, _info: Info) -> list[str] | None:
    return None if webhook.event_types is None else json.loads(webhook.event_types)


async def pending_count(webhook: Webhook, info: Info) -> int:
    """Events that wait: those that were tried and not taken, and those that were not tried yet."""
    context: Context = info.context
    types = event_types(webhook, info)
    asked = Filter(types=None if types is None else frozenset(map(EventType, types)))
    async with context.store.reading(frozenset({webhook.business_unit})) as reads:
        bounds = await reads.log.bounds()
        waiting = (await reads.receivers.waiting_counts([webhook.id])).get(webhook.id, 0)
        return waiting + await reads.log.count(asked, after=webhook.position, until=bounds.end)
