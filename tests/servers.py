"""Real gateways: each a process that listens on a port of 127.0.0.1, as an operator would start it."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.databases import dying_with_us, free_port

PROGRAM = Path(sys.executable).with_name("balance-gateway")
SEED = ("seed", "--accounts", "20", "--days", "5")
"""The command that fills the database of the session's gateway."""

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
COMMAND_SECONDS_MAX = 120
ANSWER_SECONDS_MAX = 5

_ENVIRONMENT_PREFIX = "BALANCE_GATEWAY_"
_HOST = "127.0.0.1"
_POLL_SECONDS = 0.05
_PORT_TRIES_MAX = 3
_LOG_LINES_SHOWN = 200

_started: "list[GatewayProcess]" = []


class GatewayProcess:
    """A gateway's process: started when entered, stopped with SIGTERM when left."""

    def __init__(
        self,
        database_url: str,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        program: Sequence[str] = (str(PROGRAM),),
    ) -> None:
        """`folder` takes the log; `settings` are more of the environment, with their whole names."""
        self.database_url = database_url
        self._program = program
        self.port = 0
        self._settings = dict(settings or {})
        self._log = folder / f"gateway-{len(list(folder.glob('gateway-*.log'))) + 1}.log"
        self._log.touch()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        for tries_left in reversed(range(_PORT_TRIES_MAX)):
            self.port = free_port()
            try:
                self.start()
            except RuntimeError:
                # Somebody may have taken the port in between.
                if tries_left and "address already in use" in self.log().lower():
                    continue
                raise
            break
        return self

    def __exit__(self, *_raised: object) -> None:
        if self.is_running:
            self.stop()

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the gateway was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """All that its processes have printed so far, over every start."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start it, on the same port as before, and return when it says that it is ready."""
        command = [
            *dying_with_us(signal.SIGKILL),
            *(*self._program, "serve"),
            *("--port", str(self.port)),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(self.database_url, self._settings),
            )
        _started.append(self)
        self._wait_until_ready(self._process)

    def stop(self) -> int:
        """Ask it to end with SIGTERM; its exit status. RuntimeError where it does not end in time."""
        assert self._process is not None, "the gateway was never started"
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"The gateway did not end within {STOP_SECONDS_MAX} s of SIGTERM.") from None

    def ended(self) -> int:
        """Its exit status, when it has ended by itself; waits for that."""
        assert self._process is not None, "the gateway was never started"
        return self._process.wait(STOP_SECONDS_MAX)

    def kill(self) -> None:
        """End it with SIGKILL: it has no say."""
        assert self._process is not None, "the gateway was never started"
        self._process.kill()
        self._process.wait()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self._says_ready():
                return
            try:
                status = process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"The gateway ended with status {status}:\n{self.log()}")
        self.kill()
        raise RuntimeError(f"The gateway was not ready within {START_SECONDS_MAX} s:\n{self.log()}")

    def _says_ready(self) -> bool:
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=ANSWER_SECONDS_MAX)
        try:
            connection.request("GET", "/ready")
            with connection.getresponse() as response:
                return response.status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def environment(database_url: str, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a gateway's command: this one's, with no other settings than those given."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(_ENVIRONMENT_PREFIX)}
    return ours | {f"{_ENVIRONMENT_PREFIX}DATABASE_URL": database_url} | dict(settings or {})


def run(database_url: str, *arguments: str, settings: Mapping[str, str] | None = None) -> str:
    """Run one of the gateway's commands to its end; what it printed. RuntimeError where it failed."""
    done = subprocess.run(
        [PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS_MAX,
        env=environment(database_url, settings),
    )
    if done.returncode:
        raise RuntimeError(f"{arguments} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def serving(database_url: str, folder: Path, **settings: str) -> Iterator[GatewayProcess]:
    """A gateway on a database; settings by their names in lower case, without the prefix."""
    given = {f"{_ENVIRONMENT_PREFIX}{name.upper()}": value for name, value in settings.items()}
    with GatewayProcess(database_url, folder, given) as gateway:
        yield gateway


def logs_of_started() -> Iterator[tuple[str, str]]:
    """A title and the end of the log, for each gateway that ran since the last forget_stopped()."""
    for gateway in dict.fromkeys(_started):
        lines = gateway.log().splitlines()[-_LOG_LINES_SHOWN:]
        yield f"gateway at {gateway.url} on {gateway.database_url}", "\n".join(lines)


def forget_stopped() -> None:
    _started[:] = [gateway for gateway in dict.fromkeys(_started) if gateway.is_running]
