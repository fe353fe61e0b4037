"""Balances: what is reported, which of it is accepted, and what becomes current.

Sources: AMLYZE, batch-account-balances (the item rules and their codes); 24SevenOffice, bankaccounts/{id}/balances (the
latest by moment is current); YETI switch (thresholds).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import repeat
from typing import NamedTuple

from app.domain import money, texts
from app.domain.accounts import Thresholds
from app.domain.columns import Columns, made_of
from app.domain.events import EventType, crossings
from app.domain.records import Entry, ThresholdState

COMMUNICATION_NUMBER_MAX = 255
REQUESTER_MAX = 100
TEXT_MAX = 255


class Item(NamedTuple):
    """One balance of a batch, as it was sent."""

    account_ext_id: str
    communication_number: str
    requester: str
    value: Decimal
    balance_at: datetime | None
    balance_type: str | None
    business_unit: str | None
    equivalent_value: Decimal | None
    moment_key: str = "balanceAt"
    """The key under which the moment was sent: balanceAt, or the older updateAt."""


class Position(NamedTuple):
    """Where an account stands: all that decides what another entry does to it. Read under the account's lock."""

    account_id: int
    unit_id: int
    currency: str
    balance: Decimal
    entry_id: int | None
    at: datetime | None
    thresholds: Thresholds
    state: ThresholdState
    external_id: str | None = None
    division_id: int | None = None


class NewEntry(NamedTuple):
    """A balance that is accepted and not yet stored."""

    account_id: int
    unit_id: int
    at: datetime
    amount: Decimal
    currency: str
    balance_type: str | None = None
    equivalent_value: Decimal | None = None
    communication_number: str | None = None
    requester: str | None = None


class Rejected(NamedTuple):
    """An item that is not stored, and the first reason that applies."""

    code: str
    description: str
    field: str
    entry: Entry | int | None = None
    """With O005 the entry that holds the number; an int: the index in this batch of the item that does."""
    same_content: bool | None = None


class BatchRules(NamedTuple):
    """What a gateway is set to accept."""

    balance_types: frozenset[str] | None
    """None: any text."""
    ahead_max: timedelta
    """How far in the future a balance may be."""


class Facts(NamedTuple):
    """What judging a batch needs to know of the store."""

    units: Mapping[str, int]
    """Ids of the business units that exist for the caller, by name."""
    default_unit: str | None
    accounts: Mapping[tuple[int, str], Position]
    """Positions by business unit and external id."""
    taken: Mapping[tuple[int, str], Entry]
    """Entries by business unit and communication number."""


def form_faults(items: Columns[Item], rules: BatchRules, now: datetime) -> list[Rejected | None]:
    """What is wrong with each item by itself."""
    if items and _are_plain(items, rules, now):
        return [None] * len(items)
    return [form_fault(item, rules, now) for item in items]


def form_fault(item: Item, rules: BatchRules, now: datetime) -> Rejected | None:
    """What is wrong with an item by itself: O001, G001, G002, G005 or G003, in this order."""
    return (
        _missing(item) or _unfit_text(item) or _unfit_amount(item) or _too_early(item, rules, now) or _type(item, rules)
    )


def _are_plain(items: Columns[Item], rules: BatchRules, now: datetime) -> bool:
    """Whether nothing is wrong with any item, seen at once: most batches are so.

    False only says that each is to be looked at by itself.
    """
    accounts, numbers, requesters, values, moments, kinds, units, equivalents, _ = items.columns
    if None in moments or not (all(accounts) and all(numbers) and all(requesters)):
        return False
    # Few are the requesters, kinds and units of many items.
    named = [*accounts, *numbers, *set(requesters)]
    of_kinds = {*kinds} - {None}
    texts_of_all = [*named, *of_kinds, *({*units} - {None})]
    # Whoever is within the shortest limit is within each; what is blank begins with a space, or is not allowed.
    joined = "".join(texts_of_all)
    if max(map(len, texts_of_all)) > REQUESTER_MAX or (" " in joined and any(text[0] == " " for text in named)):
        return False
    if not texts.allowed(joined) or is_too_far_ahead(max(moments), now, rules.ahead_max):
        return False
    if rules.balance_types is not None and not rules.balance_types.issuperset(of_kinds):
        return False
    return money.are_sound([*values, *[value for value in equivalents if value is not None]])


