"""Input objects as resolvers get them."""

from collections.abc import Mapping, Sequence
from typing import Any, overload


class Alike(Sequence[dict[str, Any]]):
    """Many input objects with the same keys, kept key by key.

    To whoever takes one of them it is a list of dictionaries; whoever wants one key of all has it at hand.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]], count: int) -> None:
        self.columns = columns
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(self._count))]
        if not -self._count <= place < self._count:
            raise IndexError(place)
        return {name: values[place] for name, values in self.columns.items()}
