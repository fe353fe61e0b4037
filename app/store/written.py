"""How values are written as JSON in a statement, and what its parameters are called."""

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    Integer,
    SmallInteger,
    Text,
    case,
    cast,
    func,
    literal_column,
    type_coerce,
)
from sqlalchemy.sql.elements import ExpressionClauseList
from sqlalchemy.sql.operators import concat_op
from sqlalchemy.sql.type_api import TypeEngine

from app.store.dialects import Dialect
from app.store.pieces import Identified, Spliced, Value
from app.store.templates import HOLE, TEXT, Language, Template, hole, template
from app.store.types import Flag, Identifier, Instant, Money, Plain

MARK = "\x01"
"""What no JSON text holds: the answer is to be made in the other way."""
SPLICE = "\x02"
"""Begins and ends a place where something is put in: the splice's number, a colon, and the value."""
LATER = "\x05"
"""Begins and ends another one: its number, and after a colon each the values of its columns."""
BEYOND = b'infinityZ"'
"""How PostgreSQL writes instants that it keeps as infinite; a text may hold it too, which costs time and no more."""

DIGEST, PARENT, ROOTS, UNITS = "digest", "parent", "roots", "units"


@lru_cache(maxsize=10_000)
def site_name(site: int, what: int | str) -> str:
    """The parameter of a site's value: by its number, or by name."""
    return f"s{site}_{what}"


class JsonText(list[ColumnElement[str]]):
    """A text that is put together; constant parts that meet become one."""

    def add(self, part: "str | ColumnElement[Any]") -> "JsonText":
        if isinstance(part, str):
            self._constant += part
        else:
            self._flush()
            self.append(part)
        return self

    def whole(self) -> ColumnElement[str]:
        self._flush()
        if not self:
            return constant("")
        if len(self) == 1:
            return type_coerce(self[0], Text())
        return ExpressionClauseList._construct_for_list(concat_op, TEXT, *self)  # noqa: SLF001 - it has no other name.

    _constant = ""

    def _flush(self) -> None:
        if self._constant:
            self.append(constant(self._constant))
            self._constant = ""


NUMBER = Integer()

EVERY_ROW = 1_000_000_000
"""A limit that keeps an ordered subquery ordered on SQLite, and limits nothing."""


def only(limit: int) -> ColumnElement[int]:
    """A limit that stands in the statement."""
    return literal_column(str(limit), NUMBER)


def _literal(value: int | str) -> str:
    """A value of an enumeration, as it stands in a statement."""
    return str(int(value)) if isinstance(value, int) else f"'{value}'"


def constant(text: str) -> ColumnElement[str]:
    """A text that stands in the statement itself."""
    return literal_column("'" + text.replace("'", "''") + "'", Text())


@lru_cache(maxsize=2_000)
def told(of: Language, piece: Value | Spliced | Identified, type_: TypeEngine[Any], *, is_nullable: bool) -> Template:
    """A column as JSON, by its type."""
    if isinstance(piece, Value) and piece.names:
        # Enumerations are the schema's; this is no more than a text.
        names = [f" WHEN {HOLE}column{HOLE} = {_literal(value)} THEN '\"{name}\"'" for value, name in piece.names]
        return Template(f"CASE{''.join(names)} ELSE 'null' END", {})
    return template(of, _told(of.dialect, piece, hole("column", type_), is_nullable=is_nullable))


@lru_cache(maxsize=500)
def later(of: Language, columns: int) -> Template:
    """The place of what is asked for later, by so many columns."""
    text = JsonText().add(f"{LATER}{HOLE}later{HOLE}")
    for column in range(columns):
        text.add(":").add(cast(hole(f"column{column}"), Text))
    return template(of, text.add(LATER).whole())


@lru_cache(maxsize=2_000)
def difference(of: Language, amount: TypeEngine[Any], less: TypeEngine[Any]) -> Template:
    """One amount less another, as JSON."""
    text = of.dialect.difference_text(hole("amount", amount), hole("less", less))
    return template(of, JsonText().add('"').add(func.coalesce(text, constant(MARK))).add('"').whole())


def _told(
    dialect: Dialect, piece: Value | Spliced | Identified, at: ColumnElement[Any], *, is_nullable: bool
) -> ColumnElement[str]:
    match piece:
        case Identified(kind=kind):
            return JsonText().add(f'"{kind}_').add(cast(at, Text)).add('"').whole()
        case Spliced():
            text = JsonText().add(f"{SPLICE}{HOLE}splice{HOLE}:").add(at).add(SPLICE).whole()
        case _:
            text = _written(dialect, at)
    return func.coalesce(text, constant("null")) if is_nullable else text


def _written(dialect: Dialect, at: ColumnElement[Any]) -> ColumnElement[str]:
    """A value as JSON, by its column's type; null where it is."""
    match at.type:
        case Money():
            return JsonText().add('"').add(dialect.money_text(at)).add('"').whole()
        case Instant():
            return JsonText().add('"').add(dialect.instant_text(at)).add('"').whole()
        case Flag() | Boolean():
            nothing: ColumnElement[Any] = literal_column("NULL", Text())
            return case((at.is_(None), nothing), (at, constant("true")), else_=constant("false"))
        case Identifier() | Date() | Plain():
            return JsonText().add('"').add(cast(at, Text)).add('"').whole()
        case Integer() | BigInteger() | SmallInteger():
            return cast(at, Text)
        case Text():
            return dialect.quoted(at)
        case _:
            return JsonText().add('"').add(cast(at, Text)).add('"').whole()
