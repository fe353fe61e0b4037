"""Records of named tuples, made without their own calls, and many of them kept column by column.

A batch has thousands of items. Each look at all of them costs a third, or less, where it goes column by column.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import compress
from typing import Any, TypeVar, overload

R = TypeVar("R")
T = TypeVar("T", bound=tuple[Any, ...])


def made_of(type_: type[T], values: tuple[Any, ...]) -> T:
    """A record of a type of named tuples, made of all its values in their order.

    Its own call costs several times as much, and a batch makes thousands.
    """
    return tuple.__new__(type_, values)


def many_of(type_: type[T], columns: Iterable[Iterable[Any]]) -> list[T]:
    """Records of a type of named tuples, by all its columns in their order; the shortest one says how many."""
    return list(map(partial(tuple.__new__, type_), zip(*columns, strict=False)))


class Columns(Sequence[T]):
    """Records of a type of named tuples, kept column by column: to whoever takes one of them it is a list of them.

    columns: one for each of the type's fields, in their order, all as long.
    """

    def __init__(self, type_: type[T], columns: Sequence[Sequence[Any]]) -> None:
        self._type = type_
        self.columns = columns

    @classmethod
    def of(cls, type_: type[T], records: Sequence[T]) -> "Columns[T]":
        """Those of a list."""
        if not records:
            return cls(type_, [()] * len(_fields(type_)))
        return cls(type_, list(zip(*records, strict=True)))

    def column(self, name: str) -> Sequence[Any]:
        """One field of all records."""
        return self.columns[_fields(self._type).index(name)]

    def those(self, wanted: Sequence[bool]) -> "Columns[T]":
        """The records that are wanted, in their order."""
        if all(wanted):
            return self
        return Columns(self._type, [list(compress(column, wanted)) for column in self.columns])

    def __len__(self) -> int:
        return len(self.columns[0])

    def __iter__(self) -> Iterator[T]:
        return iter(many_of(self._type, self.columns))

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> "Columns[T]": ...
    def __getitem__(self, place: int | slice) -> "T | Columns[T]":
        if isinstance(place, slice):
            return Columns(self._type, [column[place] for column in self.columns])
        return made_of(self._type, tuple([column[place] for column in self.columns]))


def _fields(type_: type[tuple[Any, ...]]) -> tuple[str, ...]:
    fields: tuple[str, ...] = vars(type_)["_fields"]
    return fields


class Told(Sequence[R]):
    """Values that are told without being made: their texts are known, or made of less than they are.

    make: the values; tell: their texts, None for a value that is None. Each is asked for once, and when it is needed.
    """

    def __init__(self, count: int, make: Callable[[], Sequence[R]], tell: Callable[[], Sequence[str | None]]) -> None:
        self._count = count
        self._make = make
        self._tell = tell

    @cached_property
    def values(self) -> Sequence[R]:
        return self._make()

    @cached_property
    def texts(self) -> Sequence[str | None]:
        return self._tell()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[R]:
        return iter(self.values)

    @overload
    def __getitem__(self, place: int) -> R: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[R]: ...
    def __getitem__(self, place: int | slice) -> R | Sequence[R]:
        return self.values[place]


class Later(Sequence[R]):
    """A list that is made when it is first looked into; how long it is is known before."""

    def __init__(self, count: int, make: Callable[[], list[R]]) -> None:
        self._count = count
        self._make = make
        self._made: list[R] | None = None

    def made(self) -> list[R]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[R]:
        return iter(self.made())

    @overload
    def __getitem__(self, place: int) -> R: ...
    @overload
    def __getitem__(self, place: slice) -> list[R]: ...
    def __getitem__(self, place: int | slice) -> R | list[R]:
        return self.made()[place]
