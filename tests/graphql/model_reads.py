"""What the model answers to whoever reads: everything, one account, series, and pages of lists."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar
from zoneinfo import available_timezones

from app.domain.callers import Caller
from tests.graphql.model import CURRENCIES, Account, Contact, Division, Entry, Event, Model, Row
from tests.graphql.model_cycles import closings, starts

POINTS_MAX = 60
PAGE_MAX = 1000

Given = Mapping[str, Any]
T = TypeVar("T")


class Refused(Exception):  # noqa: N818 - an answer, not an error of the model.
    """The answer no to a field, with its code."""


class Line(NamedTuple):
    """One row of a list: its place in the list's order, and what is told of it."""

    place: tuple[Any, ...]
    told: Any


class Listed(NamedTuple):
    """A list, in its order."""

    lines: Sequence[Line]
    falls: bool = False
    """Whether places fall from line to line."""

    def _is_behind(self, line: Line, place: Any) -> bool:
        return bool(line.place < place if self.falls else line.place > place)

    def page(self, size: int, place: Any, *, backward: bool) -> tuple[Sequence[Line], Any]:
        """The page behind a place, or before it; and what is told of it."""
        if size < 0:
            raise Refused("BAD_REQUEST")
        if size > PAGE_MAX:
            raise Refused("PAGE_TOO_LARGE")
        lines = self.lines
        if backward:
            end = len(lines) if place is None else sum(self._is_behind(Line(place, None), each.place) for each in lines)
            start = max(0, end - size)
        else:
            start = 0 if place is None else sum(not self._is_behind(each, place) for each in lines)
            end = min(len(lines), start + size)
        told = {
            "totalCount": len(lines),
            "pageInfo": {"hasPreviousPage": start > 0, "hasNextPage": end < len(lines)},
            "nodes": [line.told for line in lines[start:end]],
        }
        return lines[start:end], told


def listed(lines: Sequence[Line], *, falls: bool) -> Listed:
    return Listed(sorted(lines, key=lambda line: line.place, reverse=falls), falls)


def everything(model: Model, caller: Caller) -> Any:
    """All that exists for a caller."""
    log = [event for event in model.log if caller.may_see(event.unit)]
    return {
        "accounts": {"nodes": [account_told(each) for each in seen(caller, model.accounts)]},
        "divisions": {"nodes": [_division_told(model, each) for each in seen(caller, model.divisions)]},
        "contractors": {
            "nodes": [
                {
                    "id": each.ref,
                    "name": each.name,
                    "businessUnit": each.unit,
                    "externalId": each.external_id,
                    "isCustomer": each.is_customer,
                    "isVendor": each.is_vendor,
                    "accounts": {"totalCount": sum(of.values["contractorId"] is each for of in model.accounts)},
                    "contacts": {"nodes": [_contact_told(of) for of in model.contacts if of.contractor is each]},
                }
                for each in seen(caller, model.contractors)
            ]
        },
        "invoiceTemplates": {
            "nodes": [
                {"id": each.ref, "name": each.name, "businessUnit": each.unit} for each in seen(caller, model.templates)
            ]
        },
        "webhooks": {
            "nodes": [
                {
                    "id": each.ref,
                    "url": each.url,
                    "eventTypes": each.types,
                    "businessUnit": each.unit,
                    "createdAt": each.created,
                    "pendingCount": sum(
                        event.unit == each.unit and (each.types is None or event.type in each.types)
                        for event in model.log[each.position :]
                    ),
                }
                for each in seen(caller, model.webhooks)
            ]
        },
        "events": {"totalCount": len(log), "nodes": [event_told(each) for each in log[-60:]]},
        "viewer": {"subject": caller.subject, "businessUnits": sorted(caller.units or ())},
    }


def glance(model: Model, caller: Caller) -> Any:
    """What most mutations change."""
    names = ("id", "balance", "thresholdState", "updatedAt", "balances")
    accounts = []
    for account in seen(caller, model.accounts):
        told = account_told(account)
        current = account.current and {"id": account.current.ref}
        accounts.append({name: told[name] for name in names} | {"currentBalance": current})
    log = [event_told(event) for event in model.log if caller.may_see(event.unit)]
    return {"accounts": {"nodes": accounts}, "events": {"nodes": log[-40:]}}


