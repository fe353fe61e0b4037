"""Whatever happens to who closes cycles and tells receivers: nothing is lost, and nothing is done twice."""

import asyncio
import json
import random
import signal
import sys
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from app.dispatch import AT_ONCE
from tests import servers
from tests.asking import Gateway
from tests.databases import free_port
from tests.deliveries.receiving import OK, event_of, receiving
from tests.faults.cycles import ACCOUNTS, BATCH, DAYS, FAULTY, WEBHOOK, Process, late, started
from tests.faults.runner_program import ACCOUNTS_A_WORK, CLOSING, DELIVERING

PASSAGE = {"begun": 2, "closed": 2, "sent": 20, "before sending": 20}
"""The how-manieth time of being there the fault comes; else at the third."""
RUNNERS = 5
KILLS = 15
"""So many while cycles close, and as many while events are told."""
BETWEEN = timedelta(minutes=3)
"""From one to the next, by their clocks: all leases are over then."""


@pytest.mark.parametrize("place", CLOSING + DELIVERING)
async def test_a_runner_that_is_killed_leaves_nothing_undone_and_nothing_double(database_url: str, place: str) -> None:
    passage = 1 if place in {"taken", "keeping", "kept"} else PASSAGE.get(place, 3)
    async with late(database_url) as state:
        fault = f"{place}:{passage}:KILL"
        async with started(database_url, "runner", "--once", program=FAULTY, fault=fault) as process:
            assert await process.end() == -signal.SIGKILL
            assert f"reached {place}\n" in process.lines
        sent = {event["id"] for event in state.receiver.events}
        if place not in {"keeping", "kept"}:
            assert await state.violations() != [], "it was killed before it was done"
        await state.make_up()
        assert await state.violations() == []
        twice = {name for name, times in Counter(event["id"] for event in state.receiver.events).items() if times > 1}
        if place == "keeping":
            assert twice == sent, "what nobody noted is sent again"
        if place == "kept":
            assert twice == set()


async def test_runners_that_are_killed_again_and_again_leave_nothing_undone_and_nothing_double(
    database_url: str,
) -> None:
    """K7, K8 and K10 over and over: each runner is killed at some place, and the next one goes on from there."""
    chance = random.Random(20260301)
    async with late(database_url, "A", "B", "C") as state:
        command = (sys.executable, "-m", "tests.faults.forking_runner_program", database_url)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        killed: Counter[str] = Counter()
        *untold, kept = DELIVERING  # Events are told when all is closed, and there are few rounds to keep.
        for number, place in enumerate([*chance.choices(CLOSING, k=KILLS), *chance.choices(untold, k=KILLS), kept]):
            at = state.ready_at + number * BETWEEN
            process.stdin.write(f"{place}:1:KILL {at.isoformat()}\n".encode())
            assert int(await process.stdout.readline()) == -signal.SIGKILL
            killed[place] += 1
        process.stdin.close()
        assert await process.wait() == 0
        assert set(killed) == {*CLOSING, *DELIVERING}
        await state.make_up(state.ready_at + 2 * (KILLS + 1) * BETWEEN - datetime.now(UTC))
        assert await state.violations() == []


async def test_kills_at_random_moments_of_whoever_runs(database_url: str) -> None:
    """A runner and a serve in turn; each is killed some time after it began to close, the last one is not."""
    chance = random.Random(20260301)
    async with late(database_url, "A", "B", "C", "D") as state:
        killed = 0
        for number in range(4):
            command = ("runner",) if number % 2 else ("serve", "--port", str(free_port()))
            async with started(database_url, *command, program=FAULTY) as process:
                if number < 2:
                    await process.says("cycle_clos")
                await asyncio.sleep(chance.random() / 2)
                process.signal(signal.SIGKILL)
                killed += await process.end() == -signal.SIGKILL
        assert killed == 4
        await state.make_up()
        assert await state.violations() == []


