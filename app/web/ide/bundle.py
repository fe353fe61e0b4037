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
OUTPUTS = ("graphiql.js", "graphiql.css")
SECONDS_MAX = 300
PUBLISHED_BEFORE = "2026-11-21"
"""package.json pins what is used by name; this day pins what that needs in turn, without a lock file."""


def build() -> str | None:
    """Build what is not built yet. Returns why there is no bundle, where there is none."""
    inputs = _inputs()
    if _is_built_of(inputs):
        return None
    # A bundle of other inputs is not this package's; where the new one fails, the plain form takes over.
    shutil.rmtree(BUILT, ignore_errors=True)
    npm = shutil.which("npm")
    if npm is None:
        return "npm was not found"
    try:
        with tempfile.TemporaryDirectory() as folder:
            _bundle(npm, Path(folder))
            _keep(Path(folder), inputs)
    except subprocess.TimeoutExpired:
        return f"npm took more than {SECONDS_MAX} seconds"
    except subprocess.CalledProcessError:
        return "npm could not fetch the packages, or they could not be bundled"
    except OSError as error:
        return str(error)
    return None


def _inputs() -> str:
    """A digest of all that decides what the bundle is: versions, sources, and how this module bundles them."""
    digest = hashlib.sha256()
    for path in (HERE / "package.json", HERE / "bundle.py", *sorted((HERE / "source").iterdir())):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _is_built_of(inputs: str) -> bool:
    return STAMP.is_file() and STAMP.read_text() == inputs and all((BUILT / name).is_file() for name in OUTPUTS)


def _bundle(npm: str, folder: Path) -> None:
    shutil.copy(HERE / "package.json", folder)
    shutil.copytree(HERE / "source", folder / "source")
    _run(
        folder,
        npm,
        "install",
        # Nothing that was fetched runs on this machine but the bundler.
        "--ignore-scripts",
        f"--before={PUBLISHED_BEFORE}",
        # A machine without a network shall learn it soon.
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=500",
        "--fetch-retry-maxtimeout=1000",
        "--prefer-offline",
        "--no-package-lock",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    )
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
        "--legal-comments=eof",
        "--log-level=error",
        "--outfile=out/graphiql.js",
    )


def _keep(folder: Path, inputs: str) -> None:
    """Take the bundle over; the stamp comes last, so that half a bundle is none."""
    BUILT.mkdir()
    for name in OUTPUTS:
        shutil.move(folder / "out" / name, BUILT / name)
    STAMP.write_text(inputs)


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