def _missing(item: Item) -> Rejected | None:
    for field, text in (
        ("accountExtId", item.account_ext_id),
        ("communicationNumber", item.communication_number),
        ("requester", item.requester),
    ):
        if texts.blank(text):
            return Rejected("O001", f"{field} is mandatory", field)
    if item.balance_at is None:
        return Rejected("O001", "balanceAt is mandatory", "balanceAt")
    return None


def _unfit_text(item: Item) -> Rejected | None:
    for field, text, longest in (
        ("accountExtId", item.account_ext_id, TEXT_MAX),
        ("communicationNumber", item.communication_number, COMMUNICATION_NUMBER_MAX),
        ("requester", item.requester, REQUESTER_MAX),
        ("balanceType", item.balance_type, TEXT_MAX),
        ("businessUnit", item.business_unit, TEXT_MAX),
    ):
        if text is None:
            continue
        if len(text) > longest:
            return Rejected("G001", f"{field} must be a maximum of {longest} characters in length", field)
        if not texts.allowed(text):
            return Rejected("G001", f"{field} has characters that are not allowed", field)
    return None


def _unfit_amount(item: Item) -> Rejected | None:
    for field, number in (("value", item.value), ("equivalentValue", item.equivalent_value)):
        fault = None if number is None else money.fault(number)
        if fault is not None:
            return Rejected("G002", f"{field} {fault.value}", field)
    return None


def _too_early(item: Item, rules: BatchRules, now: datetime) -> Rejected | None:
    assert item.balance_at is not None
    if is_too_far_ahead(item.balance_at, now, rules.ahead_max):
        return Rejected("G005", f"{item.moment_key} is too far in the future", item.moment_key)
    return None


def is_too_far_ahead(moment: datetime, now: datetime, ahead_max: timedelta) -> bool:
    return moment - now > ahead_max


def _type(item: Item, rules: BatchRules) -> Rejected | None:
    if rules.balance_types is None or item.balance_type is None or item.balance_type in rules.balance_types:
        return None
    return Rejected("G003", "Given balanceType does not exist", "balanceType")


_NONE = 0
"""The id of no unit and no account."""
NO_UNIT = Rejected("G004", "Business unit does not exist", "businessUnit")
NO_ACCOUNT = Rejected("404", "Account with given extId does not exist", "accountExtId")


class Judged(NamedTuple):
    """The items of a batch, each as the entry that it would be."""

    entries: Columns[NewEntry]
    positions: list[Position | None]
    """Where the account of each stands; None where there is none."""
    rejected: list[Rejected | None]
    """Why each is not stored; None: it is."""

    @property
    def accepted(self) -> Columns[NewEntry]:
        """The entries that are stored."""
        return self.entries.those([why is None for why in self.rejected])


def judge(items: Columns[Item], faults: Sequence[Rejected | None], facts: Facts) -> Judged:
    """What becomes of each item; the first reason that applies wins. `faults` are the items' form faults."""
    judged = placed(items, faults, facts)
    return judged._replace(rejected=refuse_taken(judged, refuse_repeats(judged), facts.taken))


def placed(items: Columns[Item], faults: Sequence[Rejected | None], facts: Facts) -> Judged:
    """Each item by its account, whoever holds its number."""
    external_ids, numbers, requesters, values, moments, kinds, _, equivalents, _ = items.columns
    unit_ids = list(map(facts.units.get, unit_names(items, facts.default_unit), repeat(_NONE)))
    positions = list(map(facts.accounts.get, zip(unit_ids, external_ids, strict=True)))
    account_ids = [_NONE if position is None else position.account_id for position in positions]
    currencies = ["" if position is None else position.currency for position in positions]
    entries = Columns(
        NewEntry, [account_ids, unit_ids, moments, values, currencies, kinds, equivalents, numbers, requesters]
    )
    rejected = list(faults)
    if None in positions:
        for place, position in enumerate(positions):
            if position is None and rejected[place] is None:
                rejected[place] = NO_UNIT if unit_ids[place] == _NONE else NO_ACCOUNT
    return Judged(entries, positions, rejected)


