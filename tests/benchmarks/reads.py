"""W1 to W3 of tests.benchmarks.peers: the gateway beside its rivals, each a process of its own, on both databases.

Run it with `python -m tests.benchmarks.reads`. All of them answer the same values, which is checked first.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from app.store.migrations import migrate
from tests import servers
from tests.benchmarks import peers
from tests.benchmarks.loading import Loaded, load, request
from tests.benchmarks.rivals import RIVALS
from tests.databases import KINDS, Databases, dying_with_us, free_port, scratch

ACCOUNTS = 1_000
CONNECTIONS = 16
VARIANTS = 500
"""So many accounts are asked for in turn."""

SHAPES = {
    "W1": "one account and its balance",
    "W2": "50 accounts with 10 balances each",
    "W3": "100 balances and 500 accounts",
}
START_SECONDS_MAX = 60


class Place(NamedTuple):
    """Where something is measured, and for how long."""

    kind: str
    url: str
    folder: Path
    started: ExitStack
    """Takes what is to end when that is done."""
    seconds: float
    rounds: int


class Server(NamedTuple):
    """One that is measured."""

    pid: int
    port: int
    by_path: bool
    """Whether the question's name is its path: the server knows no GraphQL."""

    def path(self, shape: str) -> str:
        return f"/{shape}" if self.by_path else "/graphql"


@contextmanager
def rival(name: str, url: str, *more: str) -> Iterator[Server]:
    """A rival's process, which takes connections."""
    port = free_port()
    command = [*dying_with_us(signal.SIGKILL), sys.executable, "-m", "tests.benchmarks.rivals", name, *more]
    process = subprocess.Popen([*command, "--database-url", url, "--port", str(port)])
    try:
        yield Server(process.pid, port, by_path=name in {"bare", "replayed"})
    finally:
        process.terminate()
        process.wait(servers.STOP_SECONDS_MAX)


def body(shape: str, account: int) -> bytes:
    written = json.dumps(peers.bodies()[shape])
    return written.replace("__ID__", str(account)).replace("__EXT__", f"EXT-{account:08}").encode()


def _bodies(shape: str) -> Sequence[bytes]:
    return [body(shape, 1 + number) for number in range(VARIANTS)]


def ask(server: Server, shape: str, asked_for: bytes) -> Any:
    """A server's data; it is waited for until it takes connections."""
    url, headers = f"http://127.0.0.1:{server.port}{server.path(shape)}", {"Content-Type": "application/json"}
    asked = urllib.request.Request(url, asked_for, headers)
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return json.load(answer)["data"]
        except ConnectionError:
            pass
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionError):
                raise
        assert time.monotonic() < deadline, f"{server} does not start"
        time.sleep(0.1)


def plain(value: Any) -> Any:
    """A value whatever way it is written: numbers and instants by what they are."""
    match value:
        case dict():
            return {key: plain(each) for key, each in value.items()}
        case list():
            return [plain(each) for each in value]
        case str():
            with contextlib.suppress(InvalidOperation):
                return Decimal(value)
            with contextlib.suppress(ValueError):
                return datetime.fromisoformat(value)
    return value


def compare_answers(measured: Mapping[str, Server]) -> None:
    """Raises AssertionError where one of them answers other values than the first."""
    for shape in SHAPES:
        answers = {name: plain(ask(server, shape, body(shape, 321))) for name, server in measured.items()}
        expected = next(iter(answers.values()))
        for name, answer in answers.items():
            assert answer == expected, f"{name} answers {shape} otherwise: {str(answer)[:500]}"


async def measure(
    place: Place, measured: Mapping[str, Server], titles: Mapping[str, str], asked: Callable[[str], Sequence[bytes]]
) -> None:
    """Ask all of them for each shape in turn, and print how the gateway does beside each.

    titles: of the shapes, by name. asked: the bodies of requests for a shape.
    """
    for shape, title in titles.items():
        bodies = asked(shape)
        found: dict[str, list[Loaded]] = {name: [] for name in measured}
        for turn in range(place.rounds + 1):
            for name, server in measured.items():
                requests = [request(server.path(shape), each) for each in bodies]
                loaded = await load(server.pid, server.port, requests, seconds=place.seconds, connections=CONNECTIONS)
                # In the first round all of them still warm up.
                found[name] += [loaded] if turn else []
        print(f"\n{place.kind}, {shape}: {title}")
        for name, each in found.items():
            rate, cpu = (statistics.median(column) for column in zip(*each, strict=True))
            ours = found["gateway"]
            faster = statistics.median(one.rate / other.rate for one, other in zip(ours, each, strict=True))
            dearer = statistics.median(one.cpu_ms / other.cpu_ms for one, other in zip(ours, each, strict=True))
            told = "" if name == "gateway" else f"; the gateway {faster:.2f} times as many for {dearer:.2f} of the CPU"
            print(f"  {name}: {rate:.0f} answers a second, {cpu:.3f} ms of CPU each{told}")


async def _loaded(place: Place) -> None:
    assert await peers.load(place.url, peers.Sizes(ACCOUNTS))
    gateway = place.started.enter_context(servers.serving(place.url, place.folder))
    measured = {"gateway": Server(gateway.pid, gateway.port, by_path=False)}
    measured |= {name: place.started.enter_context(rival(name, place.url)) for name in RIVALS}
    await asyncio.to_thread(compare_answers, measured)
    await measure(place, measured, SHAPES, _bodies)


def on_each(act: Callable[[Place], Coroutine[Any, Any, None]], description: str | None, *, seconds: float) -> None:
    """Do something on a new database of each kind that the command line names."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, action="append", help="one kind of database; else both")
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with scratch() as folder, tempfile.TemporaryDirectory(dir=Path.cwd()) as disk, ExitStack() as kept:
        databases = Databases(folder, migrate)
        kept.callback(databases.close)
        for kind in given.kind or KINDS:
            with ExitStack() as started:
                url = f"sqlite+aiosqlite:///{disk}/gateway.db"
                if kind == "postgresql":
                    url = started.enter_context(databases.made("postgresql"))
                uvloop.run(act(Place(kind, url, folder, started, given.seconds, given.rounds)))


if __name__ == "__main__":
    on_each(_loaded, __doc__, seconds=3)
