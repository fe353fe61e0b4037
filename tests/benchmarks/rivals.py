"""Other ways to answer what tests.benchmarks.peers asks, from the gateway's own database, each to be served by itself.

    python -m tests.benchmarks.rivals NAME --database-url URL --port PORT

- strawberry: Strawberry as its documentation shows it, with SQLAlchemy, DataLoaders and its caches of documents.
- graphql-core: the same resolvers and schema on graphql-core alone; a document is parsed and validated once.
- bare: no GraphQL. One statement builds the whole answer in the database, and its text is passed on: the limit.
- replayed: the same by the gateway's own statements, which tests.benchmarks.shapes has written down.
"""

import argparse
import asyncio
import pickle
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import aiosqlite
import asyncpg
import orjson
import strawberry
import uvicorn
from graphql import DocumentNode, ExecutionResult, GraphQLSchema, build_schema, parse, validate
from graphql.execution import execute
from sqlalchemy import Select, select, true
from sqlalchemy.ext.asyncio import create_async_engine
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache

from app.domain.ids import Kind, id_text, number_of
from app.store import tables as t

CONNECTIONS = 16

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


class Entry(NamedTuple):
    """A balance, as the resolvers pass it on."""

    account_id: int
    amount: Decimal
    currency: str
    timestamp: datetime
    balance_type: str | None


class Row(NamedTuple):
    """An account, as the resolvers pass it on."""

    id: int
    external_id: str
    name: str
    business_unit: str
    currency: str
    min_balance: Decimal
    max_balance: Decimal
    timezone: str


class Data:
    """What both ways with resolvers read: a statement for each root field, and one for many accounts' balances."""

    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(url, pool_size=CONNECTIONS, max_overflow=0)
        names = ("id", "external_id", "name", "currency", "min_balance", "max_balance", "timezone")
        columns = {name: t.accounts.c[name] for name in names} | {"business_unit": t.units.c.name}
        self._accounts = select(*(columns[name] for name in Row._fields)).join_from(t.accounts, t.units)

    async def account(self, number: int) -> Row | None:
        return next(iter(await self._rows(self._accounts.where(t.accounts.c.id == number))), None)

    async def account_by_external_id(self, external_id: str) -> Row | None:
        return next(iter(await self._rows(self._accounts.where(t.accounts.c.external_id == external_id))), None)

    async def accounts(self, first: int) -> list[Row]:
        return await self._rows(self._accounts.order_by(t.accounts.c.id).limit(first))

    def balances(self) -> DataLoader[tuple[int, int], list[Entry]]:
        """A loader of accounts' first balances, newest first; for one request."""
        return DataLoader(load_fn=self._balances)

    async def _rows(self, statement: Select[Any]) -> list[Row]:
        async with self._engine.connect() as connection:
            return [Row._make(row) for row in await connection.execute(statement)]

    async def _balances(self, keys: list[tuple[int, int]]) -> list[list[Entry]]:
        found: dict[tuple[int, int], list[Entry]] = {key: [] for key in keys}
        async with self._engine.connect() as connection:
            for first in {first for _, first in keys}:
                wanted = [number for number, each in keys if each == first]
                for row in await connection.execute(self._latest(wanted, first)):
                    found[row[0], first].append(Entry._make(row))
        return [found[key] for key in keys]

    def _latest(self, numbers: Sequence[int], first: int) -> Select[Any]:
        a, e = t.accounts, t.entries
        columns = (e.c.account_id, e.c.amount, e.c.currency, e.c.at, e.c.balance_type)
        newest = (e.c.at.desc(), e.c.id.desc())
        if self._engine.dialect.name == "postgresql":
            latest = select(*columns).where(e.c.account_id == a.c.id).order_by(*newest).limit(first).lateral()
            return select(*latest.c).join_from(a, latest, true()).where(a.c.id.in_(numbers))
        inner = e.alias()
        latest_ids = select(inner.c.id).where(inner.c.account_id == a.c.id).correlate(a)
        latest_ids = latest_ids.order_by(inner.c.at.desc(), inner.c.id.desc()).limit(first)
        joined = select(*columns).join_from(a, e, e.c.id.in_(latest_ids))
        return joined.where(a.c.id.in_(numbers)).order_by(a.c.id, *newest)


@strawberry.type
class Currency:
    code: str


