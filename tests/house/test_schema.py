"""The schema: what stands on file, and what the contract asks for."""

from pathlib import Path

import pytest
from graphql import build_schema

import schema
from tests.house.contracts import differences

ON_FILE = Path(schema.__file__).with_name("schema.graphql")
CONTRACT = Path(__file__).with_name("contract.graphql")

SMALL = """
type Query { account(id: ID!, first: Int = 50): Account, level: Level }
type Account { name: String!, note: String }
input By { id: ID = "a", name: String }
input One @oneOf { id: ID, name: String }
enum Level { LOW HIGH }
"""


def test_the_schema_is_the_one_on_file() -> None:
    assert ON_FILE.read_text(encoding="utf-8").splitlines() == schema.sdl().splitlines()


def test_the_schema_keeps_the_contract() -> None:
    contract = build_schema(CONTRACT.read_text(encoding="utf-8"))
    assert differences(contract, build_schema(schema.sdl(), assume_valid=True)) == []


def test_a_schema_that_says_more_keeps_the_contract() -> None:
    more = SMALL.replace("note: String", "note: String, more: Int").replace("first: Int = 50", "first: Int = 50, x: ID")
    assert differences(build_schema(SMALL), build_schema(more)) == []


@pytest.mark.parametrize(
    ("said", "instead", "told"),
    [
        ("note: String", "", "FIELD_REMOVED: Field Account.note was removed."),
        ("note: String", "note: Int", "TYPE: Account.note is Int, not String"),
        ("note: String", "note: String!", "TYPE: Account.note is String!, not String"),
        ("name: String!", "name: String", "TYPE: Account.name is String, not String!"),
        ("name: String!", 'name: String! @deprecated(reason: "old")', "DEPRECATED: Account.name"),
        ("first: Int = 50", "first: Int = 10", "DEFAULT: Query.account(first:) is 10, not 50"),
        ("first: Int = 50", "first: Int", "DEFAULT: Query.account(first:) is None, not 50"),
        ('id: ID = "a"', "id: ID", 'DEFAULT: By.id is None, not "a"'),
        (" @oneOf", "", "ONE_OF: One"),
        ("LOW HIGH", "LOW", "VALUE_REMOVED_FROM_ENUM: Enum value Level.HIGH was removed."),
    ],
)
def test_what_a_client_could_notice_is_a_difference(said: str, instead: str, told: str) -> None:
    assert said in SMALL
    changed = build_schema(SMALL.replace(said, instead, 1), assume_valid=True)
    assert told in differences(build_schema(SMALL), changed)
