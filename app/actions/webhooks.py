"""Tell addresses of events, or no more."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.actions.business_units import named_unit, refuse
from app.deliveries.webhooks import new_secret, url_fault
from app.domain.accounts import BLANK, MUST_EXIST
from app.domain.callers import Caller
from app.domain.events import EventType
from app.domain.ids import Kind, number_of
from app.domain.refusals import UserErrorCode, Violated, Violation
from app.store.store import Store, Work

URL_MAX = 2048


async def create_webhook(
    store: Store, caller: Caller, given: Mapping[str, Any], *, now: datetime, allow_private: bool
) -> tuple[int, str] | list[Violation]:
    """The new webhook's number and its secret, which is told this once; or every rule that was broken.

    It is told of what happens from now on in its business unit.
    """
    unit, violations = named_unit(caller, given.get("businessUnit"))
    violations += _url_violations(given["url"], allow_private=allow_private)
    types, broken = _types(given.get("eventTypes"))
    violations += broken

    async def act(work: Work) -> tuple[int, str]:
        unit_id = None if unit is None else (await work.directory.unit_ids([unit])).get(unit)
        if unit is not None and unit_id is None:
            violation = Violation(UserErrorCode.NOT_FOUND, MUST_EXIST, ("input", "businessUnit"))
            refuse([violation, *violations])
        refuse(violations)
        assert unit_id is not None
        # A number of its own: everything recorded before is numbered lower, and whatever comes is numbered higher.
        (position,) = await work.log.numbers(1)
        secret = new_secret()
        number = await work.receivers.add_webhook(unit_id, given["url"], secret, types, now=now, position=position)
        return number, secret

    try:
        return await store.work(caller.units, act)
    except Violated as violated:
        return list(violated.violations)


async def delete_webhook(store: Store, caller: Caller, id: str) -> list[Violation]:
    """Forget a webhook and what waits for it; why not, where there is none."""
    number = number_of(Kind.WEBHOOK, id)

    async def act(work: Work) -> bool:
        return number is not None and await work.receivers.remove(number)

    if await store.work(caller.units, act):
        return []
    return [Violation(UserErrorCode.NOT_FOUND, MUST_EXIST, ("id",))]


def _url_violations(url: str, *, allow_private: bool) -> list[Violation]:
    path = ("input", "url")
    if not url.strip():
        return [Violation(UserErrorCode.REQUIRED, BLANK, path)]
    if len(url) > URL_MAX:
        return [Violation(UserErrorCode.TOO_LONG, f"is too long (maximum is {URL_MAX} characters)", path)]
    fault = url_fault(url, allow_private=allow_private)
    return [] if fault is None else [Violation(UserErrorCode.INVALID, fault, path)]


def _types(given: Sequence[str] | None) -> tuple[list[EventType] | None, list[Violation]]:
    path = ("input", "eventTypes")
    if given is None:
        return None, []
    if not given:
        return None, [Violation(UserErrorCode.REQUIRED, "name at least one event type, or leave it out for all", path)]
    known = set(EventType)
    unknown = [name for name in given if name not in known]
    violations = [Violation(UserErrorCode.INVALID, f"{name[:100]} is no event type", path) for name in unknown]
    return sorted({EventType(name) for name in given if name in known}), violations
