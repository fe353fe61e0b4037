"""Variables and arguments are coerced as graphql-core coerces them, value by value and fault by fault."""

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    is_input_type,
    is_leaf_type,
    parse,
    visit,
)
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values
from graphql.utilities import coerce_input_value
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain.callers import LOCAL
from app.web.bodies import JsonReader
from app.web.operations import Answered, Asked
from resolvers.inputs import Alike
from schema import schema
from schema.execution.coercion import ALIKE_MIN, Coercions
from schema.execution.documents import ERRORS_MAX, Documents
from schema.execution.limits import OperationLimits
from schema.execution.run import Runner
from schema.execution.selections import Arguments
from tests.graphql.documents import Document, Maker

LIMITS = OperationLimits(
    characters=10**6, tokens=10**5, depth=100, aliases=10**4, root_fields=1000, cost=10**30, page_size=10**9
)
INPUTS = sorted(name for name, type_ in schema.type_map.items() if is_input_type(type_) and not name.startswith("__"))
OBJECTS = [type_ for type_ in schema.type_map.values() if isinstance(type_, GraphQLInputObjectType)]
KEYS = sorted({key for type_ in OBJECTS for key in type_.fields})
ENUMS = [type_ for type_ in schema.type_map.values() if isinstance(type_, GraphQLEnumType)]
NAMES = sorted({key for type_ in ENUMS for key in type_.values})
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.sampled_from([0, 1, -1, 2**31 - 1, 2**31, -(2**31) - 1, 1.0, -0.0, 1e400, 1e-400, 2.5, 10**30]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
    st.sampled_from(["1.10", "1e5", "EUR", "LOW", "2026-01-01T00:00:00Z", "2026-02-30", "account_1", "24:00", ""]),
    st.sampled_from(NAMES),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=12,
)


def of_type(type_: GraphQLInputType, depth: int = 3) -> st.SearchStrategy[Any]:
    """JSON of a type: well-formed, or wrong in one place or another."""
    match type_:
        case GraphQLNonNull():
            return of_type(type_.of_type, depth)
        case GraphQLList():
            each = of_type(type_.of_type, depth)
            return st.one_of(st.lists(each, max_size=3), st.lists(each, max_size=3), each, st.none(), LEAVES)
        case GraphQLEnumType():
            return _mostly(st.sampled_from(list(type_.values)))
        case GraphQLInputObjectType():
            return st.deferred(lambda: _mostly(_of_object(type_, depth)))
        case _:
            name = get_named_type(type_).name
            return _mostly(st.builds(lambda seed: Maker(random.Random(seed), [], [])._scalar("", name), st.integers()))


def _mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 19).flatmap(lambda number: strategy if number < 18 else VALUES if number == 18 else st.none())


def _of_object(type_: GraphQLInputObjectType, depth: int) -> st.SearchStrategy[Any]:
    fields = type_.fields
    inner = {name: of_type(field.type, depth - 1) if depth > 0 else LEAVES for name, field in fields.items()}
    needed = [name for name, field in fields.items() if isinstance(field.type, GraphQLNonNull)]
    least, most = (1, 1) if type_.is_one_of else (0, 4)
    chosen = st.lists(st.sampled_from(list(fields)), unique=True, min_size=least, max_size=most)
    dropped = st.sampled_from([*[None] * 9, *needed[:3]])
    added = st.sampled_from([*[None] * 9, "nobody", *KEYS[:2]])

    def make(names: list[str], lost: str | None, more: str | None) -> st.SearchStrategy[Any]:
        every = list(dict.fromkeys([*needed, *names]))
        kept = {name: inner[name] for name in every if name != lost}
        return st.fixed_dictionaries(kept | ({} if more is None else {more: LEAVES}))

    return st.builds(make, chosen, dropped, added).flatmap(lambda made: made)


def sent(value: Any) -> Any:
    """A value as it comes from a client's JSON."""
    return JsonReader().read_text(json.dumps({"value": value}).replace("Infinity", "1e400"))["value"]


def ordered(value: Any) -> Any:
    """A value whose keys are in one order, as theirs means nothing."""
    match value:
        case dict():
            return {key: ordered(value[key]) for key in sorted(value)}
        case list() | Alike():
            return [ordered(each) for each in value]
        case _:
            return value


coercions = Coercions()


def wrapped(type_: Any) -> list[Any]:
    return [type_, GraphQLNonNull(type_), GraphQLList(type_), GraphQLList(GraphQLNonNull(type_))]


