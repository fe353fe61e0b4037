"""History configurations of a division: what is asked of them, from when one holds, and which one governs a closing.

Source: Pismo, account balance history configuration v1 (create and update), with its error codes and texts.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from itertools import takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.domain.cycles import Closing, closing_at, closings_after, next_closing
from app.domain.refusals import UserErrorCode, Violation

FIELD_RULES = "WCFG0002"
DIVISION_NOT_FOUND = "WCFG0003"
ALREADY_CONFIGURED = "WCFG0004"
CONFIG_NOT_FOUND = "WCFG0005"

DIVISION_CODE_MAX = 36
CLOSING_TIME_MAX = 8
DELAY_MINUTES_MIN, DELAY_MINUTES_MAX = 5, 1439

_CLOCK = re.compile(r"(?:([01]?\d|2[0-3]):([0-5]?\d):)?([0-5]?\d)", re.ASCII)
_LAST_SECOND = time(23, 59, 59)


class HistoryConfig(NamedTuple):
    """How a division keeps history, from its first closing until the next configuration's first closing.

    Instants are in UTC. At most one configuration of a division has not started; the newest has no end.
    """

    id: int
    division_id: int
    closing_time: time
    """By the clocks of the division's time zone, in whole seconds."""
    delay_minutes: int
    """Minutes between a closing and its events, elapsed time; 5 to 1439."""
    first_closing: datetime
    """The first closing that it governs."""
    start: datetime
    """When it becomes valid: its first closing and its own delay."""
    end: datetime | None
    """When the next one becomes valid; None while there is none."""

    @property
    def delay(self) -> timedelta:
        return timedelta(minutes=self.delay_minutes)


class Status(StrEnum):
    """Where a configuration stands at an instant."""

    PENDING = "PENDING"
    IN_FORCE = "IN_FORCE"
    ENDED = "ENDED"


class Planned(NamedTuple):
    """A configuration that is to be written."""

    closing_time: time
    delay_minutes: int
    first_closing: datetime
    start: datetime


