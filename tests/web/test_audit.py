"""The gateway speaks GraphQL over HTTP as the graphql-http audit suite (npm) understands it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

AUDIT = Path(__file__).parent / "audit"
AUDITS = 61
INSTALL_SECONDS = 300
AUDIT_SECONDS = 120


@pytest.fixture(scope="session")
def audit(node: Path) -> list[str]:
    """The command that audits a URL; its packages are installed beside it where they are not yet."""
    if not _is_installed():
        npm = shutil.which("npm")
        assert npm is not None, "npm comes with Node.js"
        install = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
        done = subprocess.run(install, cwd=AUDIT, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
        assert done.returncode == 0, done.stderr
    return [str(node), str(AUDIT / "audit.mjs")]


def _is_installed() -> bool:
    """Whether each package stands there in the very version that is asked for."""
    wanted: dict[str, str] = json.loads((AUDIT / "package.json").read_text())["dependencies"]
    return all(_installed_version(name) == version for name, version in wanted.items())


def _installed_version(package: str) -> str | None:
    told = AUDIT / "node_modules" / package / "package.json"
    return json.loads(told.read_text())["version"] if told.is_file() else None


def test_all_audits_are_ok(audit: list[str], gateway_url: str) -> None:
    command = [*audit, f"{gateway_url}/graphql"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=AUDIT_SECONDS)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == AUDITS
