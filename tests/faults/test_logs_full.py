"""A disk that is full under the log alone: lines are lost, and nothing else."""

from pathlib import Path

import pytest

from tests.databases import Databases
from tests.faults import invariants
from tests.faults.asking import READ, asked
from tests.faults.test_databases_fail import Writer, _fill, _little_room, _prepared
from tests.servers import GatewayProcess

QUIET = {"BALANCE_GATEWAY_RUNNER": "false", "BALANCE_GATEWAY_GRAPHIQL": "false"}
WRITES = 100
PAGE_BYTES = 4096


class Printing(GatewayProcess):
    """A gateway that prints into a certain file."""

    def __init__(self, database_url: str, folder: Path, log: Path) -> None:
        super().__init__(database_url, folder, QUIET)
        self._log = log

    def log(self) -> str:
        return super().log() if self._log.is_file() else "It is on no disk."


@pytest.fixture
async def prepared_url(database_url: str) -> str:
    await _prepared(database_url)
    return database_url


async def test_a_full_disk_under_the_log_costs_lines_and_nothing_else(
    databases: Databases, prepared_url: str, tmp_path: Path
) -> None:
    with (
        _little_room(databases, tmp_path) as place,
        Printing(prepared_url, tmp_path, place / "log") as gateway,
    ):
        writer = Writer(gateway, "w")
        assert writer.write() is not None
        filling = place / "filling"
        _fill(filling)
        size = len(gateway.log())
        for _ in range(WRITES):
            told = writer.write()
            assert told is not None
            assert told.status == 200
        refused = asked(gateway, "{ nothing }")
        assert refused is not None
        assert refused.codes == ["GRAPHQL_VALIDATION_FAILED"]
        read = asked(gateway, READ)
        assert read is not None
        assert read.body["data"]["account"]["balances"]["totalCount"] == 2 * WRITES + 2
        assert len(gateway.log()) - size <= PAGE_BYTES, "there was no room for the lines"
        filling.unlink()
        held = len(gateway.log())
        assert writer.write() is not None
        gateway.stop()
        assert '"type":"mutation"' in gateway.log()[held:], "there is room again, and lines are written"
    assert await invariants.violations(prepared_url, writer.told) == []


def test_a_gateway_starts_and_answers_where_nothing_that_it_prints_is_taken(prepared_url: str, tmp_path: Path) -> None:
    with Printing(prepared_url, tmp_path, Path("/dev/full")) as gateway:
        told = asked(gateway, READ)
        assert told is not None
        assert told.body == {"data": {"account": {"balance": "0", "balances": {"totalCount": 0}}}}
        assert gateway.stop() in (0, -15)
