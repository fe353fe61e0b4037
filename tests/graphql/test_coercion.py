"""Variables are coerced as graphql-core coerces them, value by value."""

from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLList, GraphQLNonNull, Undefined, is_input_type
from graphql.utilities import coerce_input_value
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.numbers import JsonNumber
from schema import schema
from schema.execution.coercion import Coercions

INPUTS = sorted(name for name, type_ in schema.type_map.items() if is_input_type(type_) and not name.startswith("__"))
KEYS = sorted(
    {key for type_ in schema.type_map.values() if isinstance(type_, GraphQLInputObjectType) for key in type_.fields}
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: JsonNumber(repr(number))),
    st.text(max_size=5),
    st.sampled_from(["1.10", "EUR", "LOW", "ASC", "NAME", "2026-01-01T00:00:00Z", "2026-01-01", "account_1", "DAILY"]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=12,
)
coercions = Coercions()


def _slowly(value: Any, type_: Any) -> Any:
    try:
        return coerce_input_value(value, type_)
    except Exception:  # noqa: BLE001 - one_of raises where others return Undefined.
        return Undefined


def _quickly(value: Any, type_: Any) -> Any:
    try:
        return coercions.of(type_)(value)
    except Exception:  # noqa: BLE001 - as above.
        return Undefined


@pytest.mark.parametrize("name", INPUTS)
@settings(max_examples=60, deadline=None)
@given(value=VALUES)
def test_coerced_values_are_graphql_cores(name: str, value: Any) -> None:
    type_: Any = schema.type_map[name]
    for wrapped in (type_, GraphQLNonNull(type_), GraphQLList(type_), GraphQLList(GraphQLNonNull(type_))):
        assert _quickly(value, wrapped) == _slowly(value, wrapped)