@pytest.mark.parametrize("name", INPUTS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_coerced_values_are_graphql_cores(name: str, data: st.DataObject) -> None:
    type_: Any = schema.type_map[name]
    value = sent(data.draw(st.one_of(of_type(type_), of_type(GraphQLList(type_)), VALUES)))
    for each in wrapped(type_):
        assert repr(ordered(coercions.of(each)(value))) == repr(ordered(coerce_input_value(value, each)))


@pytest.mark.parametrize("type_", OBJECTS, ids=lambda type_: type_.name)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_many_objects_with_the_same_keys_are_coerced_as_graphql_cores(
    type_: GraphQLInputObjectType, data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from([*type_.fields, "nobody"]), unique=True, min_size=1))
    if data.draw(st.integers(0, 9)):
        needed = [name for name, field in type_.fields.items() if isinstance(field.type, GraphQLNonNull)]
        names = list(dict.fromkeys([*needed, *names]))
    pools = {
        name: data.draw(st.lists(of_type(type_.fields[name].type) if name in type_.fields else LEAVES, min_size=1))
        for name in names
    }
    chance = random.Random(data.draw(st.integers()))
    value = sent([{name: chance.choice(pools[name]) for name in names} for _ in range(ALIKE_MIN)])
    if data.draw(st.integers(0, 9)) == 0:
        value[-1] = data.draw(VALUES)
    for each in (GraphQLList(type_), GraphQLList(GraphQLNonNull(type_))):
        assert repr(ordered(coercions.of(each)(value))) == repr(ordered(coerce_input_value(value, each)))


def test_equal_moments_of_many_items_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    scalar: Any = schema.type_map["DateTime"]
    parse_moment = scalar.coerce_input_value

    def noting(value: Any) -> Any:
        read.append(value)
        return parse_moment(value)

    monkeypatch.setattr(scalar, "coerce_input_value", noting)
    item = {"accountExtId": "a", "communicationNumber": "n", "requester": "r", "value": "1"}
    items = [{**item, "balanceAt": f"2026-01-0{1 + place % 2}T00:00:00+01:00"} for place in range(100)]
    found = Coercions().of(GraphQLList(schema.type_map["AccountBalanceInput"]))(items)
    assert len(found) == 100
    assert sorted(read) == ["2026-01-01T00:00:00+01:00", "2026-01-02T00:00:00+01:00"]


class Field(NamedTuple):
    """A root field whose arguments are all variables."""

    kind: str
    name: str
    field: GraphQLField

    @property
    def text(self) -> str:
        arguments = self.field.args.items()
        signatures = ", ".join(f"${name}: {argument.type}" for name, argument in arguments)
        given = ", ".join(f"{name}: ${name}" for name in self.field.args)
        inner = "" if is_leaf_type(get_named_type(self.field.type)) else " { __typename }"
        return f"{self.kind} ({signatures}) {{ {self.name}({given}){inner} }}"


def fields() -> Iterator[Field]:
    for kind, type_ in (("query", schema.query_type), ("mutation", schema.mutation_type)):
        assert type_ is not None
        for name, field in type_.fields.items():
            if field.args:
                yield Field(kind, name, field)


class Noting(Runner):
    """Does not run what is sound, but notes its variables."""

    def __init__(self) -> None:
        super().__init__(schema, lambda _caller: None, limits=LIMITS)  # type: ignore[arg-type,return-value]  # Never used.
        self.noted: VariableValues | None = None

    async def _executed(self, operation: Any, variables: VariableValues, *_rest: Any, **_more: Any) -> Answered:  # noqa: ARG002 - the name is the one above it.
        self.noted = variables
        return Answered(b'{"data":null}', ran=True, code=None)

    async def asked(self, text: str, variables: dict[str, Any]) -> tuple[VariableValues | None, list[Any]]:
        """The variables of an operation, or what is told of its errors."""
        self.noted = None
        answer = await self(Asked(text, variables, None, {}), LOCAL, mutations=True)
        return self.noted, json.loads(answer.body).get("errors", [])


RUNNER = Noting()


def _told(error: GraphQLError) -> dict[str, Any]:
    """An error as graphql-core formats it, with the code of a bad request."""
    return {**error.formatted, "extensions": {"code": "BAD_REQUEST"}}


async def check_variables(text: str, raw: dict[str, Any]) -> None:
    """Check that the variables of a request, or its errors, are those of graphql-core."""
    (node,) = (node for node in parse(text).definitions if isinstance(node, OperationDefinitionNode))
    expected = get_variable_values(schema, node.variable_definitions or (), raw, max_errors=ERRORS_MAX)
    noted, errors = await RUNNER.asked(text, raw)
    if isinstance(expected, list):
        assert noted is None
        assert errors == [_told(error) for error in expected[:ERRORS_MAX]]
        return
    assert errors == []
    assert noted is not None
    assert repr(ordered(noted.coerced)) == repr(ordered(expected.coerced))
    assert {name: repr(source.value) for name, source in noted.sources.items()} == {
        name: repr(source.value) for name, source in expected.sources.items()
    }


