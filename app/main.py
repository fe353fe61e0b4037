"""The roof: the one module that knows every floor."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app import logs, runner
from app.deliveries.mail import Mailer
from app.deliveries.webhooks import WebhookSender
from app.dispatch import Dispatcher
from app.domain.balances import BatchRules
from app.domain.callers import Caller
from app.feed import Feed
from app.heartbeat import Heartbeat
from app.rates import COST_PER_MINUTE, REQUESTS_PER_MINUTE, Allowance, Rates
from app.settings import Settings
from app.store.signals import Signals
from app.store.store import Store
from app.threads import THREADS, standing_ready
from app.web.access import AccessLog
from app.web.auth import Authentication, Bearers, CallersOnly, Nobody
from app.web.bodies import VALUES_MAX, JsonReader
from app.web.connections import ConnectionLimits
from app.web.cors import Cors
from app.web.graphql import GraphQLView
from app.web.guards import LOCAL_HOSTS, FramingGuard, HostGuard, Paths, SecurityHeaders
from app.web.health import Alive, Ready
from app.web.ide import page_routes
from app.web.jwks import PublishedKeys
from app.web.keys import PUBLIC_ALGORITHMS, Key, OneKey, key_from
from app.web.known import Known
from app.web.sse import EventStream
from app.web.tokens import Rules
from app.web.websocket import GraphQLSocket
from resolvers.context import Context, Limits
from schema import schema, sdl
from schema.execution.limits import OperationLimits
from schema.execution.run import Runner

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


def _seconds_of(clock: Clock) -> Callable[[], float]:
    """A clock's time in seconds since 1970; the system tells its own without a datetime."""
    return time.time if clock is _now else lambda: clock().timestamp()


def limits_of(settings: Settings) -> Limits:
    """What may be sent and asked for, as set."""
    types = settings.balance_types
    return Limits(
        page_size=settings.page_max,
        batch_items=settings.batch_max,
        series_points=settings.series_max,
        source=settings.event_source,
        allow_private_webhooks=settings.webhooks_allow_private,
        currency=settings.currency,
        batch=BatchRules(
            balance_types=None if types is None else frozenset(types),
            ahead_max=timedelta(days=settings.future_days_max),
        ),
    )


def token_rules_of(settings: Settings) -> Rules:
    """What a token must say, as set."""
    return Rules(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        type=settings.jwt_type,
        leeway=settings.jwt_leeway_seconds,
        age_max=settings.jwt_age_max_seconds,
    )


def key_of(settings: Settings) -> Key | None:
    """The configured key, good for the algorithms that are set; None: there is none, or keys are published."""
    if settings.jwt_key is None:
        return None
    key = key_from(settings.jwt_key.get_secret_value())
    return key if settings.jwt_algorithms is None else Key(key.material, frozenset(settings.jwt_algorithms))


def authentication_of(settings: Settings, now: Callable[[], float]) -> Authentication:
    """Who is asking, as set."""
    rules = token_rules_of(settings)
    key = key_of(settings)
    if key is not None:
        return Bearers(OneKey(key), rules, now)
    if settings.jwt_jwks_url is None:
        return Nobody()
    keys = PublishedKeys(
        settings.jwt_jwks_url,
        PUBLIC_ALGORITHMS if settings.jwt_algorithms is None else frozenset(settings.jwt_algorithms),
        cache_seconds=settings.jwt_jwks_cache_seconds,
        cool_down_seconds=settings.jwt_jwks_cool_down_seconds,
    )
    return Bearers(keys, rules, now)


def hosts_of(settings: Settings) -> frozenset[str] | None:
    """The hosts that are answered for; None: any, as no page of another site has a token."""
    if not settings.has_key:
        return LOCAL_HOSTS
    return None if settings.hosts is None else frozenset(settings.hosts)


def open_store(settings: Settings) -> Store:
    return Store(
        settings.database_url,
        statement_seconds=settings.statement_seconds,
        connections=settings.connections,
        allow_async_commit=settings.allow_async_commit,
    )


def operation_limits(settings: Settings) -> OperationLimits:
    """What an operation may be at most, as set."""
    return OperationLimits(
        characters=settings.document_chars_max,
        tokens=settings.document_tokens_max,
        depth=settings.depth_max,
        aliases=settings.aliases_max,
        root_fields=settings.root_fields_max,
        mutations=settings.mutations_max,
        directives=settings.directives_max,
        fragments=settings.fragments_max,
        fields=settings.fields_max,
        cost=settings.cost_max,
        page_size=settings.page_max,
        batch_items=settings.batch_max,
    )


def settle() -> None:
    """Have the process look for garbage among few objects at a time, and never among those from the start, which stay.

    A look at all of them would hold the event loop for 40 ms.
    """
    gc.collect()
    gc.freeze()
    # What is alive is looked at: 50,000 objects of documents that were never seen took 20 ms, a second look 30.
    gc.set_threshold(10_000, 5, 1_000)


def connection_limits(settings: Settings) -> ConnectionLimits:
    """What clients may do with connections, as set."""
    return ConnectionLimits(settings.connections_max, settings.head_seconds, settings.write_seconds)


def create_rates(settings: Settings, store: Store, clock: Clock, *, is_keyed: bool) -> Rates | None:
    """What counts each caller's requests, shared by the processes of one PostgreSQL database; None: nothing does.

    is_keyed: whether callers are known by a key. Without one all are the same caller.
    """
    requests, cost = (REQUESTS_PER_MINUTE, COST_PER_MINUTE) if is_keyed else (0, 0)
    if settings.requests_per_minute is not None:
        requests = settings.requests_per_minute
    if settings.cost_per_minute is not None:
        cost = settings.cost_per_minute
    allowance = Allowance(requests or None, cost or None)
    shared = store if store.dialect.name == "postgresql" else None  # One process alone serves a SQLite file.
    return Rates(allowance, shared, _seconds_of(clock)) if allowance.is_bounded else None


