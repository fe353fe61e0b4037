"""Packages of the npm world that tests run: installed beside the test where they are not yet."""

import json
import shutil
import subprocess
from pathlib import Path

INSTALL_SECONDS = 300


def install(folder: Path) -> None:
    """Have in a folder the packages that its package.json names, in these very versions."""
    wanted: dict[str, str] = json.loads((folder / "package.json").read_text())["dependencies"]
    if all(_installed_version(folder, name) == version for name, version in wanted.items()):
        return
    npm = shutil.which("npm")
    assert npm is not None, "npm comes with Node.js"
    command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    assert done.returncode == 0, done.stderr


def _installed_version(folder: Path, package: str) -> str | None:
    told = folder / "node_modules" / package / "package.json"
    return json.loads(told.read_text())["version"] if told.is_file() else None