@strawberry.type
class Balance:
    amount: Decimal
    currency: Currency
    timestamp: datetime
    balance_type: str | None

    @classmethod
    def of(cls, entry: Entry) -> "Balance":
        return cls(
            amount=entry.amount,
            currency=Currency(code=entry.currency),
            timestamp=entry.timestamp,
            balance_type=entry.balance_type,
        )


@strawberry.type
class BalanceConnection:
    nodes: list[Balance]


@strawberry.type
class Account:
    id: strawberry.ID
    external_id: str
    name: str
    business_unit: str
    currency: Currency
    min_balance: Decimal
    max_balance: Decimal
    timezone: str

    @classmethod
    def of(cls, row: Row) -> "Account":
        values = row._asdict() | {"id": id_text(Kind.ACCOUNT, row.id), "currency": Currency(code=row.currency)}
        return cls(**values)

    @strawberry.field
    async def balances(self, info: strawberry.Info, first: int = 50) -> BalanceConnection:
        entries = await info.context["balances"].load((number_of(Kind.ACCOUNT, self.id), first))
        return BalanceConnection(nodes=[Balance.of(entry) for entry in entries])

    @strawberry.field
    async def current_balance(self, info: strawberry.Info) -> Balance | None:
        entries = await info.context["balances"].load((number_of(Kind.ACCOUNT, self.id), 1))
        return Balance.of(entries[0]) if entries else None


@strawberry.type
class AccountConnection:
    nodes: list[Account]


@strawberry.input
class ExternalIdInput:
    external_id: str


@strawberry.input
class AccountIdentifier:
    external_id: ExternalIdInput


@strawberry.type
class Query:
    @strawberry.field
    async def account(self, info: strawberry.Info, id: strawberry.ID) -> Account | None:
        row = await info.context["data"].account(number_of(Kind.ACCOUNT, id))
        return None if row is None else Account.of(row)

    @strawberry.field
    async def account_by_identifier(self, info: strawberry.Info, identifier: AccountIdentifier) -> Account | None:
        row = await info.context["data"].account_by_external_id(identifier.external_id.external_id)
        return None if row is None else Account.of(row)

    @strawberry.field
    async def accounts(self, info: strawberry.Info, first: int = 50) -> AccountConnection:
        return AccountConnection(nodes=[Account.of(row) for row in await info.context["data"].accounts(first)])


SCHEMA = strawberry.Schema(Query, extensions=[ParserCache, ValidationCache])


class PlainStrawberry(GraphQL[Any, Any]):
    """Strawberry's own ASGI application."""

    def __init__(self, url: str) -> None:
        super().__init__(SCHEMA)
        self._data = Data(url)

    async def get_context(self, request: Any, response: Any = None) -> dict[str, Any]:
        del request, response
        return {"data": self._data, "balances": self._data.balances()}


class _Executed:
    """What graphql-core's resolvers hand over; its fields are looked up as attributes, methods are called."""

    def __init__(self, data: Data) -> None:
        self._data = data

    async def account(self, info: Any, id: str) -> "_ExecutedAccount | None":
        return self._found(info, await self._data.account(number_of(Kind.ACCOUNT, id) or 0))

    async def accountByIdentifier(self, info: Any, identifier: Mapping[str, Any]) -> "_ExecutedAccount | None":  # noqa: N802 - the schema's name.
        return self._found(info, await self._data.account_by_external_id(identifier["externalId"]["externalId"]))

    async def accounts(self, info: Any, first: int) -> dict[str, Any]:
        return {"nodes": [_ExecutedAccount(row, info.context) for row in await self._data.accounts(first)]}

    def _found(self, info: Any, row: Row | None) -> "_ExecutedAccount | None":
        return None if row is None else _ExecutedAccount(row, info.context)


class _ExecutedAccount:
    def __init__(self, row: Row, balances: DataLoader[tuple[int, int], list[Entry]]) -> None:
        self._number = row.id
        self._balances = balances
        self.id = id_text(Kind.ACCOUNT, row.id)
        self.externalId, self.name, self.businessUnit = row.external_id, row.name, row.business_unit
        self.currency = {"code": row.currency}
        self.minBalance, self.maxBalance = str(row.min_balance), str(row.max_balance)
        self.timezone = row.timezone

    async def balances(self, _info: Any, first: int) -> dict[str, Any]:
        return {"nodes": [_told(entry) for entry in await self._balances.load((self._number, first))]}

    async def currentBalance(self, _info: Any) -> dict[str, Any] | None:  # noqa: N802 - the schema's name.
        entries = await self._balances.load((self._number, 1))
        return _told(entries[0]) if entries else None