@pytest.mark.parametrize("field", list(fields()), ids=lambda field: f"{field.kind} {field.name}")
@settings(max_examples=40, deadline=None)
@given(data=st.data())
async def test_the_variables_of_a_request_and_their_faults_are_graphql_cores(field: Field, data: st.DataObject) -> None:
    absent = data.draw(st.sampled_from([*[None] * 5, *field.field.args]))
    raw = {
        name: sent(data.draw(of_type(argument.type))) for name, argument in field.field.args.items() if name != absent
    }
    await check_variables(field.text, raw)


FAULTY: dict[str, dict[str, Any]] = {
    "no variable": {},
    "null where none may be": {"input": None},
    "many faults": {"input": {"accountBalances": [{"value": "x"}] * 4}},
    "an unknown key with a suggestion": {"input": {"accountBalances": [], "acountBalances": []}},
    "not an object": {"input": [1]},
    "one for a list of one": {"input": {"accountBalances": {"accountExtId": "a"}}},
}


@pytest.mark.parametrize("case", FAULTY)
async def test_faults_are_told_in_graphql_cores_words(case: str) -> None:
    text = """mutation ($input: BatchAccountBalancesInput!) {
      registerBatchAccountBalances(input: $input) { acceptedCount } }"""
    await check_variables(text, FAULTY[case])
    assert (await RUNNER.asked(text, FAULTY[case]))[1]


class Wilder(Maker):
    """Makes documents whose variables stand anywhere in an argument, and may have defaults."""

    def _argument(self, name: str, type_: GraphQLInputType) -> str:
        return self._written(name, type_, self._value(name, type_))

    def _written(self, name: str, type_: GraphQLInputType, value: Any, *, needed: bool = False) -> str:
        if self._chance.random() < 0.3:
            return self._somewhere(f"{type_}!" if needed else str(type_), type_, value)
        match type_:
            case GraphQLNonNull():
                return self._written(name, type_.of_type, value, needed=True)
            case GraphQLList() if isinstance(value, list):
                return f"[{', '.join(self._written(name, type_.of_type, each) for each in value)}]"
            case GraphQLInputObjectType():
                inner = [
                    f"{key}: {self._written(key, type_.fields[key].type, each, needed=type_.is_one_of)}"
                    for key, each in value.items()
                ]
                return f"{{{', '.join(inner)}}}"
            case GraphQLEnumType():
                return str(value)
            case _:
                return json.dumps(value)

    def _somewhere(self, said: str, type_: GraphQLInputType, value: Any) -> str:
        name = self._variable(said, value)
        if not said.endswith("!") and self._chance.random() < 0.2 and is_leaf_type(get_named_type(type_)):
            default = value if isinstance(get_named_type(type_), GraphQLEnumType) else json.dumps(value)
            if not isinstance(value, list):
                self._signatures[-1] += f" = {default}"
        return name

    def sent(self) -> tuple[Document, dict[str, Any]]:
        """A document, and its variables with some of them null or absent."""
        document = self.document()
        given = {}
        for signature, (name, value) in zip(self._signatures, document.variables.items(), strict=True):
            luck = 1.0 if signature.partition(" = ")[0].endswith("!") else self._chance.random()
            if luck > 0.2:
                given[name] = sent(value)
            elif luck > 0.1:
                given[name] = None
        return document, given


class Fields(Visitor):
    """The fields of a document with their definitions."""

    def __init__(self, info: TypeInfo) -> None:
        super().__init__()
        self._info = info
        self.found: list[tuple[GraphQLField, FieldNode]] = []

    def enter_field(self, node: FieldNode, *_rest: Any) -> None:
        field = self._info.get_field_def()
        assert field is not None
        self.found.append((field, node))


def fields_of(text: str) -> list[tuple[GraphQLField, FieldNode]]:
    info = TypeInfo(schema)
    found = Fields(info)
    visit(parse(text), TypeInfoVisitor(info, found))
    return found.found


def tried(read: Any) -> Any:
    """What is read, or why not."""
    try:
        values = read()
    except GraphQLError as error:
        return error.formatted
    return {name: repr(ordered(value)) for name, value in values.items()}


documents = Documents(schema, LIMITS)


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_the_arguments_of_fields_are_graphql_cores(seed: int) -> None:
    document, given_ = Wilder(random.Random(seed), [], []).sent()
    operation = documents._read(document.text).operations["Q"]
    variables = get_variable_values(schema, operation.node.variable_definitions or (), given_)
    assume(isinstance(variables, VariableValues))
    assert isinstance(variables, VariableValues)
    for field, node in fields_of(document.text):
        arguments = Arguments(field, node)
        for _ in range(2):  # What was read once is read again.
            found = tried(lambda: arguments.values(variables))  # noqa: B023 - called at once.
            expected = tried(lambda: get_argument_values(field, node, variables))  # noqa: B023 - as above.
            assert found == expected, (document, given_)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**9))
async def test_the_variables_of_any_document_are_graphql_cores(seed: int) -> None:
    document, given_ = Wilder(random.Random(seed), [], []).sent()
    await check_variables(document.text, given_)
