"""Wherever the schema takes the name or the id of an object, one of another unit is as one that does not exist.

The places come from the schema itself: a field that takes an id and is not known here fails the first test.
"""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Any

import pytest

from app.domain.callers import LOCAL, Caller
from app.web.operations import Answered, Asked
from tests.asking import Answer, Gateway, a_caller
from tests.graphql.worlds import FOREIGN, NOBODYS, OWN, Place, World, field_of, named, places, put, selection

A = a_caller(OWN)
CALLERS = [A, a_caller(OWN, "elsewhere")]

NO_NAMES = frozenset(
    {
        *("currency", "code@currency", "timezone", "balanceType", "types", "eventTypes"),
        *("cycleClosingTime", "description", "email", "url"),
    }
)
"""Keys whose values name no object. With @: only within that key."""
CURSORS = frozenset({"after", "before"})
FREE = frozenset(
    {
        "Mutation.correctAccountBalance.input.requester",
        "Mutation.createContact.input.name",
        "Mutation.createContractor.input.externalId",
        "Mutation.createContractor.input.name",
        "Mutation.createDivision.input.name",
        "Mutation.createInvoiceTemplate.input.name",
        *(
            f"{field}.requester"
            for field in (
                "Query.validateBatchAccountBalances.input.accountBalances",
                "Mutation.registerBatchAccountBalances.input.accountBalances",
                "Mutation.updateAccountBalance.input",
            )
        ),
    }
)
"""Places of texts that may be the same for any number of objects."""
CLAIMED = {
    "Mutation.createAccount.input.name": "account name",
    "Mutation.createAccount.input.externalId": "account externalId",
    "Mutation.createAccount.input.uuid": "uuid",
    "Mutation.updateAccount.input.name": "account name",
    "Mutation.updateAccount.input.externalId": "account externalId",
    "Mutation.createDivision.input.code": "division code",
    "Query.validateBatchAccountBalances.input.accountBalances.communicationNumber": "communicationNumber",
    "Mutation.registerBatchAccountBalances.input.accountBalances.communicationNumber": "communicationNumber",
    "Mutation.updateAccountBalance.input.communicationNumber": "communicationNumber",
}
"""Places of texts that only one object of a unit may have: what another unit has is free."""
IDS = {
    "Query.node.id": None,
    "Query.nodes.ids": None,
    "Query.account.id": "account",
    "Query.accountByIdentifier.identifier.id": "account",
    "Mutation.updateAccount.id": "account",
    "Mutation.deleteWebhook.id": "webhook",
    "contractorId": "contractor",
    "invoiceTemplateId": "invoice_template",
    "sendInvoicesTo": "contact",
    "sendBalanceNotificationsTo": "contact",
    "bankAccountId": "account",
    "accountId": "account",
    "accountIds": "account",
    "subjects": "account",
}
"""Places of ids by the kind of object; None: of any kind."""
NAMES = {
    "Query.contractors.filter.name": "contractor",
    "Query.contractors.filter.externalId": "contractor",
    "Query.divisions.filter.name": "division code",
    "Query.divisions.filter.code": "division code",
    "Query.division.code": "division code",
    "name": "account name",
    "externalId": "account externalId",
    "accountExtId": "account externalId",
    "uuid": "uuid",
    "businessUnit": "businessUnit",
    "divisionCode": "division code",
    "parentCode": "division code",
    "communicationNumber": "communicationNumber",
    "requester": "requester",
}
"""Places of texts that find an object."""


def meaning(place: Place) -> tuple[str, str | None] | None:
    """How the value of a place names something: a way, and what; None where it names nothing, or is no way known."""
    path, key = str(place), place.keys[-1]
    within = f"{key}@{place.keys[-2]}" if len(place.keys) > 1 else key
    if key in CURSORS and len(place.keys) == 1:
        return "cursor", None
    if path in CLAIMED:
        return "claimed", CLAIMED[path]
    if place.leaf == "ID":
        known = path if path in IDS else key
        return ("id", IDS[known]) if known in IDS else None
    if path in FREE or NO_NAMES & {key, within}:
        return "free", None
    known = path if path in NAMES else key
    return ("name", NAMES[known]) if known in NAMES else None


