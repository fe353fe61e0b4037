"""At which instant a local day closes, in every time zone there is."""

import zoneinfo
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib import resources
from itertools import islice, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import zones
from app.domain.cycles import Closing, closing_at, closing_of, closings_after, closings_between, next_closing

DAY, SECOND, MICROSECOND = timedelta(days=1), timedelta(seconds=1), timedelta(microseconds=1)
SINCE, UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC)

NAMES = st.sampled_from(sorted(zones.names()))
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2040, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone.
CLOCKS = st.times().map(lambda clock: clock.replace(microsecond=0, fold=0))


def zone_of(name: str) -> ZoneInfo:
    zone = zones.zone(name)
    assert zone is not None
    return zone


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- one day ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "day", "clock", "instant"),
    [
        ("UTC", "2026-03-29", "22:00:00", "2026-03-29T22:00:00Z"),
        ("America/Sao_Paulo", "2026-03-13", "23:59:59", "2026-03-14T02:59:59Z"),
        ("Pacific/Kiritimati", "2026-03-13", "00:00:00", "2026-03-12T10:00:00Z"),
    ],
)
def test_a_day_closes_when_its_clocks_show_the_closing_time(name: str, day: str, clock: str, instant: str) -> None:
    assert closing_at(date.fromisoformat(day), time.fromisoformat(clock), zone_of(name)) == at(instant)


@pytest.mark.parametrize(
    ("name", "day", "clock", "instant"),
    [
        ("Europe/Berlin", "2026-03-29", "02:00:00", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-03-29", "02:30:00", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-03-29", "02:59:59", "2026-03-29T01:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-04", "02:15:00", "2026-10-03T15:30:00Z"),
        ("Antarctica/Troll", "2026-03-29", "01:30:00", "2026-03-29T01:00:00Z"),
        ("Africa/Cairo", "2026-04-24", "00:00:00", "2026-04-23T22:00:00Z"),
        ("Asia/Beirut", "2026-03-29", "00:30:00", "2026-03-28T22:00:00Z"),
        ("America/Nuuk", "2026-03-28", "23:59:59", "2026-03-29T01:00:00Z"),
        ("Africa/Monrovia", "1972-01-07", "00:30:00", "1972-01-07T00:44:30Z"),
    ],
)
def test_a_closing_time_in_a_gap_means_the_first_instant_after_it(
    name: str, day: str, clock: str, instant: str
) -> None:
    assert closing_at(date.fromisoformat(day), time.fromisoformat(clock), zone_of(name)) == at(instant)


@pytest.mark.parametrize(
    ("name", "day", "clock", "instant"),
    [
        ("Europe/Berlin", "2026-10-25", "02:30:00", "2026-10-25T00:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-05", "01:45:00", "2026-04-04T14:45:00Z"),
        ("America/Nuuk", "2026-10-24", "23:30:00", "2026-10-25T00:30:00Z"),
        ("Pacific/Kwajalein", "1969-09-30", "12:00:00", "1969-09-30T01:00:00Z"),
    ],
)
def test_a_closing_time_that_occurs_twice_means_its_first_occurrence(
    name: str, day: str, clock: str, instant: str
) -> None:
    assert closing_at(date.fromisoformat(day), time.fromisoformat(clock), zone_of(name)) == at(instant)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("Pacific/Apia", date(2011, 12, 30)),
        ("Pacific/Fakaofo", date(2011, 12, 30)),
        ("Pacific/Kwajalein", date(1993, 8, 21)),
        ("Pacific/Enderbury", date(1994, 12, 31)),
    ],
)
@pytest.mark.parametrize("clock", [time(0), time(12), time(23, 59, 59)])
def test_a_day_that_the_zone_skips_has_no_closing(name: str, day: date, clock: time) -> None:
    zone = zone_of(name)
    assert closing_at(day, clock, zone) is None
    assert closing_of(day, clock, zone) is None
    before = closing_at(day - DAY, clock, zone)
    assert before is not None
    assert next_closing(before, clock, zone) == closing_of(day + DAY, clock, zone)


def test_a_day_whose_end_is_in_a_gap_keeps_its_business_date() -> None:
    nuuk = zone_of("America/Nuuk")
    assert list(islice(closings_after(at("2026-03-28T12:00:00Z"), time(23, 59, 59), nuuk), 2)) == [
        Closing(date(2026, 3, 28), at("2026-03-29T01:00:00Z")),
        Closing(date(2026, 3, 29), at("2026-03-30T00:59:59Z")),
    ]


