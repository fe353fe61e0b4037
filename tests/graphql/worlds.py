"""Two business units with one of everything in each, and all the places of the schema where an object can be named."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLScalarType,
    get_named_type,
    is_enum_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
)
from graphql.type import is_interface_type

from app.actions.close_cycle import close_next
from schema import schema
from tests.asking import Gateway

OWN, FOREIGN = "unit-a", "unit-b"
UUIDS = {OWN: "0190c9f4-7a0e-7000-8000-00000000000a", FOREIGN: "0190c9f4-7a0e-7000-8000-00000000000b"}
DAY = timedelta(days=1)

# Each field makes one object; all that has a name is named for its unit.
FILL = """mutation ($unit: String!, $contractor: String!, $code: String!, $url: String!) {
  contractor: createContractor(input: {name: $contractor, externalId: $contractor, businessUnit: $unit, isVendor: true})
    { made: contractor { id } }
  division: createDivision(input: {code: $code, name: $code, businessUnit: $unit}) { made: division { id } }
  invoice_template: createInvoiceTemplate(input: {name: $contractor, businessUnit: $unit})
    { made: invoiceTemplate { id } }
  history_config: createAccountBalanceHistoryConfig(
    input: {divisionCode: $code, businessUnit: $unit, cycleClosingTime: "22:00:00", cycleEventDelay: 5}
  ) { made: balanceHistoryConfig { id } }
  webhook: createWebhook(input: {url: $url, businessUnit: $unit, eventTypes: ["division_cycle_closing"]})
    { made: webhook { id } }
}"""
FILL_ACCOUNTS = """mutation ($unit: String!, $contractor: ID!, $template: ID!, $code: String!, $uuid: UUID!,
  $main: String!, $spare: String!) {
  contact: createContact(input: {contractorId: $contractor, email: "a@b.example", name: $main})
    { made: contact { id } }
  account: createAccount(input: {name: $main, externalId: $main, contractorId: $contractor, businessUnit: $unit,
    divisionCode: $code, invoiceTemplateId: $template, uuid: $uuid}) { made: account { id } }
  spare: createAccount(input: {name: $spare, contractorId: $contractor, businessUnit: $unit}) { made: account { id } }
}"""
FILL_ENTRY = """mutation ($unit: String!, $main: String!, $requester: String!) {
  updateAccountBalance(input: {accountExtId: $main, communicationNumber: $main, requester: $requester, value: 5,
    balanceAt: "2026-03-01T11:00:00Z", businessUnit: $unit}) { balance { id } }
}"""
MORE = """{ accounts(orderBy: {field: ID}) { nodes { businessUnit balanceHistory { nodes { id } } } }
  divisions { nodes { businessUnit cycleClosings { nodes { id } } } }
  events { nodes { id businessUnit } } }"""


def named(unit: str) -> dict[str, str]:
    """What the objects of a unit are called."""
    return {
        "account name": f"Main of {unit}",
        "account externalId": f"Main of {unit}",
        "uuid": UUIDS[unit],
        "contractor": f"Acme of {unit}",
        "division code": f"D-{unit}",
        "communicationNumber": f"Main of {unit}",
        "requester": f"Clerk of {unit}",
        "businessUnit": unit,
    }


NOBODYS = {
    **{what: f"nobody's {number}" for number, what in enumerate(named(OWN))},
    "uuid": "0190c9f4-7a0e-7000-8000-0000000000ff",
    "division code": "D-nobody",
}
"""The same for what does not exist."""


class World:
    """The two units: the other one was there first, so that its objects come first wherever an order shows."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.ids: dict[str, dict[str, str]] = {}

    async def fill(self) -> None:
        for unit in (FOREIGN, OWN):
            self.ids[unit] = await self._filled(unit)
        self.gateway.now += DAY
        now = self.gateway.now
        for unit in (FOREIGN, OWN):
            division = int(self.ids[unit]["division"].rsplit("_", 1)[1])
            assert await close_next(self.gateway.store, division, clock=lambda: now) is not None
        for unit in (FOREIGN, OWN):
            await self._noted(unit)

    async def _filled(self, unit: str) -> dict[str, str]:
        names, ask = named(unit), self.gateway.ask
        code = names["division code"]
        url = f"https://{unit}.example/"
        first = (await ask(FILL, unit=unit, contractor=names["contractor"], code=code, url=url)).sound()
        ids = {kind: made["made"]["id"] for kind, made in first.items()}
        more = {"contractor": ids["contractor"], "template": ids["invoice_template"], "code": code}
        more |= {"uuid": names["uuid"], "main": names["account name"], "spare": f"Spare of {unit}"}
        ids |= {k: made["made"]["id"] for k, made in (await ask(FILL_ACCOUNTS, unit=unit, **more)).sound().items()}
        entry = {"main": names["communicationNumber"], "requester": names["requester"]}
        made = (await ask(FILL_ENTRY, unit=unit, **entry)).sound()["updateAccountBalance"]
        return {**ids, "balance": made["balance"]["id"]}

    async def _noted(self, unit: str) -> None:
        """Note the ids of what came by itself."""
        found = (await self.gateway.ask(MORE)).sound()
        theirs = {kind: [n for n in found[kind]["nodes"] if n["businessUnit"] == unit] for kind in found}
        histories = [n["id"] for account in theirs["accounts"] for n in account["balanceHistory"]["nodes"]]
        closings = [n["id"] for division in theirs["divisions"] for n in division["cycleClosings"]["nodes"]]
        events = [event["id"] for event in theirs["events"]]
        self.ids[unit] |= {"history_entry": histories[0], "closing": closings[0], "event": events[0]}
        # An entry is an event too, of the same number.
        self.ids[unit]["event of an entry"] = self.ids[unit]["balance"].replace("balance", "event")


