"""Whether the process is alive, and whether it is ready."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from app.web.health import Alive, Ready
from tests.web.servers import JSON, serving


async def fine() -> Sequence[str]:
    return []


async def broken() -> Sequence[str]:
    return ["The database does not answer."]


async def failing() -> Sequence[str]:
    raise RuntimeError("dsn postgresql://u:pw@db")


async def never() -> Sequence[str]:
    await asyncio.Event().wait()
    return []


def test_a_process_that_answers_is_alive() -> None:
    with serving(Alive({"version": "1.2.3"})) as served:
        reply = served.ask("GET", "/health")
    assert (reply.status, reply.media) == (200, JSON)
    assert reply.json == {"status": "alive", "version": "1.2.3"}
    assert (reply.headers["cache-control"], reply.headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_without_problems_it_is_ready() -> None:
    with serving(Ready(fine)) as served:
        reply = served.ask("GET", "/ready")
    assert (reply.status, reply.json) == (200, {"status": "ready"})


def test_with_problems_it_is_not_ready_and_says_why() -> None:
    with serving(Ready(broken)) as served:
        reply = served.ask("GET", "/ready")
    assert (reply.status, reply.media) == (503, JSON)
    assert reply.json == {"status": "not ready", "problems": ["The database does not answer."]}


def test_what_can_be_read_and_not_written_to_is_degraded_and_still_answers() -> None:
    with serving(Ready(fine, hindrances=broken, overdue=fine)) as served:
        reply = served.ask("GET", "/ready")
    assert (reply.status, reply.json) == (200, {"status": "degraded", "problems": ["The database does not answer."]})


def test_what_is_known_of_the_database_is_told_either_way() -> None:
    for problems in (fine, broken):
        with serving(Ready(problems, facts={"sqlite": "3.51.3"})) as served:
            assert served.ask("GET", "/ready").json["sqlite"] == "3.51.3"


def test_a_check_that_fails_is_a_problem_whose_cause_is_logged_alone() -> None:
    with serving(Ready(failing)) as served, capture_logs() as logs:
        reply = served.ask("GET", "/ready")
    assert (reply.status, reply.json["problems"]) == (503, ["The check failed; the log says why."])
    assert [logged["event"] for logged in logs] == ["readiness_check_failed"]


def test_a_check_that_takes_too_long_is_a_problem() -> None:
    with serving(Ready(never, seconds=0.01)) as served:
        reply = served.ask("GET", "/ready")
    assert (reply.status, reply.json["problems"]) == (503, ["The check took longer than 0.01 s."])


@pytest.mark.parametrize("app", [Alive(), Ready(fine)])
def test_health_may_be_asked_by_head(app: Alive | Ready) -> None:
    with serving(app) as served:
        reply = served.ask("HEAD", "/")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("app", [Alive(), Ready(fine)])
def test_health_is_not_posted(app: Alive | Ready) -> None:
    with serving(app) as served:
        reply = served.ask("POST", "/", [], b"")
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "GET, HEAD")
