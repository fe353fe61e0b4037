"""The first form of the database.

Written out for each database, and never changed: what later revisions change stands in them.
"""

from alembic import op
from sqlalchemy import text

revision = "0001"
down_revision = None

SQLITE = (
    """CREATE TABLE balance_kinds (account_id INTEGER NOT NULL, kind TEXT NOT NULL, currency TEXT NOT NULL,
    balance_type TEXT, CONSTRAINT pk_balance_kinds PRIMARY KEY (account_id, kind)) WITHOUT ROWID, STRICT""",
    """CREATE TABLE entries (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, unit_id INTEGER NOT NULL, account_id
    INTEGER NOT NULL, at INTEGER NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL, balance_type TEXT,
    balance_type_folded TEXT, equivalent_value INTEGER, communication_number TEXT, communication_number_folded
    TEXT, requester TEXT, requester_folded TEXT, recorded_at INTEGER NOT NULL, recorded_by TEXT NOT NULL)
    STRICT""",
    """CREATE INDEX ix_entries_account_id_at_id ON entries (account_id, at, id)""",
    """CREATE UNIQUE INDEX ix_entries_number ON entries (unit_id, communication_number_folded, communication_number)""",
    """CREATE INDEX ix_entries_unit_id_at_id ON entries (unit_id, at, id)""",
    """CREATE INDEX ix_entries_unit_id_recorded_at_id ON entries (unit_id, recorded_at, id)""",
    """CREATE TABLE units (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, name_folded TEXT
    NOT NULL, UNIQUE (name)) STRICT""",
    """CREATE TABLE contractors (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, unit_id INTEGER NOT NULL, name
    TEXT NOT NULL, name_folded TEXT NOT NULL, external_id TEXT, external_id_folded TEXT, is_customer INTEGER
    NOT NULL, is_vendor INTEGER NOT NULL, CONSTRAINT fk_contractors_unit_id FOREIGN KEY(unit_id) REFERENCES
    units (id)) STRICT""",
    """CREATE UNIQUE INDEX ix_contractors_unit_id_external_id ON contractors (unit_id, external_id)""",
    """CREATE INDEX ix_contractors_unit_id_id ON contractors (unit_id, id)""",
    """CREATE TABLE divisions (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, unit_id INTEGER NOT NULL, code TEXT
    NOT NULL, name TEXT, name_folded TEXT, description TEXT, timezone TEXT NOT NULL, parent_id INTEGER,
    CONSTRAINT fk_divisions_unit_id FOREIGN KEY(unit_id) REFERENCES units (id), CONSTRAINT
    fk_divisions_parent_id FOREIGN KEY(parent_id) REFERENCES divisions (id)) STRICT""",
    """CREATE UNIQUE INDEX ix_divisions_unit_id_code ON divisions (unit_id, code)""",
    """CREATE INDEX ix_divisions_unit_id_id ON divisions (unit_id, id)""",
    """CREATE TABLE history_entries (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, unit_id INTEGER NOT NULL,
    account_id INTEGER NOT NULL, business_date TEXT NOT NULL, closing_at INTEGER NOT NULL, currency TEXT NOT
    NULL, opening INTEGER NOT NULL, closing INTEGER NOT NULL, CONSTRAINT fk_history_entries_unit_id FOREIGN
    KEY(unit_id) REFERENCES units (id)) STRICT""",
    """CREATE INDEX ix_history_entries_account_id_closing_at_id ON history_entries (account_id, closing_at, id)""",
    """CREATE UNIQUE INDEX ix_history_entries_account_id_currency_closing_at ON history_entries (account_id,
    currency, closing_at)""",
    """CREATE TABLE invoice_templates (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, unit_id INTEGER NOT NULL,
    name TEXT NOT NULL, CONSTRAINT fk_invoice_templates_unit_id FOREIGN KEY(unit_id) REFERENCES units (id))
    STRICT""",
    """CREATE INDEX ix_invoice_templates_unit_id_id ON invoice_templates (unit_id, id)""",
    """CREATE TABLE accounts (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, unit_id INTEGER NOT NULL, uuid TEXT
    NOT NULL, name TEXT NOT NULL, name_folded TEXT NOT NULL, external_id TEXT, external_id_folded TEXT,
    division_id INTEGER, contractor_id INTEGER NOT NULL, currency TEXT NOT NULL, min_balance INTEGER NOT NULL,
    max_balance INTEGER NOT NULL, vat INTEGER NOT NULL, origination_capacity INTEGER, termination_capacity
    INTEGER, total_capacity INTEGER, destination_rate_limit INTEGER, max_call_duration INTEGER, invoice_period
    TEXT, invoice_template_id INTEGER, send_invoices_to TEXT NOT NULL, send_balance_notifications_to TEXT NOT
    NULL, timezone TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, CONSTRAINT
    fk_accounts_unit_id FOREIGN KEY(unit_id) REFERENCES units (id), CONSTRAINT fk_accounts_division_id FOREIGN
    KEY(division_id) REFERENCES divisions (id), CONSTRAINT fk_accounts_contractor_id FOREIGN
    KEY(contractor_id) REFERENCES contractors (id), CONSTRAINT fk_accounts_invoice_template_id FOREIGN
    KEY(invoice_template_id) REFERENCES invoice_templates (id)) STRICT""",
    """CREATE INDEX ix_accounts_contractor_id_id ON accounts (contractor_id, id)""",
    """CREATE INDEX ix_accounts_division_id_id ON accounts (division_id, id)""",
    """CREATE INDEX ix_accounts_unit_id_created_at_id ON accounts (unit_id, created_at, id)""",
    """CREATE UNIQUE INDEX ix_accounts_unit_id_external_id ON accounts (unit_id, external_id)""",
    """CREATE INDEX ix_accounts_unit_id_external_id_folded ON accounts (unit_id, external_id_folded)""",
    """CREATE INDEX ix_accounts_unit_id_id ON accounts (unit_id, id)""",
    """CREATE UNIQUE INDEX ix_accounts_unit_id_name ON accounts (unit_id, name)""",
    """CREATE INDEX ix_accounts_unit_id_name_folded ON accounts (unit_id, name_folded)""",
    """CREATE INDEX ix_accounts_unit_id_updated_at_id ON accounts (unit_id, updated_at, id)""",
    """CREATE UNIQUE INDEX ix_accounts_unit_id_uuid ON accounts (unit_id, uuid)""",
    """CREATE TABLE closings (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, unit_id INTEGER NOT NULL,
    division_id INTEGER NOT NULL, business_date TEXT NOT NULL, closing_at INTEGER NOT NULL, completed_at
    INTEGER, account_count INTEGER NOT NULL, CONSTRAINT fk_closings_unit_id FOREIGN KEY(unit_id) REFERENCES
    units (id), CONSTRAINT fk_closings_division_id FOREIGN KEY(division_id) REFERENCES divisions (id)) STRICT""",
    """CREATE UNIQUE INDEX ix_closings_division_id_closing_at ON closings (division_id, closing_at)""",
    """CREATE TABLE contacts (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, unit_id INTEGER NOT NULL,
    contractor_id INTEGER NOT NULL, email TEXT NOT NULL, name TEXT, CONSTRAINT fk_contacts_unit_id FOREIGN
    KEY(unit_id) REFERENCES units (id), CONSTRAINT fk_contacts_contractor_id FOREIGN KEY(contractor_id)
    REFERENCES contractors (id)) STRICT""",
    """CREATE INDEX ix_contacts_contractor_id_id ON contacts (contractor_id, id)""",
    """CREATE TABLE history_configs (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, unit_id INTEGER NOT NULL,
    division_id INTEGER NOT NULL, closing_time TEXT NOT NULL, delay_minutes INTEGER NOT NULL, first_closing
    INTEGER NOT NULL, start INTEGER NOT NULL, "end" INTEGER, CONSTRAINT ck_history_configs_delay CHECK
    (delay_minutes BETWEEN 5 AND 1439), CONSTRAINT fk_history_configs_unit_id FOREIGN KEY(unit_id) REFERENCES
    units (id), CONSTRAINT fk_history_configs_division_id FOREIGN KEY(division_id) REFERENCES divisions (id))
    STRICT""",
    """CREATE UNIQUE INDEX ix_history_configs_division_id_first_closing ON history_configs (division_id,
    first_closing)""",
    """CREATE INDEX ix_history_configs_division_id_id ON history_configs (division_id, id)""",
    """CREATE TABLE positions (account_id INTEGER NOT NULL, unit_id INTEGER NOT NULL, currency TEXT NOT NULL,
    balance INTEGER NOT NULL, entry_id INTEGER, at INTEGER, low_threshold INTEGER, high_threshold INTEGER,
    threshold_state INTEGER NOT NULL, CONSTRAINT pk_positions PRIMARY KEY (account_id), CONSTRAINT
    ck_positions_state CHECK (threshold_state IN (0, 1, 2)), CONSTRAINT ck_positions_current CHECK ((entry_id
    IS NULL) = (at IS NULL)), CONSTRAINT fk_positions_account_id FOREIGN KEY(account_id) REFERENCES accounts
    (id), CONSTRAINT fk_positions_unit_id FOREIGN KEY(unit_id) REFERENCES units (id)) STRICT""",
    """CREATE INDEX ix_positions_unit_id_balance_account_id ON positions (unit_id, balance, account_id)""",
    """CREATE INDEX ix_positions_unit_id_threshold_state_account_id ON positions (unit_id, threshold_state,
    account_id)""",
)

