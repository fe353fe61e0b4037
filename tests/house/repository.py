"""The repository as files: what is committed, and what README says in code."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"


def files() -> dict[str, str]:
    """The text of each file that is or would be committed, by its path in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = {path: ROOT / path for path in sorted(set(listed.stdout.split("\0"))) if path}
    return {path: file.read_text(encoding="utf-8", errors="replace") for path, file in paths.items() if file.is_file()}


def readme() -> str:
    return README.read_text(encoding="utf-8")


def code_in_readme() -> list[str]:
    """The lines of README's code blocks, and its spans of code."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", readme(), flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", readme(), flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", prose)
