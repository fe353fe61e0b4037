"""What can be listed and looked up: each source's tables, its record, and the fields that narrow and order it.

A source is a declaration. Pages, look-ups, counts and totals are made from it (app.store.reads), so a new column is one
line here and one in the record.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Alias, ClauseElement, ColumnClause, ColumnElement, FromClause, Select, Table, func, select
from sqlalchemy.sql.selectable import NamedFromClause
from sqlalchemy.sql.visitors import iterate

from app.domain import histories
from app.domain import records as r
from app.store import tables as t


class Field(NamedTuple):
    """A field that lists are narrowed and ordered by."""

    column: ColumnElement[Any]
    folded: ColumnElement[Any] | None = None
    """The casefolded copy, for the operators that ignore letter case."""
    through: Select[Any] | None = None
    """Where the value stands in another table: its ids, to be narrowed by `column`; `link` is the way there."""
    link: ColumnElement[Any] | None = None


class Join(NamedTuple):
    """A table beside the view's own: each of its rows has exactly one there, so a join changes no count."""

    table: FromClause
    on: ColumnElement[bool]


class View(NamedTuple):
    """One reading of a source, with names of its own in a statement."""

    own: FromClause
    joins: Sequence[Join]
    id: ColumnElement[int]
    unit_id: ColumnElement[int]
    columns: Mapping[str, ColumnElement[Any]]
    """The record's fields, in its order."""
    fields: Mapping[str, Field]
    links: Mapping[str, ColumnElement[Any]]
    """Columns by which rows belong to a parent, such as account_id."""
    ties: Mapping[str, ColumnElement[int]] = MappingProxyType({})
    """For fields that stand in a joined table: that table's name for the id, so that its index serves the order."""

    joined_unit_id: ColumnElement[int] | None = None
    """The business unit in the joined table of `ties`, first in its indexes."""
    only: ColumnElement[bool] | None = None
    """Which rows of the tables are of the source; None: all."""
    joined_fields: frozenset[str] = frozenset()
    """The fields that stand in that table."""

    @property
    def tables(self) -> FromClause:
        """All that the view reads."""
        return self._with(self.joins)

    def needs_of(self, used: Iterable[ClauseElement]) -> frozenset[int]:
        """Which of the joins some expressions need, by their places."""
        named = {id(part.table) for each in used for part in iterate(each) if isinstance(part, ColumnClause)}
        return frozenset(place for place, join in enumerate(self.joins) if id(join.table) in named)

    def joined(self, needs: Collection[int]) -> FromClause:
        """The tables with those of the joins that are needed."""
        return self._with(self._joins_at(needs))

    def through_units(self, needs: Collection[int], every: FromClause) -> FromClause:
        """The same, gone through unit by unit: by those whose names are read anyway, else by `every`."""
        joins = self._joins_at(needs)
        for join in joins:
            if isinstance(join.table, Alias) and join.table.element is t.units:
                return join.table.join(self._with([each for each in joins if each is not join]), join.on)
        return every.join(self._with(joins), self.unit_id == every.c.id)

    def _joins_at(self, places: Collection[int]) -> list[Join]:
        return [join for place, join in enumerate(self.joins) if place in places]

    def _with(self, joins: Sequence[Join]) -> FromClause:
        tables = self.own
        for join in joins:
            tables = tables.join(join.table, join.on)
        return tables

    def walks_joined(self, narrowed: Collection[str], ordered: str) -> bool:
        """Whether a page is walked by an index of the joined table: one that narrows or orders it."""
        asked = set(narrowed) & self.fields.keys() or {ordered}
        return self.joined_unit_id is not None and asked <= self.joined_fields

    def walked_unit_id(self, *, joined: bool) -> ColumnElement[int]:
        """The unit column to walk a page by."""
        return self.joined_unit_id if joined and self.joined_unit_id is not None else self.unit_id

    def tie(self, field: str) -> ColumnElement[int]:
        """The id that breaks ties where rows are ordered by a field."""
        return self.ties.get(field, self.id)


Naming = Callable[[Table], NamedFromClause]
"""Names a table for one reading of it."""


def _anew(table: Table) -> NamedFromClause:
    """A name that no other reading in the statement has."""
    return table.alias()


