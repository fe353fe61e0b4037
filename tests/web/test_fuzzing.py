"""Documents that schemathesis makes from the schema itself, sent to real gateways: no answer is a failure of ours."""

import os
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.graphql import nodes, scalar

from schema import sdl
from tests import servers
from tests.databases import KINDS, Databases
from tests.web.servers import Served

EXAMPLES = int(os.environ.get("FUZZING_EXAMPLES", "10"))
"""Documents for each field of Query and of Mutation; where more are asked for, others each time."""

scalar("Decimal", st.decimals(-(10**16), 10**16, places=4).map(lambda number: nodes.String(str(number))))
scalar("DateTime", st.datetimes(timezones=st.just(UTC)).map(lambda moment: nodes.String(moment.isoformat())))
scalar("Date", st.dates().map(lambda day: nodes.String(day.isoformat())))
scalar("UUID", st.uuids().map(lambda id: nodes.String(str(id))))

OPERATIONS = {
    found.ok().label: found.ok()
    for found in schemathesis.graphql.from_file(sdl()).get_all_operations()
    if isinstance(found, Ok)
}


@pytest.fixture(scope="module", params=KINDS)
def served(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("fuzzing")
    with databases.made(request.param) as url:
        servers.run(url, *servers.SEED)
        with servers.serving(url, folder) as gateway:
            yield Served(gateway.port)


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_document_makes_the_gateway_fail(served: Served, label: str) -> None:
    has_run = False

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize="FUZZING_EXAMPLES" not in os.environ,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy())
    def send(case: Any) -> None:
        nonlocal has_run
        reply = served.post({"query": case.body})
        has_run |= "data" in reply.json
        codes = [error["extensions"]["code"] for error in reply.json.get("errors", [])]
        assert reply.status < 500, (case.body, reply.body)
        assert "INTERNAL" not in codes, (case.body, reply.body)

    send()
    assert has_run


def test_every_field_of_query_and_of_mutation_is_asked_for() -> None:
    assert {"Query.accounts", "Query.node", "Mutation.registerBatchAccountBalances"} <= set(OPERATIONS)
