"""Conditions on rows of a source, as texts of a statement."""

from typing import Protocol

from app.store import shapes
from app.store.narrowing import OF_NO_VALUES, Every, Form, NotTrue, Some, Test, nameless
from app.store.spelling import Spelling
from app.store.templates import Language, Template


class Filling(Protocol):
    """Fills parts of one statement."""

    of: Language

    def filled(
        self, template: Template, texts: dict[str, str], *, number: int | str = 0, site: int = 0, first: int = 0
    ) -> str:
        """A part with what comes into it; its values are the site's, from the first one on."""
        ...


class Condition:
    """A condition on rows of a source; its values are its site's first ones."""

    def __init__(self, writer: Filling, spelling: Spelling, form: Form, site: int) -> None:
        self._writer = writer
        self._spelling = spelling
        self._form = form
        self._site = site
        self.needs = spelling.narrows(form)
        """The joins that it needs."""
        self.values = 0
        """How many values it has, when its text is made."""

    def text(self) -> list[str]:
        """The condition, where it says anything."""
        self.values = 0
        text = self._of(self._form)
        return [] if text is None else [text]

    def _of(self, form: Form) -> str | None:
        """None where every row meets it. A text may stand beside AND."""
        match form:
            case Test():
                return self._test(form)
            case Every(of=parts):
                texts = [text for text in [self._of(part) for part in parts] if text is not None]
                return _NOTHING if _NOTHING in texts else " AND ".join(texts) or None
            case Some(of=parts):
                texts = [_ALL if text is None else text for text in [self._of(part) for part in parts]]
                if _ALL in texts:
                    return None
                said = [text for text in texts if text != _NOTHING]
                return f"({' OR '.join(said)})" if said else _NOTHING
            case NotTrue(of=part):
                text = self._of(part)
                if text is None or text == _NOTHING:
                    return _NOTHING if text is None else None
                return self._writer.filled(shapes.is_not_true(self._writer.of), {"condition": f"({text})"})

    def _test(self, test: Test) -> str | None:
        if test.size == 0 and test.operator in OF_NO_VALUES:
            return None if OF_NO_VALUES[test.operator] else _NOTHING
        field = self._spelling.fields[test.field]
        shape = shapes.compared(self._writer.of, nameless(test), field.types)
        first, self.values = self.values, self.values + shape.values
        return self._writer.filled(shape.template, dict(field.texts), site=self._site, first=first)


_NOTHING, _ALL = "1 = 0", "1 = 1"
"""What no row meets, and what each does."""
