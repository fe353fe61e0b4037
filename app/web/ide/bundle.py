"""Builds GraphiQL from pinned npm packages, where Node is found; a hook of the package build, standard library only."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILT = HERE / "built"
STAMP = BUILT / "stamp"
SECONDS_MAX = 300


def build() -> str | None:
    """Build what is not built yet. Returns why there is no bundle, where there is none."""
    inputs = _inputs()
    if STAMP.exists() and STAMP.read_text() == inputs:
        return None
    npm = shutil.which("npm")
    if npm is None:
        return "npm was not found"
    try:
        with tempfile.TemporaryDirectory() as folder:
            _bundle(npm, Path(folder))
    except (OSError, subprocess.SubprocessError) as error:
        return f"npm could not build it ({error})"
    STAMP.write_text(inputs)
    return None


def _inputs() -> str:
    files = sorted(path for path in [HERE / "package.json", *(HERE / "source").iterdir()])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _bundle(npm: str, folder: Path) -> None:
    shutil.copy(HERE / "package.json", folder)
    shutil.copytree(HERE / "source", folder / "source")
    _run(folder, npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    BUILT.mkdir(exist_ok=True)
    _run(
        folder,
        str(folder / "node_modules" / ".bin" / "esbuild"),
        "source/main.jsx",
        "--bundle",
        "--minify",
        "--format=iife",
        "--target=es2020",
        "--define:process.env.NODE_ENV='production'",
        "--loader:.woff2=dataurl",
        "--legal-comments=none",
        "--log-level=error",
        f"--outfile={BUILT / 'graphiql.js'}",
    )


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, timeout=SECONDS_MAX, stdin=subprocess.DEVNULL)  # noqa: S603 - our own.


def main() -> None:
    problem = build()
    told = (
        "GraphiQL is built." if problem is None else f"GraphiQL is not built: {problem}. A plain form takes its place."
    )
    sys.stderr.write(told + "\n")


if __name__ == "__main__":
    main()