def seen(caller: Caller, things: Sequence[Any]) -> list[Any]:
    return [each for each in things if caller.may_see(each.unit)]


def account_told(account: Account) -> Any:
    values, current = account.values, account.current
    division, template = values["divisionCode"], values["invoiceTemplateId"]
    told = {name: values[name] for name in values if not name.endswith(("Id", "Code", "To"))}
    return {
        **told,
        "id": account.ref,
        "uuid": account.uuid,
        "externalId": values["externalId"],
        "businessUnit": account.unit,
        "division": None if division is None else {"id": division.ref},
        "contractor": {"id": values["contractorId"].ref},
        "currency": {"code": account.currency},
        "balance": account.balance,
        "currentBalance": None if current is None else entry_told(current),
        "currentBalances": [{"id": each.ref} for each in _latest(account)],
        "balances": {"totalCount": len(account.entries)},
        "balanceHistory": {"totalCount": len(account.rows), "nodes": [row_told(row) for row in _newest(account)[:10]]},
        "thresholdState": account.state,
        "invoiceTemplate": None if template is None else {"id": template.ref},
        "sendInvoicesTo": [_contact_told(each) for each in values["sendInvoicesTo"]],
        "sendBalanceNotificationsTo": [_contact_told(each) for each in values["sendBalanceNotificationsTo"]],
        "createdAt": account.created,
        "updatedAt": account.updated,
    }


def _latest(account: Account) -> list[Entry]:
    """The latest entry of each type and currency, in the order of their ids."""
    latest: dict[Any, Entry] = {}
    for entry in sorted(account.entries, key=lambda each: each[:2]):
        latest[entry.currency, entry.kind] = entry
    return sorted(latest.values(), key=lambda each: each.place)


def _newest(account: Account) -> list[Row]:
    return sorted(account.rows, key=lambda row: row[:2], reverse=True)


def _contact_told(contact: Contact) -> Any:
    return {"id": contact.ref, "email": contact.email, "name": contact.name}


def entry_told(entry: Entry) -> Any:
    return {
        "id": entry.ref,
        "account": {"id": entry.account.ref},
        "amount": entry.amount,
        "timestamp": entry.at,
        "currency": {"code": entry.currency},
        "balanceType": entry.kind,
        "equivalentValue": entry.equivalent,
        "communicationNumber": entry.number,
        "requester": entry.requester,
        "recordedAt": entry.recorded_at,
        "recordedBy": entry.recorded_by,
    }


def row_told(row: Row) -> Any:
    return {
        "businessDate": row.day,
        "closingAt": row.closing_at,
        "currency": {"code": row.currency},
        "opening": row.opening,
        "closing": row.closing,
        "change": row.closing - row.opening,
    }


def event_told(event: Event) -> Any:
    return {name: getattr(event, name) for name in ("type", "subject", "time", "data")} | {"businessUnit": event.unit}


def _division_told(model: Model, division: Division) -> Any:
    configs, closed = division.configs, division.closed
    # Where the clock was turned back several may have yet to start: the next one counts.
    by_status = {config.status(model.now): {"id": config.ref} for config in reversed(configs)}
    coming = closings(configs, division.timezone) if configs else ()
    return {
        "id": division.ref,
        "code": division.code,
        "name": division.name,
        "businessUnit": division.unit,
        "timezone": division.timezone,
        "parent": None if division.parent is None else {"id": division.parent.ref},
        "nextClosingAt": next((at for _, at in coming if at > model.now), None),
        "balanceHistoryConfig": by_status.get("IN_FORCE"),
        "pendingBalanceHistoryConfig": by_status.get("PENDING"),
        "balanceHistoryConfigs": {
            "nodes": [
                {
                    "id": config.ref,
                    "cycleClosingTime": config.at,
                    "cycleEventDelay": config.delay,
                    "cycleConfigValidity": {"start": config.start, "end": config.end},
                    "status": config.status(model.now),
                }
                for config in reversed(configs)
            ]
        },
        "cycleClosings": {
            "totalCount": len(closed),
            "nodes": [
                {"businessDate": day, "closingAt": at, "accountCount": count, "completedAt": done}
                for day, at, count, done in reversed(closed[-10:])
            ],
        },
        "accounts": {"totalCount": sum(each.values["divisionCode"] is division for each in model.accounts)},
    }


