"""How balances of accounts moved, for their series: one statement for any number of accounts."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import and_, func, literal_column, select

from app.domain.series import Movement
from app.store import tables as t
from app.store.lanes import Compiled
from app.store.pieces import UnitsForm
from app.store.templates import TEXT, Language, parameter, placed, template, value
from app.store.types import Instant, Letters, Listed, Number, Numbers
from app.store.windows import visible
from app.store.written import BEYOND, EVERY_ROW, JsonText, constant, only

_FIRST = b"-62135596800000000"
"""The calendar's first instant in microseconds since 1970; an entry that is asked for has no later infinite one."""


@lru_cache(maxsize=12)
def moved(of: Language, driver: Any, units: UnitsForm, *, has_currency: bool) -> Compiled:
    """A row for each account that exists for the caller: its number, what it had before, and what it had from then on.

    Its values: `accounts`, `since` (one for each), `before`, and a `currency`, else each account's own counts.
    """
    given = of.dialect.side_by_side(value("accounts", Numbers), value("since", Listed(Instant())))
    asked = select(given.c.number, given.c.other).subquery("asked")
    p, e = t.positions.alias("p"), t.entries.alias("e")
    since = literal_column("asked.other", e.c.at.type)
    own = and_(
        e.c.account_id == literal_column("p.account_id", Number),
        e.c.currency == (value("currency", Letters) if has_currency else literal_column("p.currency", Letters)),
    )
    dialect = of.dialect
    opening = select(dialect.units_text(e.c.amount)).where(own, e.c.at < since)
    opening = opening.order_by(e.c.at.desc(), e.c.id.desc()).limit(only(1))
    piece = JsonText().add(dialect.micros_text(e.c.at)).add(",").add(dialect.units_text(e.c.amount)).whole()
    later = select(piece.label("piece")).where(own, e.c.at >= since, e.c.at < value("before", e.c.at.type))
    pieces = later.order_by(e.c.at, e.c.id).limit(only(EVERY_ROW)).subquery("pieces")
    gathered = select(dialect.gathered(literal_column('pieces."piece"', TEXT), ",")).select_from(pieces)
    whole = [func.coalesce(each.scalar_subquery(), constant("")) for each in (opening, gathered)]
    statement = select(p.c.account_id, *[dialect.as_bytes(each) for each in whole]).select_from(
        asked.join(p, p.c.account_id == asked.c.number)
    )
    part = template(of, statement.where(visible(dialect, units, p.c.unit_id)))
    processes = dict(part.named)
    sql, names = placed(part.filled(0, {name: parameter(name) for name in processes}), driver)
    return Compiled(sql, [(name, processes[name]) for name in names])


def movements(rows: Sequence[Sequence[Any]]) -> Mapping[int, Movement]:
    """What that statement tells, by the accounts' numbers."""
    return {number: _movement(opening, later) for number, opening, later in rows}


def _movement(opening: bytes, later: bytes) -> Movement:
    # PostgreSQL keeps the calendar's first instant as infinite.
    flat = orjson.loads(b"[" + later.replace(BEYOND, _FIRST) + b"]")
    return Movement(int(opening) if opening else None, flat[::2], flat[1::2])
