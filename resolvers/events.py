"""Who may ask for events, in every way: the log in pages, and what comes."""

import base64
import binascii
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from app.domain.callers import Scope
from app.domain.events import Event, EventType, Filter
from app.domain.ids import Kind, number_of, parse_id
from app.domain.records import Entry
from app.domain.refusals import Code, Refusal
from app.feed import entries_only
from resolvers.context import Context, Info
from resolvers.pages import RowEdge, size_of

_PLACE = re.compile(r"log ([0-9]{1,19})", re.ASCII)
_PLACE_MAX = 2**63 - 1
_TEXT_MAX = 100

EXPIRED = "The log does not hold this place: retention has passed it, a restored backup lacks it, or it never was."


def cursor_of(place: int) -> str:
    """The cursor of a place in the log. It depends on nothing but the place."""
    return base64.urlsafe_b64encode(f"log {place}".encode()).decode().rstrip("=")


def _read_cursor(text: str) -> int | None:
    if len(text) > _TEXT_MAX or not text.isascii():
        return None
    try:
        said = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    match = _PLACE.fullmatch(said)
    place = None if match is None else int(match[1])
    return place if place is not None and place <= _PLACE_MAX else None


async def load_event(context: Context, number: int) -> Event | None:
    """The event at a place; None where the caller sees none."""
    context.caller.must(Scope.EVENTS_READ)

    async def load(numbers: list[int]) -> list[Event | None]:
        async with context.store.reading(context.caller.units) as reads:
            found = await reads.log.by_ids(numbers)
        return [found.get(each) for each in numbers]

    event: Event | None = await context.loaders.of("event", load).load(number)
    return event


async def _place(context: Context, name: str, text: str | None, *kinds: Kind) -> int | None:
    """The place in the log that a cursor or an id names.

    Raises BAD_REQUEST for what is neither, EVENTS_EXPIRED for a place that the log doesn't hold for the caller.
    """
    if text is None:
        return None
    named = parse_id(text)
    place = _read_cursor(text) if named is None else named[1]
    if place is None or (named is not None and named[0] not in kinds):
        raise Refusal(Code.BAD_REQUEST, f"{name} is no cursor of the log, and no event's id.")
    async with context.store.reading(context.caller.units) as reads:
        bounds, newest = await reads.log.bounds(), await reads.log.newest()
        held = named is None or place in await reads.log.by_ids([place])
        lost = await reads.log.is_lost(place)
    if not bounds.kept_from <= place <= newest or not held or lost:
        raise Refusal(Code.EVENTS_EXPIRED, EXPIRED)
    return place


def _types(given: Sequence[str] | None) -> frozenset[EventType] | None:
    if given is None:
        return None
    known = set(EventType)
    for name in given:
        if name not in known:
            raise Refusal(Code.BAD_REQUEST, f"types: {name[:_TEXT_MAX]} is no event type.")
    return frozenset(EventType(name) for name in given)


def _numbers(kind: Kind, given: Sequence[str]) -> frozenset[int]:
    numbers = (number_of(kind, text) for text in given)
    return frozenset(number for number in numbers if number is not None)


def _filter(arguments: Mapping[str, Any]) -> Filter:
    """Which events are asked for; subjects that don't exist for the caller are silently nothing."""
    subjects, time = arguments.get("subjects"), arguments.get("time") or {}
    asked = Filter(types=_types(arguments.get("types")), since=time.get("from"), before=time.get("before"))
    if subjects is None:
        return asked
    return asked._replace(accounts=_numbers(Kind.ACCOUNT, subjects), divisions=_numbers(Kind.DIVISION, subjects))


