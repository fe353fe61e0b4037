"""What an answer is made of, as the store is asked for it: a tree of pieces, each a JSON text that the database writes.

A tree holds no values. Where something was given (a page's window, a key), a piece names its site, and the site's form
and values come apart; so one tree, with the forms of its sites, is one statement, however often it is asked.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from app.domain.conditions import Order
from app.store.narrowing import Form
from app.store.sources import Source


class Constant(NamedTuple):
    """The same text for every row."""

    text: str


class Value(NamedTuple):
    """A column of the record."""

    column: str
    names: tuple[tuple[Any, str], ...] = ()
    """For an enumeration: the name of each value."""


class Identified(NamedTuple):
    """The id of an object: its kind, and the number that a column holds."""

    kind: str


class Spliced(NamedTuple):
    """A place where the gateway puts in what it knows itself, by the value of a column."""

    column: str
    splice: int


class Later(NamedTuple):
    """A place where the gateway puts in what it asks for by another statement, by the values of some columns."""

    columns: tuple[str, ...]
    later: int


class Difference(NamedTuple):
    """One amount less another."""

    column: str
    less: str


class Object(NamedTuple):
    """Several pieces of one row."""

    fields: tuple[tuple[str, "Piece"], ...]


class Related(NamedTuple):
    """The record of a source whose number a column holds."""

    source: Source
    by: str
    object: Object
    is_nullable: bool


class Several(NamedTuple):
    """The records of a source whose numbers a column lists, in its order."""

    source: Source
    by: str
    object: Object


class Latest(NamedTuple):
    """The latest entry of each kind of an account's balances."""

    object: Object


class Before(NamedTuple):
    """An account's last entry before an instant; the site's values are the instant, and a currency and a type where the
    form says so.
    """

    site: int
    object: Object


class Fact(Enum):
    """What a page tells of itself."""

    HAS_NEXT = "has_next_page"
    HAS_PREVIOUS = "has_previous_page"
    START = "start_cursor"
    END = "end_cursor"
    COUNT = "total_count"


class Cursor(NamedTuple):
    """The place of a row."""


class Rows(NamedTuple):
    """A piece of each row of a page."""

    each: Object


class Totals(NamedTuple):
    """Balances added up, a row a currency; their columns are those of CurrencyTotals."""

    each: Object


class Facts(NamedTuple):
    """An object of facts about a page."""

    fields: tuple[tuple[str, "Fact | Constant"], ...]


Part: TypeAlias = Rows | Facts | Fact | Totals | Constant


class Page(NamedTuple):
    """A page of a source, of a parent or of all that the caller may see; its site holds its window."""

    source: Source
    link: str | None
    site: int
    parts: tuple[tuple[str, Part], ...]


class Found(NamedTuple):
    """The record of a source that meets the site's condition; more than one is one too many."""

    source: Source
    site: int
    object: Object


class Named(NamedTuple):
    """The record that an id names, or one for each of several ids in their order; the site says of which kinds they
    are, null is what no record has.
    """

    site: int
    kinds: Mapping[str, tuple[Source, Object]]
    is_list: bool


Piece: TypeAlias = (
    Constant
    | Value
    | Identified
    | Spliced
    | Later
    | Difference
    | Object
    | Related
    | Several
    | Latest
    | Before
    | Page
    | Found
    | Named
    | Cursor
)


class WindowForm(NamedTuple):
    """The form of a page's window."""

    condition: Form
    order: Order
    has_after: bool
    has_before: bool
    size: int
    from_end: bool
    names_accounts: bool
    """Whether a page over all entries is bound to accounts that it names."""
    narrowed: frozenset[str]
    """The fields that every row is bound by."""


class BeforeForm(NamedTuple):
    has_currency: bool
    has_type: bool


class NamedForm(NamedTuple):
    """The form of ids; its values are their numbers, of a list also the places of their kinds in this form."""

    kinds: tuple[str, ...]


SiteForm: TypeAlias = WindowForm | BeforeForm | NamedForm | Form


class UnitsForm(Enum):
    """Which business units exist for a caller."""

    ALL = "all"
    ONE = "one"
    SOME = "some"


def tells_places(parts: "tuple[tuple[str, Part], ...]") -> bool:
    """Whether a page tells the places of its rows."""
    for _, part in parts:
        if isinstance(part, Facts) and {Fact.START, Fact.END} & {fact for _, fact in part.fields}:
            return True
        if isinstance(part, Rows) and any(isinstance(inner, Cursor) for _, inner in part.each.fields):
            return True
    return False


def columns_of(piece: "Piece | Part") -> Iterator[str]:
    """The columns of its row that a piece needs."""
    match piece:
        case Value(column=column) | Spliced(column=column):
            yield column
        case Difference(column=column, less=less):
            yield column
            yield less
        case Identified() | Latest() | Page():
            yield "id"
        case Before():
            yield "id"
            yield "currency"
        case Related(by=by) | Several(by=by):
            yield by
        case Later(columns=columns):
            yield from columns
        case Object(fields=fields):
            for _, inner in fields:
                yield from columns_of(inner)
        case _:
            return