POSTGRESQL = (
    """CREATE TABLE balance_kinds (account_id BIGINT NOT NULL, kind TEXT COLLATE "C" NOT NULL, currency TEXT
    COLLATE "C" NOT NULL, balance_type TEXT COLLATE "C", CONSTRAINT pk_balance_kinds PRIMARY KEY (account_id,
    kind))""",
    """CREATE TABLE entries (id BIGINT GENERATED BY DEFAULT AS IDENTITY, unit_id BIGINT NOT NULL, account_id
    BIGINT NOT NULL, at TIMESTAMP WITH TIME ZONE NOT NULL, amount BIGINT NOT NULL, currency TEXT COLLATE "C"
    NOT NULL, balance_type TEXT COLLATE "C", balance_type_folded TEXT COLLATE "C", equivalent_value BIGINT,
    communication_number TEXT COLLATE "C", communication_number_folded TEXT COLLATE "C", requester TEXT
    COLLATE "C", requester_folded TEXT COLLATE "C", recorded_at TIMESTAMP WITH TIME ZONE NOT NULL, recorded_by
    TEXT COLLATE "C" NOT NULL, CONSTRAINT pk_entries PRIMARY KEY (id))""",
    """CREATE INDEX ix_entries_account_id_at_id ON entries (account_id, at, id)""",
    """CREATE UNIQUE INDEX ix_entries_number ON entries (unit_id, communication_number_folded, communication_number)""",
    """CREATE INDEX ix_entries_unit_id_at_id ON entries (unit_id, at, id)""",
    """CREATE INDEX ix_entries_unit_id_recorded_at_id ON entries (unit_id, recorded_at, id)""",
    """CREATE TABLE units (id BIGINT GENERATED BY DEFAULT AS IDENTITY, name TEXT COLLATE "C" NOT NULL,
    name_folded TEXT COLLATE "C" NOT NULL, CONSTRAINT pk_units PRIMARY KEY (id), UNIQUE (name))""",
    """CREATE TABLE contractors (id BIGINT GENERATED BY DEFAULT AS IDENTITY, unit_id BIGINT NOT NULL, name TEXT
    COLLATE "C" NOT NULL, name_folded TEXT COLLATE "C" NOT NULL, external_id TEXT COLLATE "C",
    external_id_folded TEXT COLLATE "C", is_customer BOOLEAN NOT NULL, is_vendor BOOLEAN NOT NULL, CONSTRAINT
    pk_contractors PRIMARY KEY (id), CONSTRAINT fk_contractors_unit_id FOREIGN KEY(unit_id) REFERENCES units
    (id))""",
    """CREATE UNIQUE INDEX ix_contractors_unit_id_external_id ON contractors (unit_id, external_id)""",
    """CREATE INDEX ix_contractors_unit_id_id ON contractors (unit_id, id)""",
    """CREATE TABLE divisions (id BIGINT GENERATED BY DEFAULT AS IDENTITY, unit_id BIGINT NOT NULL, code TEXT
    COLLATE "C" NOT NULL, name TEXT COLLATE "C", name_folded TEXT COLLATE "C", description TEXT COLLATE "C",
    timezone TEXT COLLATE "C" NOT NULL, parent_id BIGINT, CONSTRAINT pk_divisions PRIMARY KEY (id), CONSTRAINT
    fk_divisions_unit_id FOREIGN KEY(unit_id) REFERENCES units (id), CONSTRAINT fk_divisions_parent_id FOREIGN
    KEY(parent_id) REFERENCES divisions (id))""",
    """CREATE UNIQUE INDEX ix_divisions_unit_id_code ON divisions (unit_id, code)""",
    """CREATE INDEX ix_divisions_unit_id_id ON divisions (unit_id, id)""",
    """CREATE TABLE history_entries (id BIGINT GENERATED BY DEFAULT AS IDENTITY, unit_id BIGINT NOT NULL,
    account_id BIGINT NOT NULL, business_date DATE NOT NULL, closing_at TIMESTAMP WITH TIME ZONE NOT NULL,
    currency TEXT COLLATE "C" NOT NULL, opening BIGINT NOT NULL, closing BIGINT NOT NULL, CONSTRAINT
    pk_history_entries PRIMARY KEY (id), CONSTRAINT fk_history_entries_unit_id FOREIGN KEY(unit_id) REFERENCES
    units (id))""",
    """CREATE INDEX ix_history_entries_account_id_closing_at_id ON history_entries (account_id, closing_at, id)""",
    """CREATE UNIQUE INDEX ix_history_entries_account_id_currency_closing_at ON history_entries (account_id,
    currency, closing_at)""",
    """CREATE TABLE invoice_templates (id BIGINT GENERATED BY DEFAULT AS IDENTITY, unit_id BIGINT NOT NULL, name
    TEXT COLLATE "C" NOT NULL, CONSTRAINT pk_invoice_templates PRIMARY KEY (id), CONSTRAINT
    fk_invoice_templates_unit_id FOREIGN KEY(unit_id) REFERENCES units (id))""",
    """CREATE INDEX ix_invoice_templates_unit_id_id ON invoice_templates (unit_id, id)""",
    """CREATE TABLE accounts (id BIGINT GENERATED BY DEFAULT AS IDENTITY, unit_id BIGINT NOT NULL, uuid UUID NOT
    NULL, name TEXT COLLATE "C" NOT NULL, name_folded TEXT COLLATE "C" NOT NULL, external_id TEXT COLLATE "C",
    external_id_folded TEXT COLLATE "C", division_id BIGINT, contractor_id BIGINT NOT NULL, currency TEXT
    COLLATE "C" NOT NULL, min_balance BIGINT NOT NULL, max_balance BIGINT NOT NULL, vat BIGINT NOT NULL,
    origination_capacity INTEGER, termination_capacity INTEGER, total_capacity INTEGER, destination_rate_limit
    BIGINT, max_call_duration INTEGER, invoice_period TEXT COLLATE "C", invoice_template_id BIGINT,
    send_invoices_to BIGINT[] NOT NULL, send_balance_notifications_to BIGINT[] NOT NULL, timezone TEXT COLLATE
    "C" NOT NULL, created_at TIMESTAMP WITH TIME ZONE NOT NULL, updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_accounts PRIMARY KEY (id), CONSTRAINT fk_accounts_unit_id FOREIGN KEY(unit_id) REFERENCES
    units (id), CONSTRAINT fk_accounts_division_id FOREIGN KEY(division_id) REFERENCES divisions (id),
    CONSTRAINT fk_accounts_contractor_id FOREIGN KEY(contractor_id) REFERENCES contractors (id), CONSTRAINT
    fk_accounts_invoice_template_id FOREIGN KEY(invoice_template_id) REFERENCES invoice_templates (id))""",
    """CREATE INDEX ix_accounts_contractor_id_id ON accounts (contractor_id, id)""",
    """CREATE INDEX ix_accounts_division_id_id ON accounts (division_id, id)""",
    """CREATE INDEX ix_accounts_unit_id_created_at_id ON accounts (unit_id, created_at, id)""",
    """CREATE UNIQUE INDEX ix_accounts_unit_id_external_id ON accounts (unit_id, external_id)""",
    """CREATE INDEX ix_accounts_unit_id_external_id_folded ON accounts (unit_id, external_id_folded)""",
    """CREATE INDEX ix_accounts_unit_id_id ON accounts (unit_id, id)""",
    """CREATE UNIQUE INDEX ix_accounts_unit_id_name ON accounts (unit_id, name)""",
    """CREATE INDEX ix_accounts_unit_id_name_folded ON accounts (unit_id, name_folded)""",
    """CREATE INDEX ix_accounts_unit_id_updated_at_id ON accounts (unit_id, updated_at, id)""",
    """CREATE UNIQUE INDEX ix_accounts_unit_id_uuid ON accounts (unit_id, uuid)""",
    """CREATE TABLE closings (id BIGINT GENERATED BY DEFAULT AS IDENTITY, unit_id BIGINT NOT NULL, division_id
    BIGINT NOT NULL, business_date DATE NOT NULL, closing_at TIMESTAMP WITH TIME ZONE NOT NULL, completed_at
    TIMESTAMP WITH TIME ZONE, account_count BIGINT NOT NULL, CONSTRAINT pk_closings PRIMARY KEY (id),
    CONSTRAINT fk_closings_unit_id FOREIGN KEY(unit_id) REFERENCES units (id), CONSTRAINT
    fk_closings_division_id FOREIGN KEY(division_id) REFERENCES divisions (id))""",
    """CREATE UNIQUE INDEX ix_closings_division_id_closing_at ON closings (division_id, closing_at)""",
    """CREATE TABLE contacts (id BIGINT GENERATED BY DEFAULT AS IDENTITY, unit_id BIGINT NOT NULL, contractor_id
    BIGINT NOT NULL, email TEXT COLLATE "C" NOT NULL, name TEXT COLLATE "C", CONSTRAINT pk_contacts PRIMARY
    KEY (id), CONSTRAINT fk_contacts_unit_id FOREIGN KEY(unit_id) REFERENCES units (id), CONSTRAINT
    fk_contacts_contractor_id FOREIGN KEY(contractor_id) REFERENCES contractors (id))""",
    """CREATE INDEX ix_contacts_contractor_id_id ON contacts (contractor_id, id)""",
    """CREATE TABLE history_configs (id BIGINT GENERATED BY DEFAULT AS IDENTITY, unit_id BIGINT NOT NULL,
    division_id BIGINT NOT NULL, closing_time TEXT NOT NULL, delay_minutes INTEGER NOT NULL, first_closing
    TIMESTAMP WITH TIME ZONE NOT NULL, start TIMESTAMP WITH TIME ZONE NOT NULL, "end" TIMESTAMP WITH TIME
    ZONE, CONSTRAINT pk_history_configs PRIMARY KEY (id), CONSTRAINT ck_history_configs_delay CHECK
    (delay_minutes BETWEEN 5 AND 1439), CONSTRAINT fk_history_configs_unit_id FOREIGN KEY(unit_id) REFERENCES
    units (id), CONSTRAINT fk_history_configs_division_id FOREIGN KEY(division_id) REFERENCES divisions (id))""",
    """CREATE UNIQUE INDEX ix_history_configs_division_id_first_closing ON history_configs (division_id,
    first_closing)""",
    """CREATE INDEX ix_history_configs_division_id_id ON history_configs (division_id, id)""",
    """CREATE TABLE positions (account_id BIGINT NOT NULL, unit_id BIGINT NOT NULL, currency TEXT COLLATE "C" NOT
    NULL, balance BIGINT NOT NULL, entry_id BIGINT, at TIMESTAMP WITH TIME ZONE, low_threshold BIGINT,
    high_threshold BIGINT, threshold_state SMALLINT NOT NULL, CONSTRAINT pk_positions PRIMARY KEY
    (account_id), CONSTRAINT ck_positions_state CHECK (threshold_state IN (0, 1, 2)), CONSTRAINT
    ck_positions_current CHECK ((entry_id IS NULL) = (at IS NULL)), CONSTRAINT fk_positions_account_id FOREIGN
    KEY(account_id) REFERENCES accounts (id), CONSTRAINT fk_positions_unit_id FOREIGN KEY(unit_id) REFERENCES
    units (id)) WITH (fillfactor = 80)""",
    """CREATE INDEX ix_positions_unit_id_balance_account_id ON positions (unit_id, balance, account_id)""",
    """CREATE INDEX ix_positions_unit_id_threshold_state_account_id ON positions (unit_id, threshold_state,
    account_id)""",
)

