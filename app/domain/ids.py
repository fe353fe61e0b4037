"""Ids of objects: opaque text that holds the kind of object and its number, such as account_17."""

import re
from enum import StrEnum

_ID = re.compile(r"([a-z_]+)_([1-9][0-9]{0,18})", re.ASCII)
_NUMBER_MAX = 2**63 - 1


class Kind(StrEnum):
    """What an id names; the first part of its text."""

    ACCOUNT = "account"
    BALANCE = "balance"
    CONTRACTOR = "contractor"
    CONTACT = "contact"
    INVOICE_TEMPLATE = "invoice_template"
    DIVISION = "division"
    HISTORY_CONFIG = "history_config"
    HISTORY_ENTRY = "history_entry"
    CLOSING = "closing"
    EVENT = "event"
    WEBHOOK = "webhook"


def id_text(kind: Kind, number: int) -> str:
    """The one id of an object."""
    return f"{kind}_{number}"


def parse_id(text: str) -> tuple[Kind, int] | None:
    """What an id names; None for a text that no object can have as its id."""
    match = _ID.fullmatch(text)
    if match is None:
        return None
    name, number = match[1], int(match[2])
    if name not in Kind.__members__.values() or number > _NUMBER_MAX:
        return None
    return Kind(name), number


def number_of(kind: Kind, text: str) -> int | None:
    """The number in an id of one kind; None for the id of another kind, or no id."""
    named = parse_id(text)
    return named[1] if named is not None and named[0] is kind else None