PLACES = list(places())
FIELDS = sorted({(place.type, place.field) for place in PLACES if place.type != "Subscription"})


def test_every_place_is_known() -> None:
    assert [str(place) for place in PLACES if meaning(place) is None] == []
    assert len(PLACES) > 100
    assert {path for path in (*IDS, *NAMES, *CLAIMED, *FREE) if "." in path} <= {str(place) for place in PLACES}


# --- asking -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def world(gateway: Gateway) -> World:
    world = World(gateway)
    await world.fill()
    return world


_NUMBERS = itertools.count(1)


def base(world: World, place: Place) -> dict[str, Any]:
    """Arguments that are good for a caller of the unit, with nothing at the place itself."""
    ids, number = world.ids[OWN], next(_NUMBERS)
    item = {
        "accountExtId": named(OWN)["account externalId"],
        "communicationNumber": f"number {number}",
        "requester": "r",
        "value": 1,
        "balanceAt": "2026-01-02T00:00:00Z",
        "businessUnit": OWN,
    }
    config = {"divisionCode": named(OWN)["division code"], "cycleClosingTime": "21:00:00", "cycleEventDelay": 5}
    given: dict[str, dict[str, Any]] = {
        "createAccount": {
            "input": {"name": f"number {number}", "contractorId": ids["contractor"], "businessUnit": OWN},
        },
        "updateAccount": {"id": ids["spare"], "input": {}},
        "createBankAccountBalance": {
            "bankAccountId": "",
            "input": {"amount": 1, "timestamp": "2026-01-02T00:00:00Z", "currency": {"code": "EUR"}},
        },
        "correctAccountBalance": {"accountId": "", "input": {"amount": 1}},
        "validateBatchAccountBalances": {"input": {"accountBalances": [item]}},
        "registerBatchAccountBalances": {"input": {"accountBalances": [item]}},
        "updateAccountBalance": {"input": item},
        "createAccountBalanceHistoryConfig": {"input": {**config, "businessUnit": OWN}},
        "updateAccountBalanceHistoryConfig": {
            "divisionCode": config["divisionCode"],
            "businessUnit": OWN,
            "input": {"cycleEventDelay": 9},
        },
        "createDivision": {"input": {"code": f"number-{number}", "businessUnit": OWN}},
        "createContractor": {"input": {"name": "N", "isVendor": True, "businessUnit": OWN}},
        "createContact": {"input": {"contractorId": ids["contractor"], "email": "a@b.example"}},
        "createInvoiceTemplate": {"input": {"name": f"number {number}", "businessUnit": OWN}},
        "createWebhook": {"input": {"url": "https://a.example/", "businessUnit": OWN}},
        "division": {"code": named(OWN)["division code"]},
    }
    if place.field == "accountByIdentifier" and place.keys[-1] == "businessUnit":
        names = {"externalId": {"externalId": "account externalId"}, "name": {"name": "account name"}}
        names["uuid"] = {"uuid": "uuid"}
        ((key, what),) = names[place.keys[1]].items()
        return {"identifier": {place.keys[1]: {key: named(OWN)[what]}}}
    return given.get(place.field, {}) if place.type in {"Query", "Mutation"} else {}


PARENTS = {
    "Account": 'account(id: "{account}") {{ {field} }}',
    "Division": 'node(id: "{division}") {{ ... on Division {{ {field} }} }}',
    "Contractor": 'node(id: "{contractor}") {{ ... on Contractor {{ {field} }} }}',
}


