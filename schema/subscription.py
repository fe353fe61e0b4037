"""What may be listened to."""

import strawberry

from resolvers import events as of_events
from schema.balances import Balance
from schema.events import Event
from schema.fields import listened


@strawberry.type
class Subscription:
    balance_created: Balance = listened(
        of_events.listen_to_balances,
        of_events.told_entry,
        "Every entry from now on; of these accounts, or of all that the caller may see.",
        accountIds=list[strawberry.ID] | None,
        after=str | None,
    )
    events: Event = listened(
        of_events.listen_to_events,
        of_events.told_event,
        "Every event from now on; with after, first those in the log behind that event.",
        types=list[str] | None,
        subjects=list[strawberry.ID] | None,
        after=str | None,
    )
