"""Lists travel to PostgreSQL as texts, and arrive as what they were."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from app.store.recording import listed

MOMENTS = [
    datetime.min.replace(tzinfo=UTC),
    datetime(999, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, 0, 0, 0, 120_000, tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
]
TEXTS = ["a", "", "NULL", "null", "a,b", "{}", "[]", " a ", 'q"q', "ÅÄ😀ẞ", "\x7f", "'", "$1", "1"]
ESCAPED = ["\\", '\\"', "\\n", "\n", "\t", "\x01", "a\\b", *TEXTS]


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("text", TEXTS),
        ("text", ESCAPED),
        ("text", [None, *ESCAPED, None]),
        ("text", ["a", None]),
        ("bigint", [0, -1, 2**63 - 1, -(2**63)]),
        ("bigint", [None, 7]),
        ("boolean", [True, False]),
        ("timestamptz", MOMENTS),
        ("timestamptz", [MOMENTS[2], None]),
    ],
)
async def test_a_list_arrives_as_it_was(postgresql_url: str, type_: str, values: list[Any]) -> None:
    connection = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    for given in (values, tuple(values)):
        # The driver keeps the ends of the calendar without a zone.
        found = await connection.fetchval(f"SELECT ($1::text)::{type_}[]", listed(given))
        assert [each.replace(tzinfo=UTC) if type_ == "timestamptz" and each else each for each in found] == values
    await connection.close()


def test_nothing_but_missing_values_is_no_list() -> None:
    assert listed([]) is listed([None, None]) is None
