"""Entries recorded on PostgreSQL by one statement, which is its own transaction.

Who writes has judged by positions that it has seen. The statement locks them, in order of the accounts, and looks
again: a statement that waited for a lock sees the locked row anew, and its conditions are tried on that. Where one of
them is not as it was seen, nothing is written. The numbers of the log are drawn under the locks. Nothing here changes
an account's threshold state: who crosses a threshold is recorded in the other way (app.actions.register_balances).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple, cast

from app.domain import money
from app.domain.balances import NewEntry, Position
from app.domain.records import Entry
from app.store.lanes import Compiled

_GIVEN = {
    "account_id": "bigint",
    "at": "timestamptz",
    "amount": "bigint",
    "currency": "text",
    "balance_type": "text",
    "balance_type_folded": "text",
    "equivalent_value": "bigint",
    "communication_number": "text",
    "communication_number_folded": "text",
    "requester": "text",
    "requester_folded": "text",
    "became_current": "boolean",
    "moves": "boolean",
    "is_new_kind": "boolean",
    "by": "text",
}
"""Of each entry; `moves` marks the one that its account stands at afterwards, `by` is missing where all have one."""
_SEEN = {
    "account_id": "bigint",
    "entry_id": "bigint",
    "low_threshold": "bigint",
    "high_threshold": "bigint",
    "external_id": "text",
}
"""Of each account, as it was seen."""
_STORED = [name for name in _GIVEN if name not in {"moves", "is_new_kind", "by"}]


def _rows(columns: Mapping[str, str], first: int, name: str) -> str:
    """Many rows, a list for each column, and the place of each."""
    # A list travels as a text: the driver would look at each of its values several times.
    lists = ", ".join(f"${place}::text::{type_}[]" for place, type_ in enumerate(columns.values(), first))
    return f"SELECT * FROM unnest({lists}) WITH ORDINALITY AS {name} ({', '.join(columns)}, place)"  # noqa: S608 - names and types of this module.


def _row(columns: Mapping[str, str], first: int, _name: str) -> str:
    """One row, a value for each column: a list of one costs more to send than the value."""
    values = ", ".join(f"${place}::{type_} AS {name}" for place, (name, type_) in enumerate(columns.items(), first))
    return f"SELECT {values}, 1 AS place"


_NOW, _BY = len(_GIVEN) + len(_SEEN) + 1, len(_GIVEN) + len(_SEEN) + 2


_ALL_HELD = "WHERE (SELECT count(*) FROM held) = (SELECT count(*) FROM seen)"
_NUMBERS = "SELECT array_agg(id ORDER BY place) FROM numbered"
_NUMBERS_APART = "SELECT array_agg(n.id ORDER BY g.place) FROM given AS g LEFT JOIN numbered AS n ON n.place = g.place"


def _sql(rows: Callable[[Mapping[str, str], int, str], str], *, apart: bool = False) -> str:
    # Account by account, in their order, and then by a list of them: else the planner would rather read all positions
    # than look up a thousand.
    return f"""
WITH given AS (
  {rows(_GIVEN, 1, "given")}
), seen AS (
  {rows(_SEEN, len(_GIVEN) + 1, "seen")}
), held AS MATERIALIZED (
  SELECT here.* FROM (SELECT * FROM seen ORDER BY account_id) AS s CROSS JOIN LATERAL (
    SELECT p.account_id, p.unit_id, p.external_id, p.division_id
    FROM positions AS p
    WHERE p.account_id = s.account_id
      AND p.entry_id IS NOT DISTINCT FROM s.entry_id
      AND p.low_threshold IS NOT DISTINCT FROM s.low_threshold
      AND p.high_threshold IS NOT DISTINCT FROM s.high_threshold
      AND p.external_id IS NOT DISTINCT FROM s.external_id
    FOR NO KEY UPDATE
  ) AS here
), ready AS MATERIALIZED (
  SELECT g.*, h.unit_id, h.external_id, h.division_id
  FROM given AS g JOIN held AS h ON h.account_id = g.account_id
  {"" if apart else _ALL_HELD}
  ORDER BY g.place
), numbered AS MATERIALIZED (
  SELECT *, nextval('entries_id_seq') AS id FROM ready
), moved AS (
  UPDATE positions AS p SET balance = n.amount, entry_id = n.id, at = n.at
  FROM numbered AS n WHERE n.moves AND p.account_id = n.account_id
    AND p.account_id = ANY (ARRAY(SELECT account_id FROM numbered WHERE moves))
), kinds AS (
  INSERT INTO balance_kinds (account_id, kind, currency, balance_type)
  SELECT DISTINCT account_id, currency || coalesce(':' || balance_type, ''), currency, balance_type
  FROM numbered WHERE is_new_kind ON CONFLICT DO NOTHING
), added AS (
  INSERT INTO entries ({", ".join(_STORED)}, unit_id, external_id, division_id, id, recorded_at, recorded_by)
  OVERRIDING SYSTEM VALUE
  SELECT {", ".join(_STORED)}, unit_id, external_id, division_id, id, ${_NOW}::timestamptz,
    coalesce(by, ${_BY}::text)
  FROM numbered ORDER BY unit_id, communication_number
)
{_NUMBERS_APART if apart else _NUMBERS}
"""  # noqa: S608 - the names and types are those above.


_PARAMETERS = [(str(place), None) for place in range(1, _BY + 1)]


class Recordings(NamedTuple):
    """Statements that answer the entries' numbers as they were given."""

    one: Compiled
    """Null where it was not written."""
    all: Compiled
    """Null where nothing was written, as one of the accounts does not stand as it was seen."""
    each: Compiled
    """Null for each that was not written; an account's entries are together."""


