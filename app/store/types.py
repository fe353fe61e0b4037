"""How values are kept: the same exact values on SQLite and on PostgreSQL."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Dialect,
    Integer,
    Text,
    Uuid,
    bindparam,
)
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from app.domain import moments, money

Number = BigInteger().with_variant(Integer(), "sqlite")
"""A whole number of 64 bits."""

Words = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is compared and sorted by code point on both databases."""


class Plain(Text):
    """Text whose letters JSON writes as they are."""


Letters = Plain().with_variant(Text(collation="C"), "postgresql")
"""Codes of currencies and names of time zones."""


class Money(TypeDecorator[Decimal]):
    """An exact amount, kept as a whole number of ten-thousandths."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else BigInteger())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        del dialect
        return None if value is None else money.to_units(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        del dialect
        return None if value is None else money.from_units(value)


class Instant(TypeDecorator[datetime]):
    """An aware datetime in UTC, to the microsecond; on SQLite microseconds since 1970."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return moments.to_micros(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if dialect.name == "sqlite":
            return moments.from_micros(value)
        # The driver gives aware datetimes in UTC, save for the first instant of all: that it keeps as -infinity.
        moment: datetime = value
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


class Flag(TypeDecorator[bool]):
    """True or false; on SQLite 1 or 0."""

    impl = Boolean
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else Boolean())

    def process_result_value(self, value: Any, dialect: Dialect) -> bool | None:
        del dialect
        return None if value is None else bool(value)


class Identifier(TypeDecorator[UUID]):
    """A UUID; on SQLite its usual text."""

    impl = Uuid
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Uuid())

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> Any:
        return str(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:
        if value is None or dialect.name != "sqlite":
            return value  # type: ignore[no-any-return]  # The driver gives UUIDs.
        return UUID(value)


class Listed(TypeDecorator[Sequence[Any]]):
    """Several values of one type, in order: an array on PostgreSQL, JSON text on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        # An array's items take the collation of what they are compared with.
        return dialect.type_descriptor(ARRAY(Text() if isinstance(self.item, Text) else self.item))

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value if value is None else list(value)
        bind = self.item.dialect_impl(dialect).bind_processor(dialect)
        return json.dumps([bind(item) for item in value] if bind else list(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> Sequence[Any] | None:
        if value is None:
            return None
        return tuple(json.loads(value) if dialect.name == "sqlite" else value)


class Day(TypeDecorator[date]):
    """A calendar day; on SQLite its usual text."""

    impl = Date
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Date())

    def process_bind_param(self, value: date | None, dialect: Dialect) -> Any:
        return value.isoformat() if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> date | None:
        if value is None or dialect.name != "sqlite":
            return value  # type: ignore[no-any-return]  # The driver gives dates.
        return date.fromisoformat(value)


class Clock(TypeDecorator[time]):
    """A time of day to the second, kept as HH:MM:SS."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: time | None, dialect: Dialect) -> str | None:
        del dialect
        return None if value is None else value.isoformat()

    def process_result_value(self, value: str | None, dialect: Dialect) -> time | None:
        del dialect
        return None if value is None else time.fromisoformat(value)


Numbers = Listed(Number)

_WITHOUT_ARGUMENTS = frozenset({Money, Instant, Flag, Identifier, Day, Clock, Integer, NullType})
_ALIKE: dict[type, TypeEngine[Any]] = {}


def alike(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """The same type for all columns that have it; SQLAlchemy gives many of them one of their own."""
    is_plain = type(type_) in _WITHOUT_ARGUMENTS and not type_._variant_mapping  # noqa: SLF001 - it has no other name.
    return _ALIKE.setdefault(type(type_), type_) if is_plain else type_


def given_list(type_: TypeEngine[Any], values: Collection[Any]) -> ColumnElement[Any]:
    """Many values of a type as one parameter."""
    return bindparam(None, list(values), type_=Listed(type_), unique=True)