@pytest.mark.parametrize("place", ["closed part", "sent"])
async def test_a_runner_that_is_stopped_past_its_lease_and_woken_writes_nothing(database_url: str, place: str) -> None:
    async with late(database_url) as state:
        async with started(database_url, "runner", "--once", program=FAULTY, fault=f"{place}:2:STOP") as process:
            await process.says(f"reached {place}")
            await stopped(process.pid)
            await state.make_up()
            assert await state.violations() == []
            before = await state.log()
            process.signal(signal.SIGCONT)
            assert await process.end() == 0
            if place == "closed part":
                assert any("closing_lost" in line for line in process.lines)
        assert await state.log() == before
        assert await state.violations() == []


async def stopped(pid: int) -> None:
    """Wait until a process stands still."""
    async with asyncio.timeout(30):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":  # noqa: ASYNC110, ASYNC240 - nobody tells.
            await asyncio.sleep(0.01)


async def test_runners_at_once_share_the_work_and_double_nothing(postgresql_url: str) -> None:
    """One stands still within a closing of A until the others, at the same time, have done what is left to do."""
    async with late(postgresql_url, *"ABCDEF") as state:

        async def another() -> list[str]:
            async with started(postgresql_url, "runner", "--once", program=FAULTY) as process:
                assert await process.end() == 0
                return process.lines

        fault = "closed part:1:STOP"
        async with started(postgresql_url, "runner", "--once", program=FAULTY, fault=fault) as first:
            await first.says("reached closed part")
            await stopped(first.pid)
            others = await asyncio.gather(*(another() for _ in range(RUNNERS - 1)))
            first.signal(signal.SIGCONT)
            assert await first.end() == 0
        assert closed(first.lines) == [("A", day) for day in range(DAYS)]
        assert sorted(closed([line for lines in others for line in lines])) == [
            (code, day) for code in "BCDEF" for day in range(DAYS)
        ]
        await state.make_up()
        assert await state.violations() == []


class Held:
    """A receiver's answers, which it gives when it may: at once where it is told of a subject twice at a time."""

    def __init__(self, may_answer: asyncio.Event) -> None:
        self._may_answer = may_answer
        self.in_flight: list[str] = []
        """Subjects of which it is being told."""
        self.twice: list[str] = []

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        subject = event_of(request)["subject"]
        if subject in self.in_flight:
            self.twice.append(subject)
            self._may_answer.set()
        self.in_flight.append(subject)
        await self._may_answer.wait()
        # Who reads the answer may go on with the subject.
        self.in_flight.remove(subject)
        writer.write(OK)
        await writer.drain()


async def test_runners_at_once_tell_no_receiver_twice_at_a_time_of_a_subject(postgresql_url: str) -> None:
    """FS22: all have seen that nobody serves it; one does, and another one serves another receiver meanwhile."""
    may_answer = asyncio.Event()
    first, second = Held(may_answer), Held(may_answer)
    async with (
        late(postgresql_url, "A", "B", answer=first) as state,
        receiving(second) as receiver,
        AsyncExitStack() as running,
    ):

        async def looking() -> Process:
            command, fault = ("runner", "--once"), "serving:1:STOP"
            process = await running.enter_async_context(started(postgresql_url, *command, program=FAULTY, fault=fault))
            await process.says("reached serving")
            await stopped(process.pid)
            return process

        one, *others = await asyncio.gather(*(looking() for _ in range(RUNNERS)))
        one.signal(signal.SIGCONT)
        await state.receiver.has(AT_ONCE)
        told = await tell_more(postgresql_url, receiver.url)
        for process in others:
            process.signal(signal.SIGCONT)
        await receiver.has(AT_ONCE)
        ends = [asyncio.ensure_future(process.end()) for process in others]
        for end in islice(asyncio.as_completed(ends), len(ends) - 1):
            await end
        together = [len(held.in_flight) for held in (first, second)]
        may_answer.set()
        assert [await one.end(), *await asyncio.gather(*ends)] == [0] * RUNNERS
        assert (first.twice, second.twice) == ([], [])
        assert together == [AT_ONCE] * 2, "two told at the same time, each of several subjects"
        await state.make_up()
        for each in (state.receiver, receiver):
            come = [(event["subject"], int(event["id"].removeprefix("event_"))) for event in each.events]
            assert len(come) == len(set(come))
            assert sorted(come) == sorted(come, key=itemgetter(0)), "each subject in order"
        assert len(receiver.events) == told
        assert await state.violations() == []