def newest_of_kind(kinds: FromClause, entries: FromClause) -> Select[tuple[int]]:
    """The entries of a row's account, currency and type, newest first: of one kind's balances the first is current."""
    same_type = entries.c.balance_type.is_not_distinct_from(kinds.c.balance_type)
    of_kind = [entries.c.account_id == kinds.c.account_id, entries.c.currency == kinds.c.currency, same_type]
    ordered = select(entries.c.id).where(*of_kind).order_by(entries.c.at.desc(), entries.c.id.desc())
    return ordered.correlate(kinds)


class Viewing(Protocol):
    """Makes a reading of a source, its tables named."""

    def __call__(self, named: Naming = ...) -> View: ...


class Source(NamedTuple):
    """Something remembered, as it is read."""

    name: str
    record: type[Any]
    view: Viewing
    folded_first: frozenset[str] = frozenset()
    """The fields whose index begins with the folded copy, so that an exact comparison names that too."""
    unindexed: frozenset[str] = frozenset()
    """The fields that lists are ordered by without an index: all rows are looked at, once for all business units."""


def _columns(record: type[Any], table: Any, **others: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
    return {name: others[name] if name in others else table[name] for name in record._fields}


def _unit_name(table: FromClause, named: Naming) -> tuple[Join, ColumnElement[str], Field]:
    """The name of a row's business unit: its table, its column, and the field that narrows by it."""
    units, narrowing = named(t.units), named(t.units)
    field = Field(narrowing.c.name, narrowing.c.name_folded, through=select(narrowing.c.id), link=table.c.unit_id)
    return Join(units, units.c.id == table.c.unit_id), units.c.name, field


def _accounts(named: Naming = _anew) -> View:
    a, p, d = named(t.accounts), named(t.positions), named(t.divisions)
    joined, unit, unit_field = _unit_name(a, named)
    columns = _columns(
        r.Account,
        a.c,
        business_unit=unit,
        balance=p.c.balance,
        current_entry_id=p.c.entry_id,
        balance_low_threshold=p.c.low_threshold,
        balance_high_threshold=p.c.high_threshold,
        threshold_state=p.c.threshold_state,
    )
    plain = (
        "id uuid contractor_id balance min_balance max_balance balance_low_threshold balance_high_threshold vat "
        "threshold_state created_at updated_at"
    )
    fields = {name: Field(columns[name]) for name in plain.split()} | {
        "name": Field(a.c.name, a.c.name_folded),
        "external_id": Field(a.c.external_id, a.c.external_id_folded),
        "business_unit": unit_field,
        "division_code": Field(d.c.code, func.lower(d.c.code), through=select(d.c.id), link=a.c.division_id),
        "currency": Field(a.c.currency, func.lower(a.c.currency)),
        "timezone": Field(a.c.timezone, func.lower(a.c.timezone)),
    }
    links = {name: a.c[name] for name in ("unit_id", "division_id", "contractor_id")}
    return View(
        a,
        [joined, Join(p, p.c.account_id == a.c.id)],
        a.c.id,
        a.c.unit_id,
        columns,
        fields,
        links,
        ties={"balance": p.c.account_id},
        joined_unit_id=p.c.unit_id,
        joined_fields=frozenset({"balance", "threshold_state"}),
    )


def _entries(named: Naming = _anew) -> View:
    e = named(t.entries)
    fields = {
        "id": Field(e.c.id),
        "account_id": Field(e.c.account_id),
        "timestamp": Field(e.c.at),
        "recorded_at": Field(e.c.recorded_at),
        "amount": Field(e.c.amount),
        "currency": Field(e.c.currency, func.lower(e.c.currency)),
        "balance_type": Field(e.c.balance_type, func.coalesce(e.c.balance_type_folded, e.c.balance_type)),
        "communication_number": Field(e.c.communication_number, e.c.communication_number_folded),
        "requester": Field(e.c.requester, func.coalesce(e.c.requester_folded, e.c.requester)),
    }
    links = {name: e.c[name] for name in ("unit_id", "account_id")}
    return View(e, [], e.c.id, e.c.unit_id, _columns(r.Entry, e.c, timestamp=e.c.at), fields, links)


def _contractors(named: Naming = _anew) -> View:
    c = named(t.contractors)
    joined, unit, unit_field = _unit_name(c, named)
    fields = {
        "id": Field(c.c.id),
        "name": Field(c.c.name, c.c.name_folded),
        "external_id": Field(c.c.external_id, c.c.external_id_folded),
        "business_unit": unit_field,
    }
    columns = _columns(r.Contractor, c.c, business_unit=unit)
    return View(c, [joined], c.c.id, c.c.unit_id, columns, fields, {"unit_id": c.c.unit_id})


def _divisions(named: Naming = _anew) -> View:
    d = named(t.divisions)
    joined, unit, unit_field = _unit_name(d, named)
    fields = {
        "id": Field(d.c.id),
        "code": Field(d.c.code, func.lower(d.c.code)),
        "name": Field(d.c.name, d.c.name_folded),
        "business_unit": unit_field,
    }
    columns = _columns(r.Division, d.c, business_unit=unit)
    return View(d, [joined], d.c.id, d.c.unit_id, columns, fields, {"unit_id": d.c.unit_id})


def _invoice_templates(named: Naming = _anew) -> View:
    i = named(t.invoice_templates)
    joined, unit, _ = _unit_name(i, named)
    columns = _columns(r.InvoiceTemplate, i.c, business_unit=unit)
    return View(i, [joined], i.c.id, i.c.unit_id, columns, {"id": Field(i.c.id)}, {"unit_id": i.c.unit_id})


def _plain(table: Table, record: type[Any], *links: str, ordered_by: tuple[str, ...] = ()) -> Viewing:
    """A source over one table whose columns are the record's fields."""

    def view(named: Naming = _anew) -> View:
        own = named(table)
        fields = {name: Field(own.c[name]) for name in ("id", *ordered_by)}
        parents = {name: own.c[name] for name in ("unit_id", *links)}
        return View(own, [], own.c.id, own.c.unit_id, _columns(record, own.c), fields, parents)

    return view


ACCOUNTS = Source("accounts", r.Account, _accounts, unindexed=frozenset({"min_balance", "max_balance"}))
ENTRIES = Source("entries", r.Entry, _entries, frozenset({"communication_number"}), unindexed=frozenset({"amount"}))
CONTRACTORS = Source("contractors", r.Contractor, _contractors)
CONTACTS = Source("contacts", r.Contact, _plain(t.contacts, r.Contact, "contractor_id"))
INVOICE_TEMPLATES = Source("invoice_templates", r.InvoiceTemplate, _invoice_templates)
DIVISIONS = Source("divisions", r.Division, _divisions)
HISTORY_CONFIGS = Source(
    "history_configs",
    histories.HistoryConfig,
    _plain(t.history_configs, histories.HistoryConfig, "division_id", ordered_by=("first_closing",)),
)


def _closings(named: Naming = _anew) -> View:
    """Cycles that are closed; one that is being closed is not there yet."""
    view = _plain(t.closings, r.ClosingRecord, "division_id", ordered_by=("closing_at",))(named)
    return view._replace(only=view.columns["completed_at"].is_not(None))


CLOSINGS = Source("closings", r.ClosingRecord, _closings)


def _history_entries(named: Naming = _anew) -> View:
    h = named(t.history_entries)
    fields = {
        "id": Field(h.c.id),
        "closing_at": Field(h.c.closing_at),
        "business_date": Field(h.c.business_date),
        "currency": Field(h.c.currency),
    }
    return View(h, [], h.c.id, h.c.unit_id, _columns(r.HistoryEntry, h.c), fields, {"account_id": h.c.account_id})


HISTORY_ENTRIES = Source("history_entries", r.HistoryEntry, _history_entries)


def _webhooks(named: Naming = _anew) -> View:
    """Receivers that are told over HTTP."""
    w = named(t.receivers)
    joined, unit, _ = _unit_name(w, named)
    columns = _columns(r.Webhook, w.c, business_unit=unit)
    only = w.c.kind == "webhook"
    return View(w, [joined], w.c.id, w.c.unit_id, columns, {"id": Field(w.c.id)}, {"unit_id": w.c.unit_id}, only=only)


WEBHOOKS = Source("webhooks", r.Webhook, _webhooks)

SOURCES = (
    ACCOUNTS,
    ENTRIES,
    CONTRACTORS,
    CONTACTS,
    INVOICE_TEMPLATES,
    DIVISIONS,
    HISTORY_CONFIGS,
    CLOSINGS,
    HISTORY_ENTRIES,
    WEBHOOKS,
)
"""All of them."""
