"""The tables. Constraints and indexes here decide uniqueness, and which questions are answered quickly.

Three decisions that the rest leans on:

- *Positions apart from accounts.* What changes with each balance (the current entry, the amount, the threshold state)
  stands in a narrow row of its own, with all that a write decides by. Locking that row is locking the account. On
  PostgreSQL an update writes an entry into every index of its table: three here, twelve on accounts.
- *Unit first in every index.* A caller sees some business units or all; a page over several units merges one ordered
  walk for each, so one index serves both.
- *Folded copies.* contains, startsWith and endsWith ignore letter case; the databases disagree on what that is, so the
  casefolded text is stored beside (null where it is the same, for the entries' texts that no index serves).

Entries have no foreign key to accounts: accounts are never deleted, the position is locked by whoever adds an entry,
and the check would cost a batch a third of its time.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    text,
)

from app.store.types import Clock, Day, Flag, Identifier, Instant, Letters, Money, Number, Numbers, Words

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Small = SmallInteger().with_variant(Integer(), "sqlite")


def _table(name: str, *parts: Column[object] | Index | CheckConstraint) -> Table:
    """A table whose numbers are never used again; strict about types on SQLite too."""
    number: Column[object] = Column("id", Number, Identity(), primary_key=True)
    return Table(name, metadata, number, *parts, sqlite_autoincrement=True, sqlite_strict=True)


def _unit() -> Column[object]:
    return Column("unit_id", Number, ForeignKey("units.id"), nullable=False)


units = _table(
    "units", Column("name", Words, nullable=False, unique=True), Column("name_folded", Words, nullable=False)
)

contractors = _table(
    "contractors",
    _unit(),
    Column("name", Words, nullable=False),
    Column("name_folded", Words, nullable=False),
    Column("external_id", Words),
    Column("external_id_folded", Words),
    Column("is_customer", Flag, nullable=False),
    Column("is_vendor", Flag, nullable=False),
    Index(None, "unit_id", "external_id", unique=True),
    Index(None, "unit_id", "id"),
)

contacts = _table(
    "contacts",
    _unit(),
    Column("contractor_id", Number, ForeignKey("contractors.id"), nullable=False),
    Column("email", Words, nullable=False),
    Column("name", Words),
    Index(None, "contractor_id", "id"),
)

invoice_templates = _table(
    "invoice_templates",
    _unit(),
    Column("name", Words, nullable=False),
    Index(None, "unit_id", "id"),
)

divisions = _table(
    "divisions",
    _unit(),
    Column("code", Words, nullable=False),
    Column("name", Words),
    Column("name_folded", Words),
    Column("description", Words),
    Column("timezone", Letters, nullable=False),
    Column("parent_id", Number, ForeignKey("divisions.id")),
    Index(None, "unit_id", "code", unique=True),
    Index(None, "unit_id", "id"),
)

history_configs = _table(
    "history_configs",
    _unit(),
    Column("division_id", Number, ForeignKey("divisions.id"), nullable=False),
    Column("closing_time", Clock, nullable=False),
    Column("delay_minutes", Integer, nullable=False),
    Column("first_closing", Instant, nullable=False),
    Column("start", Instant, nullable=False),
    Column("end", Instant),
    Index(None, "division_id", "first_closing", unique=True),
    CheckConstraint("delay_minutes BETWEEN 5 AND 1439", name="delay"),
    Index(None, "division_id", "id"),
)

accounts = _table(
    "accounts",
    _unit(),
    Column("uuid", Identifier, nullable=False),
    Column("name", Words, nullable=False),
    Column("name_folded", Words, nullable=False),
    Column("external_id", Words),
    Column("external_id_folded", Words),
    Column("division_id", Number, ForeignKey("divisions.id")),
    Column("contractor_id", Number, ForeignKey("contractors.id"), nullable=False),
    Column("currency", Letters, nullable=False),
    Column("min_balance", Money, nullable=False),
    Column("max_balance", Money, nullable=False),
    Column("vat", Money, nullable=False),
    Column("origination_capacity", Integer),
    Column("termination_capacity", Integer),
    Column("total_capacity", Integer),
    Column("destination_rate_limit", Money),
    Column("max_call_duration", Integer),
    Column("invoice_period", Words),
    Column("invoice_template_id", Number, ForeignKey("invoice_templates.id")),
    Column("send_invoices_to", Numbers, nullable=False),
    Column("send_balance_notifications_to", Numbers, nullable=False),
    Column("timezone", Letters, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("joined_after", Instant),
    Column("closed_until", Instant),
    Index(None, "unit_id", "name", unique=True),
    Index(None, "unit_id", "uuid", unique=True),
    Index(None, "unit_id", "external_id", unique=True),
    Index(None, "unit_id", "id"),
    Index(None, "unit_id", "name_folded"),
    Index(None, "unit_id", "external_id_folded"),
    Index(None, "unit_id", "created_at", "id"),
    Index(None, "unit_id", "updated_at", "id"),
    Index(None, "division_id", "id"),
    Index(None, "contractor_id", "id"),
)

positions = Table(
    "positions",
    metadata,
    Column("account_id", Number, ForeignKey("accounts.id"), primary_key=True, autoincrement=False),
    _unit(),
    Column("currency", Letters, nullable=False),
    Column("balance", Money, nullable=False),
    Column("entry_id", Number),
    Column("at", Instant),
    Column("low_threshold", Money),
    Column("high_threshold", Money),
    Column("threshold_state", Small, nullable=False),
    Column("external_id", Words),
    Column("division_id", Number),
    CheckConstraint("threshold_state IN (0, 1, 2)", name="state"),
    CheckConstraint("(entry_id IS NULL) = (at IS NULL)", name="current"),
    Index(None, "unit_id", "balance", "account_id"),
    Index(None, "unit_id", "threshold_state", "account_id"),
    sqlite_strict=True,
    postgresql_with={"fillfactor": 80},
)

entries = _table(
    "entries",
    Column("unit_id", Number, nullable=False),
    Column("account_id", Number, nullable=False),
    Column("at", Instant, nullable=False),
    Column("amount", Money, nullable=False),
    Column("currency", Letters, nullable=False),
    Column("balance_type", Words),
    Column("balance_type_folded", Words),
    Column("equivalent_value", Money),
    Column("communication_number", Words),
    Column("communication_number_folded", Words),
    Column("requester", Words),
    Column("requester_folded", Words),
    Column("recorded_at", Instant, nullable=False),
    Column("recorded_by", Words, nullable=False),
    Column("external_id", Words),
    Column("division_id", Number),
    Column("became_current", Flag, nullable=False, server_default=text("false")),
    Index("ix_entries_number", "unit_id", "communication_number_folded", "communication_number", unique=True),
    Index(None, "account_id", "at", "id"),
    Index(None, "unit_id", "at", "id"),
    Index(None, "unit_id", "recorded_at", "id"),
)

balance_kinds = Table(
    "balance_kinds",
    metadata,
    Column("account_id", Number, primary_key=True, autoincrement=False),
    Column("kind", Words, primary_key=True),
    Column("currency", Letters, nullable=False),
    Column("balance_type", Words),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""Which currencies and types an account's entries have, so that the latest of each is found without reading all."""

