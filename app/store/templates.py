"""Texts of statements with places in them: each is made once, with SQLAlchemy Core, and filled for every statement.

SQLAlchemy takes long to put a statement together and longer to write it, and what a statement says of a source, a page
or a type is the same in all of them. So Core writes each such part once, with holes where one differs from another; a
statement is then a joining of texts.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, FromClause, Table, TableClause, Text, bindparam, literal_column
from sqlalchemy.engine import Dialect as Driver
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.sql.selectable import NamedFromClause
from sqlalchemy.sql.type_api import TypeEngine

from app.store.dialects import Dialect
from app.store.sources import Source, View

TEXT = Text()
HOLE = "\x03"
"""Stands on both sides of a hole's name."""
NUMBERED = "_$"
"""Ends a table's name: the number comes there by which a statement tells its parts from one another."""
OTHERS = "others"
"""The name of a column that stands for any number of further ones, also where a statement around passes them on."""
_PARAMETER = "\x04"
"""Stands on both sides of a parameter's name."""

Process = Callable[[Any], Any] | None
"""What a driver makes of a value."""


class Language:
    """How a database is spoken to: in its dialect, and as SQLAlchemy writes for its driver."""

    def __init__(self, dialect: Dialect, driver: Driver) -> None:
        self.dialect = dialect
        self.driver = driver


_LANGUAGES: dict[str, Language] = {}


def language(dialect: Dialect, driver: Driver) -> Language:
    """The language of a kind of database; all parts of statements are kept with it."""
    known = _LANGUAGES.get(dialect.name)
    if known is None:
        # As Python's own format, so that a text can be filled as it is.
        plain: Any = type(driver)
        known = _LANGUAGES[dialect.name] = Language(dialect, plain(paramstyle="pyformat"))
    return known


def hole(name: str, type_: TypeEngine[Any] = TEXT) -> ColumnElement[Any]:
    """A place where a text is put in."""
    return literal_column(f"{HOLE}{name}{HOLE}", type_)


def tables(name: str) -> FromClause:
    """A place where tables are put in, with what is asked of their rows or without."""
    return TableClause(quoted_name(f"{HOLE}{name}{HOLE}", quote=False))


@lru_cache(maxsize=64)
def reading(source: Source) -> View:
    """A reading of a source in a part of statements."""
    counted: Counter[str] = Counter()

    def named(table: Table) -> NamedFromClause:
        counted[table.name] += 1
        return table.alias(f"{table.name}_{counted[table.name]}{NUMBERED}")

    return source.view(named)


def value(what: int | str, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    """A value that comes when the statement is asked: by its number at the site, or by name."""
    return bindparam(f"v{what}" if isinstance(what, int) else what, None, type_=type_)


class Template:
    """A part of statements."""

    def __init__(self, text: str, processes: Mapping[str, Process]) -> None:
        self.passing: list[str] = []
        """The tables from which further columns are passed on."""
        text = _HOLE.sub(r"%(\1)s", _OTHERS.sub(self._passed, text))
        self._text = text.replace(NUMBERED, "_%(number)s")
        self.named = tuple((name, process) for name, process in processes.items() if not _VALUE.fullmatch(name))
        """The parameters that are given by name."""
        numbered = {name: process for name, process in processes.items() if _VALUE.fullmatch(name)}
        self.values = tuple((name, int(name[1:]), process) for name, process in numbered.items())
        """Those that are a site's values, by their numbers."""

    def _passed(self, match: "re.Match[str]") -> str:
        if match[1] is None:
            return f"%({OTHERS})s"
        self.passing.append(match[1])
        return f"%({OTHERS}{len(self.passing) - 1})s"

    def filled(self, number: int | str, texts: dict[str, str]) -> str:
        """The text with what comes into its holes, and the number that tells its tables from others."""
        texts["number"] = str(number)
        return self._text % texts


_HOLE = re.compile(f"{HOLE}(\\w+){HOLE}")
_OTHERS = re.compile(f', (?:{HOLE}{OTHERS}{HOLE}|([\\w$]+)\\."?{OTHERS}"?)(?: AS {OTHERS})?')
_VALUE = re.compile(r"v\d+")


def template(of: Language, part: ClauseElement) -> Template:
    """A part of statements, as it is written for a database; what Core makes parameters of by itself stands in it."""
    made: Any = part.compile(dialect=of.driver)
    text = str(made)
    processes: dict[str, Process] = {}
    for bound, name in made.bind_names.items():
        if bound.value is None:
            processes[name] = made._bind_processors.get(name)  # noqa: SLF001 - it has no other name.
        else:
            text = text.replace(f"%({name})s", _literal(bound.value))
    return Template(text, processes)


def _literal(given: int | str) -> str:
    """A number or a word, as it stands in Python's format."""
    return str(given) if isinstance(given, int) else "'" + given.replace("'", "''").replace("%", "%%") + "'"


def parameter(name: str) -> str:
    """The place of a parameter."""
    return f"{_PARAMETER}{name}{_PARAMETER}"


_PLACE = re.compile(f"{_PARAMETER}([^{_PARAMETER}]+){_PARAMETER}")


def placed(text: str, driver: Driver) -> tuple[str, Sequence[str]]:
    """A whole statement as a driver reads it, and the names of its parameters in order."""
    names: list[str] = []
    if driver.paramstyle == "qmark":

        def each(match: "re.Match[str]") -> str:
            names.append(match[1])
            return "?"

        return _PLACE.sub(each, text), names
    assert driver.paramstyle == "numeric_dollar"
    numbers: dict[str, str] = {}
    placed = _PLACE.sub(lambda match: numbers.setdefault(match[1], f"${len(numbers) + 1}"), text)
    return placed, list(numbers)
