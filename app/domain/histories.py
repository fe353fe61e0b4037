"""History configurations of a division: what is asked of them, from when one holds, and which one governs a closing.

Source: Pismo, account balance history configuration v1 (create and update), with its error codes and texts.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.domain.cycles import Closing, closings_after, next_closing
from app.domain.refusals import UserErrorCode, Violation

FIELD_RULES = "WCFG0002"
DIVISION_NOT_FOUND = "WCFG0003"
ALREADY_CONFIGURED = "WCFG0004"
CONFIG_NOT_FOUND = "WCFG0005"

DIVISION_CODE_MAX = 36
CLOSING_TIME_MAX = 8
DELAY_MINUTES_MIN, DELAY_MINUTES_MAX = 5, 1439

_CLOCK = re.compile(r"(?:([01]?\d|2[0-3]):([0-5]?\d):)?([0-5]?\d)", re.ASCII)


class HistoryConfig(NamedTuple):
    """How a division keeps history, from its first closing until the next configuration's first closing."""

    id: int
    division_id: int
    closing_time: time
    delay_minutes: int
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
    """All fields that are wrong; an empty text counts as missing."""
    found = []
    if not division_code:
        found.append(_required("division_code", "divisionCode"))
    elif len(division_code) > DIVISION_CODE_MAX:
        found.append(_too_long("division_code", "divisionCode", DIVISION_CODE_MAX))
    return [*found, *_closing_time_violations(closing_time), *_delay_violations(delay)]


def update_violations(closing_time: str | None, delay: int | None) -> list[Violation]:
    """All fields that are wrong of an update; neither of them is wrong too."""
    if closing_time is None and delay is None:
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
    return Violation(UserErrorCode.NOT_FOUND, "Division not found", path, DIVISION_NOT_FOUND)


def already_configured(*path: str) -> Violation:
    return Violation(UserErrorCode.CONFLICT, "Division already configured", path, ALREADY_CONFIGURED)


def config_not_found(*path: str) -> Violation:
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
    """The configuration that follows a running one: from the second next closing at the running closing time."""
    closings = closings_after(now, running.closing_time, zone)
    next(closings)
    return _planned(
        next(closings),
        running.closing_time if closing_time is None else closing_time,
        running.delay_minutes if delay_minutes is None else delay_minutes,
    )


def status_of(config: HistoryConfig, now: datetime) -> Status:
    if now < config.start:
        return Status.PENDING
    return Status.IN_FORCE if config.end is None or now < config.end else Status.ENDED


def closings_governed(
    configs: Sequence[HistoryConfig], after: datetime, zone: ZoneInfo
) -> Iterator[tuple[Closing, HistoryConfig]]:
    """Every closing of a division strictly after an instant, oldest first, with the configuration that governs it.

    A configuration governs its first closing and then its closing time on each local day after that one's; the one
    before governs every closing before. `configs` are in order of their first closings.
    """
    for config, following in zip(configs, [*configs[1:], None], strict=True):
        since = max(after, config.first_closing - timedelta(microseconds=1))
        for closing in _governed_by(config, since, zone):
            if following is not None and closing.at >= following.first_closing:
                break
            yield closing, config


def _governed_by(config: HistoryConfig, since: datetime, zone: ZoneInfo) -> Iterator[Closing]:
    """The closings of a configuration strictly after an instant: its first one, then its time on each later day."""
    first_day = config.first_closing.astimezone(zone).date()
    if config.first_closing > since:
        yield Closing(first_day, config.first_closing)
    for closing in closings_after(max(since, config.first_closing), config.closing_time, zone):
        if closing.business_date > first_day:
            yield closing


def next_closing_at(configs: Sequence[HistoryConfig], now: datetime, zone: ZoneInfo) -> datetime | None:
    """The first closing instant strictly after now, without the delay; None without a configuration."""
    governed = next(closings_governed(configs, now, zone), None)
    return None if governed is None else governed[0].at
