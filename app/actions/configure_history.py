"""Configure when a division's daily cycle closes (Pismo: account-balances/history/config)."""

from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from app.actions.business_units import named_unit, refuse
from app.domain import events, histories, zones
from app.domain.callers import Caller
from app.domain.events import EventType, NewEvent
from app.domain.histories import HistoryConfig, Replaced
from app.domain.refusals import Violated, Violation
from app.store import tables as t
from app.store.store import Store, Work


async def create_history_config(
    store: Store,
    caller: Caller,
    *,
    division_code: str,
    business_unit: str | None,
    closing_time: str,
    delay_minutes: int,
    now: datetime,
) -> HistoryConfig | list[Violation]:
    """A division's first configuration, or why there is none. Checked in order: fields, division, not configured."""
    path = ("input", "divisionCode")
    violations = histories.create_violations(division_code, closing_time, delay_minutes)
    unit, broken = named_unit(caller, business_unit)

    async def act(work: Work) -> HistoryConfig:
        refuse(violations or broken)
        assert unit is not None
        unit_id, division_id, zone = await _held(work, unit, division_code, path)
        if await work.histories.newest(division_id) is not None:
            raise Violated([histories.already_configured(*path)])
        clock = histories.parse_closing_time(closing_time)
        assert clock is not None
        planned = histories.first_planned(now, clock, delay_minutes, zone)
        made = await work.histories.add(unit_id, division_id, planned)
        data = events.config_creation(division_code, *_told(made))
        await work.log.tell([NewEvent(EventType.CONFIG_CREATION, unit_id, None, division_id, data)], now=now)
        return made

    return await _done(store, caller, act)


async def update_history_config(
    store: Store,
    caller: Caller,
    *,
    division_code: str,
    business_unit: str | None,
    closing_time: str | None,
    delay_minutes: int | None,
    now: datetime,
) -> HistoryConfig | list[Violation]:
    """Change a configuration that has not started; after its start, add the one that follows it."""
    violations = histories.update_violations(closing_time, delay_minutes)
    unit, broken = named_unit(caller, business_unit, ("businessUnit",))
    clock = None if closing_time is None else histories.parse_closing_time(closing_time)

    async def act(work: Work) -> HistoryConfig:
        refuse(violations or broken)
        assert unit is not None
        unit_id, division_id, zone = await _held(work, unit, division_code, ("divisionCode",))
        newest = await work.histories.newest(division_id)
        if newest is None:
            raise Violated([histories.config_not_found("divisionCode")])
        change = histories.changed(newest, now, clock, delay_minutes, zone)
        if isinstance(change, Replaced):
            previous, made = newest, await work.histories.replace(change.config)
        else:
            previous = await work.histories.replace(change.ended)
            made = await work.histories.add(unit_id, division_id, change.planned)
        data = events.config_change(division_code, _told(made), _told(previous))
        await work.log.tell([NewEvent(EventType.CONFIG_CHANGE, unit_id, None, division_id, data)], now=now)
        return made

    return await _done(store, caller, act)


def _told(config: HistoryConfig) -> tuple[time, int, datetime, datetime | None]:
    return config.closing_time, config.delay_minutes, config.start, config.end


async def _held(work: Work, unit: str, code: str, path: tuple[str, ...]) -> tuple[int, int, ZoneInfo]:
    """A division's unit, number and zone, under its lock."""
    unit_id = (await work.directory.unit_ids([unit])).get(unit)
    division_id = None if unit_id is None else await work.directory.by_key(t.divisions, unit_id, "code", code)
    if unit_id is None or division_id is None:
        refuse([histories.division_not_found(*path)])
    assert unit_id is not None
    assert division_id is not None
    await work.histories.hold(division_id)
    zone = zones.zone(await work.directory.value(t.divisions, division_id, "timezone"))
    assert zone is not None
    return unit_id, division_id, zone


async def _done(store: Store, caller: Caller, act: Any) -> HistoryConfig | list[Violation]:
    try:
        config: HistoryConfig = await store.work(caller.units, act)
    except Violated as violated:
        return list(violated.violations)
    return config
