"""A request that is repeated with its key is answered again, and does nothing again."""

import asyncio
import json
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from app.domain.callers import LOCAL, Caller, Scope
from app.domain.idempotency import KEPT
from app.domain.refusals import Code
from app.runner import Runner
from app.store import idempotency
from app.web.bodies import JsonReader
from app.web.operations import Answered, Asked
from resolvers.once import Onces, fingerprint
from schema import schema
from tests.asking import NOW, Gateway, a_caller

ADD = """mutation ($amount: Decimal!) { createBankAccountBalance(bankAccountId: "account_1",
  input: {amount: $amount, timestamp: "2026-02-01T00:00:00Z", currency: {code: "EUR"}}) {
  balance { id amount account { balance } } userErrors { code message path documentedCode } } }"""
BATCH = """mutation ($items: [AccountBalanceInput!]!) { registerBatchAccountBalances(input: {accountBalances: $items}) {
  acceptedCount rejectedCount timeElapsedMs results { resultType index communicationNumber accountExtId businessUnit
  errorCode errorDescription errorField sameContent timeElapsedMs balance { id amount communicationNumber } } } }"""
CREATE = """mutation ($name: String!) { createAccount(input: {name: $name, contractorId: "contractor_1"}) {
  account { id name } userErrors { code message path documentedCode } } }"""

ITEM = {
    "accountExtId": "EXT-1",
    "communicationNumber": "n1",
    "requester": "r",
    "value": 1.5,
    "balanceAt": "2026-02-01T00:00:00Z",
}
ITEMS = [
    ITEM,
    {**ITEM, "value": 2},
    {**ITEM, "communicationNumber": "n2", "accountExtId": "none"},
    {**ITEM, "communicationNumber": ""},
]
CONFIG = '{divisionCode: "my-division", cycleClosingTime: "22:00:00", cycleEventDelay: 10}'

MUTATIONS = {
    "createAccount": CREATE.replace("$name: String!", "")
    .replace("mutation ()", "mutation")
    .replace("$name", '"Second"'),
    "updateAccount": """mutation { updateAccount(id: "account_1", input: {name: "Renamed"}) {
      account { id name } userErrors { message } } }""",
    "createBankAccountBalance": ADD.replace(" ($amount: Decimal!)", "").replace("$amount", '"1.5"'),
    "correctAccountBalance": """mutation { correctAccountBalance(accountId: "account_1", input: {amount: 2}) {
      balance { id amount timestamp } userErrors { message } } }""",
    "registerBatchAccountBalances": BATCH.replace(" ($items: [AccountBalanceInput!]!)", "").replace(
        "$items",
        """[{accountExtId: "EXT-1", communicationNumber: "n1", requester: "r", value: 1.5, balanceAt:
        "2026-02-01T00:00:00Z"}, {accountExtId: "EXT-1", communicationNumber: "n1", requester: "r", value: 2, balanceAt:
        "2026-02-01T00:00:00Z"}, {accountExtId: "no", communicationNumber: "n2", requester: "r", value: 2, balanceAt:
        "2026-02-01T00:00:00Z"}]""",
    ),
    "updateAccountBalance": """mutation { updateAccountBalance(input: {accountExtId: "EXT-1", communicationNumber: "n9",
      requester: "r", value: 1, balanceAt: "2026-02-01T00:00:00Z"}) { resultType timeElapsedMs balance { id } } }""",
    "createAccountBalanceHistoryConfig": f"""mutation {{ createAccountBalanceHistoryConfig(input: {CONFIG}) {{
      balanceHistoryConfig {{ id cycleClosingTime }} userErrors {{ message }} }} }}""",
    "updateAccountBalanceHistoryConfig": """mutation { updateAccountBalanceHistoryConfig(divisionCode: "my-division",
      input: {cycleEventDelay: 20}) { balanceHistoryConfig { id } userErrors { code message path } } }""",
    "createDivision": """mutation { createDivision(input: {code: "new"}) {
      division { id code } userErrors { message } } }""",
    "createContractor": """mutation { createContractor(input: {name: "Other", isVendor: true}) {
      contractor { id name } userErrors { message } } }""",
    "createContact": """mutation { createContact(input: {contractorId: "contractor_1", email: "a@b.example"}) {
      contact { id email } userErrors { message } } }""",
    "createInvoiceTemplate": """mutation { createInvoiceTemplate(input: {name: "Plain"}) {
      invoiceTemplate { id name } userErrors { message } } }""",
    "createWebhook": """mutation { createWebhook(input: {url: "https://receiver.example/x"}) {
      webhook { id url } secret userErrors { message } } }""",
    "deleteWebhook": 'mutation { deleteWebhook(id: "webhook_1") { userErrors { code message path } } }',
}
"""One request of each mutation."""


