"""What a field means, declared: where in the store its value stands.

The schema declares its fields with these; resolvers and loaders are made from them (resolvers.fetch), and whoever turns
a whole document into statements reads the same declarations. A declaration holds no code of its own.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from app.domain.callers import Scope
from app.domain.conditions import Operator, Order
from app.domain.ids import Kind
from app.store.sources import Source
from resolvers.filters import FilterKey


class Identity(NamedTuple):
    """The object's id: its kind and the record's number."""

    kind: Kind


class Column(NamedTuple):
    """A value of the record; a store that writes answers itself knows how its column is told, `tell` says it here."""

    name: str
    tell: Callable[[Any], Any] | None = None


class Derived(NamedTuple):
    """What follows from the record alone."""

    tell: Callable[[Any], Any]


class Coded(NamedTuple):
    """The currency whose code the record has."""

    name: str


class Lesser(NamedTuple):
    """One amount of the record less another; the record has it by name."""

    name: str
    amount: str
    less: str


class Same(NamedTuple):
    """An object whose fields stand in the same record."""


class One(NamedTuple):
    """The record of a source whose number the record has; null where it has none."""

    source: Source
    by: str
    scope: Scope


class Several(NamedTuple):
    """The records of a source whose numbers the record lists, in its order."""

    source: Source
    by: str
    scope: Scope


class Key(NamedTuple):
    """What a record is looked up by: a field that is unique within a business unit, or its number."""

    said: str
    """How the field is called in messages."""
    field: str
    value: Any
    business_unit: str | None = None


class Keyed(NamedTuple):
    """The record of a source that the arguments name; None where the key can't be anybody's."""

    source: Source
    scope: Scope
    key: Callable[[Mapping[str, Any]], Key | None]


class Kinds(NamedTuple):
    """Where the objects of each kind stand, and what it takes to see one."""

    stored: Mapping[Kind, tuple[Source, Scope]]
    told: Mapping[Kind, Callable[[Any, int], Awaitable[Any]]]
    """Those that stand in no source: who gives them, by the context and their number."""


class Named(NamedTuple):
    """The object of any kind whose id an argument gives, or one for each id of a list, in its order.

    None for an id that is malformed, unknown, or of an object that doesn't exist for the caller.
    """

    argument: str
    is_list: bool
    of: Kinds

    def __hash__(self) -> int:
        return hash(self.argument)


class Bound(NamedTuple):
    """What an argument of a connection binds its rows by."""

    field: str
    operator: Operator
    is_currency: bool = False


class Part(NamedTuple):
    """What a page tells of its rows or itself, by the name of its question to resolvers.pages.Listing."""

    name: str


class Pages(NamedTuple):
    """A connection over a source: all of it that the caller may see, or what belongs to the record by a link."""

    source: Source
    link: str | None
    scope: Scope
    default_order: Order
    filters: Mapping[str, FilterKey]
    orders: Mapping[str, str]
    """The fields of the order argument's enum values."""
    bounds: Mapping[str, Bound] = MappingProxyType({})
    """What further arguments bind."""

    def __hash__(self) -> int:
        return hash((self.source.name, self.link))


class Latest(NamedTuple):
    """The latest entry of each balance type and currency of an account."""

    scope: Scope
    source: Source


class AsOf(NamedTuple):
    """The last entry of an account before an instant."""

    scope: Scope
    source: Source


class Later(NamedTuple):
    """What is told of a record by some of its columns, with another statement for many records at once.

    load: by the context, the arguments and the columns' values of several records, what is told of each, or the
    Refusal of one. The columns are numbers, or texts without a colon that JSON writes as they are.
    statement: its SQL, by the context and the arguments.
    """

    name: str
    columns: tuple[str, ...]
    scope: Scope
    load: Callable[[Any, Mapping[str, Any], Sequence[tuple[str, ...]]], Awaitable[Sequence[Any]]]
    statement: Callable[[Any, Mapping[str, Any]], str]

    def __hash__(self) -> int:
        return hash(self.name)


AtHand: TypeAlias = Identity | Column | Derived | Coded | Lesser | Same | Part
"""What is known of the record alone."""

Declaration: TypeAlias = AtHand | One | Several | Keyed | Named | Pages | Latest | AsOf | Later


def key_of(declaration: Pages) -> tuple[Any, ...]:
    """What tells one connection from another."""
    return declaration.source.name, declaration.link
