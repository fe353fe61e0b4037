"""Who may record balances, and what is forgotten after."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from app.actions.add_balance import add_balance, correct_balance
from app.actions.register_balances import Result, register_balances, validate_balances
from app.domain.balances import Item
from app.domain.callers import Scope
from app.domain.records import Entry, made_of
from app.domain.refusals import Code, Refusal, Violation
from app.threads import apart
from resolvers.accounts import Made
from resolvers.context import Context, Info


class ItemResult(NamedTuple):
    """The answer to one item of a batch; what is told of it is looked up when it is asked for."""

    place: int
    time_elapsed_ms: int
    item: Item
    result: Result

    @property
    def accepted(self) -> bool:
        return self.result.rejected is None

    @property
    def communication_number(self) -> str:
        return self.item.communication_number

    @property
    def account_ext_id(self) -> str:
        return self.item.account_ext_id

    @property
    def business_unit(self) -> str | None:
        return self.item.business_unit

    @property
    def error_code(self) -> str | None:
        rejected = self.result.rejected
        return None if rejected is None else rejected.code

    @property
    def error_description(self) -> str | None:
        rejected = self.result.rejected
        return None if rejected is None else rejected.description

    @property
    def same_content(self) -> bool | None:
        rejected = self.result.rejected
        return None if rejected is None else rejected.same_content

    @property
    def error_field(self) -> str | None:
        rejected = self.result.rejected
        return None if rejected is None else rejected.field

    @property
    def balance(self) -> Entry | None:
        return self.result.entry


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


async def _items(context: Context, given: list[dict[str, Any]]) -> list[Item]:
    most = context.limits.batch_items
    if len(given) > most:
        raise Refusal(Code.BATCH_TOO_LARGE, f"A batch has at most {most} items.", limit=most)
    return await apart(len(given), lambda: list(map(_item, given)))


def _item(given: dict[str, Any]) -> Item:
    get = given.get
    moment = get("balanceAt")
    if moment is not None:
        key = "balanceAt"
    else:
        moment = get("updateAt")
        key = "balanceAt" if moment is None else "updateAt"
    values = (
        *(given["accountExtId"], given["communicationNumber"], given["requester"], given["value"], moment),
        *(get("balanceType"), get("businessUnit"), get("equivalentValue"), key),
    )
    return made_of(Item, values)


def _stopwatch() -> Callable[[], int]:
    """What tells how many milliseconds have passed since now."""
    started = time.perf_counter()
    return lambda: int((time.perf_counter() - started) * 1000)


def _batch_answer(items: list[Item], results: list[Result], elapsed: int) -> BatchAnswer:
    """The answer to a batch; an item's time is its share of the batch's."""
    share = elapsed // len(items) if items else 0
    answers = [
        made_of(ItemResult, (place, share, item, result))
        for place, (item, result) in enumerate(zip(items, results, strict=True))
    ]
    rejected = sum(result.rejected is not None for result in results)
    return BatchAnswer(answers, len(answers) - rejected, rejected, elapsed)
