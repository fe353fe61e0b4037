"""What is asked of the gateway itself: who asks, what may be asked."""

from typing import Any, NamedTuple

from resolvers.context import Context, Info


class ViewerAnswer(NamedTuple):
    subject: str
    scopes: list[str]
    business_units: list[str]
    all_business_units: bool


class LimitsAnswer(NamedTuple):
    page_size: int
    batch_items: int
    series_points: int
    balance_types: list[str] | None


async def viewer(_root: Any, info: Info) -> ViewerAnswer:
    context: Context = info.context
    caller = context.caller
    async with context.store.reading(caller.units) as reads:
        units = await reads.units()
    named = units if caller.units is None else sorted(caller.units)
    return ViewerAnswer(caller.subject, sorted(caller.scopes), named, caller.units is None)


def limits(_root: Any, info: Info) -> LimitsAnswer:
    context: Context = info.context
    types = context.limits.batch.balance_types
    return LimitsAnswer(
        context.limits.page_size,
        context.limits.batch_items,
        context.limits.series_points,
        None if types is None else sorted(types),
    )