async def asked(world: World, place: Place, value: Any, caller: Caller) -> Answer:
    """The answer to a place's field, with a value at the place."""
    field = field_of(place)
    arguments = put(base(world, place), place.keys, value)
    head = ", ".join(f"${name}: {field.args[name].type}" for name in arguments)
    call = ", ".join(f"{name}: ${name}" for name in arguments)
    is_mutation = place.type == "Mutation"
    text = f"it: {place.field}({call}) {selection(field.type, 1 if is_mutation else 2)}"
    if place.type in PARENTS:
        text = PARENTS[place.type].format(**world.ids[OWN], field=text)
    document = f"{'mutation' if is_mutation else 'query'} ({head}) {{ {text} }}"
    return await world.gateway.ask(document, caller=caller, **arguments)


def plain(answer: Answer, asked_for: str) -> str:
    """An answer without what was asked for, and without cursors, which depend on the filter."""

    def without(value: Any, name: str = "") -> Any:
        match value:
            case dict():
                return {key: without(each, key) for key, each in value.items()}
            case list():
                return [without(each) for each in value]
            case str() if name == "message":
                return value.removeprefix(asked_for)
            case str() if name.lower().endswith("cursor"):
                return "<cursor>"
            case _:
                return "<asked>" if value == asked_for else value

    text = json.dumps(without(answer.body), sort_keys=True, ensure_ascii=False)
    return re.sub("number[ -][0-9]+", "number", text)


def numberless(text: str) -> str:
    """An answer whatever the numbers are of what was made."""
    return re.sub(r'_[0-9]+"', '_0"', text)


def given(place: Place, text: str) -> Iterator[Any]:
    """A text as the place takes it; where that is a filter, in each way of asking for it."""
    if place.leaf == "StringFilter":
        yield from ({"eq": text}, {"contains": text}, {"notIn": [text]})
    else:
        yield [text] if place.is_list else text


def leaked(answer: Answer, asked_for: str) -> list[str]:
    """What of the other unit an answer tells, beside what was asked for."""
    text = plain(answer, asked_for)
    return [word for word in named(FOREIGN).values() if word in text]


MALFORMED = ["nonsense", "", "account", "account_01", "account_-1", "Account_1", "account_1 ", "webhook_1\n"]


def ids_of(world: World, kind: str | None) -> Iterator[tuple[str, str, list[str]]]:
    """Own id, foreign id, and ids that nothing has or that are of other kinds."""
    kinds = [each for each in world.ids[OWN] if each != "spare"] if kind is None else [kind]
    for each in kinds:
        other = "contractor" if each != "contractor" else "account"
        prefix = world.ids[OWN][each].rsplit("_", 1)[0]
        nothing = [f"{prefix}_999999", *MALFORMED]
        if kind is not None:
            nothing += [world.ids[unit][other] for unit in (OWN, FOREIGN)]
        yield world.ids[OWN][each], world.ids[FOREIGN][each], nothing


async def check_ids(world: World, place: Place, kind: str | None) -> None:
    for own, foreign, nothing in ids_of(world, kind):
        for caller in CALLERS:
            (value,) = given(place, foreign)
            theirs = await asked(world, place, value, caller)
            assert leaked(theirs, foreign) == [], (place, foreign)
            for text in nothing:
                (value,) = given(place, text)
                nobodys = await asked(world, place, value, caller)
                assert plain(nobodys, text) == plain(theirs, foreign), (place, text)
        (value,) = given(place, own)
        mine = await asked(world, place, value, A)
        assert numberless(plain(mine, own)) != numberless(plain(theirs, foreign)), (place, own)
        assert "FORBIDDEN" not in mine.codes
        if place.type == "Query":
            # Whoever sees both finds it: so what was asked can be found.
            (value,) = given(place, foreign)
            assert plain(await asked(world, place, value, LOCAL), foreign) != plain(theirs, foreign), place


