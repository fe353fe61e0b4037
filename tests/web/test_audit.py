"""The gateway speaks GraphQL over HTTP as the graphql-http audit suite (npm) understands it."""

import json
import subprocess
from pathlib import Path

import pytest

from tests import npm

AUDIT = Path(__file__).parent / "audit"
AUDITS = 61
AUDIT_SECONDS = 120


@pytest.fixture(scope="session")
def audit(node: Path) -> list[str]:
    """The command that audits a URL."""
    npm.install(AUDIT)
    return [str(node), str(AUDIT / "audit.mjs")]


def test_all_audits_are_ok(audit: list[str], gateway_url: str) -> None:
    command = [*audit, f"{gateway_url}/graphql"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=AUDIT_SECONDS)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == AUDITS