# --- places -------------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where a text or an id can be given: the type and field that take it, and the keys on the way to it."""

    type: str
    field: str
    keys: tuple[str, ...]
    leaf: str
    """The type of the value there."""
    is_list: bool

    def __str__(self) -> str:
        return ".".join((self.type, self.field, *self.keys))


_LEAVES = ("ID", "String", "UUID", "StringFilter")


def places() -> Iterator[Place]:
    """Every place of the schema that takes a text or an id, also by way of a filter."""
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            for name, field in type_.fields.items():
                for argument, taken in field.args.items():
                    yield from _places(Place(type_.name, name, (argument,), "", is_list=False), taken.type, ())


def _places(place: Place, type_: Any, within: tuple[str, ...]) -> Iterator[Place]:
    named_type = get_named_type(type_)
    if named_type.name in _LEAVES:
        inner = type_.of_type if is_non_null_type(type_) else type_
        yield place._replace(leaf=named_type.name, is_list=is_list_type(inner))
    elif isinstance(named_type, GraphQLInputObjectType) and named_type.name not in within:
        for key, field in named_type.fields.items():
            deeper = place._replace(keys=(*place.keys, key))
            yield from _places(deeper, field.type, (*within, named_type.name))


def field_of(place: Place) -> GraphQLField:
    type_ = schema.type_map[place.type]
    assert isinstance(type_, GraphQLObjectType)
    field: GraphQLField = type_.fields[place.field]
    return field


_CHANGING = frozenset({"timeElapsedMs", "uuid", "secret", "pendingCount", "lastError"})
"""Fields that differ from one time to the next."""


def selection(type_: Any, depth: int = 2) -> str:
    """What can be asked of a type without any argument."""
    named_type = get_named_type(type_)
    if isinstance(named_type, GraphQLScalarType) or is_enum_type(named_type):
        return ""
    if is_interface_type(named_type):
        return "{ __typename id }"
    assert isinstance(named_type, GraphQLObjectType)
    parts = [
        f"{name} {selection(field.type, depth - 1)}"
        for name, field in named_type.fields.items()
        if name not in _CHANGING
        and not any(map(is_required_argument, field.args.values()))
        and not field.args
        and (depth > 0 or not isinstance(get_named_type(field.type), GraphQLObjectType))
    ]
    return f"{{ {' '.join(parts)} }}"


def put(base: Mapping[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The arguments with a value at the end of the keys; what is a list on the way holds one thing."""
    key, rest = keys[0], keys[1:]
    within = base.get(key)
    if not rest:
        return {**base, key: value}
    if isinstance(within, list):
        return {**base, key: [put(within[0], rest, value)]}
    return {**base, key: put(within or {}, rest, value)}
