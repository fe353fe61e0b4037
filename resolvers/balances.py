"""Who may record balances, and what is forgotten after."""

import time
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from app.actions.add_balance import add_balance, correct_balance
from app.actions.register_balances import Result, register_balances, validate_balances
from app.domain.balances import Item, Rejected
from app.domain.callers import Scope
from app.domain.records import Entry, many_of
from app.domain.refusals import Code, Refusal, Violation
from app.threads import apart
from resolvers.accounts import Made
from resolvers.context import Context, Info
from resolvers.inputs import Alike


class ItemResult(NamedTuple):
    """The answer to one item of a batch; what is told of it is looked up when it is asked for."""

    place: int
    time_elapsed_ms: int
    communication_number: str
    account_ext_id: str
    business_unit: str | None
    accepted: bool
    rejected: Rejected | None
    balance: Entry | None

    @property
    def error_code(self) -> str | None:
        return None if self.rejected is None else self.rejected.code

    @property
    def error_description(self) -> str | None:
        return None if self.rejected is None else self.rejected.description

    @property
    def same_content(self) -> bool | None:
        return None if self.rejected is None else self.rejected.same_content

    @property
    def error_field(self) -> str | None:
        return None if self.rejected is None else self.rejected.field


class BatchAnswer(NamedTuple):
    results: list[ItemResult]
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
    return await apart(len(items), lambda: _batch_answer(items, *registered))


async def validate(_root: Any, info: Info, *, input: dict[str, Any]) -> BatchAnswer:
    context: Context = info.context
    context.caller.must(Scope.BALANCES_WRITE)
    elapsed_ms = _stopwatch()
    items = await _items(context, input["accountBalances"])
    results = await validate_balances(context.store, context.caller, items, now=context.now, rules=context.limits.batch)
    elapsed = elapsed_ms()
    return await apart(len(items), lambda: _batch_answer(items, results, elapsed))


async def update(_root: Any, info: Info, *, input: dict[str, Any]) -> ItemResult:
    """A batch of one."""
    answer = await register(_root, info, input={"accountBalances": [input]})
    return answer.results[0]


async def _items(context: Context, given: Sequence[dict[str, Any]]) -> list[Item]:
    most = context.limits.batch_items
    if len(given) > most:
        raise Refusal(Code.BATCH_TOO_LARGE, f"A batch has at most {most} items.", limit=most)
    return await apart(len(given), lambda: _alike(given) if isinstance(given, Alike) else list(map(_item, given)))


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


def _alike(given: Alike) -> list[Item]:
    columns = given.columns
    if _OLD_MOMENT in columns:
        return list(map(_item, given))
    nothing = [None] * len(given)
    return many_of(Item, [*(columns.get(key, nothing) for key in _KEYS), repeat(_KEYS[_MOMENT])])


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


def _batch_answer(items: list[Item], results: list[Result], elapsed: int) -> BatchAnswer:
    """The answer to a batch; an item's time is its share of the batch's."""
    share = elapsed // len(items) if items else 0
    if not items:
        return BatchAnswer([], 0, 0, elapsed)
    accounts, numbers, _, _, _, _, units, _, _ = zip(*items, strict=True)
    rejected, entries = zip(*results, strict=True)
    accepted = [why is None for why in rejected]
    columns = [range(len(items)), repeat(share), numbers, accounts, units, accepted, rejected, entries]
    count = sum(accepted)
    return BatchAnswer(many_of(ItemResult, columns), count, len(items) - count, elapsed)
