"""Time tells nothing that the answer does not: what is foreign is looked for in the same way as what is not there."""

import statistics
from typing import Any

import pytest

from tests.asking import Gateway, a_caller
from tests.benchmarks.timing import QUESTIONS, seconds
from tests.graphql.worlds import FOREIGN, NOBODYS, OWN, World, named

PAIRS = 150
RATIO_MAX = 1.25
"""Five times what README measures: a statement more, or a row that is read, shows as more."""
TRIES = 4
"""A machine that does other things is measured again."""


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_foreign_object_is_asked_for_as_one_that_is_not_there(database_url: str, question: str) -> None:
    gateway = Gateway(database_url)
    world = World(gateway)
    await world.fill()
    document, what = QUESTIONS[question]
    ids = world.ids[FOREIGN]
    foreign = ids[what] if what in ids else named(FOREIGN)[what]
    absent = f"{foreign.rsplit('_', 1)[0]}_999999" if what in ids else NOBODYS[what]
    asked: list[list[str]] = []
    told: list[Any] = []
    for it in (foreign, absent, foreign, absent):
        with gateway.statements() as statements:
            answer = await gateway.ask(document, it=it, caller=a_caller(OWN))
        asked.append(list(statements))
        told.append(answer.body)
    # The first two may make what is kept.
    assert told[2] == told[3]
    assert asked[2] == asked[3]
    ratios: list[float] = []
    while not ratios or (max(ratios[-1], 1 / ratios[-1]) > RATIO_MAX and len(ratios) < TRIES):
        taken: dict[str, list[float]] = {foreign: [], absent: []}
        for number in range(PAIRS):
            # Who is first changes, so that neither gains by it.
            for it in (foreign, absent) if number % 2 else (absent, foreign):
                taken[it].append(await seconds(gateway, document, it))
        ratios.append(statistics.median(taken[foreign]) / statistics.median(taken[absent]))
    assert 1 / RATIO_MAX < ratios[-1] < RATIO_MAX, ratios
    await gateway.store.close()
