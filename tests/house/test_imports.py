"""Who may import whom."""

from importlinter import cli

from tests.house.repository import ROOT


def test_imports_point_down() -> None:
    """All contracts of [tool.importlinter] hold."""
    told = cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert told == cli.EXIT_STATUS_SUCCESS


def test_the_package_that_is_both_cellar_and_roof_is_empty() -> None:
    assert (ROOT / "app" / "__init__.py").read_bytes() == b""
