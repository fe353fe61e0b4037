"""Documents over the whole schema, made by chance: whatever may be asked, in any combination."""

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

from schema import schema

UNSTEADY = {"timeElapsedMs", "validateBatchAccountBalances"}
"""What is another one each time."""

TEXTS = ["EUR", "NOK", "ACC-00003", "acc", "o", "", "%", "NO", "default", "Fjord", "DAILY_BALANCE", "é", 'a"b\\c']
NUMBERS = ["0", "-0.5", "1000", "922337203685477.5807", "0.00001"]
MOMENTS = ["2026-02-20T00:00:00Z", "2026-02-25T12:30:00.5+02:00", "2027-01-01T00:00:00Z", "0001-01-01T00:00:00Z"]
DAYS = ["2026-02-20", "2026-02-27"]
ZONES = ["UTC", "Europe/Oslo", "Nowhere/Else"]
UUIDS = ["00000000-0000-0000-0000-000000000001"]
IDS = [
    *(f"{kind}_{number}" for kind in ("account", "balance", "contractor", "division") for number in (1, 3, 9, 99)),
    *("contact_2", "invoice_template_1", "history_config_1", "history_entry_1", "closing_1", "webhook_1", "event_3"),
    *("account_0", "nonsense"),
]


class Document(NamedTuple):
    text: str
    variables: dict[str, Any]


class Maker:
    """Makes one document. `cursors` are places that answers have told."""

    def __init__(self, chance: random.Random, cursors: Sequence[str], uuids: Sequence[str]) -> None:
        self._chance = chance
        self._cursors = [*cursors, "nonsense"]
        self._uuids = [*UUIDS, *uuids]
        self._variables: dict[str, Any] = {}
        self._signatures: list[str] = []
        self._fragments: list[str] = []
        self._aliases = 0

    def document(self) -> Document:
        query = schema.query_type
        assert query is not None
        selected = self._selection(query, depth=5)
        signatures = f"({', '.join(self._signatures)})" if self._signatures else ""
        return Document(f"query Q{signatures} {selected} {' '.join(self._fragments)}", self._variables)

    def _selection(self, type_: GraphQLObjectType | GraphQLInterfaceType, depth: int) -> str:
        if isinstance(type_, GraphQLInterfaceType):
            kinds = self._chance.sample(schema.get_possible_types(type_), 2)
            inner = [f"... on {kind.name} {self._selection(kind, depth - 1)}" for kind in kinds]
            return f"{{ __typename id {' '.join(inner)} }}"
        fields = [(name, field) for name, field in type_.fields.items() if name not in UNSTEADY]
        if depth <= 0:
            fields = [each for each in fields if is_leaf_type(get_named_type(each[1].type)) and not each[1].args]
        chosen = self._chance.choices(fields, k=self._chance.randint(1, 4)) if fields else []
        parts = [self._field(name, field, depth) for name, field in chosen]
        if not parts or self._chance.random() < 0.2:
            parts.append("__typename")
        if self._chance.random() < 0.15:
            parts.append(self._spread(type_, depth))
        return f"{{ {' '.join(parts)} }}"

    def _spread(self, type_: GraphQLObjectType, depth: int) -> str:
        if self._chance.random() < 0.5:
            return f"... on {type_.name} {self._selection(type_, depth - 1)}"
        name = f"F{len(self._fragments)}"
        self._fragments.append("")  # Its place, whatever comes inside.
        place = len(self._fragments) - 1
        self._fragments[place] = f"fragment {name} on {type_.name} {self._selection(type_, depth - 1)}"
        return f"...{name}"

    def _field(self, name: str, field: GraphQLField, depth: int) -> str:
        self._aliases += 1
        arguments = self._arguments(field.args)
        named: GraphQLNamedType = get_named_type(field.type)
        inner = ""
        if isinstance(named, GraphQLObjectType | GraphQLInterfaceType):
            inner = " " + self._selection(named, depth - 1)
        return f"f{self._aliases}: {name}{arguments}{self._directive()}{inner}"

    def _directive(self) -> str:
        if self._chance.random() > 0.08:
            return ""
        switch = self._chance.choice(["include", "skip"])
        value = self._chance.random() < 0.7
        if self._chance.random() < 0.5:
            return f" @{switch}(if: {json.dumps(value)})"
        return f" @{switch}(if: {self._variable('Boolean!', value)})"

    def _arguments(self, arguments: Mapping[str, GraphQLArgument]) -> str:
        given = {}
        names = list(arguments)
        if "first" in names:
            names.remove(self._chance.choice(["first", "last"]))
        for name in names:
            argument = arguments[name]
            if is_required_argument(argument) or self._chance.random() < 0.4:
                given[name] = self._argument(name, argument.type)
        return f"({', '.join(f'{name}: {value}' for name, value in given.items())})" if given else ""

    def _argument(self, name: str, type_: GraphQLInputType) -> str:
        value = self._value(name, type_)
        if self._chance.random() < 0.4:
            return self._variable(str(type_), value)
        return _literal(type_, value)

    def _variable(self, type_: str, value: Any) -> str:
        name = f"v{len(self._variables)}"
        self._variables[name] = value
        self._signatures.append(f"${name}: {type_}")
        return f"${name}"

    def _value(self, name: str, type_: GraphQLInputType) -> Any:
        match type_:
            case GraphQLNonNull():
                return self._value(name, type_.of_type)
            case GraphQLList():
                return [self._value(name, type_.of_type) for _ in range(self._chance.randint(0, 3))]
            case GraphQLEnumType():
                return self._chance.choice(list(type_.values))
            case GraphQLInputObjectType():
                return self._object(type_)
            case _:
                return self._scalar(name, get_named_type(type_).name)

    def _object(self, type_: GraphQLInputObjectType) -> dict[str, Any]:
        names = list(type_.fields)
        if type_.is_one_of:
            names = [self._chance.choice(names)]
        else:
            needed = [name for name in names if isinstance(type_.fields[name].type, GraphQLNonNull)]
            names = [*needed, *(name for name in names if name not in needed and self._chance.random() < 0.15)]
        return {name: self._value(name, type_.fields[name].type) for name in names}

    def _scalar(self, name: str, kind: str) -> Any:
        choose = self._chance.choice
        match kind:
            case "Int":
                return choose([0, 1, 2, 3, 3, 5, -1])
            case "Boolean":
                return choose([True, False])
            case "ID":
                return choose(IDS)
            case "Decimal":
                return choose(NUMBERS)
            case "DateTime":
                return choose(MOMENTS)
            case "Date":
                return choose(DAYS)
            case "UUID":
                return choose(self._uuids)
        if name in {"after", "before"}:
            return choose(self._cursors)
        return choose(ZONES if name == "timezone" else TEXTS)


def _literal(type_: GraphQLInputType, value: Any) -> str:
    match type_:
        case GraphQLNonNull():
            return _literal(type_.of_type, value)
        case GraphQLList():
            return f"[{', '.join(_literal(type_.of_type, each) for each in value)}]"
        case GraphQLEnumType():
            return str(value)
        case GraphQLInputObjectType():
            fields = type_.fields
            return f"{{{', '.join(f'{name}: {_literal(fields[name].type, each)}' for name, each in value.items())}}}"
        case _:
            return json.dumps(value)
