"""Who may record balances, and what is forgotten after."""

import time
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from app.actions.add_balance import add_balance, correct_balance
from app.actions.register_balances import Result, register_balances, validate_balances
from app.domain.balances import Item
from app.domain.callers import Scope
from app.domain.columns import Columns, Later
from app.domain.records import Entry
from app.domain.refusals import Code, Refusal, Violation
from app.threads import apart
from resolvers.accounts import Made
from resolvers.context import Context, Info
from resolvers.inputs import Alike


class ItemResult(NamedTuple):
    """The answer to one item of a batch."""

    place: int
    time_elapsed_ms: int
    communication_number: str
    account_ext_id: str
    business_unit: str | None
    accepted: bool
    error_code: str | None
    error_description: str | None
    error_field: str | None
    same_content: bool | None
    balance: Entry | None


class BatchAnswer(NamedTuple):
    results: Columns[ItemResult]
    accepted_count: int
    rejected_count: int
    time_elapsed_ms: int


async def create(_root: Any, info: Info, *, bankAccountId: str, input: dict[str, Any]) -> Made:  # noqa: N803 - the contract's name.
    context: Context = info.context
    context.caller.must(Scope.BALANCES_WRITE)
    added = await add_balance(
        context.store,
        context.caller,
        bankAccountId,
        amount=input["amount"],
        moment=input["timestamp"],
        currency=input["currency"]["code"],
        now=context.now,
        ahead_max=context.limits.batch.ahead_max,
    )
    return _answered(context, added)


async def correct(_root: Any, info: Info, *, accountId: str, input: dict[str, Any]) -> Made:  # noqa: N803 - the contract's name.
    context: Context = info.context
    context.caller.must(Scope.BALANCES_WRITE)
    added = await correct_balance(
        context.store,
        context.caller,
        accountId,
        amount=input["amount"],
        moment=input.get("timestamp"),
        requester=input.get("requester"),
        now=context.now,
        ahead_max=context.limits.batch.ahead_max,
    )
    return _answered(context, added)


def _answered(context: Context, added: Entry | list[Violation]) -> Made:
    context.loaders.forget()
    return Made(None, added) if isinstance(added, list) else Made(added, [])


async def register(_root: Any, info: Info, *, input: dict[str, Any]) -> BatchAnswer:
    context: Context = info.context
    context.caller.must(Scope.BALANCES_WRITE)
    elapsed_ms = _stopwatch()
    items = await _items(context, input["accountBalances"])
    registered = await register_balances(
        context.store,
        context.caller,
        items,
        now=context.now,
        rules=context.limits.batch,
        elapsed_ms=elapsed_ms,
    )
    context.loaders.forget()
    return _batch_answer(items, *registered)


async def validate(_root: Any, info: Info, *, input: dict[str, Any]) -> BatchAnswer:
    context: Context = info.context
    context.caller.must(Scope.BALANCES_WRITE)
    elapsed_ms = _stopwatch()
    items = await _items(context, input["accountBalances"])
    results = await validate_balances(context.store, context.caller, items, now=context.now, rules=context.limits.batch)
    return _batch_answer(items, results, elapsed_ms())


async def update(_root: Any, info: Info, *, input: dict[str, Any]) -> ItemResult:
    """A batch of one."""
    answer = await register(_root, info, input={"accountBalances": [input]})
    return answer.results[0]


async def _items(context: Context, given: Sequence[dict[str, Any]]) -> Columns[Item]:
    most = context.limits.batch_items
    if len(given) > most:
        raise Refusal(Code.BATCH_TOO_LARGE, f"A batch has at most {most} items.", limit=most)
    return await apart(len(given), lambda: _alike(given) if isinstance(given, Alike) else _each(given))


_KEYS = (
    "accountExtId",
    "communicationNumber",
    "requester",
    "value",
    "balanceAt",
    "balanceType",
    "businessUnit",
    "equivalentValue",
)
"""An item's, in the order of its record; then comes the key of its moment."""
_MOMENT, _OLD_MOMENT = _KEYS.index("balanceAt"), "updateAt"


def _alike(given: Alike) -> Columns[Item]:
    columns = given.columns
    if _OLD_MOMENT in columns:
        return _each(given)
    nothing = [None] * len(given)
    return Columns(Item, [*(columns.get(key, nothing) for key in _KEYS), [_KEYS[_MOMENT]] * len(given)])


def _each(given: Sequence[dict[str, Any]]) -> Columns[Item]:
    return Columns.of(Item, list(map(_item, given)))


def _item(given: dict[str, Any]) -> Item:
    values: list[Any] = list(map(given.get, _KEYS))
    moment = _KEYS[_MOMENT]
    if values[_MOMENT] is None and given.get(_OLD_MOMENT) is not None:
        moment = _OLD_MOMENT
        values[_MOMENT] = given[moment]
    return Item._make([*values, moment])


def _stopwatch() -> Callable[[], int]:
    """What tells how many milliseconds have passed since now."""
    started = time.perf_counter()
    return lambda: int((time.perf_counter() - started) * 1000)


def _batch_answer(items: Columns[Item], results: Columns[Result], elapsed: int) -> BatchAnswer:
    """The answer to a batch; an item's time is its share of the batch's."""
    size = len(items)
    rejected, entries = results.columns
    accepted = [why is None for why in rejected]

    def told(name: str) -> Sequence[Any]:
        read = attrgetter(name)
        return Later(size, lambda: [None if why is None else read(why) for why in rejected])

    columns = [
        range(size),
        [elapsed // size if size else 0] * size,
        *map(items.column, ("communication_number", "account_ext_id", "business_unit")),
        accepted,
        *map(told, ("code", "description", "field", "same_content")),
        entries,
    ]
    count = sum(accepted)
    return BatchAnswer(Columns(ItemResult, columns), count, size - count, elapsed)