async def once(
    gateway: Gateway, document: str, key: str = "k", /, *, caller: Caller = LOCAL, **variables: Any
) -> tuple[Any, Answered]:
    """What is answered to a document with a key: the body, and how."""
    return await once_json(gateway, document, json.dumps(variables), key, caller=caller)


async def once_json(
    gateway: Gateway, document: str, variables: str, key: str = "k", /, *, caller: Caller = LOCAL
) -> tuple[Any, Answered]:
    asked = Asked(document, JsonReader().read_text(variables), None, {}, idempotency_key=key)
    answered = await gateway._run(asked, caller, mutations=True)
    return json.loads(answered.body), answered


async def count(gateway: Gateway) -> dict[str, int]:
    """How many rows each table has."""
    async with gateway.store.reading(None) as reads:
        connection = reads._connection
        names = ("accounts", "entries", "events", "contractors", "divisions", "history_configs", "idempotency_keys")
        return {name: (await connection.execute(text(f"SELECT count(*) FROM {name}"))).scalar_one() for name in names}


@pytest.fixture
async def restarted(filled: Gateway) -> AsyncIterator[Gateway]:
    """Another gateway on the same database: another process, or this one after a restart."""
    other = Gateway(filled.store.engines[1].url.render_as_string(hide_password=False))
    yield other
    await other.store.close()


def test_every_mutation_is_tried() -> None:
    assert schema.mutation_type is not None
    assert set(MUTATIONS) == set(schema.mutation_type.fields)


@pytest.mark.parametrize("name", MUTATIONS)
async def test_a_repeated_mutation_is_answered_alike_and_does_nothing_again(
    filled: Gateway, restarted: Gateway, name: str
) -> None:
    first, answered = await once(filled, MUTATIONS[name])
    assert answered.ran
    assert not answered.is_replay
    assert "errors" not in first
    after = await count(filled)
    again, replayed = await once(filled, MUTATIONS[name])
    assert (again, replayed.is_replay) == (first, True)
    # The clock goes on, and so may the rules that it decides by.
    restarted.now = NOW + KEPT - timedelta(seconds=1)
    elsewhere, replayed = await once(restarted, MUTATIONS[name])
    assert (elsewhere, replayed.is_replay) == (first, True)
    assert await count(filled) == after
    assert after["idempotency_keys"] == 1


async def test_what_is_read_is_read_now_and_what_was_done_is_told_as_it_was(filled: Gateway) -> None:
    first, _ = await once(filled, ADD, amount="10")
    (await filled.ask(ADD, amount="20")).sound()
    again, _ = await once(filled, ADD, amount="10")
    balance = first["data"]["createBankAccountBalance"]["balance"]
    assert balance["account"] == {"balance": "10"}
    told = again["data"]["createBankAccountBalance"]["balance"]
    assert told == {**balance, "account": {"balance": "20"}}


async def test_user_errors_are_remembered_though_their_cause_is_gone(filled: Gateway) -> None:
    first, _ = await once(filled, CREATE, name="Main")
    assert [error["code"] for error in first["data"]["createAccount"]["userErrors"]] == ["TAKEN"]
    renamed = 'mutation { updateAccount(id: "account_1", input: {name: "Free"}) { userErrors { message } } }'
    (await filled.ask(renamed)).sound()
    again, answered = await once(filled, CREATE, name="Main")
    assert (again, answered.is_replay) == (first, True)
    fresh, _ = await once(filled, CREATE, "another key", name="Main")
    assert fresh["data"]["createAccount"]["userErrors"] == []


async def test_the_verdicts_of_a_batch_are_remembered_item_by_item(filled: Gateway) -> None:
    first, _ = await once(filled, BATCH, items=ITEMS)
    results = first["data"]["registerBatchAccountBalances"]["results"]
    assert [result["errorCode"] for result in results] == [None, "O005", "404", "O001"]
    assert results[1]["balance"] == results[0]["balance"]
    assert results[1]["sameContent"] is False
    again, answered = await once(filled, BATCH, items=ITEMS)
    assert (again, answered.is_replay) == (first, True)


async def test_a_batch_that_has_become_right_meanwhile_stays_refused(filled: Gateway) -> None:
    ahead = [{**ITEM, "balanceAt": (NOW + timedelta(days=3660, hours=1)).isoformat()}]
    first, _ = await once(filled, BATCH, items=ahead)
    assert [each["errorCode"] for each in first["data"]["registerBatchAccountBalances"]["results"]] == ["G005"]
    filled.now += timedelta(hours=2)
    again, answered = await once(filled, BATCH, items=ahead)
    assert (again, answered.is_replay) == (first, True)


