"""Change an account (YETI switch: PATCH /api/rest/admin/accounts/:id): absent stays, null clears."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.actions.business_units import refuse
from app.actions.create_account import CONTACT_LISTS, THRESHOLDS, references_of, taken_violations
from app.domain.accounts import BLANK, MUST_EXIST, NOT_CLEARED, Thresholds, rule, violations_of
from app.domain.callers import Caller
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
        standing = await _standing(work, number, would_be) if changes.keys() & set(THRESHOLDS) else {}
        if changes:
            await work.accounts.change(number, {**columns, **references, "updated_at": now}, standing)
        return number

    try:
        return await store.work(caller.units, act)
    except Violated as violated:
        return list(violated.violations)


async def _standing(work: Work, number: int, would_be: Mapping[str, Any]) -> dict[str, Any]:
    """Thresholds as they would be, and where the balance stands to them; an account without an entry stands nowhere."""
    position = (await work.accounts.positions([number]))[number]
    thresholds = Thresholds(*(would_be[name] for name in THRESHOLDS))
    state = ThresholdState.NONE if position.entry_id is None else thresholds.state_of(position.balance)
    return standing_of(thresholds.low, thresholds.high, state)
