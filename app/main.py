"""The roof: the one module that knows every floor."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import BaseRoute, Route

from app.domain.balances import BatchRules
from app.domain.callers import LOCAL, Caller
from app.settings import Settings
from app.store.store import Store
from app.web.graphql import GraphQLView
from app.web.guards import LOOPBACK, HostGuard
from app.web.ide import page_routes
from resolvers.context import Context, Limits
from schema import schema, sdl
from schema.execution.run import Runner

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


def limits_of(settings: Settings) -> Limits:
    """What may be sent and asked for, as set."""
    types = settings.balance_types
    return Limits(
        page_size=settings.page_max,
        batch_items=settings.batch_max,
        series_points=settings.series_max,
        currency=settings.currency,
        batch=BatchRules(
            balance_types=None if types is None else frozenset(types),
            ahead_max=timedelta(days=settings.future_days_max),
        ),
    )


def open_store(settings: Settings) -> Store:
    return Store(
        settings.database_url, statement_seconds=settings.statement_seconds, connections=settings.connections
    )


def create_runner(settings: Settings, store: Store, clock: Clock = _now) -> Runner:
    """What runs operations on a store."""
    limits = limits_of(settings)

    def context_of(caller: Caller) -> Context:
        return Context(caller, store, clock(), limits)

    return Runner(schema, context_of)


def create_app(settings: Settings, clock: Clock = _now) -> Any:
    """The ASGI application; the database must be migrated."""
    store = open_store(settings)
    page, assets = page_routes() if settings.graphiql else (None, [])
    view = GraphQLView(
        create_runner(settings, store, clock), lambda _headers: LOCAL, page=page, body_max=settings.body_max
    )
    told = sdl()

    async def alive(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def ready(_request: Request) -> JSONResponse:
        problems = await store.problems()
        return JSONResponse({"status": "not ready", "problems": problems} if problems else {"status": "ready"}, 503 if problems else 200)

    async def schema_file(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(told)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await store.close()

    routes: list[BaseRoute] = [
        Route("/graphql", view),
        Route("/graphql/schema.graphql", schema_file),
        Route("/health", alive),
        Route("/ready", ready),
        *assets,
    ]
    return HostGuard(Starlette(routes=routes, lifespan=lifespan), LOOPBACK)
