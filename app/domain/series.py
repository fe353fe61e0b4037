"""Balance series: open, low, high and close for each calendar interval of a time zone."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from app.domain.columns import Columns, Told
from app.domain.cycles import closing_of
from app.domain.moments import instant_text, to_micros
from app.domain.money import from_units, units_text

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_MIDNIGHT = time(0)


class Interval(StrEnum):
    """How long a point of a series lasts, by the calendar of a time zone; weeks start on Monday."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


class Point(NamedTuple):
    """A balance over one interval. Without an entry all four are the last close; None before the first entry."""

    start: datetime
    open: Decimal | None
    low: Decimal | None
    high: Decimal | None
    close: Decimal | None
    entry_count: int


def starts(since: datetime, before: datetime, interval: Interval, zone: ZoneInfo) -> Iterator[datetime]:
    """The starts of the intervals that cover [since, before), oldest first; the first is at or before `since`."""
    if since >= before:
        return
    walk = _hours(since, zone) if interval is Interval.HOUR else _days(since, interval, zone)
    for start in walk:
        if start >= before:
            return
        yield start


def _hours(since: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    start = _hour_of(since, zone)
    while True:
        yield start
        following = start + _HOUR
        # Where clocks moved by half an hour, the next full hour comes sooner or later than an hour.
        aligned = _hour_of(following, zone)
        start = aligned if aligned > start else following


def _hour_of(instant: datetime, zone: ZoneInfo) -> datetime:
    """The start of the local hour that an instant is in."""
    local = instant.astimezone(zone)
    start = instant - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    if start.astimezone(zone).hour == local.hour:
        return start
    return _first_of(instant, local, zone)


def _first_of(instant: datetime, local: datetime, zone: ZoneInfo) -> datetime:
    """The first instant of a local hour that clocks entered in its middle."""
    minute = instant.replace(second=0, microsecond=0)
    while (minute - timedelta(minutes=1)).astimezone(zone).hour == local.hour:
        minute -= timedelta(minutes=1)
    return minute


def _days(since: datetime, interval: Interval, zone: ZoneInfo) -> Iterator[datetime]:
    first = _first_day(since.astimezone(zone).date(), interval)
    # A midnight in a gap comes later than the clock says: begin one interval earlier, and drop what ends before.
    day: date | None = _following(first, interval, -1) or first
    pending: datetime | None = None
    while day is not None:
        closing = closing_of(day, _MIDNIGHT, zone)
        if closing is not None and closing.at <= since:
            pending = closing.at
        elif closing is not None:
            if pending is not None:
                yield pending
                pending = None
            yield closing.at
        day = _following(day, interval, 1)
    if pending is not None:
        yield pending


def _first_day(day: date, interval: Interval) -> date:
    match interval:
        case Interval.WEEK:
            return day - day.weekday() * _DAY
        case Interval.MONTH:
            return day.replace(day=1)
        case _:
            return day


def _following(day: date, interval: Interval, step: int) -> date | None:
    """The first day of the next interval, or of the one before; None where the calendar ends."""
    try:
        match interval:
            case Interval.WEEK:
                return day + 7 * step * _DAY
            case Interval.MONTH:
                months = day.year * 12 + day.month - 1 + step
                return date(months // 12, months % 12 + 1, 1)
            case _:
                return day + step * _DAY
    except (OverflowError, ValueError):
        return None


class Starts(NamedTuple):
    """The starts of a series' points, oldest first."""

    instants: Told[datetime]
    micros: Sequence[int]
    """The same in microseconds since 1970."""

    @classmethod
    def of(cls, instants: Sequence[datetime]) -> "Starts":
        told = Told(len(instants), lambda: instants, lambda: list(map(instant_text, instants)))
        return cls(told, [to_micros(each) for each in instants])


class Movement(NamedTuple):
    """How a balance moved: what it was before, in ten-thousandths, and when it became what, oldest first."""

    opening: int | None
    moments: Sequence[int]
    """In microseconds since 1970."""
    amounts: Sequence[int]
    """In ten-thousandths."""


STILL = Movement(None, (), ())
"""That of a balance without an entry."""


def points(starts: Starts, movement: Movement) -> Columns[Point]:
    """The points of a series: the movement's opening is the balance as of the first start, its entries are later."""
    last, moments, amounts = movement
    seen: list[tuple[int | None, int | None, int | None, int | None, int]] = []
    first = 0
    for end in [*map(partial(bisect_left, moments), starts.micros[1:]), len(moments)]:
        if end == first:
            seen.append((last, last, last, last, 0))
            continue
        own = amounts[first:end]
        among = own if last is None else [last, *own]
        seen.append((last, min(among), max(among), own[-1], len(own)))
        last = own[-1]
        first = end
    *told, counts = zip(*seen, strict=True)
    values, texts = _Each(from_units), _Each(units_text)
    of_units = [Told(len(seen), partial(values.of, units), partial(texts.of, units)) for units in told]
    return Columns(Point, [starts.instants, *of_units, counts])


class _Each(dict[int | None, Any]):
    """What is made of numbers of ten-thousandths, of each once; None of None."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        super().__init__({None: None})
        self._make = make

    def __missing__(self, units: int) -> Any:
        self[units] = made = self._make(units)
        return made

    def of(self, many: Sequence[int | None]) -> list[Any]:
        return list(map(self.__getitem__, many))