def _told(entry: Entry) -> dict[str, Any]:
    return {
        "amount": str(entry.amount),
        "currency": {"code": entry.currency},
        "timestamp": entry.timestamp.isoformat(),
        "balanceType": entry.balance_type,
    }


class GraphQLCore:
    """graphql-core under bare ASGI; each document is parsed and validated once."""

    def __init__(self, url: str) -> None:
        self._data = Data(url)
        self._schema: GraphQLSchema = build_schema(SCHEMA.as_str())
        self._documents: dict[str, DocumentNode] = {}

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        asked = orjson.loads(await _body(receive))
        document = self._documents.get(asked["query"]) or self._prepared(asked["query"])
        result = execute(
            self._schema,
            document,
            _Executed(self._data),
            self._data.balances(),
            asked["variables"],
        )
        answer = result if isinstance(result, ExecutionResult) else await result
        await _answer(send, orjson.dumps(answer.formatted))

    def _prepared(self, query: str) -> DocumentNode:
        document = self._documents[query] = parse(query)
        assert not validate(self._schema, document)
        return document


class Bare:
    """The limit: a statement by the path, a queue of connections, and the database's text as the answer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._kind = "sqlite" if url.startswith("sqlite") else "postgresql"
        self._statements = {f"/{name}": sql for name, sql in statements(self._kind).items()}
        self._free: asyncio.LifoQueue[Any] = asyncio.LifoQueue()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send, self._open, self._close)
            return
        variables = orjson.loads(await _body(receive))["variables"]
        statement = self._statements[scope["path"]]
        connection = await self._free.get()
        try:
            answer = await self._fetched(connection, statement, *variables.values())
        finally:
            self._free.put_nowait(connection)
        await _answer(send, answer)

    @cached_property
    def _fetched(self) -> Callable[..., Awaitable[bytes]]:
        return self._of_sqlite if self._kind == "sqlite" else self._of_postgresql

    async def _of_postgresql(self, connection: Any, statement: str, *given: str) -> bytes:
        answer: bytes = await connection.fetchval(statement, *given)
        return answer

    async def _of_sqlite(self, connection: aiosqlite.Connection, statement: str, *given: str) -> bytes:
        (row,) = await connection.execute_fetchall(statement, given)
        return str(row[0]).encode()

    async def _open(self) -> None:
        for _ in range(CONNECTIONS):
            if self._kind == "sqlite":
                opened: Any = await aiosqlite.connect(self._url.partition(":///")[2])
            else:
                opened = await asyncpg.connect(self._url.replace("+asyncpg", ""), server_settings={"jit": "off"})
            self._free.put_nowait(opened)

    async def _close(self) -> None:
        while not self._free.empty():
            await self._free.get_nowait().close()


class Replayed(Bare):
    """What was asked before by the path, statements and values: asked anew, and the first one's texts passed on."""

    def __init__(self, url: str, file: Path) -> None:
        super().__init__(url)
        self._asked: dict[str, list[tuple[str, Sequence[Any]]]] = pickle.loads(file.read_bytes())

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        await _body(receive)
        connection = await self._free.get()
        try:
            found = [await self._rows(connection, *asked) for asked in self._asked[scope["path"][1:]]]
        finally:
            self._free.put_nowait(connection)
        await _answer(send, b'{"data":[' + b",".join(found[0][0]) + b"]}")

    async def _rows(self, connection: Any, statement: str, given: Sequence[Any]) -> Sequence[Any]:
        if self._kind == "sqlite":
            return list(await connection.execute_fetchall(statement, given))
        rows: Sequence[Any] = await connection.fetch(statement, *given)
        return rows


class _Pieces(NamedTuple):
    """How a database writes JSON."""

    text: str
    amount: str
    moment: str
    joined: str
    whole: str
    """The answer itself, as bytes where the driver would otherwise decode it."""
    given: str
    """The first parameter."""