def create_operations(
    settings: Settings, store: Store, feed: Feed, clock: Clock = _now, rates: Rates | None = None
) -> Runner:
    """What runs operations on a store."""
    limits = limits_of(settings)

    def context_of(caller: Caller) -> Context:
        return Context(caller, store, clock(), limits, feed)

    return Runner(
        schema,
        context_of,
        limits=operation_limits(settings),
        rates=rates,
        is_schema_told=not settings.production,
        with_plans=settings.plans,
        shows_plans=settings.show_plans and not settings.production,
        event_seconds=settings.request_seconds,
    )


@asynccontextmanager
async def by_itself(
    settings: Settings, store: Store, *, wake: Callable[[], None] = lambda: None, clock: Clock = _now
) -> AsyncIterator[runner.Runner]:
    """What does by itself what is due; it hears of what other processes write, and wakes who waits for that."""
    mailer = None if settings.smtp_url is None else Mailer(settings.smtp_url, settings.smtp_sender)
    sender = WebhookSender(allow_private=settings.webhooks_allow_private)
    dispatcher = Dispatcher(store, sender=sender, mailer=mailer, source=settings.event_source, clock=clock)

    def woken() -> None:
        dispatcher.wake()
        wake()

    signals = Signals(settings.database_url, woken) if store.dialect.name == "postgresql" else None

    def committed() -> None:
        woken()
        if signals is not None:
            signals.tell()

    store.committed = committed
    listening = [] if signals is None else [asyncio.create_task(signals.run())]
    retention = timedelta(days=settings.retention_days)
    try:
        yield runner.Runner(store, clock=clock, retention=retention, dispatcher=dispatcher)
    finally:
        await _ended(listening)
        await sender.close()


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Application:
    """The ASGI application."""

    def __init__(self, app: ASGIApp, known: Known, streams: EventStream, sockets: GraphQLSocket) -> None:
        self.known = known
        """Answers requests that have come before as this would, straight from their connections."""
        self._app = app
        self._streams = streams
        self._sockets = sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def end_streams(self) -> None:
        """End all subscriptions, so that the process can end; clients connect anew and resume by their place."""
        await self._sockets.close()
        await self._streams.close()


def create_app(settings: Settings, clock: Clock = _now) -> Application:
    """The ASGI application; the database must be migrated."""
    store = open_store(settings)
    if settings.plans:
        store.make_ready()
    feed = Feed(store, backlog=settings.subscription_backlog)
    is_open = not settings.production
    page, assets = page_routes() if settings.graphiql and is_open else (None, [])
    rates = create_rates(settings, store, clock, is_keyed=settings.has_key)
    operations = create_operations(settings, store, feed, clock, rates)
    # A batch's items have up to nine keys; what a body may hold follows from how many items it may have.
    values_max = max(VALUES_MAX, 10 * settings.batch_max)
    reader = JsonReader(settings.json_depth_max, values_max, settings.json_number_max)
    write = logs.LINES.later if settings.access_log and settings.log_level in {"debug", "info"} else None

    now = _seconds_of(clock)
    callers = authentication_of(settings, now)
    streams = EventStream(operations.subscribe, now=now, request_seconds=settings.request_seconds)
    view = GraphQLView(
        operations,
        callers.of_headers,
        ide=page,
        stream=streams,
        body_max=settings.body_max,
        body_seconds=settings.body_seconds,
        bodies_max=settings.bodies_max,
        request_seconds=settings.request_seconds,
        get=is_open,
        reader=reader,
    )
    sockets = GraphQLSocket(
        operations.subscribe,
        callers.of_socket,
        now=now,
        init_seconds=settings.socket_init_seconds,
        operations_max=settings.socket_operations_max,
        message_max=settings.socket_message_max,
        request_seconds=settings.request_seconds,
        reader=reader,
        write=write,
        origins=settings.cors_origins,
    )
    told = sdl()

    async def schema_file(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(told)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(standing_ready(THREADS, "works"))
        with Heartbeat().beating():
            async with by_itself(settings, store, wake=feed.wake, clock=clock) as itself:
                tasks = [asyncio.create_task(feed.run())]
                if rates is not None:
                    tasks.append(asyncio.create_task(rates.run()))
                if settings.runner:
                    tasks.append(asyncio.create_task(itself.run()))
                try:
                    yield
                finally:
                    await operations.finish()
                    await _ended(tasks)
            await store.close()

    files = [Route("/graphql/schema.graphql", schema_file), *assets] if is_open else []
    rest = Starlette(routes=files, lifespan=lifespan)
    # A redirect would repeat the Host header that a client sent.
    rest.router.redirect_slashes = False
    cors = Cors(view, settings.cors_origins) if settings.cors_origins else None
    paths: dict[str, ASGIApp] = {
        "/graphql": cors or view,
        "/graphql/schema.graphql": CallersOnly(SecurityHeaders(rest), callers.of_headers),
        "/health": Alive(),
        "/ready": Ready(
            store.problems,
            hindrances=store.hindrances,
            overdue=lambda: runner.overdue(store, clock()),
            facts=store.facts,
        ),
    }
    served = Paths(SecurityHeaders(rest), http=paths, websocket={"/graphql": sockets})
    host_guard = HostGuard(served, hosts_of(settings))
    framing_guard = FramingGuard(host_guard)
    log = AccessLog(framing_guard, write)
    faults = (framing_guard.fault, host_guard.fault)
    known = Known(view, "/graphql", log, faults, lambda scope: [] if cors is None else cors.more(scope))
    return Application(log, known, streams, sockets)