def test_a_day_that_occurs_twice_closes_once() -> None:
    kwajalein = zone_of("Pacific/Kwajalein")
    assert list(islice(closings_after(at("1969-09-28T12:00:00Z"), time(22), kwajalein), 3)) == [
        Closing(date(1969, 9, 29), at("1969-09-29T11:00:00Z")),
        Closing(date(1969, 9, 30), at("1969-09-30T11:00:00Z")),
        Closing(date(1969, 10, 1), at("1969-10-02T10:00:00Z")),
    ]


@given(NAMES, st.dates(date(2000, 1, 1), date(2040, 12, 31)), CLOCKS)
def test_a_closing_is_where_clocks_reach_the_closing_time(name: str, day: date, clock: time) -> None:
    zone = zone_of(name)
    closing, asked = closing_at(day, clock, zone), datetime.combine(day, clock)
    if closing is None:
        assert day == date(2011, 12, 30)
        return
    assert closing.tzinfo is UTC
    assert closing.astimezone(zone).replace(tzinfo=None) >= asked
    assert (closing - SECOND).astimezone(zone).replace(tzinfo=None) < asked


# --- every change of every zone's clocks ------------------------------------------------------------------------------


class Change:
    """Where a zone's offset changes, with what clocks show before and after."""

    def __init__(self, at: datetime, before: timedelta, after: timedelta) -> None:
        self.at = at
        self.before = before
        self.after = after
        local = (at + before).replace(tzinfo=None), (at + after).replace(tzinfo=None)
        self.low, self.high = min(local), max(local)
        """The bounds of the gap, or of what occurs twice."""