_PIECES = {
    "sqlite": _Pieces(
        text="json_quote({})",
        amount="printf('\"%s%d.%04d\"', iif({0} < 0, '-', ''), abs({0}) / 10000, abs({0}) % 10000)",
        moment="strftime('\"%Y-%m-%dT%H:%M:%S', {0} / 1000000, 'unixepoch') || printf('.%06dZ\"', {0} % 1000000)",
        joined="group_concat({}, ',')",
        whole="{}",
        given="?1",
    ),
    "postgresql": _Pieces(
        text="coalesce(to_json({})::text, 'null')",
        amount="'\"' || trim_scale({} * 0.0001) || '\"'",
        moment="to_json({})",
        joined="string_agg({}, ',')",
        whole="convert_to({}, 'UTF8')",
        given="$1::text",
    ),
}


def _object(**values: str) -> str:
    """SQL for the text of a JSON object, from SQL for the texts of its values."""
    members = " || ',' || ".join(f"'\"{name}\":' || {value}" for name, value in values.items())
    return f"'{{' || {members} || '}}'"


def statements(kind: str) -> dict[str, str]:
    """The one statement that answers each question, by its name. The only parameter is the account's name in it."""
    pieces = _PIECES[kind]
    text, amount, moment = pieces.text.format, pieces.amount.format, pieces.moment.format
    id_ = "'\"account_' || a.id || '\"'"
    balance = _object(
        amount=amount("e.amount"),
        currency=_object(code=text("e.currency")),
        timestamp=moment("e.at"),
        balanceType=text("e.balance_type"),
    )
    columns = {"id": id_, "externalId": text("a.external_id"), "name": text("a.name")}
    unit_and_currency = {"businessUnit": text("u.name"), "currency": _object(code=text("a.currency"))}

    def nodes(rows: str) -> str:
        joined = pieces.joined.format("r")
        return f"'{{\"nodes\":[' || coalesce((SELECT {joined} FROM ({rows}) listed), '') || ']}}'"

    def balances(count: int) -> str:
        entries = "FROM entries e WHERE e.account_id = a.id ORDER BY e.at DESC, e.id DESC"
        return nodes(f"SELECT {balance} AS r {entries} LIMIT {count}")

    def data(members: str) -> str:
        return pieces.whole.format(_object(data=members))

    many = _object(
        **columns,
        **unit_and_currency,
        minBalance=amount("a.min_balance"),
        maxBalance=amount("a.max_balance"),
        timezone=text("a.timezone"),
    )
    units = "accounts a JOIN units u ON u.id = a.unit_id"
    all_of_them = nodes(f"SELECT {many} AS r FROM {units} ORDER BY a.id LIMIT 500")
    listed = nodes(f"SELECT {_object(**columns, balances=balances(10))} AS r FROM accounts a ORDER BY a.id LIMIT 50")
    point = _object(**columns, **unit_and_currency, timezone=text("a.timezone"), currentBalance=balance)
    big = _object(account=_object(id=id_, balances=balances(100)), accounts=all_of_them)
    number = f"CAST(substr({pieces.given}, {len(id_text(Kind.ACCOUNT, 1))}) AS bigint)"
    return {
        "W1": f"""SELECT {data(_object(accountByIdentifier=point))} FROM {units}
            JOIN positions p ON p.account_id = a.id JOIN entries e ON e.id = p.entry_id
            WHERE a.external_id = {pieces.given}""",
        "W2": f"SELECT {data(_object(accounts=listed))}",
        "W3": f"SELECT {data(big)} FROM accounts a WHERE a.id = {number}",
    }


async def _live(receive: Receive, send: Send, *acts: Callable[[], Awaitable[None]]) -> None:
    """Begin and end with the server."""
    for index, name in enumerate(("startup", "shutdown")):
        await receive()
        for act in acts[index : index + 1]:
            await act()
        await send({"type": f"lifespan.{name}.complete"})


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


RIVALS: Mapping[str, Callable[[str], Any]] = {
    "strawberry": PlainStrawberry,
    "graphql-core": GraphQLCore,
    "bare": Bare,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*RIVALS, "replayed"])
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--statements", type=Path, help="those to replay")
    given = parser.parse_args()
    url = given.database_url
    app = Replayed(url, given.statements) if given.name == "replayed" else RIVALS[given.name](url)
    uvicorn.run(app, port=given.port, loop="uvloop", http="httptools", access_log=False, log_level="warning", ws="none")


if __name__ == "__main__":
    main()
