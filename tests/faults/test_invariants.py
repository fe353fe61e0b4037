"""The checker sees what it is there to see: each planted fault is found, and nothing else."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from app.runner import Runner
from app.store.store import Work
from tests.asking import NOW, Gateway
from tests.faults import invariants
from tests.faults.asking import REGISTER, SETUP, amounts, items

CONFIGURE = """mutation { createDivision(input: {code: "D"}) { division { id } } }"""
CLOSE = """mutation {
  updateAccount(id: "account_1", input: {divisionCode: "D"}) { userErrors { message } }
  createAccountBalanceHistoryConfig(input: {divisionCode: "D", cycleClosingTime: "22:00:00", cycleEventDelay: 5}) {
    userErrors { message } } }"""

PLANTED = [
    ("UPDATE entries SET amount = amount + 1 WHERE communication_number = 'n-3'", "n-3 was accepted"),
    ("DELETE FROM entries WHERE communication_number = 'n-1'", "only a part is stored"),
    ("UPDATE entries SET communication_number = 'no-0' WHERE communication_number = 'n-1'", "no-0 was rejected"),
    ("UPDATE positions SET balance = balance + 1", "account 1 stands at"),
    ("UPDATE positions SET entry_id = entry_id - 1", "became current last"),
    ("UPDATE positions SET threshold_state = 1", "is in the state 1"),
    ("DELETE FROM balance_kinds", "the kinds of balances"),
    ("UPDATE closings SET business_date = '2026-02-01' WHERE id = 1", "division D closed on"),
    ("DELETE FROM events WHERE account_id IS NULL", "and told of 0"),
    (
        "UPDATE history_entries SET opening = 7 WHERE id = (SELECT max(id) FROM history_entries)",
        "the history of account",
    ),
    (
        """INSERT INTO idempotency_keys (issuer, subject, key, fingerprint, created_at)
        SELECT '', '', 'k', '', recorded_at FROM entries LIMIT 1""",
        "the key k is there without an answer",
    ),
]


@pytest.mark.parametrize(("statement", "told"), PLANTED)
async def test_each_planted_fault_is_found(database_url: str, statement: str, told: str) -> None:
    gateway = Gateway(database_url)
    for document in (SETUP, CONFIGURE, CLOSE):
        (await gateway.ask(document)).sound()
    batch = items("n", 8)
    (await gateway.ask(REGISTER, items=batch)).sound()
    runner = Runner(gateway.store, clock=lambda: gateway.now, retention=timedelta(days=30), dispatcher=None)
    for day in (2, 3):
        gateway.now = datetime(2026, 3, day, 12, tzinfo=UTC)
        late = {**items(f"d{day}", 1)[0], "value": day, "balanceAt": NOW.isoformat()}
        (await gateway.ask(REGISTER, items=[late])).sound()
        assert await runner.tick() == 1
    history = invariants.Told(amounts(batch), rejected=["no-0"], batches=[amounts(batch)])
    assert await invariants.violations(database_url, history) == []

    async def plant(work: Work) -> None:
        await work.reads._connection.execute(text(statement))

    await gateway.store.work(None, plant)
    await gateway.store.close()
    found = await invariants.violations(database_url, history)
    assert [sentence for sentence in found if told in sentence], found