def parse_closing_time(text: str) -> time | None:
    """The time that Pismo's documented pattern reads: "9:5:3" is 09:05:03, a bare "59" is 00:00:59."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hour, minute, second = (int(part or 0) for part in match.groups())
    return time(hour, minute, second)


def create_violations(division_code: str, closing_time: str, delay: int) -> list[Violation]:
    """All fields that are wrong (WCFG0002); an empty text counts as missing."""
    found = []
    if not division_code:
        found.append(_required("division_code", "divisionCode"))
    elif len(division_code) > DIVISION_CODE_MAX:
        found.append(_too_long("division_code", "divisionCode", DIVISION_CODE_MAX))
    return [*found, *_closing_time_violations(closing_time), *_delay_violations(delay)]


def update_violations(closing_time: str | None, delay: int | None) -> list[Violation]:
    """All fields that are wrong of an update (WCFG0002); neither of them is wrong too.

    An empty closing time counts as missing: alone it is neither field. Beside a delay it is refused rather than passed
    over in silence.
    """
    if not closing_time and delay is None:
        message = "cycle_closing_time or cycle_event_delay params must be provided"
        return [Violation(UserErrorCode.REQUIRED, message, ("input",), FIELD_RULES)]
    found = [] if closing_time is None else list(_closing_time_violations(closing_time))
    return [*found, *([] if delay is None else _delay_violations(delay))]


def _required(name: str, key: str) -> Violation:
    return Violation(UserErrorCode.REQUIRED, f"{name} is a required field", ("input", key), FIELD_RULES)


def _too_long(name: str, key: str, longest: int) -> Violation:
    message = f"{name} must be a maximum of {longest} characters in length"
    return Violation(UserErrorCode.TOO_LONG, message, ("input", key), FIELD_RULES)


def _closing_time_violations(text: str) -> Iterator[Violation]:
    if not text:
        yield _required("cycle_closing_time", "cycleClosingTime")
    elif len(text) > CLOSING_TIME_MAX:
        yield _too_long("cycle_closing_time", "cycleClosingTime", CLOSING_TIME_MAX)
    elif parse_closing_time(text) is None:
        message = f"cycle_closing_time has an invalid time format: {text}"
        yield Violation(UserErrorCode.INVALID, message, ("input", "cycleClosingTime"), FIELD_RULES)


def _delay_violations(minutes: int) -> Iterator[Violation]:
    path = ("input", "cycleEventDelay")
    if minutes < DELAY_MINUTES_MIN:
        message = f"cycle_event_delay must be {DELAY_MINUTES_MIN} or greater"
        yield Violation(UserErrorCode.OUT_OF_RANGE, message, path, FIELD_RULES)
    elif minutes > DELAY_MINUTES_MAX:
        message = f"cycle_event_delay must be {DELAY_MINUTES_MAX:,} or less"
        yield Violation(UserErrorCode.OUT_OF_RANGE, message, path, FIELD_RULES)


def division_not_found(*path: str) -> Violation:
    """No such division for this caller (WCFG0003)."""
    return Violation(UserErrorCode.NOT_FOUND, "Division not found", path, DIVISION_NOT_FOUND)


def already_configured(*path: str) -> Violation:
    """A division is configured once, then updated (WCFG0004)."""
    return Violation(UserErrorCode.CONFLICT, "Division already configured", path, ALREADY_CONFIGURED)


def config_not_found(*path: str) -> Violation:
    """An update of a division that was never configured (WCFG0005)."""
    message = "Account balance history config not found"
    return Violation(UserErrorCode.NOT_FOUND, message, path, CONFIG_NOT_FOUND)


def first_planned(now: datetime, closing_time: time, delay_minutes: int, zone: ZoneInfo) -> Planned:
    """A division's first configuration: it starts with the next closing strictly after now, and its delay."""
    return _planned(next_closing(now, closing_time, zone), closing_time, delay_minutes)


def _planned(first: Closing, closing_time: time, delay_minutes: int) -> Planned:
    return Planned(closing_time, delay_minutes, first.at, first.at + timedelta(minutes=delay_minutes))


def replaces(newest: HistoryConfig, now: datetime) -> bool:
    """Whether an update now changes the newest configuration in place: at or before its start."""
    return now <= newest.start


def next_planned(
    running: HistoryConfig, now: datetime, closing_time: time | None, delay_minutes: int | None, zone: ZoneInfo
) -> Planned:
    """The configuration that follows a running one: from the second closing after now that the running one governs.

    What is not given stays as it is.
    """
    closings = closings_governed([running], now, zone)
    next(closings)
    first, _ = next(closings)
    return _planned(
        first,
        running.closing_time if closing_time is None else closing_time,
        running.delay_minutes if delay_minutes is None else delay_minutes,
    )


class Replaced(NamedTuple):
    """An update that changes the newest configuration in place; its first closing, start and end stay."""

    config: HistoryConfig


class Followed(NamedTuple):
    """An update that ends the newest configuration where a new one starts."""

    ended: HistoryConfig
    planned: Planned


def changed(
    newest: HistoryConfig, now: datetime, closing_time: time | None, delay_minutes: int | None, zone: ZoneInfo
) -> Replaced | Followed:
    """What an update now writes. What is not given stays as it is."""
    if not replaces(newest, now):
        planned = next_planned(newest, now, closing_time, delay_minutes, zone)
        return Followed(newest._replace(end=planned.start), planned)
    if closing_time is not None:
        newest = newest._replace(closing_time=closing_time)
    if delay_minutes is not None:
        newest = newest._replace(delay_minutes=delay_minutes)
    return Replaced(newest)


def status_of(config: HistoryConfig, now: datetime) -> Status:
    """Where now lies in a configuration's validity, [start, end)."""
    if now < config.start:
        return Status.PENDING
    return Status.IN_FORCE if config.end is None or now < config.end else Status.ENDED