async def test_another_request_with_a_known_key_is_refused_and_does_nothing(filled: Gateway) -> None:
    await once_json(filled, ADD, '{"amount": 1.10}')
    before = await count(filled)
    others = [
        (ADD, '{"amount": 1.1}'),
        (ADD, '{"amount": "1.10"}'),
        (ADD + " ", '{"amount": 1.10}'),
        (CREATE, '{"name": "x"}'),
    ]
    for document, variables in others:
        body, answered = await once_json(filled, document, variables)
        assert (answered.ran, answered.code) == (False, Code.IDEMPOTENCY_KEY_REUSED)
        assert list(body) == ["errors"]
    assert await count(filled) == before


def test_a_request_is_told_by_its_operation_document_and_variables_alone() -> None:
    def of(variables: str, document: str = "d", name: str | None = None) -> str:
        return fingerprint(Asked(document, JsonReader().read_text(variables), name, {}, idempotency_key="k"))

    assert of('{"a": 1, "b": {"c": 2.50, "d": [1]}}') == of('{"b": {"d": [1], "c": 2.50}, "a": 1}')
    huge = "1" + "0" * 30
    assert of(f'{{"a": {huge}, "b": 1.0}}') == of(f'{{"b": 1.0, "a": {huge}}}')
    told = [
        of("{}"),
        of('{"a": null}'),
        of('{"a": 1}'),
        of('{"a": "1"}'),
        of('{"a": 1.0}'),
        of('{"a": 1.00}'),
        of('{"a": true}'),
        of('{"a": [1]}'),
        of(f'{{"a": {huge}}}'),
        of(f'{{"a": {huge}.0}}'),
        of("{}", "e"),
        of("{}", "d", "n"),
    ]
    assert len(set(told)) == len(told)


async def test_keys_of_two_callers_are_two_keys(filled: Gateway) -> None:
    for subject in ("1", "2"):
        _, answered = await once(filled, ADD, caller=a_caller("default", subject=subject), amount=subject)
        assert not answered.is_replay
    assert (await count(filled))["idempotency_keys"] == 2


async def test_a_retry_sees_what_its_token_may_see(filled: Gateway) -> None:
    await once(filled, ADD, caller=a_caller("default"), amount="10")
    again, _ = await once(filled, ADD, caller=a_caller("elsewhere"), amount="10")
    assert again["data"] == {"createBankAccountBalance": {"balance": None, "userErrors": []}}
    refused, answered = await once(
        filled, ADD, caller=a_caller("default", scopes=frozenset({Scope.ACCOUNTS_READ})), amount="10"
    )
    assert refused["data"] == {"createBankAccountBalance": None}
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert not answered.is_replay


async def test_a_refused_request_leaves_its_key_free(filled: Gateway) -> None:
    reader = a_caller("default", scopes=frozenset({Scope.ACCOUNTS_READ}))
    refused, _ = await once(filled, ADD, caller=reader, amount="1")
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    done, answered = await once(filled, ADD, caller=a_caller("default"), amount="2")
    assert not answered.is_replay
    assert done["data"]["createBankAccountBalance"]["balance"]["amount"] == "2"


