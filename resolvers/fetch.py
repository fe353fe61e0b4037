"""How declared fields are fetched: one resolver for each kind of declaration, with a loader wherever rows are read."""

import asyncio
from collections.abc import Callable, Sequence
from operator import attrgetter, methodcaller
from typing import Any

from app.domain.conditions import Comparison, Condition, Operator, Order, Window, conjoined
from app.domain.currencies import CURRENCIES
from app.domain.ids import id_text, parse_id
from app.domain.records import Account
from app.domain.refusals import Code, Refusal
from app.store.sources import ENTRIES, Source
from resolvers.context import Context, Info
from resolvers.declarations import (
    AsOf,
    AtHand,
    Coded,
    Column,
    Declaration,
    Derived,
    Identity,
    Keyed,
    Later,
    Latest,
    Lesser,
    Named,
    One,
    Pages,
    Part,
    Same,
    Several,
)
from resolvers.pages import listing

Resolver = Callable[..., Any]


def resolver_of(declaration: Declaration) -> Resolver:
    """The resolver of a declared field, for graphql-core."""
    match declaration:
        case One():
            return _one(declaration)
        case Several():
            return _several(declaration)
        case Keyed():
            return _keyed(declaration)
        case Named():
            return _named(declaration)
        case Pages():
            return _pages(declaration)
        case Latest():
            return _latest(declaration)
        case AsOf():
            return _as_of(declaration)
        case Later():
            return _later(declaration)
        case _:
            read = reading_of(declaration)
            return lambda record, _info: read(record)


def reading_of(declaration: AtHand) -> Callable[[Any], Any]:
    """How a field is read of its record, where nothing else is needed."""
    match declaration:
        case Identity(kind=kind):
            return lambda record: id_text(kind, record.id)
        case Column(name=name, tell=None) | Lesser(name=name):
            return attrgetter(name)
        case Column(name=name, tell=tell):
            assert tell is not None
            return _told(name, tell)
        case Derived(tell=tell):
            return tell
        case Coded(name=name):
            return lambda record: CURRENCIES[getattr(record, name)]
        case Same():
            return lambda record: record
        case Part(name=name):
            return methodcaller(name)


async def load_record(context: Context, source: Source, number: int) -> Any:
    """The record of a source with a number; None where it doesn't exist for the caller."""

    async def load(numbers: list[int]) -> list[Any]:
        async with context.store.reading(context.caller.units) as reads:
            found = await reads.by_ids(source, numbers)
        return [found.get(each) for each in numbers]

    return await context.loaders.of(("record", source.name), load).load(number)


def _told(name: str, tell: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda record: tell(getattr(record, name))


def _keyed(declaration: Keyed) -> Resolver:
    async def resolve(_root: Any, info: Info, **arguments: Any) -> Any:
        context: Context = info.context
        context.caller.must(declaration.scope)
        key = declaration.key(arguments)
        if key is None:
            return None
        if key.field == "id":
            return await load_record(context, declaration.source, key.value)
        async with context.store.reading(context.caller.units) as reads:
            found = await reads.by_key(declaration.source, key.field, [key.value])
        if key.business_unit is not None:
            found = [each for each in found if each.business_unit == key.business_unit]
        if len(found) > 1:
            units = sorted(each.business_unit for each in found)
            message = f"{key.said} is in several business units: {', '.join(units)}."
            raise Refusal(Code.BAD_REQUEST, message, businessUnits=units)
        return found[0] if found else None

    return resolve


def _named(declaration: Named) -> Resolver:
    """One object, or several; in place of one that is refused stands why."""
    stored, told = declaration.of

    async def load(context: Context, text: str) -> Any:
        named = parse_id(text)
        if named is None:
            return None
        kind, number = named
        if kind in told:
            return await told[kind](context, number)
        source, scope = stored[kind]
        context.caller.must(scope)
        return await load_record(context, source, number)

    async def resolve(_root: Any, info: Info, **arguments: Any) -> Any:
        given = arguments[declaration.argument]
        if not declaration.is_list:
            return await load(info.context, given)
        return list(await asyncio.gather(*[load(info.context, each) for each in given], return_exceptions=True))

    return resolve


def _one(declaration: One) -> Resolver:
    def resolve(record: Any, info: Info) -> Any:
        context: Context = info.context
        context.caller.must(declaration.scope)
        number = getattr(record, declaration.by)
        return None if number is None else load_record(context, declaration.source, number)

    return resolve


def _several(declaration: Several) -> Resolver:
    async def resolve(record: Any, info: Info) -> Sequence[Any]:
        context: Context = info.context
        context.caller.must(declaration.scope)
        numbers = getattr(record, declaration.by)
        found = await asyncio.gather(*(load_record(context, declaration.source, number) for number in numbers))
        return [each for each in found if each is not None]

    return resolve


def _pages(declaration: Pages) -> Resolver:
    def resolve(record: Any, info: Info, **arguments: Any) -> Any:
        context: Context = info.context
        context.caller.must(declaration.scope)
        parent = None if declaration.link is None else record.id
        return listing(context, declaration, parent, arguments)

    return resolve


def _latest(declaration: Latest) -> Resolver:
    def resolve(account: Account, info: Info) -> Any:
        context: Context = info.context
        context.caller.must(declaration.scope)

        async def load(numbers: list[int]) -> list[Any]:
            async with context.store.reading(context.caller.units) as reads:
                found = await reads.latest_of_kinds(numbers)
            return [found.get(number, []) for number in numbers]

        return context.loaders.of("latest", load).load(account.id)

    return resolve


def _as_of(declaration: AsOf) -> Resolver:
    def resolve(account: Account, info: Info, **arguments: Any) -> Any:
        context: Context = info.context
        context.caller.must(declaration.scope)
        conditions: list[Condition] = [
            Comparison("timestamp", Operator.LT, arguments["before"]),
            Comparison("currency", Operator.EQ, currency_of(account, arguments)),
        ]
        if arguments.get("balanceType") is not None:
            conditions.append(Comparison("balance_type", Operator.EQ, arguments["balanceType"]))
        window = Window(conjoined(conditions), Order("timestamp", descending=True), None, None, 1, from_end=False)

        async def load(numbers: list[int]) -> list[Any]:
            async with context.store.reading(context.caller.units) as reads:
                found = await reads.windows(ENTRIES, "account_id", numbers, window)
            return [next(iter(found[number]), None) for number in numbers]

        return context.loaders.of(("as of", window), load).load(account.id)

    return resolve


def _later(declaration: Later) -> Resolver:
    read = attrgetter(*declaration.columns)

    async def resolve(record: Any, info: Info, **arguments: Any) -> Any:
        context: Context = info.context
        context.caller.must(declaration.scope)

        async def load(keys: list[tuple[str, ...]]) -> list[Any]:
            return list(await declaration.load(context, arguments, keys))

        question = (declaration.name, *sorted(arguments.items()))
        return list(await context.loaders.of(question, load).load(tuple(map(str, read(record)))))

    return resolve


def currency_of(account: Account, arguments: dict[str, Any]) -> str:
    """The currency that is asked about: the account's, unless another is named. Raises BAD_REQUEST for no currency."""
    given = arguments.get("currency")
    if given is None:
        return account.currency
    if given not in CURRENCIES:
        raise Refusal(Code.BAD_REQUEST, "currency is not an active ISO 4217 code.")
    code: str = given
    return code
