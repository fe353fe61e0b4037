"""Who may look up an object by its id alone."""

from app.domain.callers import Scope
from app.domain.ids import Kind
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
from resolvers.declarations import Kinds, Named
from resolvers.events import load_event

_STORED: dict[Kind, tuple[Source, Scope]] = {
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

_KINDS = Kinds(_STORED, {Kind.EVENT: load_event})

NODE = Named("id", is_list=False, of=_KINDS)
NODES = Named("ids", is_list=True, of=_KINDS)
