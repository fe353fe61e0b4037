"""Who may ask for accounts and change them, and how."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from app.actions.create_account import create_account
from app.actions.update_account import update_account
from app.domain import series, zones
from app.domain.callers import Scope
from app.domain.currencies import CURRENCIES
from app.domain.ids import Kind, number_of
from app.domain.refusals import Code, Refusal, Violation
from app.store.sources import ACCOUNTS
from app.threads import apart
from resolvers.context import Context, Info
from resolvers.declarations import Key, Keyed, Later
from resolvers.fetch import load_record

INPUT_NAMES = {
    "name": "name",
    "contractorId": "contractor_id",
    "businessUnit": "business_unit",
    "divisionCode": "division_code",
    "minBalance": "min_balance",
    "maxBalance": "max_balance",
    "balanceLowThreshold": "balance_low_threshold",
    "balanceHighThreshold": "balance_high_threshold",
    "vat": "vat",
    "originationCapacity": "origination_capacity",
    "terminationCapacity": "termination_capacity",
    "totalCapacity": "total_capacity",
    "destinationRateLimit": "destination_rate_limit",
    "maxCallDuration": "max_call_duration",
    "externalId": "external_id",
    "uuid": "uuid",
    "invoicePeriod": "invoice_period",
    "invoiceTemplateId": "invoice_template_id",
    "sendInvoicesTo": "send_invoices_to",
    "sendBalanceNotificationsTo": "send_balance_notifications_to",
    "timezone": "timezone",
}


class Made(NamedTuple):
    """What a mutation answers: the thing, or why there is none."""

    made: Any
    user_errors: list[Violation]


def _by_id(arguments: Mapping[str, Any]) -> Key | None:
    number = number_of(Kind.ACCOUNT, arguments["id"])
    return None if number is None else Key("id", "id", number)


def _by_identifier(arguments: Mapping[str, Any]) -> Key | None:
    (key, given), *_ = arguments["identifier"].items()
    if key == "id":
        return _by_id({"id": given})
    field = {"uuid": "uuid", "externalId": "external_id", "name": "name"}[key]
    return Key(key, field, given[key], given.get("businessUnit"))


ACCOUNT = Keyed(ACCOUNTS, Scope.ACCOUNTS_READ, _by_id)
ACCOUNT_BY_IDENTIFIER = Keyed(ACCOUNTS, Scope.ACCOUNTS_READ, _by_identifier)


async def create(_root: Any, info: Info, *, input: dict[str, Any]) -> Made:
    context: Context = info.context
    context.caller.must(Scope.ACCOUNTS_WRITE)
    given = _values(input)
    if input.get("currency") is not None:
        given["currency"] = input["currency"]["code"]
    made = await create_account(
        context.store, context.caller, given, now=context.now, default_currency=context.limits.currency
    )
    return await _answered(context, made)


async def update(_root: Any, info: Info, *, id: str, input: dict[str, Any]) -> Made:
    context: Context = info.context
    context.caller.must(Scope.ACCOUNTS_WRITE)
    changed = await update_account(context.store, context.caller, id, _values(input), now=context.now)
    return await _answered(context, changed)


async def _answered(context: Context, made: int | list[Violation]) -> Made:
    context.loaders.forget()
    if isinstance(made, list):
        return Made(None, made)
    return Made(await load_record(context, ACCOUNTS, made), [])


def _values(input: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: input[key] for key, name in INPUT_NAMES.items() if key in input}
    if given.get("invoice_period") is not None:
        given["invoice_period"] = given["invoice_period"].value
    return given


@lru_cache(64)
def _starts(since: datetime, before: datetime, interval: series.Interval, zone: ZoneInfo, most: int) -> series.Starts:
    """The first so many starts of a series' points; many accounts and clients ask for the same."""
    return series.Starts.of(tuple(islice(series.starts(since, before, interval, zone), most)))


def _starts_in(context: Context, arguments: Mapping[str, Any], name: str) -> series.Starts | Refusal:
    zone = zones.zone(name)
    if zone is None:
        return Refusal(Code.BAD_REQUEST, "timezone is not an IANA time zone.")
    interval, most = series.Interval[arguments["interval"].name], context.limits.series_points
    try:
        starts = _starts(arguments["from"], arguments["before"], interval, zone, most + 1)
    except OverflowError:
        return Refusal(Code.BAD_REQUEST, "from or before is at the calendar's end.")
    if len(starts.instants) > most:
        return Refusal(Code.SERIES_TOO_LONG, f"A series has at most {most} points.", limit=most)
    return starts


async def _series(
    context: Context, arguments: Mapping[str, Any], accounts: Sequence[tuple[str, ...]]
) -> Sequence[Sequence[series.Point] | Refusal]:
    """Points for a chart of each account, by its number and time zone.

    SERIES_TOO_LONG above the limit, BAD_REQUEST for an unknown zone or currency.
    """
    given, currency = arguments.get("timezone"), arguments.get("currency")
    names = {account: zone if given is None else given for account, zone in accounts}
    by_zone = {name: _starts_in(context, arguments, name) for name in set(names.values())}
    starts = {int(account): by_zone[name] for account, name in names.items()}  # As many as accounts, in their order.
    since = {
        account: each.instants[0]
        for account, each in starts.items()
        if isinstance(each, series.Starts) and each.instants
    }
    if currency is not None and currency not in CURRENCIES:
        refusal = Refusal(Code.BAD_REQUEST, "currency is not an active ISO 4217 code.")
        starts = {account: refusal if account in since else each for account, each in starts.items()}
        since = {}
    moved = await context.store.movements(context.caller.units, since, arguments["before"], currency) if since else {}
    size = sum([len(each.instants) for each in starts.values() if isinstance(each, series.Starts)])
    return await apart(size, lambda: [_points(starts[each], moved.get(each, series.STILL)) for each in starts])


def _points(starts: series.Starts | Refusal, movement: series.Movement) -> Sequence[series.Point] | Refusal:
    if isinstance(starts, Refusal):
        return starts
    return series.points(starts, movement) if starts.instants else []


def _statement(context: Context, arguments: Mapping[str, Any]) -> str:
    return context.store.movements_statement(context.caller.units, arguments.get("currency"))


SERIES = Later("series", ("id", "timezone"), Scope.BALANCES_READ, _series, _statement)