async def tell_more(url: str, receiver: str) -> int:
    """Have another receiver told of what happens from now on: two entries of each account of A and B; of how many."""
    gateway = Gateway(url, allow_private_webhooks=True)
    gateway.now = datetime.now(UTC)
    items = [
        {
            "accountExtId": f"{code}-{number}",
            "communicationNumber": f"{code}-{number}-{value}-now",
            "requester": "test",
            "value": value,
            "balanceAt": gateway.now.isoformat(),
        }
        for code in "AB"
        for number in range(ACCOUNTS)
        for value in ("1", "2")
    ]
    for document, variables in ((WEBHOOK, {"url": receiver}), (BATCH, {"items": items})):
        (await gateway.ask(document, **variables)).sound()
    await gateway.store.close()
    return len(items)


async def test_on_sqlite_a_serve_and_a_runner_share_a_file(sqlite_url: str) -> None:
    """The serve stands still within a closing of A; the runner closes all else, and leaves that to whoever has it."""
    async with late(sqlite_url, "A", "B", "C") as state:
        serve = ("serve", "--port", str(free_port()))
        async with started(sqlite_url, *serve, program=FAULTY, fault="closed part:1:STOP") as server:
            await server.says("reached closed part")
            await stopped(server.pid)
            async with started(sqlite_url, "runner", "--once", program=FAULTY) as process:
                assert await process.end() == 0
            assert closed(process.lines) == [(code, day) for code in ("B", "C") for day in range(DAYS)]
            server.signal(signal.SIGCONT)
            for _ in range(DAYS):
                await server.says('"cycle_closed"')
            server.signal(signal.SIGTERM)
            await server.end()
            assert closed(server.lines) == [("A", day) for day in range(DAYS)]
        await state.make_up()
        assert await state.violations() == []


def closed(lines: list[str]) -> list[tuple[str, int]]:
    """The division of each closing that a process completed, and on which day since its first one."""
    told = [json.loads(line) for line in lines if '"cycle_closed"' in line]
    days = [(line["division"], date.fromisoformat(line["business_date"])) for line in told]
    return [(code, (day - min(each for _, each in days)).days) for code, day in days]


async def test_a_closing_in_parts_tells_how_far_it_is(sqlite_url: str) -> None:
    async with late(sqlite_url) as state:
        async with started(sqlite_url, "runner", "--once", program=FAULTY) as process:
            assert await process.end() == 0
        lines = [json.loads(line) for line in process.lines]
        told = [(line["event"], line["accounts"]) for line in lines if line["event"].startswith("cycle_clos")]
        parts = [("cycle_closing", ACCOUNTS_A_WORK), ("cycle_closing", 2 * ACCOUNTS_A_WORK), ("cycle_closed", ACCOUNTS)]
        assert told == parts * DAYS
        assert await state.violations() == []


async def test_a_clock_that_goes_back_closes_nothing_again_and_one_that_runs_ahead_is_made_up_for(
    database_url: str,
) -> None:
    async with late(database_url) as state:
        await state.make_up(timedelta(days=-1, minutes=-10))
        first = await state.log()
        await state.make_up()
        done = await state.log()
        assert len(done) > len(first)
        assert await state.violations() == []
        await state.make_up(timedelta(days=-2))
        assert await state.log() == done
        assert await state.violations() == []


async def test_a_gateway_whose_closings_are_late_is_ready_and_says_which(database_url: str, tmp_path: Path) -> None:
    async with late(database_url, "NO", "SE") as state:
        with servers.serving(database_url, tmp_path, runner="false") as gateway:
            status, told = await asyncio.to_thread(ready, gateway.url)
            assert (status, told["status"], len(told["overdue"])) == (200, "ready", 2)
            for code, sentence in zip(("NO", "SE"), told["overdue"], strict=True):
                assert sentence.startswith(f"Division {code} (default): the closing of ")
                assert sentence.endswith("T12:00:00Z is overdue.")
            await state.make_up()
            status, told = await asyncio.to_thread(ready, gateway.url)
            assert (status, told["status"], told.get("overdue")) == (200, "ready", None)


def ready(url: str) -> tuple[int, Any]:
    with urlopen(f"{url}/ready", timeout=30) as answer:
        return answer.status, json.load(answer)