def identified(model: Model, caller: Caller, name: str, value: str, unit: str | None) -> Any:
    """The account with a key; refused where more than one has it."""
    of = [each for each in seen(caller, model.accounts) if unit is None or each.unit == unit]
    found = [each for each in of if (each.ref if name == "id" else each.values[name]) == value]
    if len(found) > 1:
        raise Refused("BAD_REQUEST")
    return account_told(found[0]) if found else None


def division(model: Model, caller: Caller, code: str, unit: str | None) -> Any:
    """The division with a code; refused where more than one has it."""
    of = [each for each in seen(caller, model.divisions) if each.code == code and unit in {None, each.unit}]
    if len(of) > 1:
        raise Refused("BAD_REQUEST")
    return {"id": of[0].ref} if of else None


def as_of(account: Account, before: datetime, currency: str | None, kind: str | None) -> Any:
    own = currency or account.currency
    if own not in CURRENCIES:
        raise Refused("BAD_REQUEST")
    entry = account.last(own, before, kind)
    return None if entry is None else entry_told(entry)


def series(account: Account, since: datetime, before: datetime, interval: str, currency: str | None, zone: Any) -> Any:
    """Open, low, high and close of each interval."""
    if zone is not None and zone not in available_timezones():
        raise Refused("BAD_REQUEST")
    begins = starts(since, before, interval, zone or account.values["timezone"])
    if len(begins) > POINTS_MAX:
        raise Refused("SERIES_TOO_LONG")
    own = currency or account.currency
    if begins and own not in CURRENCIES:
        raise Refused("BAD_REQUEST")
    points = []
    for start, end in zip(begins, [*begins[1:], before], strict=False):
        of = sorted((*each[:2], each.amount) for each in account.entries if each.currency == own)
        inside = [amount for at, _, amount in of if start <= at < end]
        opened = account.last(own, start)
        opening = [] if opened is None else [opened.amount]
        among = [*opening, *inside]
        points.append(
            {
                "start": start,
                "open": opening[0] if opening else None,
                "low": min(among, default=None),
                "high": max(among, default=None),
                "close": among[-1] if among else None,
                "entryCount": len(inside),
            }
        )
    return points


# --- lists ---


def accounts_listed(model: Model, caller: Caller, given: Given) -> Listed:
    """The accounts that a filter selects, ordered."""
    order = given.get("orderBy") or {"field": "ID", "direction": "ASC"}
    lines = []
    for account in _selected(given, seen(caller, model.accounts), _account_facts):
        key = {
            "ID": 0,
            "NAME": account.values["name"],
            "BALANCE": account.balance,
            "MIN_BALANCE": account.values["minBalance"],
            "MAX_BALANCE": account.values["maxBalance"],
            "CREATED_AT": account.created,
            "UPDATED_AT": account.updated,
        }[order["field"]]
        lines.append(Line((key, account.number), {"id": account.ref, "balance": account.balance}))
    return listed(lines, falls=order["direction"] == "DESC")


def _account_facts(account: Account) -> dict[str, Any]:
    division = account.values["divisionCode"]
    return account.values | {
        "businessUnit": account.unit,
        "divisionCode": None if division is None else division.code,
        "contractorId": account.values["contractorId"].ref,
        "currency": account.currency,
        "balance": account.balance,
        "thresholdState": account.state,
        "createdAt": account.created,
    }


def entries_listed(model: Model, caller: Caller, account: Account | None, given: Given) -> Listed:
    """The entries that a filter selects, of one account or of all that the caller sees."""
    order = given.get("orderBy") or {"field": "TIMESTAMP", "direction": "DESC"}
    lines = []
    of = [each for each in model.entries if account is None or each.account is account]
    for entry in _selected(given, [each for each in of if caller.may_see(each.account.unit)], _entry_facts):
        key = {"TIMESTAMP": entry.at, "RECORDED_AT": entry.recorded_at, "AMOUNT": entry.amount}[order["field"]]
        lines.append(Line((key, entry.place), entry_told(entry)))
    return listed(lines, falls=order["direction"] == "DESC")


