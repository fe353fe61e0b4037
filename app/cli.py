"""The commands."""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType
from typing import Annotated, Any, NoReturn

import structlog
import typer
from pydantic import ValidationError

from app import logs
from app.domain.callers import Caller, Scope
from app.domain.ids import Kind, id_text
from app.domain.refusals import Refusal
from app.settings import SQLITE, Settings
from app.web.guards import LOCAL_HOSTS

app = typer.Typer(
    name="balance-gateway",
    help="A GraphQL gateway over account balances. Settings are environment variables: BALANCE_GATEWAY_...",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        help="sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER@HOST/NAME; else BALANCE_GATEWAY_DATABASE_URL."
    ),
]

_log = structlog.get_logger("balance_gateway")

_PLACES: list[object] = []
"""What this process has until it ends."""

FIRST_QUERY = "{ accounts(first: 3) { nodes { name balance currency { code } } } }"


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen; a gateway without a key only on loopback.")] = None,
    port: Annotated[int | None, typer.Option(help="Which port.")] = None,
    database_url: DatabaseUrl = None,
    demo: Annotated[bool, typer.Option("--demo", help="Fill the database with sample data, if it is empty.")] = False,
) -> None:
    """Serve GraphQL over HTTP; the database is made and migrated on start."""
    settings = _settings(host=host, port=port, database_url=database_url)
    _take_place(settings, "serve")
    if not settings.has_key and settings.host not in {name.strip("[]") for name in LOCAL_HOSTS}:
        _stop(f"--host {settings.host}: without a key (BALANCE_GATEWAY_JWT_KEY) it listens on loopback alone.")
    logs.configure(settings.log_level)
    if not settings.has_key:
        _log.warning("no_key", message="Everybody on this machine may do everything: no key for tokens is set.")
    _check_durability(settings)
    asyncio.run(_prepare(settings, demo=demo))
    page = "GraphiQL:     " if settings.graphiql and not settings.production else "GraphQL:      "
    _say(f"{page} http://{settings.host}:{settings.port}/graphql\nA first query: {FIRST_QUERY}")
    _listen(settings)


@app.command()
def runner(
    database_url: DatabaseUrl = None,
    once: Annotated[bool, typer.Option("--once", help="Do what is due now, then end.")] = False,
) -> None:
    """Close cycles when they are due, keep the log of events, tell webhooks and write mail; `serve` does so too."""
    settings = _settings(database_url=database_url)
    _take_place(settings, "runner")
    logs.configure(settings.log_level)
    _check_durability(settings)
    asyncio.run(_run(settings, once=once))


@app.command()
def migrate(database_url: DatabaseUrl = None) -> None:
    """Bring the database to the newest form; safe when started twice at once."""
    from app.store.migrations import HEAD  # noqa: PLC0415 - a command pays for what it uses.

    settings = _settings(database_url=database_url)
    logs.configure(settings.log_level)
    asyncio.run(_bring_up(settings))
    typer.echo(f"The database is at revision {HEAD}.")


@app.command()
def restored(database_url: DatabaseUrl = None) -> None:
    """Tell a database that it is a restored backup, before it is served: no id that is lost is ever given again."""
    settings = _settings(database_url=database_url)
    _take_place(settings, "serve")
    _take_place(settings, "runner")
    logs.configure(settings.log_level)
    end = asyncio.run(_lost(settings))
    last = id_text(Kind.EVENT, end) if end else "its beginning"
    typer.echo(f"The log of events ends at {last}. What came after it is lost, and its ids are not given again.")


@app.command()
def schema() -> None:
    """Print the GraphQL schema (SDL)."""
    from schema import sdl  # noqa: PLC0415

    sys.stdout.write(sdl())


@app.command()
def seed(
    database_url: DatabaseUrl = None,
    accounts: Annotated[int, typer.Option(min=1, max=100_000, help="How many accounts.")] = 300,
    days: Annotated[int, typer.Option(min=1, max=3_650, help="How many days of balances.")] = 365,
) -> None:
    """Fill an empty database with sample data."""
    settings = _settings(database_url=database_url)
    logs.configure(settings.log_level)
    if not asyncio.run(_filled(settings, accounts, days)):
        _stop("The database is not empty; it stays as it is.")


