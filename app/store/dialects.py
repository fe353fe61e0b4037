"""What differs between the two databases, as one interface; app.store.sqlite and app.store.postgres fill it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, FromClause, Select, Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.failures import Damage
from app.store.lanes import Lanes
from app.store.recording import Recordings

Rows = Sequence[Mapping[str, Any]]


class Dialect(Protocol):
    """One database's way of doing what SQL has no common words for."""

    name: str
    short_list: int
    """How many values of a list are parameters of their own; a longer list is one parameter."""

    def __hash__(self) -> int: ...

    @property
    def is_in_place(self) -> bool:
        """Whether the database is still the one that was opened; a server's always is."""
        ...

    def engines(self, url: str, *, connections: int, statement_seconds: float) -> tuple[AsyncEngine, AsyncEngine]:
        """An engine for readings (each statement by itself) and one for works (each a transaction)."""
        ...

    def lanes(self, url: str, *, connections: int, statement_seconds: float, damage: Damage) -> Lanes:
        """Plain connections for statements that read."""
        ...

    async def close(self) -> None:
        """Leave what is held beside engines and lanes, when they are closed."""
        ...

    @property
    def record(self) -> Recordings | None:
        """The statements that record entries as their accounts were seen to stand; None where works do it."""
        ...

    def contains(self, folded: ColumnElement[Any], text: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a text holds another, letter for letter."""
        ...

    def ends_with(self, folded: ColumnElement[Any], text: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a text ends with another, letter for letter."""
        ...

    def among(self, column: ColumnElement[Any], given: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a column has one of many values, given in one parameter."""
        ...

    def each(self, given: ColumnElement[Any]) -> FromClause:
        """A table with one column, `key`, of many values that are given in one parameter."""
        ...

    def first_of_each(self, parents: FromClause, page: "Page") -> Select[Any]:
        """For each parent the first rows of its page: the column `key` and the record's fields.

        The cost depends on what is asked and not on how many rows a parent has.
        """
        ...

    def as_bytes(self, text: ColumnElement[str]) -> ColumnElement[bytes]:
        """A text in UTF-8."""
        ...

    def quoted(self, text: ColumnElement[Any]) -> ColumnElement[str]:
        """A text as JSON."""
        ...

    def hex(self, text: ColumnElement[Any]) -> ColumnElement[str]:
        """A text's bytes in UTF-8, two lower-case digits each."""
        ...

    def money_text(self, amount: ColumnElement[Any]) -> ColumnElement[str]:
        """An amount as app.domain.money.text writes it."""
        ...

    def units_text(self, amount: ColumnElement[Any]) -> ColumnElement[str]:
        """An amount in ten-thousandths."""
        ...

    def difference_text(self, amount: ColumnElement[Any], less: ColumnElement[Any]) -> ColumnElement[str]:
        """One amount less another, as an amount is written; null where the database can't tell it exactly."""
        ...

    def sum_text(self, amount: ColumnElement[Any]) -> ColumnElement[str]:
        """The sum of amounts, as one is written; null where the database can't tell it exactly."""
        ...

    def instant_text(self, at: ColumnElement[Any]) -> ColumnElement[str]:
        """An instant as app.domain.moments.instant_text writes it."""
        ...

    def micros_text(self, at: ColumnElement[Any]) -> ColumnElement[str]:
        """An instant in microseconds since 1970."""
        ...

    def gathered(self, text: ColumnElement[str], between: str) -> Any:
        """The texts of all rows, in their order, with another between them; null without a row."""
        ...

    def items(self, listed: ColumnElement[Any]) -> FromClause:
        """A table of the numbers that a column lists: `number`, and its `place`."""
        ...

    def side_by_side(self, listed: ColumnElement[Any], other: ColumnElement[Any]) -> FromClause:
        """A table of two lists of the same length: `number`, `other`, and their `place`."""
        ...

    def least(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        """The smaller of two numbers."""
        ...

    def halves(self, amount: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Two sums of the high and the low 32 bits of ten-thousandths: no sum of 64-bit numbers overflows in them."""
        ...

    def locked(self, statement: Select[Any], table: FromClause) -> Select[Any]:
        """The same statement, locking the rows of one table until the transaction ends."""
        ...

    async def wait_at_most(self, connection: AsyncConnection, seconds: float) -> None:
        """Bound how long the transaction waits for each lock; SQLite's one writer waits before it begins."""
        ...

    async def log_numbers(self, connection: AsyncConnection, count: int) -> Sequence[int]:
        """So many unused places in the log, ascending. Whoever draws them is known as a writer before."""
        ...

    async def log_number_of_each(
        self, connection: AsyncConnection, count: int, order: ColumnElement[Any]
    ) -> ColumnElement[int]:
        """The places of so many rows of a statement that is ordered by a column; unused, ascending."""
        ...

    async def skip_numbers(self, connection: AsyncConnection, count: int) -> int:
        """Skip so many numbers, of everything that has one; the last one of the log that is skipped."""
        ...

    async def horizon(self, connection: AsyncConnection) -> int:
        """A place in the log up to which nothing is still to be committed; it never goes back."""
        ...

    async def insert(self, connection: AsyncConnection, table: Table, rows: Rows) -> None:
        """Add many rows in one go; raises IntegrityError where a unique key is taken."""
        ...

    async def insert_new(self, connection: AsyncConnection, table: Table, rows: Rows) -> None:
        """The same; a row whose unique key is taken is passed over."""
        ...

    async def update(self, connection: AsyncConnection, table: Table, key: str, rows: Rows) -> None:
        """Change many rows in one statement, each found by its key; all rows name the same columns."""
        ...


class Page(Protocol):
    """How a page's rows are selected from a source; made by app.store.reads."""

    def selected(self, parents: FromClause) -> Select[Any]:
        """Record fields of a parent's first rows, correlated with `parents.c.key`, ordered and limited."""
        ...

    def numbered(self, parents: FromClause) -> Select[Any]:
        """The same, ids alone."""
        ...

    def all_among(self, numbers: Select[Any], parents: FromClause) -> Select[Any]:
        """Record fields of the rows with these ids, beside their parent's key."""
        ...

    def ordering(self, columns: Any) -> Sequence[ColumnElement[Any]]:
        """The page's order over the columns of a record."""
        ...
