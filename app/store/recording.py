"""Entries recorded on PostgreSQL by one statement, which is its own transaction.

The statement locks the accounts' positions, in order of the accounts: one that waited for a lock sees the locked row
anew, and decides by that. The numbers of the log are drawn under the locks. Nothing here changes an account's threshold
state: who crosses a threshold is recorded in the other way (app.actions.register_balances).

There are two kinds. Single entries were judged by positions that were seen, as what a correction adds up to depends on
them: the statement looks again, and where one is not as it was seen, its entry is not written. What a batch does to
accounts is plain enough to be decided by the statement itself. It was judged in the gateway too, by what was seen: that
took a third more of its time, and every batch whose accounts others wrote to meanwhile was done twice.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple, cast

import orjson

from app.domain import money
from app.domain.balances import NewEntry, Position
from app.domain.columns import Columns
from app.domain.records import Entry, ThresholdState
from app.store.lanes import Compiled

_ENTRY = {
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
    "is_known_kind": "boolean",
}
"""What each entry has. `is_known_kind` says that its account is known to have one of its kind."""
_JUDGED = {**_ENTRY, "became_current": "boolean", "by": "text"}
"""What each has that was judged by what was seen; `by` is missing where all have one."""
_SEEN = {
    "account_id": "bigint",
    "entry_id": "bigint",
    "low_threshold": "bigint",
    "high_threshold": "bigint",
    "external_id": "text",
}
"""Of each account, as it was seen."""
_NAMED = {"account_id": "bigint", "external_id": "text"}
"""Of each account, as a batch names it."""
_FOLDED = "coalesce({0}communication_number_folded, {0}communication_number)"
"""It is given where it is another."""
_STORED = [*(name for name in _ENTRY if name != "is_known_kind"), "became_current"]


_VALUES = ", ".join(_STORED).replace("communication_number_folded", _FOLDED.format(""))


def _rows(columns: Mapping[str, str], first: int, name: str) -> str:
    """Many rows, a list for each column, and the place of each."""
    # A list travels as a text: the driver would look at each of its values several times. Its text is selected, so that
    # no plan is made for its length: for many rows the planner would rather read whole tables than look up a thousand.
    lists = ", ".join(f"(SELECT ${place}::text)::{type_}[]" for place, type_ in enumerate(columns.values(), first))
    return f"SELECT * FROM unnest({lists}) WITH ORDINALITY AS {name} ({', '.join(columns)}, place)"  # noqa: S608 - names and types of this module.


def _row(columns: Mapping[str, str], first: int, _name: str) -> str:
    """One row, a value for each column: a list of one costs more to send than the value."""
    values = ", ".join(f"${place}::{type_} AS {name}" for place, (name, type_) in enumerate(columns.items(), first))
    return f"SELECT {values}, 1 AS place"


def _locked(columns: str, conditions: str) -> str:
    """The positions of the accounts of `named` that meet conditions, locked account by account, in their order."""
    return f"""SELECT here.* FROM (SELECT * FROM named ORDER BY account_id) AS n CROSS JOIN LATERAL (
    SELECT p.account_id, p.unit_id, p.external_id, p.division_id{columns} FROM positions AS p
    WHERE p.account_id = n.account_id AND {conditions} FOR NO KEY UPDATE
  ) AS here"""  # noqa: S608 - columns and conditions of this module.


def _written(last: str, now: int, by: str) -> str:
    """What is written of the entries that are `ready`, in their order."""
    return f"""numbered AS MATERIALIZED (
  SELECT *, nextval('entries_id_seq') AS id FROM ready
), moved AS (
  UPDATE positions AS p SET balance = n.amount, entry_id = n.id, at = n.at
  FROM ({last}) AS n WHERE p.account_id = n.account_id
), kinds AS (
  INSERT INTO balance_kinds (account_id, kind, currency, balance_type)
  SELECT DISTINCT account_id, currency || coalesce(':' || balance_type, ''), currency, balance_type
  FROM numbered WHERE NOT is_known_kind ON CONFLICT DO NOTHING
), added AS (
  INSERT INTO entries ({", ".join(_STORED)}, unit_id, external_id, division_id, id, recorded_at, recorded_by)
  OVERRIDING SYSTEM VALUE
  SELECT {_VALUES}, unit_id, external_id, division_id, id, ${now}::timestamptz, {by}
  FROM numbered ORDER BY unit_id, communication_number
)"""  # noqa: S608 - the names and types are those above.


_CURRENT = "SELECT account_id, id, amount, at FROM numbered WHERE became_current"
_LAST = f"SELECT DISTINCT ON (account_id) * FROM ({_CURRENT}) AS c ORDER BY account_id, id DESC"  # noqa: S608 - that above.
"""Where each account stands afterwards."""
_ANSWER = "array_agg(place), array_agg(id) FROM numbered"


def _as_seen(rows: Callable[[Mapping[str, str], int, str], str], last: str) -> str:
    now = len(_JUDGED) + len(_SEEN) + 1
    seen = " AND ".join(f"p.{name} IS NOT DISTINCT FROM n.{name}" for name in _SEEN if name != "account_id")
    return f"""
