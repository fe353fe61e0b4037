"""From the start of `serve` to the first answer, on an existing database, against a bare `python -c pass`.

Run it with `python -m tests.benchmarks.start`.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from app.store.migrations import migrate
from tests import servers
from tests.benchmarks.measuring import compared

QUERY = json.dumps({"query": "{ accounts { totalCount } }"}).encode()


def _data(asked: urllib.request.Request) -> object:
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer)["data"]


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/gateway.db"
        await migrate(url)

        async def ours() -> None:
            with servers.serving(url, Path(folder)) as gateway:
                asked = urllib.request.Request(f"{gateway.url}/graphql", QUERY, {"Content-Type": "application/json"})
                assert await asyncio.to_thread(_data, asked) == {"accounts": {"totalCount": 0}}

        async def bare() -> None:
            await asyncio.to_thread(subprocess.run, [sys.executable, "-c", "pass"], check=True)

        await compared("serve until its first answer and its end, against python -c pass", ours, bare, runs=7)


if __name__ == "__main__":
    asyncio.run(main())
