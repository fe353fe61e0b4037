"""Make what accounts refer to: contractors, contacts, invoice templates and divisions."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from app.actions.business_units import named_unit, refuse, unit_for
from app.domain import divisions, texts
from app.domain.accounts import BLANK, MUST_EXIST, TAKEN, text_violations
from app.domain.callers import Caller
from app.domain.ids import Kind, number_of
from app.domain.refusals import UserErrorCode, Violated, Violation
from app.store import tables as t
from app.store.store import Store, Work

EMAIL_MAX = 254
UTC = "UTC"

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")

Given: TypeAlias = Mapping[str, Any]
Made: TypeAlias = int | list[Violation]


async def create_contractor(store: Store, caller: Caller, given: Given) -> Made:
    """A business that accounts belong to: a customer, a vendor, or both (YETI switch: contractor.rb)."""
    customer, vendor = bool(given.get("isCustomer")), bool(given.get("isVendor"))
    external_id = given.get("externalId") or None
    violations = _name_violations(given["name"])
    if external_id is not None:
        violations += text_violations(external_id, "input", "externalId")
    if not customer and not vendor:
        path = ("input", "isCustomer")
        violations.append(Violation(UserErrorCode.REQUIRED, "Must be customer and/or vendor", path, "100"))

    async def act(work: Work, unit_id: int) -> int:
        broken = list(violations)
        if external_id and await work.directory.by_key(t.contractors, unit_id, "external_id", external_id):
            broken.append(Violation(UserErrorCode.TAKEN, TAKEN, ("input", "externalId"), "100"))
        refuse(broken)
        values = {"name": given["name"], "external_id": external_id, "is_customer": customer, "is_vendor": vendor}
        return await work.directory.add(t.contractors, unit_id, values)

    return await _made_in_unit(store, caller, given, violations, act)


async def create_invoice_template(store: Store, caller: Caller, given: Given) -> Made:
    violations = _name_violations(given["name"])

    async def act(work: Work, unit_id: int) -> int:
        refuse(violations)
        return await work.directory.add(t.invoice_templates, unit_id, {"name": given["name"]})

    return await _made_in_unit(store, caller, given, violations, act)


async def create_contact(store: Store, caller: Caller, given: Given) -> Made:
    """Somebody to write to, of a contractor and in its business unit."""
    email, name = given["email"], given.get("name")
    violations = _email_violations(email)
    if name is not None:
        violations += text_violations(name, "input", "name")
    contractor = number_of(Kind.CONTRACTOR, given["contractorId"])

    async def act(work: Work) -> int:
        unit_id = None if contractor is None else await work.directory.unit_of(t.contractors, contractor)
        if unit_id is None:
            refuse([Violation(UserErrorCode.NOT_FOUND, MUST_EXIST, ("input", "contractorId")), *violations])
        refuse(violations)
        assert unit_id is not None
        values = {"contractor_id": contractor, "email": email, "name": name}
        return await work.directory.add(t.contacts, unit_id, values)

    return await _made(store, caller, act)


async def create_division(store: Store, caller: Caller, given: Given) -> Made:
    """A part of a business unit with a time zone of its own (Pismo: corporate/v2/divisions).

    The time zone is its own, else its nearest ancestor's, else UTC; settled now.
    """
    code, timezone, parent_code = given["code"], given.get("timezone"), given.get("parentCode")
    violations = divisions.violations_of(code, given.get("name"), given.get("description"), timezone, parent_code)

    async def act(work: Work, unit_id: int) -> int:
        parent = None
        broken = list(violations)
        if await work.directory.by_key(t.divisions, unit_id, "code", code) is not None:
            broken.append(divisions.code_taken())
        if parent_code is not None:
            parent = await work.directory.by_key(t.divisions, unit_id, "code", parent_code)
            broken += [divisions.parent_not_found()] if parent is None else []
        refuse(broken)
        inherited = UTC if parent is None else await work.directory.value(t.divisions, parent, "timezone")
        values = {
            "code": code,
            "name": given.get("name"),
            "description": given.get("description"),
            "timezone": timezone if timezone is not None else inherited,
            "parent_id": parent,
        }
        return await work.directory.add(t.divisions, unit_id, values)

    return await _made_in_unit(store, caller, given, violations, act)


async def _made_in_unit(
    store: Store,
    caller: Caller,
    given: Given,
    violations: list[Violation],
    act: Callable[[Work, int], Awaitable[int]],
) -> Made:
    """Make something in the unit that an input names; the unit comes into being with it.

    `act` refuses the violations, together with what it finds in the store.
    """
    unit, broken = named_unit(caller, given.get("businessUnit"))

    async def in_unit(work: Work) -> int:
        if unit is None:
            raise Violated([*broken, *violations])
        return await act(work, await unit_for(work, unit))

    return await _made(store, caller, in_unit)


async def _made(store: Store, caller: Caller, act: Callable[[Work], Awaitable[int]]) -> Made:
    try:
        return await store.work(caller.units, act)
    except Violated as violated:
        return list(violated.violations)


def _name_violations(name: str) -> list[Violation]:
    if texts.blank(name):
        return [Violation(UserErrorCode.REQUIRED, BLANK, ("input", "name"), "100")]
    return list(text_violations(name, "input", "name"))


def _email_violations(email: str) -> list[Violation]:
    path = ("input", "email")
    if texts.blank(email):
        return [Violation(UserErrorCode.REQUIRED, BLANK, path)]
    if len(email) > EMAIL_MAX:
        return [Violation(UserErrorCode.TOO_LONG, f"is too long (maximum is {EMAIL_MAX} characters)", path)]
    if _EMAIL.fullmatch(email) is None or not texts.allowed(email):
        return [Violation(UserErrorCode.INVALID, "is not an e-mail address", path)]
    return []
