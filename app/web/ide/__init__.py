"""The page for people: GraphiQL where it was built, else a plain form."""

from typing import Any

from starlette.routing import BaseRoute


def page_routes() -> tuple[Any, list[BaseRoute]]:
    return None, []