def closings_governed(
    configs: Sequence[HistoryConfig], after: datetime, zone: ZoneInfo, last: Closing | None = None
) -> Iterator[tuple[Closing, HistoryConfig]]:
    """Every closing of a division strictly after an instant, oldest first, with the configuration that governs it.

    A configuration governs its first closing and then its closing time on each local day after that one's; the one
    before governs every closing before, even where its own delay carries that past its end. `configs` are all of a
    division's, in order of their first closings. `last` was carried out: it was meant for its day, whatever the zone's
    rules say by now. Without end, but where there is no configuration.
    """
    befores, followings = [None, *configs][:-1], [*configs, None][1:]
    for before, config, following in zip(befores, configs, followings, strict=True):
        if following is None:
            governed = _governed_by(config, before, after, zone, last)
        elif following.first_closing > after:
            governed = takewhile(_is_before(following.first_closing), _governed_by(config, before, after, zone, last))
        else:
            continue
        for closing in governed:
            yield closing, config


def _is_before(instant: datetime) -> Callable[[Closing], bool]:
    return lambda closing: closing.at < instant


def _governed_by(
    config: HistoryConfig, before: HistoryConfig | None, after: datetime, zone: ZoneInfo, last: Closing | None
) -> Iterator[Closing]:
    """The closings of a configuration strictly after an instant, as if none followed it."""
    if last is not None and last.at == config.first_closing:
        first = last
    else:
        first = Closing(_first_day(config, before, zone), config.first_closing)
    if first.at > after:
        yield first
    # Behind a gap over midnight a new closing time may mean the first closing's very instant on the day after: that day
    # has closed with it.
    later = closings_after(max(after, first.at), config.closing_time, zone)
    yield from filter(lambda closing: closing.business_date > first.business_date, later)


def _first_day(config: HistoryConfig, before: HistoryConfig | None, zone: ZoneInfo) -> date:
    """The local day that a configuration's first closing was meant for."""
    shown = config.first_closing.astimezone(zone).date()
    day_before = shown - timedelta(days=1)
    if closing_at(day_before, _LAST_SECOND, zone) != config.first_closing:
        return shown
    # A gap over midnight ends here, so that two days can close at this instant. It was found by the closing time of
    # the configuration before. The first one's own may have been replaced since: then the earlier day, so that none is
    # lost.
    clock = config.closing_time if before is None else before.closing_time
    return shown if closing_at(shown, clock, zone) == config.first_closing else day_before


def closings_due(
    configs: Sequence[HistoryConfig], after: Closing | None, until: datetime, zone: ZoneInfo
) -> Iterator[tuple[Closing, HistoryConfig]]:
    """The closings that come after a division's last one and are due: the delay has passed. Oldest first.

    A closing is not due before an older one: where a delay shrinks, the younger one waits. `after` is the last closing
    that was carried out, None where there was none; its day does not close again, whatever has been configured since.
    `configs` are all of the division's, in order of their first closings.
    """
    if not configs:
        return iter(())
    since = configs[0].first_closing - timedelta(microseconds=1) if after is None else after.at
    due = takewhile(
        lambda governed: governed[0].at + governed[1].delay <= until, closings_governed(configs, since, zone, after)
    )
    return filter(lambda governed: after is None or governed[0].business_date > after.business_date, due)


def governing(configs: Sequence[HistoryConfig], closing: Closing) -> HistoryConfig:
    """The configuration that governs a closing; `configs` are all of the division's, in order of first closings."""
    return next(config for config in reversed(configs) if config.first_closing <= closing.at)


def next_closing_at(configs: Sequence[HistoryConfig], now: datetime, zone: ZoneInfo) -> datetime | None:
    """The first closing instant strictly after now, without the delay; None without a configuration."""
    governed = next(closings_governed(configs, now, zone), None)
    return None if governed is None else governed[0].at
