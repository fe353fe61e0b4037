"""Change an account (YETI switch: PATCH /api/rest/admin/accounts/:id): absent stays, null clears."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.actions.business_units import refuse
from app.actions.close_cycle import changed_division
from app.actions.create_account import CONTACT_LISTS, THRESHOLDS, references_of, taken_violations
from app.actions.crossings import Crossed, tell_crossings
from app.domain.accounts import BLANK, MUST_EXIST, NOT_CLEARED, Thresholds, rule, violations_of
from app.domain.balances import Position
from app.domain.callers import Caller
from app.domain.events import crossings
from app.domain.ids import Kind, number_of
from app.domain.records import Account, ThresholdState
from app.domain.refusals import UserErrorCode, Violated, Violation
from app.store.accounts import standing_of
from app.store.sources import ACCOUNTS
from app.store.store import Store, Work

_REFERRED = {"contractor_id", "invoice_template_id", "division_code", *CONTACT_LISTS}


async def update_account(
    store: Store, caller: Caller, id: str, given: Mapping[str, Any], *, now: datetime
) -> int | list[Violation]:
    """The account's number, or every rule that the account would break; then nothing was changed."""
    number = number_of(Kind.ACCOUNT, id)
    unknown = Violation(UserErrorCode.NOT_FOUND, MUST_EXIST, ("id",))
    changes = dict(given)
    if "external_id" in changes:
        changes["external_id"] = changes["external_id"] or None

    async def act(work: Work) -> int:
        if number is None or not await work.accounts.hold(number):
            raise Violated([unknown])
        account: Account = (await work.reads.by_ids(ACCOUNTS, [number]))[number]
        unit_id = (await work.directory.unit_ids([account.business_unit]))[account.business_unit]
        would_be = {**account._asdict(), **changes}
        violations = violations_of(would_be)
        if "contractor_id" in changes and changes["contractor_id"] is None:
            violations.append(rule(UserErrorCode.REQUIRED, BLANK, NOT_CLEARED["contractor_id"]))
        references, broken = await references_of(work, unit_id, changes, required=False)
        violations += broken
        violations += await taken_violations(work, unit_id, changes, number)
        refuse(violations)
        columns = {name: value for name, value in changes.items() if name not in (*_REFERRED, *THRESHOLDS)}
        if not changes:
            return number
        # The position is locked whatever changes: entries are told with what stands on it.
        position = (await work.accounts.positions([number]))[number]
        if "division_id" in references and references["division_id"] != position.division_id:
            references |= await changed_division(work, position, account.created_at, references["division_id"])
        after: ThresholdState = position.state
        standing: dict[str, Any] = {}
        if changes.keys() & set(THRESHOLDS):
            after, standing = _standing(position, would_be)
        await work.accounts.change(number, {**columns, **references, "updated_at": now}, standing)
        told = crossings(position.state, after)
        places = await work.log.numbers(len(told)) if told else ()
        crossed = [Crossed(type_, number, position.balance, at) for type_, at in zip(told, places, strict=True)]
        await tell_crossings(work, crossed, now=now)
        return number

    try:
        return await store.work(caller.units, act)
    except Violated as violated:
        return list(violated.violations)


def _standing(position: Position, would_be: Mapping[str, Any]) -> tuple[ThresholdState, dict[str, Any]]:
    """Thresholds as they would be, and where the balance stands to them; an account without an entry stands nowhere."""
    thresholds = Thresholds(*(would_be[name] for name in THRESHOLDS))
    state = ThresholdState.NONE if position.entry_id is None else thresholds.state_of(position.balance)
    return state, standing_of(thresholds.low, thresholds.high, state)