@app.command()
def token(
    subject: Annotated[str, typer.Option(help="Who asks.")] = "developer",
    scope: Annotated[
        list[Scope] | None, typer.Option(help="A right; as often as needed. All where none is named.")
    ] = None,
    business_unit: Annotated[list[str] | None, typer.Option(help="As often as needed; * means all.")] = None,
    minutes: Annotated[int, typer.Option(min=1, help="How long it lasts.")] = 60,
) -> None:
    """Print a token for a gateway with the same settings, whose key is a secret; for development."""
    from app.main import key_of, token_rules_of  # noqa: PLC0415
    from app.web.tokens import ALL_UNITS, caller_from, minted, opened  # noqa: PLC0415

    settings = _settings()
    key, rules, now = key_of(settings), token_rules_of(settings), datetime.now(UTC).timestamp()
    if key is None or not key.is_secret:
        _stop("BALANCE_GATEWAY_JWT_KEY holds no secret, so no token can be signed here.")
    units = frozenset(business_unit or [ALL_UNITS])
    asked = Caller(
        subject, frozenset(scope or Scope), None if ALL_UNITS in units else units, expires_at=now + 60 * minutes
    )
    made = minted(key, rules, asked, now)
    try:
        caller_from(opened(made, rules), key, rules, now)
    except Refusal as refusal:
        _stop(f"The gateway would refuse it: {refusal.message}")
    typer.echo(made)


async def _bring_up(settings: Settings) -> None:
    """Bring the database to the newest form; one that can't be used stops the start."""
    from app.store.migrations import migrate as bring_up  # noqa: PLC0415

    with _said_of_database():
        await bring_up(settings.database_url)


@contextmanager
def _said_of_database() -> Iterator[None]:
    """Stop with a sentence where the database is damaged, does not answer, is kept locked, or is not this version's."""
    from app.store.failures import is_damage, why_unusable  # noqa: PLC0415
    from app.store.migrations import UnknownRevision  # noqa: PLC0415

    try:
        yield
    except UnknownRevision as unknown:
        _stop(str(unknown))
    except Exception as error:
        reason = why_unusable(error)
        if is_damage(error):
            _stop(f"The database is damaged ({getattr(error, 'orig', error)}): restore a backup.")
        if reason is None:
            raise
        _stop(f"The database can't be used ({reason}).")


async def _lost(settings: Settings) -> int:
    """Take what came after the end of the log for lost; the end."""
    from app.main import open_store  # noqa: PLC0415
    from app.store.durability import sessions_of_gateways  # noqa: PLC0415

    with _said_of_database():
        sessions = await sessions_of_gateways(settings.database_url)
    if sessions:
        _stop("A gateway uses this database: stop it first.")
    await _bring_up(settings)
    store = open_store(settings)
    try:
        return await store.work(None, lambda work: work.keeping.lose(now=datetime.now(UTC)))
    finally:
        await store.close()


async def _run(settings: Settings, *, once: bool) -> None:
    from app.ending import SPARE_SECONDS, LastMoment  # noqa: PLC0415
    from app.main import by_itself, open_store  # noqa: PLC0415

    last_moment = LastMoment(SPARE_SECONDS)
    await _bring_up(settings)
    store = open_store(settings)
    try:
        async with by_itself(settings, store) as itself:
            if once:
                await itself.once()
                return
            running = asyncio.ensure_future(itself.run())

            def stop() -> None:
                last_moment.begin()
                running.cancel()

            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop)
            _say("The runner runs.")
            with suppress(asyncio.CancelledError):
                await running
    finally:
        await store.close()


