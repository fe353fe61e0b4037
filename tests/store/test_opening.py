"""A file that can't be opened for want of a thread is told of, and nobody waits for ever."""

import _thread
import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from app.store.opening import OPENING_SECONDS, opened
from tests.loops import leaping


def _refused(_run: Callable[[], None], _given: tuple[()]) -> int:
    raise RuntimeError("can't start new thread")


def _never_run(_run: Callable[[], None], _given: tuple[()]) -> int:
    return 1


async def test_a_thread_that_is_refused_is_a_failure_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_thread, "start_new_thread", _refused)
    with pytest.raises(OSError, match="no thread can be started"):
        await opened(str(tmp_path / "file.db"))
    monkeypatch.undo()
    connection = await opened(str(tmp_path / "file.db"))
    assert list(await connection.execute_fetchall("SELECT 1")) == [(1,)]
    await connection.close()


def test_a_thread_that_never_runs_is_waited_for_no_longer_than_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act() -> None:
        monkeypatch.setattr(_thread, "start_new_thread", _never_run)
        with pytest.raises(TimeoutError):
            await opened(str(tmp_path / "file.db"))
        assert asyncio.get_running_loop().time() == OPENING_SECONDS

    leaping(act)