async def check_names(world: World, place: Place, what: str) -> None:
    own, foreign, nobodys = named(OWN)[what], named(FOREIGN)[what], NOBODYS[what]
    # A filter is narrowed as any other list is, whoever asks.
    for caller in CALLERS[:1] if place.leaf == "StringFilter" else CALLERS:
        ways = zip(given(place, own), given(place, foreign), given(place, nobodys), strict=True)
        for mine, theirs, absent in ways:
            foreign_answer = await asked(world, place, theirs, caller)
            absent_answer = await asked(world, place, absent, caller)
            assert leaked(foreign_answer, foreign) == [], place
            assert plain(foreign_answer, foreign) == plain(absent_answer, nobodys), (place, theirs)
            mine_answer = await asked(world, place, mine, caller)
            assert numberless(plain(mine_answer, own)) != numberless(plain(absent_answer, nobodys)), (place, mine)


async def check_claimed(world: World, place: Place, what: str) -> None:
    """What the other unit has is as free as what nobody has, and what one's own has is taken."""
    own, foreign, nobodys = named(OWN)[what], named(FOREIGN)[what], NOBODYS[what]
    mine = await asked(world, place, own, A)
    theirs = await asked(world, place, foreign, A)
    absent = await asked(world, place, nobodys, A)
    assert leaked(theirs, foreign) == []
    assert numberless(plain(theirs, foreign)) == numberless(plain(absent, nobodys)), place
    assert numberless(plain(mine, own)) != numberless(plain(absent, nobodys)), place
    assert re.search("TAKEN|O005", plain(mine, own)) is not None
    assert re.search("TAKEN|O005", plain(theirs, foreign)) is None


async def check_cursors(world: World, place: Place) -> None:
    """The other unit's places in a list show nothing of it."""
    field = f"{place.field}(first: 1) {{ pageInfo {{ startCursor endCursor }} }}"
    whole = PARENTS[place.type].format(**world.ids[FOREIGN], field=f"it: {field}") if place.type in PARENTS else field
    found = json.dumps((await world.gateway.ask(f"{{ {whole} }}", caller=a_caller(FOREIGN))).body)
    cursors = set(re.findall(r'Cursor": "([^"]+)"', found))
    assert cursors, (place, found)
    for cursor in cursors:
        answer = await asked(world, place, cursor, A)
        assert leaked(answer, cursor) == [], place
        assert set(answer.codes) <= {"BAD_REQUEST", "EVENTS_EXPIRED"}


async def state(gateway: Gateway) -> Any:
    """All that the other unit holds."""
    node = "id externalId name updatedAt balance division { id } contractor { id }"
    document = f"""{{ accounts {{ nodes {{ {node} balances {{ totalCount }} }} }} contractors {{ nodes {{ id name
      contacts {{ totalCount }} }} }} divisions {{ nodes {{ id code name parent {{ id }} balanceHistoryConfigs {{
      nodes {{ id cycleEventDelay cycleClosingTime }} }} }} }} webhooks {{ nodes {{ id url }} }}
      invoiceTemplates {{ totalCount }} events {{ totalCount }} }}"""
    return (await gateway.ask(document, caller=a_caller(FOREIGN))).sound()


@pytest.mark.parametrize(("type_", "field"), FIELDS, ids=[f"{type_}.{field}" for type_, field in FIELDS])
async def test_what_is_foreign_does_not_exist_at_any_place(world: World, type_: str, field: str) -> None:
    before = await state(world.gateway)
    here = [place for place in PLACES if (place.type, place.field) == (type_, field)]
    # What is claimed is there for the caller from then on.
    for place in sorted(here, key=lambda place: str(place) in CLAIMED):
        match meaning(place):
            case ("id", kind):
                await check_ids(world, place, kind)
            case ("name", str() as what):
                await check_names(world, place, what)
            case ("claimed", str() as what):
                await check_claimed(world, place, what)
            case ("cursor", _):
                await check_cursors(world, place)
    assert await state(world.gateway) == before


# --- subscriptions ------------------------------------------------------------------------------------------------

HEAD = "subscription ($given: [ID!], $after: String)"
LISTENED = {
    "balanceCreated": f"{HEAD} {{ it: balanceCreated(accountIds: $given, after: $after) {{ id }} }}",
    "events": f"{HEAD} {{ it: events(subjects: $given, after: $after) {{ id subject }} }}",
}


