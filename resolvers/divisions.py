"""Who may ask for divisions and configure their history, and how."""

from collections.abc import Mapping
from typing import Any

from app.actions import create_directory
from app.actions.configure_history import create_history_config, update_history_config
from app.domain import histories, zones
from app.domain.callers import Scope
from app.domain.conditions import Operator, Order
from app.domain.histories import HistoryConfig, Status
from app.domain.records import Division
from app.domain.refusals import Violation
from app.store.sources import (
    CONTACTS,
    CONTRACTORS,
    DIVISIONS,
    HISTORY_CONFIGS,
    HISTORY_ENTRIES,
    INVOICE_TEMPLATES,
    Source,
)
from resolvers.accounts import Made
from resolvers.context import Context, Info
from resolvers.declarations import Bound, Key, Keyed, Pages
from resolvers.fetch import load_record


def _by_code(arguments: Mapping[str, Any]) -> Key:
    return Key("code", "code", arguments["code"], arguments.get("businessUnit"))


DIVISION = Keyed(DIVISIONS, Scope.ACCOUNTS_READ, _by_code)


async def _configs(context: Context, division_id: int) -> list[HistoryConfig]:
    """A division's configurations in order of their first closings."""
    context.caller.must(Scope.CONFIG_READ)

    async def load(numbers: list[int]) -> list[list[HistoryConfig]]:
        async with context.store.reading(context.caller.units) as reads:
            found = await reads.by_parents(HISTORY_CONFIGS, "division_id", numbers)
        return [sorted(found.get(number, []), key=lambda config: config.first_closing) for number in numbers]

    configs: list[HistoryConfig] = await context.loaders.of("configs", load).load(division_id)
    return configs


async def config_in_force(division: Division, info: Info) -> HistoryConfig | None:
    return await _with_status(division, info.context, Status.IN_FORCE)


async def pending_config(division: Division, info: Info) -> HistoryConfig | None:
    return await _with_status(division, info.context, Status.PENDING)


async def _with_status(division: Division, context: Context, status: Status) -> HistoryConfig | None:
    configs = await _configs(context, division.id)
    return next((config for config in configs if histories.status_of(config, context.now) is status), None)


async def next_closing_at(division: Division, info: Info) -> Any:
    context: Context = info.context
    configs = await _configs(context, division.id)
    zone = zones.zone(division.timezone)
    assert zone is not None
    return histories.next_closing_at(configs, context.now, zone)


def status(config: HistoryConfig, info: Info) -> Status:
    return histories.status_of(config, info.context.now)


async def create_config(_root: Any, info: Info, *, input: dict[str, Any]) -> Made:
    context: Context = info.context
    context.caller.must(Scope.CONFIG_WRITE)
    made = await create_history_config(
        context.store,
        context.caller,
        division_code=input["divisionCode"],
        business_unit=input.get("businessUnit"),
        closing_time=input["cycleClosingTime"],
        delay_minutes=input["cycleEventDelay"],
        now=context.now,
    )
    return _configured(context, made)


async def update_config(
    _root: Any,
    info: Info,
    *,
    divisionCode: str,  # noqa: N803 - the contract's name.
    input: dict[str, Any],
    businessUnit: str | None = None,  # noqa: N803 - the contract's name.
) -> Made:
    context: Context = info.context
    context.caller.must(Scope.CONFIG_WRITE)
    changed = await update_history_config(
        context.store,
        context.caller,
        division_code=divisionCode,
        business_unit=businessUnit,
        closing_time=input.get("cycleClosingTime"),
        delay_minutes=input.get("cycleEventDelay"),
        now=context.now,
    )
    return _configured(context, changed)


def _configured(context: Context, made: HistoryConfig | list[Violation]) -> Made:
    context.loaders.forget()
    return Made(None, made) if isinstance(made, list) else Made(made, [])


def _creator(action: Any, source: Source, scope: Scope) -> Any:
    """The resolver of a mutation that makes one thing of a source."""

    async def resolve(_root: Any, info: Info, *, input: dict[str, Any]) -> Made:
        context: Context = info.context
        context.caller.must(scope)
        made = await action(context.store, context.caller, input)
        context.loaders.forget()
        return Made(None, made) if isinstance(made, list) else Made(await load_record(context, source, made), [])

    return resolve


create_division = _creator(create_directory.create_division, DIVISIONS, Scope.CONFIG_WRITE)
create_contractor = _creator(create_directory.create_contractor, CONTRACTORS, Scope.ACCOUNTS_WRITE)
create_contact = _creator(create_directory.create_contact, CONTACTS, Scope.ACCOUNTS_WRITE)
create_invoice_template = _creator(create_directory.create_invoice_template, INVOICE_TEMPLATES, Scope.ACCOUNTS_WRITE)


HISTORY = Pages(
    HISTORY_ENTRIES,
    "account_id",
    Scope.BALANCES_READ,
    Order("closing_at", descending=True),
    {},
    {},
    {
        "from": Bound("business_date", Operator.GTE),
        "to": Bound("business_date", Operator.LTE),
        "currency": Bound("currency", Operator.EQ, is_currency=True),
    },
)
"""An account's rows of history; of days `from` and `to`, both inclusive."""
