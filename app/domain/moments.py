"""Instants and days: how they are written and told. Instants are aware datetimes in UTC."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

_INSTANT = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt](?:[01]\d|2[0-3]):\d{2}:\d{2}(?:\.\d{1,6})?(?:[Zz]|[+-]\d{2}:[0-5]\d)", re.ASCII
)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def parse_instant(text: str) -> datetime | None:
    """The instant that an RFC 3339 text with an offset says, in UTC; None where it is none.

    At most microseconds; no leap second, no 24:00, no instant whose year in UTC is not 1 to 9999.
    """
    if _INSTANT.fullmatch(text) is None:
        return None
    try:
        # It would take more than this grammar has.
        local = datetime.fromisoformat(text.upper())
        return local if local.tzinfo is UTC else local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_PLAIN = re.compile(r"(?:\d{4}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|\+00:00)\n)*", re.ASCII)


def parse_instants(texts: Sequence[str]) -> list[datetime] | None:
    """The instants of many texts at once, where all are plainly in UTC; None says that each is to be looked at.

    Equal texts give the same one: a batch has few moments.
    """
    different = list(set(texts))
    lines = "\n".join(different) + "\n"
    if lines.count("\n") != len(different) or _PLAIN.fullmatch(lines) is None:
        return None
    try:
        instants = dict(zip(different, map(datetime.fromisoformat, different), strict=True))
    except ValueError:
        return None
    return list(map(instants.__getitem__, texts))


def instant_text(instant: datetime) -> str:
    """An instant as it is told: UTC with Z and no more digits of a second than there are."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    written = instant.isoformat()[:-6]  # The offset, which is +00:00.
    return (written.rstrip("0") if instant.microsecond else written) + "Z"


def parse_day(text: str) -> date | None:
    """The calendar day that a YYYY-MM-DD text says; None where it is none."""
    if _DAY.fullmatch(text) is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(instant: datetime) -> int:
    """Microseconds since 1970-01-01T00:00:00Z, exact."""
    return (instant - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)
