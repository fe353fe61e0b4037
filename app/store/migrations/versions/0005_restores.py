"""What of the log was lost each time that a backup was put in place of the database."""

from alembic import op

revision = "0005"
down_revision = "0004"

SQLITE = """CREATE TABLE restores (lost_to INTEGER NOT NULL, lost_after INTEGER NOT NULL, at INTEGER NOT NULL,
    CONSTRAINT pk_restores PRIMARY KEY (lost_to)) STRICT"""

POSTGRESQL = """CREATE TABLE restores (lost_to BIGINT NOT NULL, lost_after BIGINT NOT NULL, at TIMESTAMP WITH TIME ZONE
    NOT NULL, CONSTRAINT pk_restores PRIMARY KEY (lost_to))"""


def upgrade() -> None:
    op.execute(SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL)