def _take_place(settings: Settings, name: str) -> None:
    """One serve and one runner may share a SQLite file; another one is told who is there."""
    from app.store.files import FileTaken, Place, database_file  # noqa: PLC0415

    file = database_file(settings.database_url) if settings.database_url.startswith(SQLITE) else None
    if file is None:
        return
    place = Place(file, name)
    _PLACES.append(place)
    try:
        place.take()
    except FileTaken as taken:
        _stop(str(taken))
    except OSError as error:
        _stop(f"The place of a {name} at {file} can't be taken: {error.strerror}.")


def _check_durability(settings: Settings) -> None:
    """Refuse a database that may forget what it has committed; where that is allowed, say so."""
    from app.store.durability import Promise, promise_of  # noqa: PLC0415

    with _said_of_database():
        promise: Promise = asyncio.run(promise_of(settings.database_url))
    if promise.missing:
        told = " and ".join(f"{name} is off" for name in promise.missing)
        _stop(f"The PostgreSQL server's {told}: what the gateway answers could be lost. Turn it on.")
    if settings.allow_async_commit and promise.commit is not None:
        structlog.get_logger("balance_gateway").warning("commits_as_the_server_says", synchronous_commit=promise.commit)


async def _prepare(settings: Settings, *, demo: bool) -> None:
    await _bring_up(settings)
    if demo and not await _fill(settings, 300, 365):
        _say("The database is not empty: no sample data was added.")


async def _filled(settings: Settings, accounts: int, days: int) -> bool:
    await _bring_up(settings)
    return await _fill(settings, accounts, days)


async def _fill(settings: Settings, accounts: int, days: int) -> bool:
    """Fill the database where it is empty, and say whether it was."""
    from rich.progress import Progress  # noqa: PLC0415

    from app import demo  # noqa: PLC0415
    from app.main import open_store  # noqa: PLC0415

    store = open_store(settings)
    try:
        if not await store.is_empty():
            return False
        with Progress() as progress:
            task = progress.add_task("Sample balances", total=accounts * days)
            await demo.seed(
                store,
                demo.Sizes(accounts, days),
                now=datetime.now(UTC),
                progress=lambda count: progress.advance(task, count),
            )
    finally:
        await store.close()
    return True


def _listen(settings: Settings) -> None:
    import uvicorn  # noqa: PLC0415

    from app.ending import SPARE_SECONDS, LastMoment  # noqa: PLC0415
    from app.main import connection_limits, create_app, settle  # noqa: PLC0415
    from app.web.connections import LOOK_SECONDS, Watch, make_room  # noqa: PLC0415

    application = create_app(settings)
    watch = Watch(connection_limits(settings), application.known)
    last_moment = LastMoment(settings.stop_seconds + SPARE_SECONDS)
    make_room(settings.connections_max)
    settle()

    class Server(uvicorn.Server):
        """Ends what would last for ever before it waits for what is still running, and itself in time."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            last_moment.begin()
            super().handle_exit(sig, frame)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await application.end_streams()
            await super().shutdown(sockets)
            # The signal that asked for the end is raised again, and leaves no time for more.
            logs.finish()

        async def on_tick(self, counter: int) -> bool:
            if counter % (10 * LOOK_SECONDS) == 0:
                watch.look(self.server_state.connections, asyncio.get_running_loop().time())
            return await super().on_tick(counter)

    config = uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=watch.protocol,
        timeout_graceful_shutdown=settings.stop_seconds,
        ws="websockets-sansio",
        ws_max_size=settings.socket_message_max,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
    )
    server = Server(config)
    server.run()
    if not server.started:
        raise typer.Exit(3)


def _settings(**given: Any) -> Settings:
    """The settings of the environment and of the command line; a wrong one stops the start."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        told = [f"BALANCE_GATEWAY_{str(each['loc'][0]).upper()}: {each['msg']}." for each in error.errors()]
        _stop("\n".join(told))
        raise
    except Exception as error:  # pydantic-settings refuses a list that is no JSON with an error of its own.
        _stop(f"A setting is wrong: {error}.")
        raise


def _say(message: str) -> None:
    """Tell whoever started something that goes on, also where nobody takes it down, as on a full disk."""
    with suppress(OSError):
        typer.echo(message)


def _stop(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
