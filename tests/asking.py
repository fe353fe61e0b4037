"""A client for tests: asks an operation for a caller, in this process, on a real database."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event

from app.domain.balances import BatchRules
from app.domain.callers import LOCAL, Caller, Scope
from app.feed import Feed
from app.store.store import Store
from app.web.bodies import JsonReader
from app.web.operations import Asked
from resolvers.context import Context, Limits
from schema import schema
from schema.execution.run import Runner

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Answer:
    """One answer, taken apart."""

    def __init__(self, body: bytes) -> None:
        self.body = json.loads(body)
        self.data: Any = self.body.get("data")
        self.errors: list[Any] = self.body.get("errors", [])

    @property
    def codes(self) -> list[str]:
        return [error["extensions"]["code"] for error in self.errors]

    def sound(self) -> Any:
        """The data of an answer without errors."""
        assert not self.errors, self.errors
        return self.data


class Gateway:
    """A gateway in this process, whose clock a test sets."""

    def __init__(self, url: str, *, with_plans: bool = True, **limits: Any) -> None:
        self.store = Store(url)
        self.feed = Feed(self.store)
        self.now = NOW
        rules = BatchRules(limits.pop("balance_types", None), timedelta(days=3660))
        self.limits = Limits(
            **{"page_size": 1000, "batch_items": 10_000, "series_points": 2000, "currency": "EUR", **limits},
            batch=rules,
        )
        self._run = run = Runner(
            schema,
            lambda caller: Context(caller, self.store, self.now, self.limits, self.feed),
            with_plans=with_plans,
        )
        self.subscribe = run.subscribe

    async def ask(self, document: str, /, *, caller: Any = LOCAL, **variables: Any) -> Answer:
        """The answer to a document, for a caller; variables travel as JSON, as a client's do."""
        return await self.ask_json(document, json.dumps(variables), caller=caller)

    async def ask_json(self, document: str, variables: str, *, caller: Caller = LOCAL) -> Answer:
        """The same, with variables as they were written."""
        given = JsonReader().read_text(variables)
        answered = await self._run(Asked(document, given, None, {}), caller, mutations=True)
        return Answer(answered.body)

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The SQL statements that run meanwhile."""
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            seen.append(statement)

        engines = self.store.engines
        for engine in {id(engine.pool): engine for engine in engines}.values():
            event.listen(engine, "before_cursor_execute", note)
        self.store.heard(seen.append)
        yield seen
        self.store.heard(lambda _sql: None)
        for engine in {id(engine.pool): engine for engine in engines}.values():
            event.remove(engine, "before_cursor_execute", note)


def a_caller(*units: str, scopes: frozenset[Scope] = frozenset(Scope), subject: str = "tester") -> Caller:
    """A caller with these business units."""
    return Caller(subject, scopes, frozenset(units))


Ask = Callable[..., Any]
