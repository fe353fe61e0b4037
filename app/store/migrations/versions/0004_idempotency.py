"""What was answered for clients' keys."""

from alembic import op

revision = "0004"
down_revision = "0003"

SQLITE = """CREATE TABLE idempotency_keys (issuer TEXT NOT NULL, subject TEXT NOT NULL, "key" TEXT NOT NULL, fingerprint
    TEXT NOT NULL, facts TEXT, created_at INTEGER NOT NULL, CONSTRAINT pk_idempotency_keys PRIMARY KEY (issuer, subject,
    "key")) STRICT"""

POSTGRESQL = """CREATE TABLE idempotency_keys (issuer TEXT COLLATE "C" NOT NULL, subject TEXT COLLATE "C" NOT NULL, key
    TEXT COLLATE "C" NOT NULL, fingerprint TEXT COLLATE "C" NOT NULL, facts TEXT COLLATE "C", created_at TIMESTAMP WITH
    TIME ZONE NOT NULL, CONSTRAINT pk_idempotency_keys PRIMARY KEY (issuer, subject, key))"""

INDEX = "CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at)"


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in (SQLITE if is_sqlite else POSTGRESQL, INDEX):
        op.execute(statement)
