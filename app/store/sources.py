"""What can be listed and looked up: each source's tables, its record, and the fields that narrow and order it.

A source is a declaration. Pages, look-ups, counts and totals are made from it (app.store.reads), so a new column is one
line here and one in the record.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Alias, ClauseElement, ColumnClause, ColumnElement, FromClause, Select, Table, func, select
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

    def tables_of(self, used: Iterable[ClauseElement]) -> FromClause:
        """What of the tables is needed for some expressions."""
        return self._with(self._joins_of(used))

    def _joins_of(self, used: Iterable[ClauseElement]) -> list[Join]:
        named = {id(part.table) for each in used for part in iterate(each) if isinstance(part, ColumnClause)}
        return [join for join in self.joins if id(join.table) in named]

    def through_units(self, used: Iterable[ClauseElement], every: FromClause) -> FromClause:
        """The same, gone through unit by unit: by those whose names are read anyway, else by `every`."""
        joins = self._joins_of(used)
        for join in joins:
            if isinstance(join.table, Alias) and join.table.element is t.units:
                return join.table.join(self._with([each for each in joins if each is not join]), join.on)
        return every.join(self._with(joins), self.unit_id == every.c.id)

    def _with(self, joins: Sequence[Join]) -> FromClause:
        tables = self.own
        for join in joins:
            tables = tables.join(join.table, join.on)
        return tables

    def walked_unit_id(self, narrowed: Collection[str], ordered: str) -> ColumnElement[int]:
        """The unit column to walk a page by: that of the table whose index narrows or orders it."""
        asked = set(narrowed) & self.fields.keys() or {ordered}
        joined = self.joined_unit_id is not None and asked <= self.joined_fields
        return self.joined_unit_id if joined and self.joined_unit_id is not None else self.unit_id

    def tie(self, field: str) -> ColumnElement[int]:
        """The id that breaks ties where rows are ordered by a field."""
        return self.ties.get(field, self.id)


class Source(NamedTuple):
    """Something remembered, as it is read."""

    name: str
    record: type[Any]
    view: Callable[[], View]
    folded_first: frozenset[str] = frozenset()
    """The fields whose index begins with the folded copy, so that an exact comparison names that too."""


def _columns(record: type[Any], table: Any, **others: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
    return {name: others[name] if name in others else table[name] for name in record._fields}


def _unit_name(table: FromClause) -> tuple[Join, ColumnElement[str], Field]:
    """The name of a row's business unit: its table, its column, and the field that narrows by it."""
    named, narrowing = t.units.alias(), t.units.alias()
    field = Field(narrowing.c.name, narrowing.c.name_folded, through=select(narrowing.c.id), link=table.c.unit_id)
    return Join(named, named.c.id == table.c.unit_id), named.c.name, field


def _accounts() -> View:
    a, p, d = t.accounts.alias(), t.positions.alias(), t.divisions.alias()
    joined, unit, unit_field = _unit_name(a)
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


def _entries() -> View:
    e = t.entries.alias()
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


def _contractors() -> View:
    c = t.contractors.alias()
    joined, unit, unit_field = _unit_name(c)
    fields = {
        "id": Field(c.c.id),
        "name": Field(c.c.name, c.c.name_folded),
        "external_id": Field(c.c.external_id, c.c.external_id_folded),
        "business_unit": unit_field,
    }
    columns = _columns(r.Contractor, c.c, business_unit=unit)
    return View(c, [joined], c.c.id, c.c.unit_id, columns, fields, {"unit_id": c.c.unit_id})


def _divisions() -> View:
    d = t.divisions.alias()
    joined, unit, unit_field = _unit_name(d)
    fields = {
        "id": Field(d.c.id),
        "code": Field(d.c.code, func.lower(d.c.code)),
        "name": Field(d.c.name, d.c.name_folded),
        "business_unit": unit_field,
    }
    columns = _columns(r.Division, d.c, business_unit=unit)
    return View(d, [joined], d.c.id, d.c.unit_id, columns, fields, {"unit_id": d.c.unit_id})


def _invoice_templates() -> View:
    i = t.invoice_templates.alias()
    joined, unit, _ = _unit_name(i)
    columns = _columns(r.InvoiceTemplate, i.c, business_unit=unit)
    return View(i, [joined], i.c.id, i.c.unit_id, columns, {"id": Field(i.c.id)}, {"unit_id": i.c.unit_id})


def _plain(table: Table, record: type[Any], *links: str, ordered_by: tuple[str, ...] = ()) -> Callable[[], View]:
    """A source over one table whose columns are the record's fields."""

    def view() -> View:
        own = table.alias()
        fields = {name: Field(own.c[name]) for name in ("id", *ordered_by)}
        parents = {name: own.c[name] for name in ("unit_id", *links)}
        return View(own, [], own.c.id, own.c.unit_id, _columns(record, own.c), fields, parents)

    return view


ACCOUNTS = Source("accounts", r.Account, _accounts)
ENTRIES = Source("entries", r.Entry, _entries, frozenset({"communication_number"}))
CONTRACTORS = Source("contractors", r.Contractor, _contractors)
CONTACTS = Source("contacts", r.Contact, _plain(t.contacts, r.Contact, "contractor_id"))
INVOICE_TEMPLATES = Source("invoice_templates", r.InvoiceTemplate, _invoice_templates)
DIVISIONS = Source("divisions", r.Division, _divisions)
HISTORY_CONFIGS = Source(
    "history_configs",
    histories.HistoryConfig,
    _plain(t.history_configs, histories.HistoryConfig, "division_id", ordered_by=("first_closing",)),
)


def _closings() -> View:
    """Cycles that are closed; one that is being closed is not there yet."""
    view = _plain(t.closings, r.ClosingRecord, "division_id", ordered_by=("closing_at",))()
    return view._replace(only=view.columns["completed_at"].is_not(None))


CLOSINGS = Source("closings", r.ClosingRecord, _closings)


def _history_entries() -> View:
    h = t.history_entries.alias()
    fields = {
        "id": Field(h.c.id),
        "closing_at": Field(h.c.closing_at),
        "business_date": Field(h.c.business_date),
        "currency": Field(h.c.currency),
    }
    return View(h, [], h.c.id, h.c.unit_id, _columns(r.HistoryEntry, h.c), fields, {"account_id": h.c.account_id})


HISTORY_ENTRIES = Source("history_entries", r.HistoryEntry, _history_entries)


def _webhooks() -> View:
    """Receivers that are told over HTTP."""
    w = t.receivers.alias()
    joined, unit, _ = _unit_name(w)
    columns = _columns(r.Webhook, w.c, business_unit=unit)
    only = w.c.kind == "webhook"
    return View(w, [joined], w.c.id, w.c.unit_id, columns, {"id": Field(w.c.id)}, {"unit_id": w.c.unit_id}, only=only)


WEBHOOKS = Source("webhooks", r.Webhook, _webhooks)
