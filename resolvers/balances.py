"""Who may record balances, and what is forgotten after."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from app.actions.add_balance import add_balance, correct_balance
from app.actions.register_balances import Result, register_balances, validate_balances
from app.domain.balances import Item
from app.domain.callers import Scope
from app.domain.records import Entry
from app.domain.refusals import Code, Refusal, Violation
from resolvers.accounts import Made
from resolvers.context import Context, Info


class ItemResult(NamedTuple):
    """The answer to one item of a batch."""

    accepted: bool
    place: int
    communication_number: str
    account_ext_id: str
    business_unit: str | None
    error_code: str | None
    error_description: str | None
    same_content: bool | None
    error_field: str | None
    time_elapsed_ms: int
    balance: Entry | None


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
    items = _items(context, input["accountBalances"])
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
    items = _items(context, input["accountBalances"])
    results = await validate_balances(context.store, context.caller, items, now=context.now, rules=context.limits.batch)
    return _batch_answer(items, results, elapsed_ms())


async def update(_root: Any, info: Info, *, input: dict[str, Any]) -> ItemResult:
    """A batch of one."""
    answer = await register(_root, info, input={"accountBalances": [input]})
    return answer.results[0]


def _items(context: Context, given: list[dict[str, Any]]) -> list[Item]:
    most = context.limits.batch_items
    if len(given) > most:
        raise Refusal(Code.BATCH_TOO_LARGE, f"A batch has at most {most} items.", limit=most)
    return [_item(item) for item in given]


def _item(given: dict[str, Any]) -> Item:
    get = given.get
    moment = get("balanceAt")
    return Item(
        given["accountExtId"],
        given["communicationNumber"],
        given["requester"],
        given["value"],
        moment if moment is not None else get("updateAt"),
        get("balanceType"),
        get("businessUnit"),
        get("equivalentValue"),
        "balanceAt" if moment is not None or get("updateAt") is None else "updateAt",
    )


def _stopwatch() -> Callable[[], int]:
    """What tells how many milliseconds have passed since now."""
    started = time.perf_counter()
    return lambda: int((time.perf_counter() - started) * 1000)


def _batch_answer(items: list[Item], results: list[Result], elapsed: int) -> BatchAnswer:
    """The answer to a batch; an item's time is its share of the batch's."""
    share = elapsed // len(items) if items else 0
    answers = [
        _item_result(index, item, result, share)
        for index, (item, result) in enumerate(zip(items, results, strict=True))
    ]
    accepted = sum(answer.accepted for answer in answers)
    return BatchAnswer(answers, accepted, len(answers) - accepted, elapsed)


def _item_result(index: int, item: Item, result: Result, share: int) -> ItemResult:
    rejected = result.rejected
    return ItemResult(
        rejected is None,
        index,
        item.communication_number,
        item.account_ext_id,
        item.business_unit,
        None if rejected is None else rejected.code,
        None if rejected is None else rejected.description,
        None if rejected is None else rejected.same_content,
        None if rejected is None else rejected.field,
        share,
        result.entry,
    )
