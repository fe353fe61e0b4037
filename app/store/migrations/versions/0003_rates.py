"""What the processes of one database have drawn of each caller's minute."""

from alembic import op

revision = "0003"
down_revision = "0002"

SQLITE = (
    """CREATE TABLE rates (caller TEXT NOT NULL, minute INTEGER NOT NULL, requests INTEGER NOT NULL, cost INTEGER NOT
    NULL, CONSTRAINT pk_rates PRIMARY KEY (caller, minute)) STRICT, WITHOUT ROWID""",
)

POSTGRESQL = (
    """CREATE TABLE rates (caller TEXT COLLATE "C" NOT NULL, minute BIGINT NOT NULL, requests BIGINT NOT NULL, cost
    BIGINT NOT NULL, CONSTRAINT pk_rates PRIMARY KEY (caller, minute))""",
)


def upgrade() -> None:
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)