class EventListing:
    """One page of the log. Nothing is read before it is asked for, and nothing twice."""

    def __init__(
        self, context: Context, asked: Filter, *, after: int | None, before: int | None, size: int, from_end: bool
    ) -> None:
        self._context = context
        self._asked = asked
        self._after = after
        self._before = before
        self._size = size
        self._from_end = from_end

    async def nodes(self) -> Sequence[Event]:
        _, _, rows = await self._rows()
        return (rows[-self._size :] if self._size else []) if self._from_end else rows[: self._size]

    async def edges(self) -> Sequence[RowEdge]:
        return [RowEdge(cursor_of(event.id), event) for event in await self.nodes()]

    async def start_cursor(self) -> str | None:
        nodes = await self.nodes()
        return cursor_of(nodes[0].id) if nodes else None

    async def end_cursor(self) -> str:
        """Never null: where the page is empty, the end of what was looked at."""
        _, until, _ = await self._rows()
        nodes = await self.nodes()
        return cursor_of(nodes[-1].id if nodes else until)

    async def has_next_page(self) -> bool:
        _, until, rows = await self._rows()
        if not self._from_end and len(rows) > self._size:
            return True
        return self._before is not None and await self._any(until, None)

    async def has_previous_page(self) -> bool:
        after, _, rows = await self._rows()
        if self._from_end and len(rows) > self._size:
            return True
        return self._after is not None and await self._any(None, after)

    async def total_count(self) -> int:
        """How many there are in the log, whatever the page."""
        async with self._context.store.reading(self._context.caller.units) as reads:
            bounds = await reads.log.bounds()
            return await reads.log.count(self._asked, after=bounds.kept_from, until=bounds.end)

    async def _rows(self) -> tuple[int, int, list[Event]]:
        """Behind which place and up to which was looked, and what was found: one more than the page has."""

        async def load(_keys: list[int]) -> list[tuple[int, int, list[Event]]]:
            async with self._context.store.reading(self._context.caller.units) as reads:
                bounds = await reads.log.bounds()
                after = bounds.kept_from if self._after is None else self._after
                until = bounds.end if self._before is None else min(bounds.end, self._before - 1)
                until = max(after, until)
                limit = self._size + 1
                rows = await reads.log.page(self._asked, after=after, until=until, limit=limit, from_end=self._from_end)
            return [(after, until, rows)]

        found: tuple[int, int, list[Event]] = await self._context.loaders.of(self, load).load(0)
        return found

    async def _any(self, after: int | None, until: int | None) -> bool:
        async with self._context.store.reading(self._context.caller.units) as reads:
            bounds = await reads.log.bounds()
            after = bounds.kept_from if after is None else after
            until = bounds.end if until is None else until
            return bool(await reads.log.page(self._asked, after=after, until=until, limit=1))


async def events(_root: Any, info: Info, **arguments: Any) -> EventListing:
    """The log, oldest first."""
    context: Context = info.context
    context.caller.must(Scope.EVENTS_READ)
    size, from_end = size_of(arguments, context.limits.page_size)
    after = await _place(context, "after", arguments.get("after"), Kind.EVENT)
    before = await _place(context, "before", arguments.get("before"), Kind.EVENT)
    return EventListing(context, _filter(arguments), after=after, before=before, size=size, from_end=from_end)


def source(_event: Event, info: Info) -> str:
    context: Context = info.context
    return context.limits.source


async def listen_to_events(_root: Any, info: Info, **arguments: Any) -> AsyncIterator[Event]:
    """Every event from now on, or behind a place."""
    context: Context = info.context
    context.caller.must(Scope.EVENTS_READ)
    asked = _filter(arguments)
    after = await _place(context, "after", arguments.get("after"), Kind.EVENT)
    return context.feed.listen(context.caller.units, asked, after)


async def listen_to_balances(_root: Any, info: Info, **arguments: Any) -> AsyncIterator[Event]:
    """Every entry from now on, or behind a place; of some accounts, or of all that the caller may see."""
    context: Context = info.context
    context.caller.must(Scope.BALANCES_READ)
    given = arguments.get("accountIds")
    accounts = None if given is None else _numbers(Kind.ACCOUNT, given)
    after = await _place(context, "after", arguments.get("after"), Kind.EVENT, Kind.BALANCE)
    return context.feed.listen(context.caller.units, entries_only(accounts), after)


def told_event(event: Event, _info: Info, **_arguments: Any) -> Event:
    return event


def told_entry(event: Event, _info: Info, **_arguments: Any) -> Entry | None:
    return event.entry
