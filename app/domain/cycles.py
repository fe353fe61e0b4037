"""Daily cycles: at which instant a local day closes.

Source: Pismo, account balances, cycle closing; where the documents are silent about daylight saving, a closing time in a
gap happens at the first instant after the gap, one that occurs twice at its first occurrence. Every local day closes
exactly once; a day that the zone skips altogether has no closing. Instants are compared in UTC.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class Closing(NamedTuple):
    """One cycle's end: the local day that it was meant for, and its instant in UTC."""

    business_date: date
    at: datetime


def instant_of(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """The instant at which a zone's clocks show a time on a day, in UTC.

    One that occurs twice: the first. One in a gap: the first instant after the gap.
    """
    local = datetime.combine(day, clock, tzinfo=zone)
    instant = local.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    return _end_of_gap(local, zone)


def _end_of_gap(local: datetime, zone: ZoneInfo) -> datetime:
    """The first instant after the gap that a local time falls into: where the zone's offset changes."""
    # With fold=0 the offset before the gap applies, with fold=1 the one after: the change lies between the two readings.
    readings = sorted(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    before, after = readings[0] - _SECOND, readings[1] + _SECOND
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle <= before:
            break
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def closing_of(day: date, clock: time, zone: ZoneInfo) -> Closing | None:
    """The closing of a local day; None for a day that the zone skips altogether."""
    at = instant_of(day, clock, zone)
    if at.astimezone(zone).date() > day and not _is_in(day, zone):
        return None
    return Closing(day, at)


def _is_in(day: date, zone: ZoneInfo) -> bool:
    """Whether a zone has a moment of a day at all."""
    start = instant_of(day, time(0), zone)
    return start.astimezone(zone).date() == day


def closings_after(after: datetime, clock: time, zone: ZoneInfo) -> Iterator[Closing]:
    """Every closing strictly after an instant, oldest first, without end (but the calendar's)."""
    # A closing moved by a gap lies behind its day's end by some hours at the most: two days back is far enough.
    day = after.astimezone(zone).date() - 2 * _DAY
    while True:
        closing = closing_of(day, clock, zone)
        if closing is not None and closing.at > after:
            yield closing
        day += _DAY


def next_closing(after: datetime, clock: time, zone: ZoneInfo) -> Closing:
    """The first closing strictly after an instant."""
    return next(closings_after(after, clock, zone))
