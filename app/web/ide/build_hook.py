"""Builds GraphiQL when the package is built, for wheels and editable installs alike."""

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLE = Path(__file__).resolve().with_name("bundle.py")


class Hook(BuildHookInterface[Any]):
    """Tries once; without a bundle the package is complete all the same, with a plain form in its place."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version, build_data
        # The package itself can't be imported where it is built: what it needs isn't there.
        runpy.run_path(str(BUNDLE))["main"]()
