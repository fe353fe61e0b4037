"""Loaders gather single questions into one reading."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from strawberry.dataloader import DataLoader

Load = Callable[[list[Any]], Awaitable[list[Any]]]


class Loaders:
    """The loaders of one operation: one for each question, whoever asks it."""

    def __init__(self) -> None:
        self._of: dict[Hashable, DataLoader[Any, Any]] = {}

    def of(self, question: Hashable, load: Load) -> DataLoader[Any, Any]:
        """The loader of a question; `load` answers it for many keys at once, in their order."""
        loader = self._of.get(question)
        if loader is None:
            loader = self._of[question] = DataLoader(load_fn=load)
        return loader

    def forget(self) -> None:
        """Forget all that was read: something was written."""
        self._of.clear()
