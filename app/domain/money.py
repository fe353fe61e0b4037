"""Exact amounts: how they are written, within which bounds they are stored, and how they are printed."""

import re
from collections import deque
from collections.abc import Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import Enum
from itertools import repeat

DIGITS_AFTER_POINT = 4
UNITS_PER_ONE = 10**DIGITS_AFTER_POINT
TEXT_MAX = 60
"""Characters of a decimal number's text."""

AMOUNT_MAX = Decimal("922337203685477.5807")
"""The largest stored amount, and with a minus the smallest: 64 bits of ten-thousandths, less one value."""

_UNITS = Decimal(UNITS_PER_ONE)

EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])
"""Arithmetic that raises rather than rounds."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)


class AmountFault(Enum):
    """Why a decimal number can't be stored as an amount."""

    TOO_PRECISE = "must have at most 4 decimal places"
    OUT_OF_RANGE = "is out of range"


def parse(text: str) -> Decimal | None:
    """The number that a text says, digit by digit; None where it is none.

    The grammar is that of JSON numbers without an exponent, in ASCII digits, 60 characters at most.
    """
    if len(text) > TEXT_MAX or _NUMBER.fullmatch(text) is None:
        return None
    return Decimal(text)


_NUMBERS = re.compile(rf"(?:{_NUMBER.pattern}\n)*", re.ASCII)


def parse_all(texts: Sequence[str]) -> list[Decimal] | None:
    """The same of many at once; None where any says no number."""
    if max(map(len, texts), default=0) > TEXT_MAX:
        return None
    lines = "\n".join(texts) + "\n"
    if lines.count("\n") != len(texts) or _NUMBERS.fullmatch(lines) is None:
        return None
    return list(map(Decimal, texts))


def fault(number: Decimal) -> AmountFault | None:
    """Why a number can't be stored as an amount; trailing zeros do not count. Never rounds."""
    if not -AMOUNT_MAX <= number <= AMOUNT_MAX:
        return AmountFault.OUT_OF_RANGE
    try:
        EXACT.quantize(number, _STEP)
    except (Inexact, InvalidOperation):  # The latter where it would have more digits than are reckoned with.
        return AmountFault.TOO_PRECISE
    return None


def are_sound(numbers: Sequence[Decimal]) -> bool:
    """Whether none of them has a fault."""
    if not -AMOUNT_MAX <= min(numbers) <= max(numbers) <= AMOUNT_MAX:
        return False
    try:
        deque(map(EXACT.quantize, numbers, repeat(_STEP)), maxlen=0)
    except (Inexact, InvalidOperation):
        return False
    return True


_STEP = Decimal("0.0001")


def to_units(amount: Decimal) -> int:
    """An amount in ten-thousandths, the form in which it is stored. The amount must have no fault."""
    return int(EXACT.multiply(amount, _UNITS))


def all_to_units(amounts: Sequence[Decimal]) -> list[int]:
    """The same of many at once."""
    return list(map(int, map(EXACT.multiply, amounts, repeat(_UNITS))))


def from_units(units: int) -> Decimal:
    """The amount of a number of ten-thousandths; of any size, so that sums stay exact."""
    return Decimal(units).scaleb(-DIGITS_AFTER_POINT, context=EXACT)


def units_text(units: int) -> str:
    """An amount of ten-thousandths as it is told, without the amount."""
    whole, rest = divmod(abs(units), UNITS_PER_ONE)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}" if not rest else f"{sign}{whole}.{rest:04}".rstrip("0")


def text(number: Decimal) -> str:
    """A number as it is told: no exponent, no trailing zeros, never "-0"."""
    written = format(number, "f")
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written == "-0" else written
