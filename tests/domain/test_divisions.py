"""What a division may be called, and which texts may name anything at all."""

import sys
import unicodedata

import pytest

from app.domain import divisions, texts
from app.domain.refusals import UserErrorCode, Violation


def wrong(code: UserErrorCode, key: str, message: str) -> list[Violation]:
    return [Violation(code, message, ("input", key), "WDIV0011")]


@pytest.mark.parametrize("code", ["US", "my-division", "-", "0", "x" * 36])
def test_a_code_is_letters_digits_and_hyphens(code: str) -> None:
    assert divisions.violations_of(code, None, None, None, None) == []
    assert divisions.violations_of("US", None, None, None, code) == []


@pytest.mark.parametrize(
    "code",
    ["a b", "a_b", "a\n", " ", "ä", "a.b", "a/b", "\N{FULLWIDTH LATIN SMALL LETTER A}", "\N{ARABIC-INDIC DIGIT TWO}"],
)
def test_a_code_of_other_characters_is_refused(code: str) -> None:
    message = "division_code contains character not permitted"
    assert divisions.violations_of(code, None, None, None, None) == wrong(UserErrorCode.INVALID, "code", message)
    message = "parent_code contains character not permitted"
    assert divisions.violations_of("US", None, None, None, code) == wrong(UserErrorCode.INVALID, "parentCode", message)


def test_a_code_is_required() -> None:
    message = "division_code is a required field"
    assert divisions.violations_of("", None, None, None, None) == wrong(UserErrorCode.REQUIRED, "code", message)


def test_an_empty_parent_code_is_no_wrong_field() -> None:
    assert divisions.violations_of("US", None, None, None, "") == []


def test_every_wrong_field_is_told_at_once() -> None:
    too_long = UserErrorCode.TOO_LONG
    assert divisions.violations_of("x" * 37, "x" * 41, "x" * 81, "Pacific Standard Time", "x" * 37) == [
        *wrong(too_long, "code", "division_code must be a maximum of 36 characters in length"),
        *wrong(too_long, "parentCode", "parent_code must be a maximum of 36 characters in length"),
        *wrong(too_long, "name", "name must be a maximum of 40 characters in length"),
        *wrong(too_long, "description", "description must be a maximum of 80 characters in length"),
        *wrong(UserErrorCode.INVALID, "timezone", "timezone is invalid"),
    ]


def test_lengths_are_counted_in_characters() -> None:
    assert divisions.violations_of("US", "\N{GRINNING FACE}" * 40, "ß" * 80, None, None) == []


@pytest.mark.parametrize("timezone", ["UTC", "America/Sao_Paulo"])
def test_a_time_zone_is_a_listed_name(timezone: str) -> None:
    assert divisions.violations_of("US", None, None, timezone, None) == []


@pytest.mark.parametrize("timezone", ["", "utc", "America/Sao_Paulo\n", "../UTC", "GMT+2"])
def test_any_other_time_zone_is_invalid(timezone: str) -> None:
    assert divisions.violations_of("US", None, None, timezone, None) == wrong(
        UserErrorCode.INVALID, "timezone", "timezone is invalid"
    )


@pytest.mark.parametrize("key", ["name", "description"])
def test_a_text_that_cannot_be_shown_is_refused(key: str) -> None:
    given: dict[str, str | None] = {"name": None, "description": None, key: "a\tb"}
    assert divisions.violations_of("US", given["name"], given["description"], None, None) == wrong(
        UserErrorCode.INVALID, key, f"{key} contains character not permitted"
    )


def test_what_depends_on_other_divisions_has_the_documented_codes() -> None:
    assert divisions.code_taken() == (
        UserErrorCode.TAKEN,
        "A division with the same code already exists",
        ("input", "code"),
        "WDIV0016",
    )
    assert divisions.parent_not_found() == (
        UserErrorCode.NOT_FOUND,
        "Parent division not found",
        ("input", "parentCode"),
        "WDIV0017",
    )


# --- texts ------------------------------------------------------------------------------------------------------------


def test_control_format_and_separator_characters_are_not_allowed_save_the_space() -> None:
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        category = unicodedata.category(character)
        expected = character == " " or not (category.startswith("C") or category in {"Zl", "Zp", "Zs"})
        assert texts.allowed(character) is expected, hex(number)


@pytest.mark.parametrize("text", ["", "Kasse 1", "Ærø", "日本", "\N{GRINNING FACE}", "e\N{COMBINING ACUTE ACCENT}"])
def test_ordinary_texts_are_allowed(text: str) -> None:
    assert texts.allowed(text)


@pytest.mark.parametrize("text", ["a\nb", "\0", "a\u200bb", "a\u202eb", "a\u00a0b", "a\u2028b", "a\ud800b", "a\x7f"])
def test_one_character_that_is_not_allowed_is_enough(text: str) -> None:
    assert not texts.allowed(text)


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u00a0", "\u3000 "])
def test_white_space_alone_is_blank(text: str) -> None:
    assert texts.blank(text)


@pytest.mark.parametrize("text", ["a", " a ", "0", "\u200b"])
def test_anything_else_is_not_blank(text: str) -> None:
    assert not texts.blank(text)
