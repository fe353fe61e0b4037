"""Scalars that lose nothing: exact decimals, instants with an offset, calendar days, UUIDs."""

import datetime as dt
import decimal
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import strawberry
from graphql import GraphQLError, GraphQLScalarType
from graphql.language import FloatValueNode, IntValueNode, StringValueNode, ValueNode
from strawberry.types.scalar import ScalarDefinition

from app.domain import moments, money
from app.domain.numbers import JsonNumber

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", re.ASCII)


def _decimal(value: Any, node: ValueNode | None = None) -> decimal.Decimal:
    """A decimal from a text or a number, with the digits that it was written with; a literal's place is told."""
    if isinstance(value, JsonNumber):
        value = value.text
    elif type(value) is int:
        value = str(value)
    number = money.parse(value) if isinstance(value, str) else None
    if number is None:
        raise GraphQLError("Decimal cannot represent a value that is no plain decimal number.", node)
    return number


def _decimal_literal(node: ValueNode, _variables: Any = None) -> decimal.Decimal:
    if not isinstance(node, IntValueNode | FloatValueNode | StringValueNode):
        raise GraphQLError("Decimal cannot represent a value that is no plain decimal number.", node)
    return _decimal(node.value, node)


def _text_parser(name: str, wanted: str, parse: Callable[[str], Any]) -> Callable[..., Any]:
    def parse_value(value: Any, node: ValueNode | None = None) -> Any:
        parsed = parse(value) if isinstance(value, str) else None
        if parsed is None:
            raise GraphQLError(f"{name} cannot represent a value that is not {wanted}.", node)
        return parsed

    return parse_value


def _text_literal(name: str, parse_value: Callable[..., Any]) -> Callable[..., Any]:
    def parse_literal(node: ValueNode, _variables: Any = None) -> Any:
        if not isinstance(node, StringValueNode):
            raise GraphQLError(f"{name} cannot represent a value that is no string.", node)
        return parse_value(node.value, node)

    return parse_literal


def _parse_uuid(text: str) -> uuid.UUID | None:
    return uuid.UUID(text) if _UUID.fullmatch(text) else None


def _scalar(
    name: str,
    description: str | None,
    serialize: Callable[[Any], Any],
    parse_value: Callable[[Any], Any],
    parse_literal: Callable[..., Any],
) -> ScalarDefinition:
    implementation = GraphQLScalarType(name, serialize, parse_value, parse_literal, description=description)
    return ScalarDefinition(
        name=name,
        description=description,
        specified_by_url=None,
        serialize=serialize,
        parse_value=parse_value,
        parse_literal=parse_literal,
        implementation=implementation,
    )


def _of_text(
    name: str, description: str | None, wanted: str, parse: Callable[[str], Any], tell: Callable[[Any], str]
) -> ScalarDefinition:
    parse_value = _text_parser(name, wanted, parse)
    return _scalar(name, description, tell, parse_value, _text_literal(name, parse_value))


DECIMAL = _scalar(
    "Decimal",
    'An exact decimal number, written as a string such as "1100" or "-0.5". Numbers are accepted as input, with the'
    " digits that they were written with. Stored amounts have at most 4 digits after the point; more is refused by the"
    " operation (userErrors, G002), never rounded.",
    money.text,
    _decimal,
    _decimal_literal,
)
DATE_TIME = _of_text(
    "DateTime",
    "An instant, RFC 3339 with an offset on the way in, UTC with Z on the way out.",
    "an RFC 3339 date-time with an offset and at most microseconds",
    moments.parse_instant,
    moments.instant_text,
)
DATE = _of_text(
    "Date", "A calendar day, YYYY-MM-DD.", "a calendar day YYYY-MM-DD", moments.parse_day, dt.date.isoformat
)
UUID = _of_text("UUID", "A UUID in its usual form of 36 characters.", "a UUID", _parse_uuid, str)

SCALARS: dict[object, ScalarDefinition] = {
    decimal.Decimal: DECIMAL,
    dt.datetime: DATE_TIME,
    dt.date: DATE,
    uuid.UUID: UUID,
    strawberry.scalars.JSON: _scalar(
        "JSON", "Any JSON value.", lambda value: value, lambda value: value, lambda node, _variables=None: node
    ),
}

PARSED_TOGETHER: Mapping[str, Callable[[Sequence[str]], Sequence[Any] | None]] = {
    "Decimal": money.parse_all,
    "DateTime": moments.parse_instants,
}
"""By a scalar's name, what makes the values of many texts at once; None where they are to be looked at one by one."""
