"""Builds GraphiQL when the package is built, for wheels and editable installs alike."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bundle


class Hook(BuildHookInterface[Any]):
    """Tries once; without a bundle the package is complete all the same, with a plain form in its place."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version, build_data
        bundle.main()
