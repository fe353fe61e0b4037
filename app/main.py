"""The roof: the one module that knows every floor."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from app.domain.balances import BatchRules
from app.domain.callers import LOCAL, Caller
from app.settings import Settings
from app.store.store import Store
from app.web.bodies import VALUES_MAX, JsonReader
from app.web.graphql import GraphQLView
from app.web.guards import LOCAL_HOSTS, FramingGuard, HostGuard, Paths, SecurityHeaders
from app.web.health import Alive, Ready
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
    return Store(settings.database_url, statement_seconds=settings.statement_seconds, connections=settings.connections)


def create_runner(settings: Settings, store: Store, clock: Clock = _now) -> Runner:
    """What runs operations on a store."""
    limits = limits_of(settings)

    def context_of(caller: Caller) -> Context:
        return Context(caller, store, clock(), limits)

    return Runner(schema, context_of)


def create_app(settings: Settings, clock: Clock = _now) -> ASGIApp:
    """The ASGI application; the database must be migrated."""
    store = open_store(settings)
    page, assets = page_routes() if settings.graphiql else (None, [])
    runner = create_runner(settings, store, clock)
    # A batch's items have up to nine keys; what a body may hold follows from how many items it may have.
    reader = JsonReader(values_max=max(VALUES_MAX, 10 * settings.batch_max))
    view = GraphQLView(runner, lambda _headers: LOCAL, ide=page, body_max=settings.body_max, reader=reader)
    told = sdl()

    async def schema_file(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(told)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await store.close()

    rest = Starlette(routes=[Route("/graphql/schema.graphql", schema_file), *assets], lifespan=lifespan)
    # A redirect would repeat the Host header that a client sent.
    rest.router.redirect_slashes = False
    paths: dict[str, ASGIApp] = {"/graphql": view, "/health": Alive(), "/ready": Ready(store.problems)}
    served = Paths(SecurityHeaders(rest), http=paths, websocket={})
    return FramingGuard(HostGuard(served, LOCAL_HOSTS))