async def results(world: World, document: str, variables: Mapping[str, Any], caller: Caller) -> AsyncIterator[Answer]:
    found = await world.gateway.subscribe(Asked(document, dict(variables), None, {}), caller, mutations=False)
    if isinstance(found, Answered):
        yield Answer(found.body)
        return
    assert isinstance(found, AsyncGenerator)
    try:
        async for body in found:
            yield Answer(body)
    finally:
        await found.aclose()


async def first(world: World, name: str, caller: Caller, **variables: Any) -> Answer:
    """The first result of a subscription."""
    coming = results(world, LISTENED[name], variables, caller)
    try:
        return await anext(coming)
    finally:
        await coming.aclose()  # type: ignore[attr-defined] # It is a generator.


def test_every_place_of_a_subscription_is_tried() -> None:
    told = {(place.field, place.keys) for place in PLACES if place.type == "Subscription"}
    tried = {("balanceCreated", ("accountIds",)), ("events", ("subjects",)), ("events", ("types",))}
    assert told == tried | {(name, ("after",)) for name in LISTENED}


@pytest.mark.parametrize("name", LISTENED)
async def test_a_listener_is_told_nothing_foreign(world: World, name: str) -> None:
    """The other unit's events stand first in the log, so they would come first."""
    start = "bG9nIDA"  # "log 0": before everything.
    own, foreign = world.ids[OWN]["account"], world.ids[FOREIGN]["account"]
    for caller in CALLERS:
        for given_ids in ([foreign, own], ["account_999999", own], ["nonsense", own], [own, world.ids[OWN]["webhook"]]):
            told = await first(world, name, caller, given=given_ids, after=start)
            assert told.sound()["it"]["id"].split("_")[1] == world.ids[OWN]["balance"].split("_")[1]
    seen = await first(world, name, LOCAL, given=[foreign, own], after=start)
    assert seen.sound()["it"]["id"].split("_")[1] == world.ids[FOREIGN]["balance"].split("_")[1]


ADD = """mutation ($account: ID!) { createBankAccountBalance(bankAccountId: $account,
  input: {amount: 7, timestamp: "2026-03-02T13:00:00Z", currency: {code: "EUR"}}) { balance { id } } }"""


@pytest.mark.parametrize("name", LISTENED)
async def test_a_listener_is_told_nothing_foreign_of_what_comes(world: World, name: str) -> None:
    feed, ids = world.gateway.feed, world.ids
    running = asyncio.ensure_future(feed.run())
    coming = [
        asyncio.ensure_future(first(world, name, caller, given=given_ids))
        for caller in CALLERS
        for given_ids in (None, [ids[FOREIGN]["account"], ids[OWN]["account"]])
    ]
    try:
        async with asyncio.timeout(30):
            while feed.listeners < len(coming):  # noqa: ASYNC110 - a feed tells nobody that somebody listens.
                await asyncio.sleep(0)
        for unit in (FOREIGN, OWN):
            made = (await world.gateway.ask(ADD, account=ids[unit]["account"])).sound()
        number = made["createBankAccountBalance"]["balance"]["id"].split("_")[1]
        feed.wake()
        async with asyncio.timeout(30):
            told = await asyncio.gather(*coming)
        assert {answer.sound()["it"]["id"].split("_")[1] for answer in told} == {number}
    finally:
        for task in (running, *coming):
            task.cancel()
        await asyncio.gather(running, *coming, return_exceptions=True)


@pytest.mark.parametrize("name", LISTENED)
async def test_a_foreign_place_to_resume_from_is_as_one_that_never_was(world: World, name: str) -> None:
    kind = "event" if name == "events" else "balance"
    number = world.ids[FOREIGN]["balance"].split("_")[1]
    theirs = await first(world, name, A, given=None, after=f"{kind}_{number}")
    nobodys = await first(world, name, A, given=None, after=f"{kind}_999999")
    assert theirs.codes == nobodys.codes == ["EVENTS_EXPIRED"]
    assert theirs.body == nobodys.body
