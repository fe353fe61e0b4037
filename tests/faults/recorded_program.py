"""The gateway, with all that SQLite writes, and all that is answered, written down in the order in which it happens.

`RECORD=FILE python -m tests.faults.recorded_program serve`. Checkpoints come often. Nothing in the gateway itself knows
of this.
"""

import os
import pickle
import threading
from pathlib import Path
from typing import Any

from app import cli
from app.store import sqlite
from app.web import graphql
from tests.faults import disk
from tests.faults.disk import Answered, Call

CHECKPOINT_PAGES = 60


def main() -> None:
    _send, turn = graphql._send, threading.Lock()
    with Path(os.environ["RECORD"]).open("ab", buffering=0) as record:

        def note(step: Call | Answered) -> None:
            with turn:
                pickle.dump(step, record)

        async def noted_send(send: Any, media: Any, reply: Any) -> None:
            note(Answered(reply[1]))
            await _send(send, media, reply)

        disk.listen(before=lambda _call: None, after=note)
        sqlite.CHECKPOINT_PAGES = CHECKPOINT_PAGES
        graphql._send = noted_send
        cli.main()


if __name__ == "__main__":
    main()