STATISTICS = (
    ("accounts", "ix_accounts_unit_id_id", "300000 100000 1"),
    ("accounts", "ix_accounts_unit_id_name", "300000 100000 1"),
    ("accounts", "ix_accounts_unit_id_name_folded", "300000 100000 1"),
    ("accounts", "ix_accounts_unit_id_uuid", "300000 100000 1"),
    ("accounts", "ix_accounts_unit_id_external_id", "300000 100000 1"),
    ("accounts", "ix_accounts_unit_id_external_id_folded", "300000 100000 1"),
    ("accounts", "ix_accounts_unit_id_created_at_id", "300000 100000 1 1"),
    ("accounts", "ix_accounts_unit_id_updated_at_id", "300000 100000 1 1"),
    ("accounts", "ix_accounts_division_id_id", "300000 10000 1"),
    ("accounts", "ix_accounts_contractor_id_id", "300000 1000 1"),
    ("positions", "ix_positions_unit_id_balance_account_id", "300000 100000 10 1"),
    ("positions", "ix_positions_unit_id_threshold_state_account_id", "300000 100000 1000 1"),
    ("entries", "ix_entries_account_id_at_id", "30000000 100 1 1"),
    ("entries", "ix_entries_unit_id_at_id", "30000000 10000000 10 1"),
    ("entries", "ix_entries_unit_id_recorded_at_id", "30000000 10000000 100 1"),
    ("entries", "ix_entries_number", "30000000 10000000 1 1"),
    ("balance_kinds", "pk_balance_kinds", "400000 2 1"),
)
"""What SQLite's planner shall think of the tables. Without, it takes a business unit for a handful of rows and walks
it; measured anew, the plans would change with the data, and with the moment of the measure."""


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE if is_sqlite else POSTGRESQL:
        op.execute(statement)
    if is_sqlite:
        op.execute("ANALYZE sqlite_schema")
        op.execute("DELETE FROM sqlite_stat1")
        for table, index, statistics in STATISTICS:
            row = {"table": table, "index": index, "statistics": statistics}
            op.execute(text("INSERT INTO sqlite_stat1 VALUES (:table, :index, :statistics)").bindparams(**row))