async def test_a_failed_action_leaves_its_key_free(filled: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*_: Any, **__: Any) -> None:
        raise LookupError

    with monkeypatch.context() as patched:
        patched.setattr("app.store.accounts.Accounts.move", failing)
        body, _ = await once(filled, ADD, amount="1")
        assert body["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert (await count(filled))["idempotency_keys"] == 0
    _, answered = await once(filled, ADD, amount="1")
    assert not answered.is_replay
    assert (await count(filled))["entries"] == 1


async def test_sixteen_at_once_with_one_key_do_it_once(filled: Gateway, restarted: Gateway) -> None:
    correct = MUTATIONS["correctAccountBalance"]
    answers = await asyncio.gather(*(once(gateway, correct) for gateway in (filled, restarted) * 8))
    assert sum(answered.is_replay for _, answered in answers) == 15
    assert {json.dumps(body) for body, _ in answers} == {json.dumps(answers[0][0])}
    assert (await count(filled))["entries"] == 1


async def test_who_waits_too_long_for_the_same_key_is_told_of_the_conflict(sqlite_url: str) -> None:
    gateway = Gateway(sqlite_url)
    gateway._run._onces = Onces(wait_seconds=0.05)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite+aiosqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    first = asyncio.ensure_future(once(gateway, MUTATIONS["createContractor"]))
    await asyncio.sleep(0)  # The first one begins.
    body, answered = await once(gateway, MUTATIONS["createContractor"])
    assert (answered.ran, answered.code, list(body)) == (False, Code.CONFLICT, ["errors"])
    assert not first.done()
    other.execute("COMMIT")
    other.close()
    _, answered = await first
    assert answered.ran
    _, answered = await once(gateway, MUTATIONS["createContractor"])
    assert answered.is_replay
    await gateway.store.close()


async def _waiting(connection: "asyncpg.Connection[Any]", count: int) -> None:
    """Return when so many sessions of the database wait for a lock."""
    statement = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    while await connection.fetchval(statement) < count:  # noqa: ASYNC110 - another process tells by no event of ours.
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("patience", [0.2, 5.0])
async def test_two_processes_with_one_key_wait_for_each_other(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    one, two = Gateway(postgresql_url), Gateway(postgresql_url)
    holder = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    watcher = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    for name in ("createContractor", "createAccount"):
        (await one.ask(MUTATIONS[name])).sound()
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT 1 FROM positions FOR UPDATE")
    first = asyncio.ensure_future(once(one, MUTATIONS["correctAccountBalance"]))
    await _waiting(watcher, 1)
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", patience)
    second = asyncio.ensure_future(once(two, MUTATIONS["correctAccountBalance"]))
    await _waiting(watcher, 2)
    if patience < 1:
        body, answered = await second
        assert (answered.ran, answered.code, list(body)) == (False, Code.CONFLICT, ["errors"])
    await transaction.rollback()
    body, answered = await first
    assert not answered.is_replay
    if patience > 1:
        again, answered = await second
        assert (again, answered.is_replay) == (body, True)
    assert (await count(one))["entries"] == 1
    await holder.close()
    await watcher.close()
    for gateway in (one, two):
        await gateway.store.close()


async def test_a_key_is_forgotten_after_a_day_and_then_is_new(filled: Gateway) -> None:
    await once(filled, ADD, amount="1")
    filled.now = NOW + KEPT
    _, answered = await once(filled, ADD, amount="2")
    assert not answered.is_replay
    assert (await count(filled))["idempotency_keys"] == 1
    keeper = Runner(filled.store, clock=lambda: filled.now, retention=timedelta(days=30), dispatcher=None)
    await keeper.keep()
    assert (await count(filled))["idempotency_keys"] == 1
    filled.now += KEPT
    await keeper.keep()
    assert (await count(filled))["idempotency_keys"] == 0


@pytest.mark.parametrize(
    "document",
    [
        'mutation { a: deleteWebhook(id: "x") { deletedId: __typename } b: deleteWebhook(id: "x") { __typename } }',
        'mutation { __typename deleteWebhook(id: "x") { __typename } }',
        'mutation { ...F deleteWebhook(id: "x") { __typename } } fragment F on Mutation { ... { t: __typename } }',
        "{ viewer { subject } limits { pageSize } }",
    ],
)
async def test_a_key_is_for_an_operation_with_one_root_field(filled: Gateway, document: str) -> None:
    body, answered = await once(filled, document)
    assert (answered.ran, answered.code, list(body)) == (False, Code.BAD_REQUEST, ["errors"])


async def test_a_query_may_have_a_key_and_is_answered_anew(filled: Gateway) -> None:
    document = "query { ...F ...F } fragment F on Query { accounts { totalCount } }"
    for _ in range(2):
        _, answered = await once(filled, document)
        assert (answered.ran, answered.is_replay) == (True, False)
    assert (await count(filled))["idempotency_keys"] == 0


async def test_without_a_key_nothing_of_it_runs(filled: Gateway) -> None:
    with filled.statements() as seen:
        (await filled.ask(ADD, amount="1")).sound()
    assert seen
    assert not [statement for statement in seen if "idempotency" in statement]


@pytest.mark.parametrize("process_ends", [False, True], ids=["client goes", "process ends"])
async def test_a_request_that_was_broken_off_at_any_moment_is_done_once_by_its_retry(
    filled: Gateway, *, process_ends: bool
) -> None:
    """A deadline, a client that goes, or a process that ends: nobody knows what became of it, and the key tells.

    What is written goes on when nobody waits for it; at the end of a process it is cancelled itself. The first moment
    is after the commit, the second one before it.
    """
    chance = random.Random(3)
    replays = 0
    await once(filled, ADD, "first", amount="1")
    begun = time.monotonic()
    await once(filled, ADD, "second", amount="1")
    took = time.monotonic() - begun
    for number in range(40):
        running = asyncio.ensure_future(once(filled, ADD, f"key-{number}", amount=str(number)))
        if number == 0:
            await asyncio.wait([running])
        elif number == 1:
            while not filled._run._writing:  # noqa: ASYNC110 - it tells nobody that it begins.
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(chance.random() * 2 * took)
        for broken_off in list(filled._run._writing) if process_ends else [running]:
            broken_off.cancel()
        await asyncio.gather(running, return_exceptions=True)
        body, answered = await once(filled, ADD, f"key-{number}", amount=str(number))
        assert body["data"]["createBankAccountBalance"]["balance"]["amount"] == str(number)
        replays += answered.is_replay
    assert replays > 0
    if process_ends:
        assert replays < 40, "the moments were all after the commit"
    assert (await count(filled))["entries"] == 42