closings = _table(
    "closings",
    _unit(),
    Column("division_id", Number, ForeignKey("divisions.id"), nullable=False),
    Column("business_date", Day, nullable=False),
    Column("closing_at", Instant, nullable=False),
    Column("completed_at", Instant),
    Column("account_count", Number, nullable=False),
    Column("previous_at", Instant),
    Column("through_account_id", Number, nullable=False, server_default=text("0")),
    Column("fence", Number, nullable=False, server_default=text("0")),
    Column("lease_until", Instant),
    Index(None, "division_id", "closing_at", unique=True),
)
"""Cycles that are closed, and those that are being closed: without completed_at, held by whoever has the fence."""

history_entries = _table(
    "history_entries",
    _unit(),
    Column("account_id", Number, nullable=False),
    Column("business_date", Day, nullable=False),
    Column("closing_at", Instant, nullable=False),
    Column("currency", Letters, nullable=False),
    Column("opening", Money, nullable=False),
    Column("closing", Money, nullable=False),
    Index(None, "account_id", "currency", "closing_at", unique=True),
    Index(None, "account_id", "closing_at", "id"),
)

events = Table(
    "events",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("unit_id", Number, nullable=False),
    Column("type", Small, nullable=False),
    Column("account_id", Number),
    Column("division_id", Number),
    Column("external_id", Words),
    Column("closing_id", Number),
    Column("at", Instant, nullable=False),
    Column("data", Words),
    Index(None, "account_id", "id"),
    Index(
        "ix_events_division",
        "division_id",
        "id",
        sqlite_where=text("account_id IS NULL"),
        postgresql_where=text("account_id IS NULL"),
    ),
    sqlite_strict=True,
)
"""What happened beside entries: an entry is its own event. Both have their numbers from one sequence, which is the
log's order. A balance_history has no data here: it is its closing's rows of history."""

log = Table(
    "log",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("kept_from", Number, nullable=False),
    Column("settled", Number, nullable=False),
    sqlite_strict=True,
)
"""One row: up to which number the log is gone, and up to which no number is still to be committed."""

restores = Table(
    "restores",
    metadata,
    Column("lost_to", Number, primary_key=True, autoincrement=False),
    Column("lost_after", Number, nullable=False),
    Column("at", Instant, nullable=False),
    sqlite_strict=True,
)
"""Each time that a backup was put in place of the database: which places of the log were lost, (lost_after, lost_to],
and when it was told."""

receivers = _table(
    "receivers",
    Column("unit_id", Number, ForeignKey("units.id")),
    Column("kind", Words, nullable=False),
    Column("url", Words),
    Column("secret", Words),
    Column("event_types", Words),
    Column("created_at", Instant, nullable=False),
    Column("position", Number, nullable=False),
    Column("last_delivered_at", Instant),
    Column("last_error", Words),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("retry_at", Instant),
    Column("fence", Number, nullable=False, server_default=text("0")),
    Column("lease_until", Instant),
    Index(None, "unit_id", "id"),
)
"""Who is told of events: webhooks, and mail. Everything up to `position` was told, or waits in deliveries."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("receiver_id", Number, ForeignKey("receivers.id", ondelete="CASCADE"), primary_key=True),
    Column("event_id", Number, primary_key=True),
    Column("target", Number, primary_key=True),
    Column("subject", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("retry_at", Instant, nullable=False),
    sqlite_strict=True,
)
"""Events that a receiver did not take yet, in order of their subject."""

rates = Table(
    "rates",
    metadata,
    Column("caller", Words, primary_key=True),
    Column("minute", Number, primary_key=True, autoincrement=False),
    Column("requests", Number, nullable=False),
    Column("cost", Number, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""What the processes have drawn together of each caller's minute, counted from 1970."""
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("issuer", Words, primary_key=True),
    Column("subject", Words, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("fingerprint", Words, nullable=False),
    Column("facts", Words),
    Column("created_at", Instant, nullable=False),
    Index(None, "created_at"),
    sqlite_strict=True,
)
"""What was answered for a client's key, written with what the request did. Callers see no keys but their own."""
