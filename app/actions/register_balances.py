"""Register a batch of balances: every item is answered, the good ones are kept (AMLYZE: batch-account-balances)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from app.actions.crossings import Crossed, tell_crossings
from app.domain.balances import (
    NO_ACCOUNT,
    BatchRules,
    Facts,
    Item,
    Judged,
    NewEntry,
    Position,
    Rejected,
    form_faults,
    judge,
    placed,
    refuse_repeats,
    refuse_taken,
    steps,
    unit_names,
)
from app.domain.callers import Caller
from app.domain.columns import Columns, Later
from app.domain.records import Entry
from app.store.balances import Numbered
from app.store.store import Store, Work
from app.threads import apart


class Result(NamedTuple):
    """The answer to one item."""

    rejected: Rejected | None
    entry: Entry | None
    """The recorded entry; with O005 the one that holds the number; None where nothing is stored."""


class Registered(NamedTuple):
    """The answer to a batch, one result for each item, in order."""

    results: Columns[Result]
    elapsed_ms: int
    """How long it took, up to its commit."""


async def register_balances(
    store: Store,
    caller: Caller,
    items: Columns[Item],
    *,
    now: datetime,
    rules: BatchRules,
    elapsed_ms: Callable[[], int],
) -> Registered:
    """All accepted items of a batch are stored in one transaction, or none. `elapsed_ms` tells how long it takes."""
    faults = await apart(len(items), lambda: form_faults(items, rules, now))
    written: set[int] = set()

    async def act(work: Work) -> Registered:
        if all(faults):
            return Registered(_results(faults, ()), elapsed_ms())
        facts = await _facts(work, caller, items, faults, locked=True)
        judged = await apart(len(items), lambda: judge(items, faults, facts))
        accepted = list(judged.accepted)
        positions = {position.account_id: position for position in facts.accounts.values()}
        added = await record(work, accepted, positions, now=now, by=caller.subject)
        written.update(positions)
        return Registered(_results(judged.rejected, added), elapsed_ms())

    if not all(faults):
        registered = await _as_seen(store, caller, items, faults, now, elapsed_ms)
        if registered is not None:
            return registered
    try:
        return await store.work(caller.units, act)
    finally:
        store.unsee(written)


async def _as_seen(
    store: Store,
    caller: Caller,
    items: Columns[Item],
    faults: Sequence[Rejected | None],
    now: datetime,
    elapsed_ms: Callable[[], int],
) -> Registered | None:
    """The same in one statement: who the accounts are was seen before, where they stand the statement looks itself.
    It also finds which numbers are taken; whose they are is asked after it.

    None where nothing was recorded and it is to be done by a work: an account is called otherwise by now, a threshold
    is crossed, or the database can't.
    """
    if not store.records_as_seen:
        return None
    size, default = len(items), caller.default_unit
    names = await apart(size, lambda: set(unit_names(items, default)))
    facts = Facts(await store.units_seen(caller.units, names), default, store.accounts_seen, {})
    seen = await apart(size, lambda: placed(items, faults, facts))
    if None in seen.positions and (unseen := _without_account(items, seen, facts)):
        # By what was found now and then: what is remembered may be forgotten meanwhile.
        then = {(each.unit_id, each.external_id or ""): each for each in seen.positions if each is not None}
        now_found = facts._replace(accounts={**then, **await store.see_external(unseen)})
        seen = await apart(size, lambda: placed(items, faults, now_found))
    judged = seen._replace(rejected=await apart(size, lambda: refuse_repeats(seen)))
    accepted = judged.accepted
    if not accepted:
        return None
    accounts = {position.account_id: position for position in seen.positions if position is not None}
    async with store.turn(accounts):
        done = await store.record_batch(accepted, accounts, now=now, by=caller.subject)
    if done is None:
        return None
    added, holders = done
    rejected = await apart(size, lambda: refuse_taken(seen, judged.rejected, holders))
    return Registered(_results(rejected, added), elapsed_ms())


def _without_account(items: Columns[Item], seen: Judged, facts: Facts) -> set[tuple[int, str]]:
    """The business units and external ids of items whose account is not known to exist."""
    rows = zip(seen.rejected, unit_names(items, facts.default_unit), items.column("account_ext_id"), strict=True)
    return {(facts.units[name], external_id) for why, name, external_id in rows if why is NO_ACCOUNT}


async def validate_balances(
    store: Store, caller: Caller, items: Columns[Item], *, now: datetime, rules: BatchRules
) -> Columns[Result]:
    """The verdicts that registering would give now. Nothing is stored, no number is taken."""
    faults = await apart(len(items), lambda: form_faults(items, rules, now))

    async def act(work: Work) -> Columns[Result]:
        facts = await _facts(work, caller, items, faults, locked=False)
        judged = await apart(len(items), lambda: judge(items, faults, facts))
        return _results(judged.rejected, ())

    return await store.work(caller.units, act)


async def record(
    work: Work, accepted: Sequence[NewEntry], positions: Mapping[int, Position], *, now: datetime, by: str
) -> list[Entry]:
    """Store entries, move their accounts, whose positions this transaction holds, and tell which thresholds they cross.

    Entries that become current one after another each count, in order of moment, then as given. Answers in the order
    given.
    """
    if not accepted:
        return []
    done = await apart(len(accepted), lambda: list(steps(accepted, positions)))
    places = iter(await work.log.numbers(sum(1 + len(step.crossings) for step in done)))
    numbered: list[Numbered] = []
    crossed: list[Crossed] = []
    after: dict[int, Position] = {}
    for index, before, position, crossings in done:
        entry, number = accepted[index], next(places)
        numbered.append(Numbered(number, entry, before, position is not None))
        crossed += [Crossed(type_, entry.account_id, entry.amount, next(places)) for type_ in crossings]
        if position is not None:
            after[entry.account_id] = position._replace(entry_id=number)
    added = await work.balances.add(numbered, now=now, by=by)
    await work.accounts.move(list(after.values()))
    await tell_crossings(work, crossed, now=now)
    by_index = {step.place: entry for step, entry in zip(done, added, strict=True)}
    return [by_index[index] for index in range(len(accepted))]


async def _facts(
    work: Work, caller: Caller, items: Columns[Item], faults: Sequence[Rejected | None], *, locked: bool
) -> Facts:
    default = caller.default_unit
    by_unit = await apart(len(items), lambda: _by_unit(items, faults, default))
    units = await work.directory.unit_ids(by_unit)
    accounts: dict[tuple[int, str], Position] = {}
    taken: dict[tuple[int, str], Entry] = {}
    reading = work.accounts.positions_by_external_id if locked else work.accounts.positions_unlocked
    for name, unit_id in sorted(units.items(), key=lambda unit: unit[1]):
        found = await reading(unit_id, {item.account_ext_id for item in by_unit[name]})
        accounts |= {(unit_id, external_id): position for external_id, position in found.items()}
    for name, unit_id in units.items():
        holders = await work.balances.holders(unit_id, {item.communication_number for item in by_unit[name]})
        taken |= {(unit_id, number): entry for number, entry in holders.items()}
    return Facts(units, default, accounts, taken)


def _by_unit(items: Columns[Item], faults: Sequence[Rejected | None], default: str | None) -> dict[str, list[Item]]:
    """The items without a fault, by the business unit that each is for."""
    found: dict[str, list[Item]] = {}
    for item, fault, name in zip(items, faults, unit_names(items, default), strict=True):
        if fault is None:
            found.setdefault(name, []).append(item)
    return found


def _results(rejected: Sequence[Rejected | None], added: Sequence[Entry | None]) -> Columns[Result]:
    """The answers to items. Those that are stored are `added`, in their order; None and what is missing is not."""
    return Columns(Result, [rejected, Later(len(rejected), lambda: _entries(rejected, added))])


def _entries(rejected: Sequence[Rejected | None], added: Sequence[Entry | None]) -> list[Entry | None]:
    kept = iter([entry for entry in added if entry is not None])
    found: list[Any] = [next(kept, None) if why is None else why.entry for why in rejected]
    # Who holds its number here comes before it.
    for place in [place for place, entry in enumerate(found) if type(entry) is int]:
        found[place] = found[found[place]]
    return found
