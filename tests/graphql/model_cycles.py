"""The model's calendar: when days close in a time zone, configurations, and the starts of series. Slow and plain."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
ZONES = ("UTC", "Europe/Oslo", "Asia/Kathmandu")


class Ref(str):
    """What the model calls a thing, whose id each gateway chooses."""

    __slots__ = ()


@dataclass(eq=False)
class Config:
    ref: Ref
    first_day: date
    first: datetime
    at: time
    delay: int
    start: datetime
    end: datetime | None = None

    def closing(self, day: date, zone: str) -> datetime:
        return self.first if day == self.first_day else closing_at(day, self.at, zone)

    def status(self, now: datetime) -> str:
        if now < self.start:
            return "PENDING"
        return "IN_FORCE" if self.end is None or now < self.end else "ENDED"


def closing_at(day: date, clock: time, zone: str) -> datetime:
    """The first instant at which clocks show a time of a day; where they never do, the first after it."""
    wanted = datetime.combine(day, clock)
    around = wanted.replace(tzinfo=UTC) - 15 * HOUR
    offsets = {(around + hours * HOUR).astimezone(ZoneInfo(zone)).utcoffset() for hours in range(31)}
    instants = [wanted.replace(tzinfo=UTC) - offset for offset in offsets if offset is not None]
    shown = [each for each in instants if shows(each, zone) == wanted]
    if shown:
        return min(shown)
    whole = around.replace(second=0)
    return next(each for each in (whole + n * MINUTE for n in range(30 * 60)) if shows(each, zone) > wanted)


def shows(instant: datetime, zone: str) -> datetime:
    """What a zone's clocks show."""
    return instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def next_closing(now: datetime, at: time, zone: str) -> tuple[date, datetime]:
    """The first day whose closing is strictly after an instant, and that closing."""
    day = shows(now, zone).date() - DAY
    while closing_at(day, at, zone) <= now:
        day += DAY
    return day, closing_at(day, at, zone)


def governing(configs: list[Config], day: date) -> Config:
    return next(each for each in reversed(configs) if each.first_day <= day)


def closings(configs: list[Config], zone: str) -> Iterator[tuple[date, datetime]]:
    """Each day that closes, and when, without end."""
    day = configs[0].first_day
    while True:
        yield day, governing(configs, day).closing(day, zone)
        day += DAY


def starts(since: datetime, before: datetime, interval: str, zone: str) -> list[datetime]:
    """The starts of the calendar's intervals that cover [since, before); the first is at or before `since`."""
    found = []
    start = _start_of(since, interval, zone)
    while since < before and start < before:
        found.append(start)
        start = _following(start, interval, zone)
    return found


def _start_of(instant: datetime, interval: str, zone: str) -> datetime:
    local = shows(instant, zone)
    if interval == "HOUR":
        return instant - (local - local.replace(minute=0, second=0, microsecond=0))
    day = local.date()
    first = {"DAY": day, "WEEK": day - day.weekday() * DAY, "MONTH": day.replace(day=1)}[interval]
    return closing_at(first, time(0), zone)


def _following(start: datetime, interval: str, zone: str) -> datetime:
    if interval == "HOUR":
        return start + HOUR
    day = shows(start, zone).date()
    further = {"DAY": day + DAY, "WEEK": day + 7 * DAY, "MONTH": (day.replace(day=1) + 32 * DAY).replace(day=1)}
    return closing_at(further[interval], time(0), zone)
