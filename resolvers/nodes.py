"""Who may look up an object by its id alone."""

import asyncio
from collections.abc import Sequence
from typing import Any

from app.domain.callers import Scope
from app.domain.ids import Kind, parse_id
from app.store.sources import (
    ACCOUNTS,
    CLOSINGS,
    CONTACTS,
    CONTRACTORS,
    DIVISIONS,
    ENTRIES,
    HISTORY_CONFIGS,
    HISTORY_ENTRIES,
    INVOICE_TEMPLATES,
    WEBHOOKS,
    Source,
)
from resolvers.context import Context, Info
from resolvers.events import load_event
from resolvers.fetch import load_record

LOOKED_UP: dict[Kind, tuple[Source, Scope]] = {
    Kind.ACCOUNT: (ACCOUNTS, Scope.ACCOUNTS_READ),
    Kind.BALANCE: (ENTRIES, Scope.BALANCES_READ),
    Kind.CONTRACTOR: (CONTRACTORS, Scope.ACCOUNTS_READ),
    Kind.CONTACT: (CONTACTS, Scope.ACCOUNTS_READ),
    Kind.INVOICE_TEMPLATE: (INVOICE_TEMPLATES, Scope.ACCOUNTS_READ),
    Kind.DIVISION: (DIVISIONS, Scope.ACCOUNTS_READ),
    Kind.HISTORY_CONFIG: (HISTORY_CONFIGS, Scope.CONFIG_READ),
    Kind.CLOSING: (CLOSINGS, Scope.CONFIG_READ),
    Kind.HISTORY_ENTRY: (HISTORY_ENTRIES, Scope.BALANCES_READ),
    Kind.WEBHOOK: (WEBHOOKS, Scope.WEBHOOKS_WRITE),
}


async def node(_root: Any, info: Info, *, id: str) -> Any:
    """The object; None for an id that is malformed, of another unit or unknown."""
    context: Context = info.context
    named = parse_id(id)
    if named is not None and named[0] is Kind.EVENT:
        return await load_event(context, named[1])
    if named is None or named[0] not in LOOKED_UP:
        return None
    source, scope = LOOKED_UP[named[0]]
    context.caller.must(scope)
    return await load_record(context, source, named[1])


async def nodes(_root: Any, info: Info, *, ids: Sequence[str]) -> list[Any]:
    """The objects, in the order of their ids; None for each that doesn't exist for the caller, or is refused."""
    return list(await asyncio.gather(*(node(_root, info, id=each) for each in ids), return_exceptions=True))
