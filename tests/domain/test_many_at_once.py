"""What is read of many texts at once is what each says by itself, or nothing."""

from datetime import UTC
from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from app.domain import moments, money

NUMBERS = st.sampled_from(
    ["0", "-0", "1.50", "-3", "007", "1.", ".5", "1e3", "1\n2", "", "\n", "١", "9" * 61, "9" * 60]
)
INSTANTS = st.sampled_from(
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T00:00:00.000001Z",
        "2026-01-01T01:00:00+01:00",
        "2026-01-01t00:00:00z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.1234567Z",
        "2026-01-01T00:00:00Z\n2026-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-01T00:00:00-00:00",
        "2026-01-01",
        "",
    ]
)


@given(st.lists(NUMBERS, min_size=1, max_size=6))
@example(["1\n2", "3"])
def test_numbers_together_are_the_numbers_of_each(texts: list[str]) -> None:
    each = [money.parse(text) for text in texts]
    together = money.parse_all(texts)
    assert together == (None if None in each else each)


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=4), max_size=6))
def test_units_together_are_the_units_of_each(amounts: list[Decimal]) -> None:
    fit = [amount for amount in amounts if money.fault(amount) is None]
    assert money.all_to_units(fit) == [money.to_units(amount) for amount in fit]


@given(st.lists(INSTANTS, min_size=1, max_size=6))
@example(["2026-01-01T00:00:00Z\n2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"])
def test_instants_together_are_the_instants_of_each(texts: list[str]) -> None:
    together = moments.parse_instants(texts)
    each = [moments.parse_instant(text) for text in texts]
    if together is None:
        plain = {"2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.000001Z"}
        assert not plain.issuperset(texts)
    else:
        assert together == each
        assert all(instant.tzinfo is UTC for instant in together)


@given(st.integers(-(2**70), 2**70) | st.integers(-20_000, 20_000))
def test_ten_thousandths_are_told_as_their_amount_is(units: int) -> None:
    assert money.units_text(units) == money.text(money.from_units(units))
