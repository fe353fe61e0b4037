"""The view behind a real server, with fakes where operations are run and callers known."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from app.web.graphql import GraphQLView
from tests.web.fakes import FakeCallers, FakeRun, fake_page
from tests.web.servers import Served, serving


class _Behind(NamedTuple):
    run: FakeRun
    callers: FakeCallers
    served: Served


@pytest.fixture(scope="module")
def _behind() -> Iterator[_Behind]:
    run, callers = FakeRun(), FakeCallers()
    view = GraphQLView(run, callers, ide=fake_page, body_max=100_000)
    with serving(view) as served:
        yield _Behind(run, callers, served)


@pytest.fixture
def run(_behind: _Behind) -> FakeRun:
    """What the served view runs operations with; as new for each test."""
    _behind.run.__init__()  # type: ignore[misc] # The view holds this very object.
    return _behind.run


@pytest.fixture
def callers(_behind: _Behind) -> FakeCallers:
    """What the served view knows callers by; as new for each test."""
    _behind.callers.__init__()  # type: ignore[misc] # As above.
    return _behind.callers


@pytest.fixture
def served(_behind: _Behind, run: FakeRun, callers: FakeCallers) -> Served:
    """The view on a real server: with a page, and at most 100,000 bytes of a body."""
    assert (run, callers) == (_behind.run, _behind.callers)
    return _behind.served
