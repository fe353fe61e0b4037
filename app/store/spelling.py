"""How a source is written in the language of a database: its columns, tables, fields and orders, as texts.

A part of a statement (app.store.shapes) is the same whatever the source; these texts come into its holes.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ClauseElement, FromClause, literal_column, select
from sqlalchemy.sql.type_api import TypeEngine

from app.store.narrowing import Every, Form, Some, Test
from app.store.shapes import FieldTypes
from app.store.sources import Field, Source, View
from app.store.tables import units
from app.store.templates import NUMBERED, Language, Template, reading, template
from app.store.types import alike

NEEDS = frozenset[int]
"""Joins of a reading, by their places."""
NONE = NEEDS()


class Joined(NamedTuple):
    """A table beside a source's own."""

    table: str
    on: str
    is_units: bool


class FieldSpelling(NamedTuple):
    """A field that lists are narrowed by."""

    texts: Mapping[str, str]
    types: FieldTypes
    needs: NEEDS


class Placing(NamedTuple):
    """What rows are ordered by: a column, None where it is the number, and the number that breaks its ties."""

    key: str | None
    tie: str
    needs: NEEDS


class Spelling(NamedTuple):
    """How a reading of a source is written, its tables without the number that tells them from others."""

    view: View
    texts: Mapping[str, str]
    types: Mapping[str, TypeEngine[Any]]
    nullable: frozenset[str]
    needs: Mapping[str, int]
    """The joins that some columns need."""
    own: str
    joins: Sequence[Joined]
    id: str
    unit_id: str
    links: Mapping[str, str]
    fields: Mapping[str, FieldSpelling]
    ties: Mapping[str, str]
    joined_unit_id: str | None
    only: Template | None
    """Which rows of the tables are of the source; None: all."""

    def needs_of(self, columns: Iterable[str]) -> NEEDS:
        return frozenset([self.needs[name] for name in columns if name in self.needs])

    def narrows(self, form: Form) -> NEEDS:
        """The joins that a condition needs."""
        match form:
            case Test(field=name):
                return self.fields[name].needs
            case Every(of=parts) | Some(of=parts):
                return NONE.union(*[self.narrows(part) for part in parts])
            case _:
                return self.narrows(form.of)

    def placing(self, field: str) -> Placing:
        if field == "id":
            return Placing(None, self.id, NONE)
        # What breaks its ties stands in the same table.
        return Placing(self.texts[field], self.ties.get(field, self.id), self.needs_of([field]))

    def walked_unit_id(self, *, joined: bool) -> tuple[str, NEEDS]:
        """The unit column to walk a page by, and the joins that it needs."""
        if joined and self.joined_unit_id is not None:
            return self.joined_unit_id, self.view.needs_of([self.view.walked_unit_id(joined=True)])
        return self.unit_id, NONE

    def tables(self, needs: NEEDS) -> str:
        """Its tables with those of the joins that are needed."""
        return _with(self.own, [self.joins[place] for place in sorted(needs)])

    def through_units(self, needs: NEEDS, every: str, every_id: str) -> str:
        """The same, gone through unit by unit: by those whose names are read anyway, else by `every`."""
        joins = [self.joins[place] for place in sorted(needs)]
        for join in joins:
            if join.is_units:
                others = [each for each in joins if each is not join]
                return f"{join.table} JOIN {nested(_with(self.own, others))} ON {join.on}"
        return f"{every} JOIN {nested(_with(self.own, joins))} ON {self.unit_id} = {every_id}"


def _with(own: str, joins: Sequence[Joined]) -> str:
    return own + "".join([f" JOIN {join.table} ON {join.on}" for join in joins])


def nested(tables: str) -> str:
    """Tables as one of a join's sides."""
    return f"({tables})" if " JOIN " in tables else tables


def ordered(key: str | None, tie: str, *, descending: bool) -> str:
    """An order; the number breaks ties in the same direction."""
    direction = "DESC" if descending else "ASC"
    return f"{tie} {direction}" if key is None else f"{key} {direction}, {tie} {direction}"


@lru_cache(maxsize=64)
def spelling(of: Language, source: Source) -> Spelling:
    """How a source is written."""
    view = reading(source)

    def text(part: ClauseElement) -> str:
        return str(part.compile(dialect=of.driver))

    def table(part: FromClause) -> str:
        return text(select(literal_column("1")).select_from(part)).partition("FROM ")[2].strip()

    def spelled(field: Field) -> FieldSpelling:
        parts: dict[str, ClauseElement] = {"column": field.column}
        if field.folded is not None:
            parts["folded"] = field.folded
        inner: dict[str, str] = {}
        if field.through is not None and field.link is not None:
            inner["inner"] = table(*field.through.get_final_froms())
            parts |= {"inner_id": field.through.selected_columns[0], "link": field.link}
        folded = None if field.folded is None else alike(field.folded.type)
        types = FieldTypes(alike(field.column.type), folded, bool(inner))
        texts = {name: text(part) for name, part in parts.items()}
        return FieldSpelling({**texts, **inner}, types, view.needs_of(parts.values()))

    def joined(part: FromClause, on: ClauseElement) -> Joined:
        return Joined(table(part), text(on), getattr(part, "element", None) is units)

    return Spelling(
        view=view,
        texts={name: text(column) for name, column in view.columns.items()},
        types={name: alike(column.type) for name, column in view.columns.items()},
        nullable=frozenset(name for name, column in view.columns.items() if getattr(column, "nullable", True)),
        needs={name: place for name, column in view.columns.items() for place in view.needs_of([column])},
        own=table(view.own),
        joins=[joined(join.table, join.on) for join in view.joins],
        id=text(view.id),
        unit_id=text(view.unit_id),
        links={name: text(column) for name, column in view.links.items()},
        fields={name: spelled(each) for name, each in view.fields.items()},
        ties={name: text(column) for name, column in view.ties.items()},
        joined_unit_id=None if view.joined_unit_id is None else text(view.joined_unit_id),
        only=None if view.only is None else template(of, view.only),
    )


def numbered(text: str, number: int | str) -> str:
    """A text with the number that tells its tables from others."""
    return text.replace(NUMBERED, f"_{number}")