WITH given AS (
  {rows(_JUDGED, 1, "given")}
), named AS (
  {rows(_SEEN, len(_JUDGED) + 1, "named")}
), held AS MATERIALIZED (
  {_locked("", seen)}
), ready AS MATERIALIZED (
  SELECT g.*, h.unit_id, h.external_id, h.division_id
  FROM given AS g JOIN held AS h ON h.account_id = g.account_id ORDER BY g.place
), {_written(last, now, f"coalesce(by, ${now + 1}::text)")}
SELECT {_ANSWER}
"""  # noqa: S608 - the names and types are those above.


def _batch() -> str:
    now = len(_ENTRY) + len(_NAMED) + 1
    state = f"""CASE WHEN g.amount < h.low_threshold THEN {ThresholdState.LOW:d}
      WHEN g.amount > h.high_threshold THEN {ThresholdState.HIGH:d} ELSE {ThresholdState.NONE:d} END"""
    return f"""
WITH given AS (
  {_rows(_ENTRY, 1, "given")}
), named AS (
  {_rows(_NAMED, len(_ENTRY) + 1, "named")}
), held AS MATERIALIZED (
  {_locked(", currency, at, low_threshold, high_threshold, threshold_state", "p.external_id = n.external_id")}
), fresh AS MATERIALIZED (
  SELECT g.*, h.unit_id, h.external_id, h.division_id,
    g.currency = h.currency AND (h.at IS NULL OR g.at >= h.at) AS became_current,
    {state} <> h.threshold_state AS crosses
  FROM given AS g JOIN held AS h ON h.account_id = g.account_id
  WHERE (
    SELECT e.id FROM entries AS e
    WHERE e.unit_id = h.unit_id AND e.communication_number_folded = {_FOLDED.format("g.")}
      AND e.communication_number = g.communication_number
  ) IS NULL
), fit AS MATERIALIZED (
  SELECT are_named, are_named AND NOT EXISTS (SELECT FROM fresh WHERE became_current AND crosses) AS fits
  FROM (SELECT (SELECT count(*) FROM held) = (SELECT count(*) FROM named) AS are_named) AS h
), ready AS MATERIALIZED (
  SELECT * FROM fresh WHERE (SELECT fits FROM fit) ORDER BY at, place
), {_written(_LAST, now, f"${now + 1}::text")}
SELECT (SELECT are_named FROM fit), (SELECT fits FROM fit), {_ANSWER}
"""  # noqa: S608 - the names and types are those above.


def _compiled(sql: str, count: int) -> Compiled:
    return Compiled(sql, [(str(place), None) for place in range(1, count + 1)])


class Recordings(NamedTuple):
    """Statements that answer which entries were recorded: their places from 1, and their numbers."""

    one: Compiled
    """A single entry. It is not recorded where its account does not stand as it was seen."""
    each: Compiled
    """Entries in the order in which they count; those of an account are together."""
    batch: Compiled
    """The items of a batch; one whose communication number is taken is not recorded. Before, it answers whether all
    accounts are called as the batch does, and whether none crosses a threshold too; else nothing is recorded.
    """


RECORDINGS = Recordings(
    _compiled(_as_seen(_row, _CURRENT), len(_JUDGED) + len(_SEEN) + 2),
    _compiled(_as_seen(_rows, _LAST), len(_JUDGED) + len(_SEEN) + 2),
    _compiled(_batch(), len(_ENTRY) + len(_NAMED) + 2),
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
)
"""Who holds numbers of business units."""


def holders_asked(wanted: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """What that statement is given for numbers, each with its business unit."""
    numbers = [number for _, number in wanted]
    return {
        "units": listed([unit_id for unit_id, _ in wanted]),
        "folded": listed(_folded(numbers)),
        "numbers": listed(numbers),
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
    entries: Columns[NewEntry],
    became_current: Sequence[bool],
    known_kinds: Sequence[bool],
    seen: Collection[Position],
    *,
    now: datetime,
    by: Sequence[str],
) -> dict[str, Any]:
    """What the statement for entries that were judged is given for them, in the order in which they count; what that
    for one is, where there is one. `by` has one text for each, or one for all.
    """
    seen_accounts, _, _, _, seen_entries, _, thresholds, _, external_ids, _ = zip(*seen, strict=True)
    columns: list[Sequence[Any]] = [
        *_columns(entries, known_kinds),
        became_current,
        [None] * len(entries) if len(by) == 1 else by,
        seen_accounts,
        seen_entries,
        *map(_all_units, zip(*thresholds, strict=True)),
        external_ids,
    ]
    values = [column[0] for column in columns] if len(entries) == 1 else list(map(listed, columns))
    return _by_place([*values, now, by[0]])


def batch_parameters(
    entries: Columns[NewEntry],
    known_kinds: Sequence[bool],
    accounts: Mapping[int, Position],
    *,
    now: datetime,
    by: str,
) -> dict[str, Any]:
    """What the statement for a batch is given for its entries, as they were given, and their accounts."""
    external_ids = [account.external_id for account in accounts.values()]
    columns = [*_columns(entries, known_kinds), list(accounts), external_ids]
    return _by_place([*map(listed, columns), now, by])


def _columns(entries: Columns[NewEntry], known_kinds: Sequence[bool]) -> list[Sequence[Any]]:
    accounts, _, moments, amounts, currencies, types, equivalents, numbers, requesters = entries.columns
    return [
        accounts,
        moments,
        money.all_to_units(amounts),
        currencies,
        types,
        _each(_apart, types),
        _all_units(equivalents),
        numbers,
        _folded_apart(numbers),
        requesters,
        _each(_apart, requesters),
        known_kinds,
    ]


def _folded_apart(texts: Sequence[str | None]) -> Sequence[str | None]:
    """The casefolded texts, or nothing where all are as they were."""
    folded = _folded(texts)
    return [None] * len(texts) if folded == list(texts) else folded


def _by_place(values: Sequence[Any]) -> dict[str, Any]:
    return {str(place): value for place, value in enumerate(values, 1)}


def listed(values: Sequence[Any]) -> str | None:
    """A list as PostgreSQL writes one; None for one of missing values alone, which is as a shorter list.

    Texts, whole numbers, truth values and moments.
    """
    if not values or values.count(None) == len(values):
        return None
    # JSON has the same texts, but for what stands behind a backslash.
    told = orjson.dumps(values)
    if b"\\" in told:
        return f"{{{','.join([_quoted(value) for value in values])}}}"
    return f"{{{told[1:-1].decode()}}}"


def _quoted(value: Any) -> str:
    if not isinstance(value, str):
        return orjson.dumps(value).decode()
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _all_units(amounts: Sequence[Decimal | None]) -> Sequence[int | None]:
    if amounts.count(None) == len(amounts):
        return [None] * len(amounts)
    if None not in amounts:
        return money.all_to_units(cast("Sequence[Decimal]", amounts))
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