def entries_recorded(model: Model, caller: Caller, accounts: Sequence[str] | None) -> Listed:
    """The entries that a caller sees, of some accounts or of all, as they were recorded."""
    of = [each for each in model.entries if accounts is None or each.account.ref in accounts]
    return Listed([Line((each.place,), entry_told(each)) for each in of if caller.may_see(each.account.unit)])


def _entry_facts(entry: Entry) -> Given:
    return {**entry_told(entry), "accountIds": entry.account.ref, "currency": entry.currency}


def events_listed(model: Model, caller: Caller, given: Given) -> Listed:
    """The events of some types, subjects and times."""
    types, subjects, when = given.get("types"), given.get("subjects"), given.get("time")
    lines = [
        Line((event.place,), event_told(event))
        for event in model.log
        if caller.may_see(event.unit)
        and (types is None or event.type in types)
        and (subjects is None or event.subject in subjects)
        and (when is None or _within(when, event.time))
    ]
    return Listed(lines)


def history_listed(account: Account, given: Given) -> Listed:
    """An account's rows of history, of days and a currency."""
    first: date | None = given.get("from")
    last: date | None = given.get("to")
    currency = given.get("currency")
    if currency is not None and currency not in CURRENCIES:
        raise Refused("BAD_REQUEST")
    lines = [
        Line((row.closing_at, row.place), row_told(row))
        for row in account.rows
        if (first is None or row.day >= first)
        and (last is None or row.day <= last)
        and currency in {None, row.currency}
    ]
    return listed(lines, falls=True)


# --- filters ---


def _selected(given: Given, things: Iterable[T], facts_of: Callable[[T], Given]) -> list[T]:
    """The things that a filter selects; refused where it compares with null, or with what no amount can be."""
    asked = given.get("filter")
    _refuse_strange({} if asked is None else asked)
    return [each for each in things if matches(asked, facts_of(each))]


def _refuse_strange(given: Given) -> None:
    for key, value in given.items():
        if key in {"and", "or", "not"}:
            for part in value if isinstance(value, list) else [value]:
                _refuse_strange(part)
        elif isinstance(value, dict) and any(each is None or _is_too_precise(each) for each in value.values()):
            raise Refused("BAD_REQUEST")


def _is_too_precise(value: Any) -> bool:
    return isinstance(value, Decimal) and value != round(value, 4)


def matches(given: Given | None, facts: Given) -> bool:
    """Whether a filter selects what has these values."""
    asked = [(key, value) for key, value in (given or {}).items() if value is not None]
    return all(_matches(key, value, facts) for key, value in asked)


def _matches(key: str, value: Any, facts: Given) -> bool:
    match key:
        case "and":
            return all(matches(part, facts) for part in value)
        case "or":
            return any(matches(part, facts) for part in value)
        case "not":
            return not matches(value, facts)
        case "contractorId":
            return bool(facts[key] == value)
        case "accountIds" | "thresholdState":
            return facts[key] in value
        case "createdAt" | "timestamp" | "recordedAt":
            return _within(value, facts[key])
    return all(_compares(name, wanted, facts[key]) for name, wanted in value.items())


def _within(given: Given, instant: datetime) -> bool:
    return ("from" not in given or given["from"] <= instant) and ("before" not in given or instant < given["before"])


_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda has, wanted: bool(has == wanted),
    "in": lambda has, wanted: has in wanted,
    "gt": lambda has, wanted: bool(has > wanted),
    "gte": lambda has, wanted: bool(has >= wanted),
    "lt": lambda has, wanted: bool(has < wanted),
    "lte": lambda has, wanted: bool(has <= wanted),
    "contains": lambda has, wanted: wanted.casefold() in has.casefold(),
    "startsWith": lambda has, wanted: bool(has.casefold().startswith(wanted.casefold())),
    "endsWith": lambda has, wanted: bool(has.casefold().endswith(wanted.casefold())),
}


def _compares(name: str, wanted: Any, has: Any) -> bool:
    match name:
        case "isNull":
            return bool((has is None) == wanted)
        case "notEq":
            return bool(has != wanted)
        case "notIn":
            return has not in wanted
    return has is not None and _COMPARED[name](has, wanted)
