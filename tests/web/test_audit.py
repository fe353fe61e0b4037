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
def audit() -> list[str]:
    """The command that audits a URL, its packages installed beside it where they are not yet."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("The audit suite needs Node.js and npm.")
    if not _is_installed():
        install = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
        done = subprocess.run(install, cwd=AUDIT, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
        assert done.returncode == 0, done.stderr
    return [node, str(AUDIT / "audit.mjs")]


def _is_installed() -> bool:
    """Whether each package stands there in the very version that is asked for."""
    wanted = json.loads((AUDIT / "package.json").read_text())["dependencies"]
    found = {name: AUDIT / "node_modules" / name / "package.json" for name in wanted}
    return all(
        path.is_file() and json.loads(path.read_text())["version"] == wanted[name] for name, path in found.items()
    )


def test_all_audits_are_ok(audit: list[str], gateway_url: str) -> None:
    command = [*audit, f"{gateway_url}/graphql"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=AUDIT_SECONDS)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == AUDITS
