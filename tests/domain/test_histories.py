"""What is asked of history configurations, from when one holds, and which one governs a closing."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import histories, zones
from app.domain.cycles import Closing, closing_at
from app.domain.histories import Followed, HistoryConfig, Planned, Replaced, Status
from app.domain.refusals import UserErrorCode, Violation

DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
TEN_AT_NIGHT, MIDNIGHT, LAST_SECOND = time(22), time(0), time(23, 59, 59)


def zone_of(name: str) -> ZoneInfo:
    zone = zones.zone(name)
    assert zone is not None
    return zone


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


UTC_ZONE, BERLIN, NUUK = zone_of("UTC"), zone_of("Europe/Berlin"), zone_of("America/Nuuk")


def a_config(first_closing: str, closing_time: time = TEN_AT_NIGHT, delay_minutes: int = 10) -> HistoryConfig:
    first = at(first_closing)
    start = first + timedelta(minutes=delay_minutes)
    return HistoryConfig(1, 1, closing_time, delay_minutes, first, start, None)


def followed(newest: HistoryConfig, now: str, closing_time: time | None, delay: int | None) -> list[HistoryConfig]:
    """Both configurations after an update that adds one, in UTC."""
    written = histories.changed(newest, at(now), closing_time, delay, UTC_ZONE)
    assert isinstance(written, Followed)
    return [written.ended, HistoryConfig(2, 1, *written.planned, None)]


# --- the closing time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("22:00:00", "22:00:00"),
        ("9:5:3", "09:05:03"),
        ("59", "00:00:59"),
        ("0", "00:00:00"),
        ("07", "00:00:07"),
        ("0:0:0", "00:00:00"),
        ("23:59:59", "23:59:59"),
        ("19:09:9", "19:09:09"),
    ],
)
def test_a_closing_time_is_what_the_documented_pattern_reads(text: str, read: str) -> None:
    parsed = histories.parse_closing_time(text)
    assert parsed is not None
    assert parsed.isoformat() == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "22:00",
        "24:00:00",
        "23:60:00",
        "23:59:60",
        "60",
        "22:00:00Z",
        "22:00:00\n",
        "59\n",
        " 22:0:0",
        "-1",
        "2200",
        "1:2:3:4",
        "22:00:",
        ":0:0",
        "22.00.00",
        "2\N{ARABIC-INDIC DIGIT TWO}:00:00",
        "5\N{FULLWIDTH DIGIT NINE}",
    ],
)
def test_any_other_text_is_no_closing_time(text: str) -> None:
    assert histories.parse_closing_time(text) is None


@given(st.times())
def test_a_closing_time_as_it_is_told_reads_as_itself(clock: time) -> None:
    clock = clock.replace(microsecond=0, fold=0)
    assert histories.parse_closing_time(clock.isoformat()) == clock


# --- fields -----------------------------------------------------------------------------------------------------------


def a_wrong_field(code: UserErrorCode, key: str, message: str) -> Violation:
    return Violation(code, message, ("input", key), "WCFG0002")


@pytest.mark.parametrize("delay", [5, 1439])
@pytest.mark.parametrize("code", ["US", "x" * 36])
def test_fields_within_their_bounds_are_not_wrong(code: str, delay: int) -> None:
    assert histories.create_violations(code, "9:5:3", delay) == []
    assert histories.update_violations("9:5:3", delay) == []
    assert histories.update_violations("9:5:3", None) == []
    assert histories.update_violations(None, delay) == []


def test_every_wrong_field_is_told_at_once() -> None:
    assert histories.create_violations("", "", 4) == [
        a_wrong_field(UserErrorCode.REQUIRED, "divisionCode", "division_code is a required field"),
        a_wrong_field(UserErrorCode.REQUIRED, "cycleClosingTime", "cycle_closing_time is a required field"),
        a_wrong_field(UserErrorCode.OUT_OF_RANGE, "cycleEventDelay", "cycle_event_delay must be 5 or greater"),
    ]
    assert histories.create_violations("x" * 37, "022:00:00", 1440) == [
        a_wrong_field(
            UserErrorCode.TOO_LONG, "divisionCode", "division_code must be a maximum of 36 characters in length"
        ),
        a_wrong_field(
            UserErrorCode.TOO_LONG, "cycleClosingTime", "cycle_closing_time must be a maximum of 8 characters in length"
        ),
        a_wrong_field(UserErrorCode.OUT_OF_RANGE, "cycleEventDelay", "cycle_event_delay must be 1,439 or less"),
    ]
    assert histories.update_violations("24:00:00", -1) == [
        a_wrong_field(
            UserErrorCode.INVALID, "cycleClosingTime", "cycle_closing_time has an invalid time format: 24:00:00"
        ),
        a_wrong_field(UserErrorCode.OUT_OF_RANGE, "cycleEventDelay", "cycle_event_delay must be 5 or greater"),
    ]


@pytest.mark.parametrize("closing_time", [None, ""])
def test_an_update_with_neither_field_is_refused(closing_time: str | None) -> None:
    message = "cycle_closing_time or cycle_event_delay params must be provided"
    assert histories.update_violations(closing_time, None) == [
        Violation(UserErrorCode.REQUIRED, message, ("input",), "WCFG0002")
    ]


def test_an_empty_closing_time_beside_a_delay_is_refused() -> None:
    assert histories.update_violations("", 10) == [
        a_wrong_field(UserErrorCode.REQUIRED, "cycleClosingTime", "cycle_closing_time is a required field")
    ]


def test_what_depends_on_the_division_has_the_documented_codes_and_texts() -> None:
    path = ("input", "divisionCode")
    assert histories.division_not_found(*path) == (UserErrorCode.NOT_FOUND, "Division not found", path, "WCFG0003")
    assert histories.already_configured(*path) == (
        UserErrorCode.CONFLICT,
        "Division already configured",
        path,
        "WCFG0004",
    )
    assert histories.config_not_found("divisionCode") == (
        UserErrorCode.NOT_FOUND,
        "Account balance history config not found",
        ("divisionCode",),
        "WCFG0005",
    )


# --- create -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "zone", "closing_time", "delay", "first_closing", "start"),
    [
        # Pismo's example of version 1, and that of version 2.
        ("2023-05-01T18:00:00Z", "UTC", TEN_AT_NIGHT, 10, "2023-05-01T22:00:00Z", "2023-05-01T22:10:00Z"),
        (
            "2026-03-13T18:00:00Z",
            "America/Sao_Paulo",
            LAST_SECOND,
            60,
            "2026-03-13T23:59:59-03:00",
            "2026-03-14T00:59:59-03:00",
        ),
        # Between the closing and its events; at the closing; just before.
        ("2023-05-01T22:05:00Z", "UTC", TEN_AT_NIGHT, 10, "2023-05-02T22:00:00Z", "2023-05-02T22:10:00Z"),
        ("2023-05-01T22:00:00Z", "UTC", TEN_AT_NIGHT, 10, "2023-05-02T22:00:00Z", "2023-05-02T22:10:00Z"),
        ("2023-05-01T21:59:59.999999Z", "UTC", TEN_AT_NIGHT, 10, "2023-05-01T22:00:00Z", "2023-05-01T22:10:00Z"),
        # A delay is elapsed time, whatever clocks do meanwhile.
        ("2026-03-28T12:00:00Z", "Europe/Berlin", TEN_AT_NIGHT, 1439, "2026-03-28T21:00:00Z", "2026-03-29T20:59:00Z"),
    ],
)
def test_a_first_configuration_starts_with_the_next_closing_and_its_delay(
    now: str, zone: str, closing_time: time, delay: int, first_closing: str, start: str
) -> None:
    planned = histories.first_planned(at(now), closing_time, delay, zone_of(zone))
    assert planned == Planned(closing_time, delay, at(first_closing), at(start))


# --- update -----------------------------------------------------------------------------------------------------------


def test_after_its_start_a_configuration_is_followed_from_the_second_next_closing() -> None:
    # Pismo's example: the current cycle is 04-30T22:00Z to 05-01T22:00Z.
    running = a_config("2023-04-01T22:00:00Z")
    assert histories.changed(running, at("2023-05-01T18:00:00Z"), None, 15, UTC_ZONE) == Followed(
        running._replace(end=at("2023-05-02T22:15:00Z")),
        Planned(TEN_AT_NIGHT, 15, at("2023-05-02T22:00:00Z"), at("2023-05-02T22:15:00Z")),
    )


def test_the_following_one_starts_at_the_running_closing_time_whatever_its_own() -> None:
    running = a_config("2023-04-01T22:00:00Z")
    assert histories.changed(running, at("2023-05-01T18:00:00Z"), time(3), None, UTC_ZONE) == Followed(
        running._replace(end=at("2023-05-02T22:10:00Z")),
        Planned(time(3), 10, at("2023-05-02T22:00:00Z"), at("2023-05-02T22:10:00Z")),
    )


def test_at_or_before_its_start_a_configuration_is_replaced_in_place() -> None:
    newest = a_config("2023-05-01T22:00:00Z")
    assert histories.changed(newest, newest.start, time(3), 20, UTC_ZONE) == Replaced(
        newest._replace(closing_time=time(3), delay_minutes=20)
    )
    assert histories.changed(newest, newest.start - DAY, time(3), None, UTC_ZONE) == Replaced(
        newest._replace(closing_time=time(3))
    )
    assert histories.changed(newest, newest.start, None, 20, UTC_ZONE) == Replaced(newest._replace(delay_minutes=20))
    assert isinstance(histories.changed(newest, newest.start + MICROSECOND, None, 20, UTC_ZONE), Followed)


def test_a_closing_that_the_running_configuration_does_not_govern_is_not_counted() -> None:
    # Monday closed at 22:00, before the time was replaced: at 23:30 it doesn't close again.
    running = a_config("2023-05-01T22:00:00Z")._replace(closing_time=time(23, 30))
    written = histories.changed(running, at("2023-05-01T22:30:00Z"), None, 20, UTC_ZONE)
    assert isinstance(written, Followed)
    assert written.planned.first_closing == at("2023-05-03T23:30:00Z")


# --- status -----------------------------------------------------------------------------------------------------------


def test_validity_includes_its_start_and_excludes_its_end() -> None:
    first, second = followed(a_config("2023-04-01T22:00:00Z"), "2023-05-01T18:00:00Z", None, 15)
    assert histories.status_of(first, first.start - MICROSECOND) is Status.PENDING
    assert histories.status_of(first, first.start) is Status.IN_FORCE
    assert histories.status_of(first, second.start - MICROSECOND) is Status.IN_FORCE
    assert histories.status_of(first, second.start) is Status.ENDED
    assert histories.status_of(second, second.start - MICROSECOND) is Status.PENDING
    assert histories.status_of(second, second.start) is Status.IN_FORCE
    assert histories.status_of(second, second.start + 9999 * DAY) is Status.IN_FORCE


# --- which one governs ------------------------------------------------------------------------------------------------


def test_without_a_configuration_there_is_no_closing() -> None:
    now = at("2023-05-01T18:00:00Z")
    assert histories.next_closing_at([], now, UTC_ZONE) is None
    assert list(histories.closings_due([], None, now, UTC_ZONE)) == []


@pytest.mark.parametrize(
    ("now", "closing"),
    [
        ("2023-03-01T00:00:00Z", "2023-04-01T22:00:00Z"),
        ("2023-04-01T21:59:59.999999Z", "2023-04-01T22:00:00Z"),
        # Strictly after, and without the delay.
        ("2023-04-01T22:00:00Z", "2023-04-02T22:00:00Z"),
        ("2023-04-01T22:05:00Z", "2023-04-02T22:00:00Z"),
        # The running one governs every closing before the following one's first, which is at the running time.
        ("2023-05-01T18:00:00Z", "2023-05-01T22:00:00Z"),
        ("2023-05-01T22:00:00Z", "2023-05-02T22:00:00Z"),
        # From the day after that one on the new closing time counts.
        ("2023-05-02T22:00:00Z", "2023-05-03T03:00:00Z"),
        ("2023-05-03T03:00:00Z", "2023-05-04T03:00:00Z"),
    ],
)
def test_the_next_closing_is_the_first_strictly_after(now: str, closing: str) -> None:
    configs = followed(a_config("2023-04-01T22:00:00Z"), "2023-05-01T18:00:00Z", time(3), 15)
    assert histories.next_closing_at(configs, at(now), UTC_ZONE) == at(closing)


def test_a_time_replaced_to_a_later_one_does_not_close_the_first_day_again() -> None:
    newest = a_config("2023-05-01T22:00:00Z")._replace(closing_time=time(23))
    assert histories.next_closing_at([newest], at("2023-05-01T22:00:00Z"), UTC_ZONE) == at("2023-05-02T23:00:00Z")


def test_each_closing_is_governed_by_one_configuration() -> None:
    configs = followed(a_config("2023-04-30T22:00:00Z"), "2023-05-01T18:00:00Z", time(3), 15)
    governed = histories.closings_governed(configs, at("2023-01-01T00:00:00Z"), UTC_ZONE)
    assert list(islice(governed, 4)) == [
        (Closing(date(2023, 4, 30), at("2023-04-30T22:00:00Z")), configs[0]),
        (Closing(date(2023, 5, 1), at("2023-05-01T22:00:00Z")), configs[0]),
        (Closing(date(2023, 5, 2), at("2023-05-02T22:00:00Z")), configs[1]),
        (Closing(date(2023, 5, 3), at("2023-05-03T03:00:00Z")), configs[1]),
    ]


# --- due --------------------------------------------------------------------------------------------------------------


def due(configs: list[HistoryConfig], after: Closing | None, until: str, zone: ZoneInfo = UTC_ZONE) -> list[str]:
    found = histories.closings_due(configs, after, at(until), zone)
    return [closing.at.strftime("%m-%dT%H:%M") for closing, _ in found]


def test_a_closing_is_due_when_its_delay_has_passed() -> None:
    configs = [a_config("2023-05-01T22:00:00Z")]
    assert due(configs, None, "2023-05-01T22:09:59.999999Z") == []
    assert due(configs, None, "2023-05-01T22:10:00Z") == ["05-01T22:00"]


def test_after_downtime_the_missed_closings_are_due_oldest_first() -> None:
    configs = [a_config("2023-05-01T22:00:00Z")]
    assert due(configs, None, "2023-05-04T12:00:00Z") == ["05-01T22:00", "05-02T22:00", "05-03T22:00"]
    last = Closing(date(2023, 5, 2), at("2023-05-02T22:00:00Z"))
    assert due(configs, last, "2023-05-04T12:00:00Z") == ["05-03T22:00"]


def test_each_closing_is_due_by_the_delay_of_the_one_that_governs_it() -> None:
    configs = followed(a_config("2023-04-30T22:00:00Z"), "2023-05-01T18:00:00Z", None, 60)
    last = Closing(date(2023, 4, 30), at("2023-04-30T22:00:00Z"))
    assert due(configs, last, "2023-05-01T22:10:00Z") == ["05-01T22:00"]
    last = Closing(date(2023, 5, 1), at("2023-05-01T22:00:00Z"))
    assert due(configs, last, "2023-05-02T22:59:59Z") == []
    assert due(configs, last, "2023-05-02T23:00:00Z") == ["05-02T22:00"]


def test_where_a_delay_shrinks_a_closing_waits_for_the_older_one() -> None:
    # A day of 23 hours: 03-28T21:00Z is due at 03-29T20:59Z, the next closing (20:00Z) by itself at 20:05Z.
    running = a_config("2026-03-26T21:00:00Z", delay_minutes=1439)
    written = histories.changed(running, at("2026-03-28T20:30:00Z"), None, 5, BERLIN)
    assert isinstance(written, Followed)
    configs = [written.ended, HistoryConfig(2, 1, *written.planned, None)]
    assert configs[1].start == at("2026-03-29T20:05:00Z")
    last = Closing(date(2026, 3, 27), at("2026-03-27T21:00:00Z"))
    assert due(configs, last, "2026-03-29T20:58:59Z", BERLIN) == []
    assert due(configs, last, "2026-03-29T20:59:00Z", BERLIN) == ["03-28T21:00", "03-29T20:00"]


def test_a_day_that_has_closed_does_not_close_again_at_a_replaced_time() -> None:
    # On a day of 23 hours the second closing comes before the start, and the time can still be replaced after it.
    newest = a_config("2026-03-28T21:00:00Z", time(12), 5)._replace(start=at("2026-03-29T20:59:00Z"))
    last = Closing(date(2026, 3, 29), at("2026-03-29T10:00:00Z"))
    replaced = histories.changed(newest, at("2026-03-29T20:00:00Z"), time(22, 30), None, BERLIN)
    assert isinstance(replaced, Replaced)
    assert due([replaced.config], last, "2026-03-30T21:00:00Z", BERLIN) == ["03-30T20:30"]


# --- a gap over midnight: Saturday 2026-03-28 in Nuuk ends at 23:00, which is Sunday 00:00 (01:00Z) -------------------

SATURDAY, SUNDAY, MONDAY = date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)
GAP_END = at("2026-03-29T01:00:00Z")


def days_closed(configs: list[HistoryConfig], since: datetime) -> list[date]:
    governed = histories.closings_governed(configs, since, NUUK)
    return [closing.business_date for closing, _ in islice(governed, 3)]


def test_a_first_closing_moved_over_midnight_keeps_the_date_it_was_meant_for() -> None:
    planned = histories.first_planned(at("2026-03-28T12:00:00Z"), LAST_SECOND, 5, NUUK)
    assert planned.first_closing == GAP_END
    config = HistoryConfig(1, 1, *planned, None)
    assert days_closed([config], GAP_END - MICROSECOND) == [SATURDAY, SUNDAY, MONDAY]


def test_a_first_closing_at_the_end_of_a_gap_keeps_its_date_too() -> None:
    planned = histories.first_planned(at("2026-03-28T12:00:00Z"), MIDNIGHT, 5, NUUK)
    assert planned.first_closing == GAP_END
    config = HistoryConfig(1, 1, *planned, None)
    assert days_closed([config], GAP_END - MICROSECOND) == [SUNDAY, MONDAY, MONDAY + DAY]


def test_a_first_closing_whose_time_was_replaced_is_taken_for_the_earlier_day() -> None:
    planned = histories.first_planned(at("2026-03-28T12:00:00Z"), LAST_SECOND, 5, NUUK)
    config = HistoryConfig(1, 1, *planned, None)._replace(closing_time=TEN_AT_NIGHT)
    assert days_closed([config], GAP_END - MICROSECOND) == [SATURDAY, SUNDAY, MONDAY]


@pytest.mark.parametrize(
    ("running", "following", "days"),
    [
        (LAST_SECOND, TEN_AT_NIGHT, [SATURDAY, SUNDAY, MONDAY]),
        (MIDNIGHT, LAST_SECOND, [SUNDAY, MONDAY, MONDAY + DAY]),
        # At 00:00:00 Sunday would close at the very instant at which Saturday has closed: one closing is both.
        (LAST_SECOND, MIDNIGHT, [SATURDAY, MONDAY, MONDAY + DAY]),
    ],
)
def test_a_following_first_closing_has_the_date_that_the_running_one_meant(
    running: time, following: time, days: list[date]
) -> None:
    first = closing_at(SATURDAY - 3 * DAY, running, NUUK)
    assert first is not None
    before = HistoryConfig(1, 1, running, 5, first, first, None)
    after = HistoryConfig(2, 1, following, 5, GAP_END, GAP_END + timedelta(minutes=5), None)
    assert days_closed([before._replace(end=after.start), after], GAP_END - MICROSECOND) == days


# --- any sequence -----------------------------------------------------------------------------------------------------


class Lived:
    """A division that is configured, updated and closed as time goes by."""

    def __init__(self, zone: ZoneInfo, now: datetime, closing_time: time, delay: int) -> None:
        self.zone = zone
        self.now = now
        planned = histories.first_planned(now, closing_time, delay, zone)
        self.configs = [HistoryConfig(1, 1, *planned, None)]
        self.closed: list[Closing] = []

    def update(self, closing_time: time | None, delay: int | None) -> None:
        written = histories.changed(self.configs[-1], self.now, closing_time, delay, self.zone)
        if isinstance(written, Replaced):
            self.configs[-1] = written.config
        else:
            number = len(self.configs) + 1
            self.configs[-1:] = [written.ended, HistoryConfig(number, 1, *written.planned, None)]

    def run(self) -> None:
        last = self.closed[-1] if self.closed else None
        for closing, config in histories.closings_due(self.configs, last, self.now, self.zone):
            assert closing.at + config.delay <= self.now
            self.closed.append(closing)


def assert_validities_meet(lived: Lived) -> None:
    for earlier, later in pairwise(lived.configs):
        assert earlier.start < later.start
        assert earlier.end == later.start
        assert earlier.first_closing < later.first_closing
    assert lived.configs[-1].end is None
    statuses = [histories.status_of(config, lived.now) for config in lived.configs]
    assert statuses.count(Status.PENDING) <= 1
    assert statuses.count(Status.IN_FORCE) == (lived.now >= lived.configs[0].start)


def assert_each_day_closed_once(lived: Lived) -> None:
    """From the first closing on; but for a day that the zone skips, or that closes at the instant of the day before."""
    for earlier, later in pairwise(lived.closed):
        assert earlier.at < later.at
        assert earlier.business_date < later.business_date
        between = earlier.business_date + DAY
        while between < later.business_date:
            instants = {closing_at(between, config.closing_time, lived.zone) for config in lived.configs}
            assert instants & {None, earlier.at}, (between, lived.configs)
            between += DAY


CLOCKS = st.sampled_from([MIDNIGHT, LAST_SECOND, TEN_AT_NIGHT, time(23, 30), time(2, 30), time(0, 30), time(12)])
DELAYS = st.sampled_from([5, 10, 60, 600, 1379, 1439])
UPDATES = st.tuples(st.none() | CLOCKS, st.none() | DELAYS)
STEPS = st.lists(
    st.tuples(st.timedeltas(timedelta(0), timedelta(days=3)), st.none() | UPDATES), min_size=1, max_size=12
)
PLACES = st.sampled_from(
    [
        ("UTC", "2026-01-01T00:00:00Z"),
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("America/Nuuk", "2026-03-29T01:00:00Z"),
        ("America/Nuuk", "2026-10-25T01:00:00Z"),
        ("Africa/Cairo", "2026-04-23T22:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("Antarctica/Troll", "2026-03-29T01:00:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
        ("Pacific/Kwajalein", "1969-09-30T13:00:00Z"),
    ]
)


@given(PLACES, st.timedeltas(timedelta(days=-4), timedelta(0)), CLOCKS, DELAYS, STEPS)
def test_after_any_sequence_validities_meet_and_each_day_closes_once(
    place: tuple[str, str],
    ahead: timedelta,
    closing_time: time,
    delay: int,
    steps: list[tuple[timedelta, tuple[time | None, int | None] | None]],
) -> None:
    zone, change = place
    lived = Lived(zone_of(zone), at(change) + ahead, closing_time, delay)
    for elapsed, update in steps:
        lived.now += elapsed
        if update is None:
            lived.run()
        else:
            lived.update(*update)
        assert_validities_meet(lived)
    lived.now = max(lived.now, at(change)) + 7 * DAY
    lived.run()
    assert len(lived.closed) > 1
    assert_each_day_closed_once(lived)


@given(PLACES, st.timedeltas(timedelta(days=-4), timedelta(0)), CLOCKS, UPDATES, st.timedeltas(timedelta(0), 8 * DAY))
def test_what_is_next_is_what_is_then_carried_out(
    place: tuple[str, str],
    ahead: timedelta,
    closing_time: time,
    update: tuple[time | None, int | None],
    elapsed: timedelta,
) -> None:
    zone, change = place
    lived = Lived(zone_of(zone), at(change) + ahead, closing_time, 5)
    lived.now += elapsed
    lived.update(*update)
    following = histories.next_closing_at(lived.configs, lived.now, lived.zone)
    assert following is not None
    asked, lived.now = lived.now, lived.now + 5 * DAY
    lived.run()
    assert following == min(closing.at for closing in lived.closed if closing.at > asked)
    assert following.tzinfo is UTC