def offset_at(instant: datetime, zone: ZoneInfo) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def changes_of(zone: ZoneInfo) -> Iterator[Change]:
    """Every change of offset from 2000 to 2040; no two of any zone are within six days."""
    step = 6 * DAY
    instant, offset = SINCE, offset_at(SINCE, zone)
    while instant < UNTIL:
        following = offset_at(instant + step, zone)
        if following != offset:
            seconds = range(step // SECOND)
            found = bisect_left(seconds, True, key=lambda second: offset_at(instant + second * SECOND, zone) != offset)
            yield Change(instant + found * SECOND, offset, following)
        instant, offset = instant + step, following


@cache
def changes() -> list[tuple[ZoneInfo, list[Change]]]:
    """The changes of each zone that isn't another's alias."""
    files = resources.files("tzdata").joinpath("zoneinfo")
    distinct = {files.joinpath(*name.split("/")).read_bytes(): name for name in sorted(zones.names())}
    return [(zone, list(changes_of(zone))) for zone in map(zone_of, distinct.values())]


def clocks_around(change: Change) -> list[time]:
    """Times of day that a change could confuse."""
    middle = change.low + (change.high - change.low) // 2
    seconds = [moment + step * SECOND for moment in (change.low, change.high) for step in (-1, 0, 1)]
    return sorted({time(0), time(23, 59, 59), *(moment.time() for moment in (*seconds, middle))})


def is_skipped(day: date, change: Change) -> bool:
    """Whether a change skips a day; only whole days were ever skipped, from midnight to midnight."""
    if change.after - change.before < DAY:
        return False
    assert (change.low.time(), change.high.time()) == (time(0), time(0))
    return change.low.date() <= day < change.high.date()


def reached(day: date, clock: time, change: Change) -> datetime | None:
    """The first instant at which clocks show a day and time or something later, told from the one change near it."""
    local = datetime.combine(day, clock)
    if is_skipped(day, change):
        return None
    if local < (change.at + change.before).replace(tzinfo=None):
        return local.replace(tzinfo=UTC) - change.before
    return max(change.at, local.replace(tzinfo=UTC) - change.after)


def test_the_changes_looked_at_are_all_there_are() -> None:
    found = changes()
    assert len(found) > 300
    assert sum(len(of_zone) for _, of_zone in found) > 10_000
    assert all(later.at - earlier.at > 6 * DAY for _, of_zone in found for earlier, later in pairwise(of_zone))


def test_around_every_change_of_every_zone_each_day_closes_once_and_in_order() -> None:
    for zone, of_zone in changes():
        for change in of_zone:
            first = change.low.date() - DAY
            days = [first + step * DAY for step in range((change.high.date() - first).days + 2)]
            for clock in clocks_around(change):
                closings = [closing_at(day, clock, zone) for day in days]
                assert closings == [reached(day, clock, change) for day in days], (zone, change.at, clock)
                known = [closing for closing in closings if closing is not None]
                assert all(earlier < later for earlier, later in pairwise(known)), (zone, change.at, clock)


def test_around_every_change_of_every_zone_the_next_closing_is_the_first_strictly_after() -> None:
    for zone, of_zone in changes():
        for number, change in enumerate(of_zone):
            clocks = clocks_around(change)
            clock = clocks[number % len(clocks)]
            day = change.low.date()
            known = [closing_of(day + step * DAY, clock, zone) for step in range(-2, 4)]
            expected = [closing for closing in known if closing is not None]
            assert list(closings_between(expected[0].at - SECOND, expected[-1].at, clock, zone)) == expected
            for earlier, later in pairwise(expected):
                assert next_closing(earlier.at, clock, zone) == later
                assert next_closing(later.at - MICROSECOND, clock, zone) == later


# --- intervals --------------------------------------------------------------------------------------------------------


@given(NAMES, CLOCKS, INSTANTS, st.lists(st.timedeltas(timedelta(0), timedelta(days=9)), min_size=2, max_size=3))
def test_splitting_an_interval_anywhere_changes_nothing(
    name: str, clock: time, after: datetime, lengths: list[timedelta]
) -> None:
    zone, until, parts = zone_of(name), after + sum(lengths, timedelta(0)), list[Closing]()
    start = after
    for length in lengths:
        parts += closings_between(start, start + length, clock, zone)
        start += length
    assert parts == list(closings_between(after, until, clock, zone))


def test_an_interval_is_open_at_its_start_and_closed_at_its_end() -> None:
    utc = zone_of("UTC")
    first, second = at("2026-01-01T22:00:00Z"), at("2026-01-02T22:00:00Z")
    assert list(closings_between(first, second, time(22), utc)) == [Closing(date(2026, 1, 2), second)]
    assert list(closings_between(first, second - MICROSECOND, time(22), utc)) == []
    assert list(closings_between(second, first, time(22), utc)) == []


def test_beyond_the_calendar_a_closing_is_an_overflow() -> None:
    with pytest.raises(OverflowError):
        closing_at(date.max, time(23, 59, 59), zone_of("America/New_York"))


# --- zones ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "US/Pacific", "GMT"])
def test_a_listed_name_is_a_zone(name: str) -> None:
    assert str(zones.zone(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "utc",
        "europe/berlin",
        "Europe/Berlin ",
        "Europe/Berlin\n",
        "Europe/",
        "Europe",
        "/Europe/Berlin",
        "Europe//Berlin",
        "Europe/../Europe/Berlin",
        "../zoneinfo/UTC",
        "zone.tab",
        "tzdata.zi",
        "__init__.py",
        "localtime",
        "posix/UTC",
        "right/UTC",
        "GMT+2",
        "Pacific Standard Time",
        "+02:00",
        "Europe\\Berlin",
        "Europe/Berlin\0",
        "\N{FULLWIDTH LATIN CAPITAL LETTER U}TC",
    ],
)
def test_any_other_name_is_no_zone(name: str) -> None:
    assert zones.zone(name) is None


def test_every_listed_name_can_be_read() -> None:
    assert len(zones.names()) > 590
    assert all(str(zones.zone(name)) == name for name in zones.names())


def test_zones_are_those_of_the_package_not_of_the_system(tmp_path: Path) -> None:
    files = resources.files("tzdata").joinpath("zoneinfo")
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Berlin").write_bytes(files.joinpath("Asia", "Tokyo").read_bytes())
    before = zoneinfo.TZPATH
    try:
        zoneinfo.reset_tzpath(to=[str(tmp_path)])
        zones._read.cache_clear()
        assert offset_at(at("2026-01-01T00:00:00Z"), ZoneInfo.no_cache("Europe/Berlin")) == timedelta(hours=9)
        assert offset_at(at("2026-01-01T00:00:00Z"), zone_of("Europe/Berlin")) == timedelta(hours=1)
    finally:
        zoneinfo.reset_tzpath(to=before)


def test_what_closed_at_the_first_of_two_occurrences_does_not_close_again_before_the_second() -> None:
    """At 02:15 for the second time the closing of 02:30 was three quarters of an hour ago, whatever the clocks show."""
    berlin = ZoneInfo("Europe/Berlin")
    second_quarter_past_two = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)
    closing = next_closing(second_quarter_past_two, time(2, 30), berlin)
    assert closing == Closing(date(2026, 10, 26), datetime(2026, 10, 26, 1, 30, tzinfo=UTC))
