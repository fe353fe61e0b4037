"""Daily cycles: at which instant a local day closes.

Source: Pismo, account balances, cycle closing; the documents are silent about daylight saving. Here a day closes at the
first instant at which its zone's clocks show the closing time of that day or something later. So a time in a gap means
the first instant after the gap, and one that occurs twice its first occurrence. For one closing time the closings
follow one another strictly, day by day: two could share an instant only where clocks jump over 24 hours from other than
a midnight, which no zone does from 2000 to 2040 (a test looks at all of them). A day that a zone skips altogether has
no closing. Instants are compared in UTC.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_MIDNIGHT = time(0)


class Closing(NamedTuple):
    """One cycle's end: the local day that it was meant for, and its instant in UTC."""

    business_date: date
    at: datetime


def closing_at(day: date, closing_time: time, zone: ZoneInfo) -> datetime | None:
    """The instant in UTC at which a local day closes; None for a day that the zone skips altogether.

    `closing_time` has whole seconds. Raises OverflowError where the instant is outside the years 1 to 9999.
    """
    at = _reached(day, closing_time, zone)
    if at.astimezone(zone).date() > day and _reached(day, _MIDNIGHT, zone) == at:
        # One gap swallowed the day from its beginning to its closing time, and ended on a later day.
        return None
    return at


def _reached(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """The first instant at which a zone's clocks show a time of a day, or something later."""
    local = datetime.combine(day, clock, tzinfo=zone)
    # A time that occurs twice is read as its first occurrence, then as its second. A time in a gap is read by the
    # offset before the gap, which gives an instant after it, then by the offset after the gap: an instant before it.
    first, second = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
    return first if first <= second else _change_of_offset(second, first, zone)


def _change_of_offset(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first instant in (before, after] with another offset than `before`; the offset changes once between them."""
    offset = before.astimezone(zone).utcoffset()

    def is_changed(seconds: int) -> bool:
        return (before + seconds * _SECOND).astimezone(zone).utcoffset() != offset

    return before + bisect_left(range((after - before) // _SECOND), True, key=is_changed) * _SECOND


def closing_of(day: date, closing_time: time, zone: ZoneInfo) -> Closing | None:
    """The closing of a local day; None for a day that the zone skips altogether."""
    at = closing_at(day, closing_time, zone)
    return None if at is None else Closing(day, at)


def closings_after(after: datetime, closing_time: time, zone: ZoneInfo) -> Iterator[Closing]:
    """Every closing strictly after an instant, oldest first, without end.

    Raises OverflowError where the calendar ends (9999).
    """
    # A day before the one that clocks show has closed: they have shown something later than its closing time.
    day = after.astimezone(zone).date()
    while True:
        closing = closing_of(day, closing_time, zone)
        if closing is not None and closing.at > after:
            yield closing
        day += _DAY


def next_closing(after: datetime, closing_time: time, zone: ZoneInfo) -> Closing:
    """The first closing strictly after an instant."""
    return next(closings_after(after, closing_time, zone))


def closings_between(after: datetime, until: datetime, closing_time: time, zone: ZoneInfo) -> Iterator[Closing]:
    """The closings in (after, until], oldest first; to split the interval anywhere changes nothing."""
    return takewhile(lambda closing: closing.at <= until, closings_after(after, closing_time, zone))
