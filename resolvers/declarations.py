"""What a field means, declared: where in the store its value stands.

The schema declares its fields with these; resolvers and loaders are made from them (resolvers.fetch), and whoever turns
a whole document into statements reads the same declarations. A declaration holds no code of its own.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from app.domain.callers import Scope
from app.domain.conditions import Order
from app.domain.ids import Kind
from app.store.sources import Source
from resolvers.filters import FilterKey


class Identity(NamedTuple):
    """The object's id: its kind and the record's number."""

    kind: Kind


class Column(NamedTuple):
    """A value of the record."""

    name: str


class Coded(NamedTuple):
    """The currency whose code the record has."""

    name: str


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


class Pages(NamedTuple):
    """A connection over a source: all of it that the caller may see, or what belongs to the record by a link."""

    source: Source
    link: str | None
    scope: Scope
    default_order: Order
    filters: Mapping[str, FilterKey]
    orders: Mapping[str, str]
    """The fields of the order argument's enum values."""
    counted: bool = True

    def __hash__(self) -> int:
        return hash((self.source.name, self.link))


class Latest(NamedTuple):
    """The latest entry of each balance type and currency of an account."""

    scope: Scope


class AsOf(NamedTuple):
    """The last entry of an account before an instant."""

    scope: Scope


Declaration: TypeAlias = Identity | Column | Coded | Same | One | Several | Pages | Latest | AsOf


def key_of(declaration: Pages) -> tuple[Any, ...]:
    """What tells one connection from another."""
    return declaration.source.name, declaration.link
