"""Register a batch of balances: every item is answered, the good ones are kept (AMLYZE: batch-account-balances)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from app.actions.crossings import Crossed, tell_crossings
from app.domain.balances import (
    BatchRules,
    Facts,
    Item,
    NewEntry,
    Position,
    Rejected,
    Verdict,
    form_faults,
    judge,
    steps,
)
from app.domain.callers import Caller
from app.domain.records import Entry, made_of
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

    results: list[Result]
    elapsed_ms: int
    """How long it took, up to its commit."""


async def register_balances(
    store: Store,
    caller: Caller,
    items: Sequence[Item],
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
            return Registered([Result(fault, None) for fault in faults], elapsed_ms())
        facts = await _facts(work, caller, items, faults, locked=True)
        verdicts = await apart(len(items), lambda: judge(items, faults, facts))
        accepted = [verdict for verdict in verdicts if isinstance(verdict, NewEntry)]
        positions = {position.account_id: position for position in facts.accounts.values()}
        added = await record(work, accepted, positions, now=now, by=caller.subject)
        written.update(positions)
        return Registered(await apart(len(items), lambda: _results(verdicts, added)), elapsed_ms())

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
    items: Sequence[Item],
    faults: Sequence[Rejected | None],
    now: datetime,
    elapsed_ms: Callable[[], int],
) -> Registered | None:
    """The same without locks: judged by how the accounts were last seen to stand, and recorded where they still do."""
    default = caller.default_unit
    by_unit = await apart(len(items), lambda: _by_unit(items, faults, default))
    seen = await store.facts_seen(
        caller.units,
        {
            name: ({item.account_ext_id for item in group}, {item.communication_number for item in group})
            for name, group in by_unit.items()
        },
    )
    if seen is None:
        return None
    units, accounts, taken = seen
    verdicts = await apart(len(items), lambda: judge(items, faults, Facts(units, default, accounts, taken)))
    accepted = [verdict for verdict in verdicts if isinstance(verdict, NewEntry)]
    if not accepted:
        return None
    positions = {position.account_id: position for position in accounts.values()}
    async with store.turn(positions):
        added = await record_as_seen(store, accepted, store.seen_again(positions), now=now, by=caller.subject)
    if added is None:
        return None
    return Registered(await apart(len(items), lambda: _results(verdicts, added)), elapsed_ms())


def _by_unit(items: Sequence[Item], faults: Sequence[Rejected | None], default: str | None) -> dict[str, list[Item]]:
    """The items without a fault, by the business unit that each is for."""
    found: dict[str, list[Item]] = {}
    for item, fault in zip(items, faults, strict=True):
        name = item.business_unit if item.business_unit is not None else default
        if fault is None and name is not None:
            found.setdefault(name, []).append(item)
    return found


async def validate_balances(
    store: Store, caller: Caller, items: Sequence[Item], *, now: datetime, rules: BatchRules
) -> list[Result]:
    """The verdicts that registering would give now. Nothing is stored, no number is taken."""
    faults = await apart(len(items), lambda: form_faults(items, rules, now))

    async def act(work: Work) -> list[Result]:
        facts = await _facts(work, caller, items, faults, locked=False)
        verdicts = await apart(len(items), lambda: judge(items, faults, facts))
        return await apart(len(items), lambda: _results(verdicts, None))

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


async def record_as_seen(
    store: Store, accepted: Sequence[NewEntry], positions: Mapping[int, Position], *, now: datetime, by: str
) -> list[Entry] | None:
    """Record entries of accounts as these were seen to stand, in one statement. Answers in the order given.

    None where nothing was recorded and it is to be done under the accounts' locks: one of them stands otherwise by now,
    a threshold is crossed, or the database can't.
    """
    done = await apart(len(accepted), lambda: list(steps(accepted, positions)))
    if any(step.crossings for step in done):
        return None
    entries = [accepted[step.place] for step in done]
    added = await store.record_as_seen(entries, [step.after for step in done], positions, now=now, by=[by])
    if added is None:
        return None
    by_index = {step.place: entry for step, entry in zip(done, added, strict=True) if entry is not None}
    return [by_index[index] for index in range(len(accepted))]


async def _facts(
    work: Work, caller: Caller, items: Sequence[Item], faults: Sequence[Rejected | None], *, locked: bool
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


def _results(verdicts: Sequence[Verdict], added: Sequence[Entry] | None) -> list[Result]:
    entries = iter(added or ())
    results: list[Result] = []
    for verdict in verdicts:
        if isinstance(verdict, NewEntry):
            results.append(made_of(Result, (None, next(entries, None))))
        else:
            # Who holds its number here comes before it.
            held = verdict.entry
            results.append(Result(verdict, results[held].entry if isinstance(held, int) else held))
    return results