RECORDINGS = Recordings(
    Compiled(_sql(_row), _PARAMETERS, {}),
    Compiled(_sql(_rows), _PARAMETERS, {}),
    Compiled(_sql(_rows, apart=True), _PARAMETERS, {}),
)


HOLDERS = Compiled(
    """
SELECT e.unit_id, e.id, e.account_id, e.amount, e.at, e.currency, e.balance_type, e.equivalent_value,
  e.communication_number, e.requester, e.recorded_at, e.recorded_by
FROM unnest($1::text::bigint[], $2::text::text[], $3::text::text[]) AS asked (unit_id, folded, number)
JOIN entries AS e ON e.unit_id = asked.unit_id AND e.communication_number_folded = asked.folded
  AND e.communication_number = asked.number
""",
    [("units", None), ("folded", None), ("numbers", None)],
    {},
)
"""Who holds numbers of business units."""


def holders_asked(wanted: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """What that statement is given for numbers, each with its business unit."""
    numbers = [number for _, number in wanted]
    return {
        "units": listed([unit_id for unit_id, _ in wanted], "bigint"),
        "folded": listed(_folded(numbers), "text"),
        "numbers": listed(numbers, "text"),
    }


def holder(row: Sequence[Any]) -> tuple[tuple[int, str], Entry]:
    """A row of its answer: the business unit and the number, and the entry that holds it."""
    unit_id, number, account_id, amount, at, currency, kind, equivalent, text, requester, recorded_at, by = row
    value = None if equivalent is None else money.from_units(equivalent)
    moments = (_moment(at), _moment(recorded_at))
    entry = Entry(
        number, account_id, money.from_units(amount), moments[0], currency, kind, value, text, requester, moments[1], by
    )
    return (unit_id, text), entry


def _moment(at: datetime) -> datetime:
    """An instant of the driver's, which keeps the calendar's ends without a zone."""
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def parameters(
    entries: Sequence[NewEntry],
    became_current: Sequence[bool],
    moves: Sequence[bool],
    new_kinds: Sequence[bool],
    seen: Collection[Position],
    *,
    now: datetime,
    by: Sequence[str],
) -> dict[str, Any]:
    """What the statement for many is given for entries, in the order in which they count; what that for one is, where
    there is one. `by` has one text for each, or one for all.
    """
    accounts, _, moments, amounts, currencies, types, equivalents, numbers, requesters = zip(*entries, strict=True)
    seen_accounts, _, _, _, seen_entries, _, thresholds, _, external_ids, _ = zip(*seen, strict=True)
    columns: list[Sequence[Any]] = [
        accounts,
        moments,
        list(map(money.to_units, amounts)),
        currencies,
        types,
        _each(_apart, types),
        _all_units(equivalents),
        numbers,
        _folded(numbers),
        requesters,
        _each(_apart, requesters),
        became_current,
        moves,
        new_kinds,
        [None] * len(entries) if len(by) == 1 else by,
        seen_accounts,
        seen_entries,
        _all_units([each.low for each in thresholds]),
        _all_units([each.high for each in thresholds]),
        external_ids,
    ]
    if len(entries) == 1:
        values = [column[0] for column in columns]
    else:
        values = list(map(listed, columns, (*_GIVEN.values(), *_SEEN.values())))
    return {str(place): value for place, value in enumerate([*values, now, by[0]], 1)}


def listed(values: Sequence[Any], type_: str) -> str | None:
    """A list as PostgreSQL writes one; None for one of missing values alone, which is as a shorter list."""
    if not values or values.count(None) == len(values):
        return None
    has_missing = None in values
    match type_:
        case "text" if not has_missing:
            return _texts_listed(values)
        case "text":
            told = map(_quoted, values)
        case "boolean":
            told = map(_FLAGS.__getitem__, values)
        case "timestamptz":
            # A batch has few different ones.
            told = map({moment: moment.isoformat() for moment in set(values)}.__getitem__, values)
        case _:
            told = map(_NULL.get, values, map(str, values)) if has_missing else map(str, values)
    return f"{{{','.join(told)}}}"


def _texts_listed(texts: Sequence[str]) -> str:
    """Few texts have a character that is written otherwise: then none is looked at by itself."""
    joined = '","'.join(texts)
    if "\\" in joined or joined.count('"') != 2 * len(texts) - 2:
        joined = '","'.join([text.replace("\\", "\\\\").replace('"', '\\"') for text in texts])
    return f'{{"{joined}"}}'


def _quoted(text: str | None) -> str:
    return "NULL" if text is None else _texts_listed([text])[1:-1]


_FLAGS = {True: "t", False: "f"}
_NULL: Mapping[Any, str] = {None: "NULL"}


def _all_units(amounts: Sequence[Decimal | None]) -> Sequence[int | None]:
    if amounts.count(None) == len(amounts):
        return [None] * len(amounts)
    return [None if amount is None else money.to_units(amount) for amount in amounts]


def _each(make: Callable[[str | None], str | None], texts: Sequence[str | None]) -> Sequence[str | None]:
    """What is made of each text; of equal ones once."""
    made = {text: make(text) for text in set(texts)}
    return list(map(made.__getitem__, texts))


_SEPARATOR = "\0"
"""No text that is stored has it."""


def _folded(texts: Sequence[str | None]) -> Sequence[str | None]:
    if not texts or None in texts:
        return [None if text is None else text.casefold() for text in texts]
    return _SEPARATOR.join(cast("Sequence[str]", texts)).casefold().split(_SEPARATOR)


def _apart(text: str | None) -> str | None:
    """The casefolded text where it is another."""
    if text is None:
        return None
    folded = text.casefold()
    return None if folded == text else folded