def unit_names(items: Columns[Item], default: str | None) -> list[str]:
    """Which business unit each item is for; "", which none is called, where that is not said."""
    otherwise = default or ""
    return [otherwise if unit is None else unit for unit in items.column("business_unit")]


def refuse_repeats(judged: Judged) -> list[Rejected | None]:
    """Why each is not stored, where of those with one number only the first one is."""
    told = list(judged.rejected)
    places, names = _named(judged)
    firsts = dict(zip(reversed(names), reversed(places), strict=True))  # Of equal ones the first is kept: it is last.
    if len(firsts) == len(names):
        return told
    entries = judged.entries
    for place, first in zip(places, map(firsts.__getitem__, names), strict=True):
        if first != place:
            told[place] = _used(entries[place], entries[first], first)
    return told


def refuse_taken(
    judged: Judged, rejected: Sequence[Rejected | None], taken: Mapping[tuple[int, str], Entry]
) -> list[Rejected | None]:
    """Why each is not stored, where the store holds numbers of some; what holds it there goes before one of these.

    rejected: why each is not, but for that. A number that a rejected item named is not taken.
    """
    told = list(rejected)
    if not taken:
        return told
    for place, name in zip(*_named(judged), strict=True):
        if name in taken:
            told[place] = _used(judged.entries[place], taken[name], taken[name])
    return told


def _named(judged: Judged) -> tuple[Sequence[int], list[tuple[int, str]]]:
    """The places of items that nothing else speaks against, and the business unit and number of each."""
    entries, rejected = judged.entries, judged.rejected
    names = numbers_of(entries)
    if not any(rejected):
        return range(len(names)), names
    places = [place for place, why in enumerate(rejected) if why is None]
    return places, [names[place] for place in places]


def numbers_of(entries: Columns[NewEntry]) -> list[tuple[int, str]]:
    """The business unit and the communication number of each of many items' entries."""
    return list(zip(entries.column("unit_id"), entries.column("communication_number"), strict=True))


def _used(entry: NewEntry, holder: Entry | NewEntry, told: Entry | int) -> Rejected:
    held_at = holder.timestamp if isinstance(holder, Entry) else holder.at
    same = (
        entry.account_id == holder.account_id
        and entry.at == held_at
        and entry.amount == holder.amount
        and entry.balance_type == holder.balance_type
        and entry.equivalent_value == holder.equivalent_value
    )
    return Rejected("O005", "CommunicationNumber already used", "communicationNumber", told, same)


def moved(position: Position, entry: NewEntry, entry_id: int) -> Position | None:
    """Where the account stands after an entry; None where the entry does not become current.

    Current is the entry with the latest moment in the account's currency, and of equal moments the last recorded.
    """
    if entry.currency != position.currency or (position.at is not None and entry.at < position.at):
        return None
    account_id, unit_id, currency, _, _, _, thresholds, _, external_id, division_id = position
    amount, state = entry.amount, thresholds.state_of(entry.amount)
    after = (account_id, unit_id, currency, amount, entry_id, entry.at, thresholds, state, external_id, division_id)
    return made_of(Position, after)


class Step(NamedTuple):
    """One entry of several, in the order in which they count, and what it does to its account."""

    place: int
    """Where it stands among those given."""
    before: Position
    after: Position | None
    """None where the entry does not become current. Its entry has no number yet."""
    crossings: tuple[EventType, ...]


def steps(entries: Sequence[NewEntry], positions: Mapping[int, Position]) -> Iterator[Step]:
    """What entries do to their accounts one after another: by moment, then as given."""
    standing = dict(positions)
    for index in in_order_of_moments(entries):
        entry = entries[index]
        before = standing[entry.account_id]
        after = moved(before, entry, UNNUMBERED)
        if after is not None:
            standing[entry.account_id] = after
        told = () if after is None or after.state is before.state else crossings(before.state, after.state)
        yield made_of(Step, (index, before, after, told))


UNNUMBERED = 0


def in_order_of_moments(entries: Sequence[NewEntry]) -> Iterator[int]:
    """Indexes of entries in the order in which they count: by moment, then as given."""
    yield from sorted(range(len(entries)), key=[entry.at for entry in entries].__getitem__)
