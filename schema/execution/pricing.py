"""What an operation costs, by the directives of its fields (schema.costs): worked out once for each document.

The price is a closed form over the operation's variables, so that a request with other variables costs a few
multiplications. All is reckoned in hundredths, so that it stays whole.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from graphql import (
    ArgumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_composite_type,
)

from app.domain.numbers import JsonNumber
from app.domain.refusals import Code, Refusal
from schema.costs import Cost, ListSize, directive_of
from schema.execution.limits import OperationLimits

HUNDREDTHS = 100

INTROSPECTION: Mapping[str, int] = {"__schema": 1_000, "__type": 100}
"""What a look at the schema costs; no directive can say so."""


class _Source(NamedTuple):
    """Where a request says how long a list is: a number, or a way into one of its variables."""

    size: int | None
    """Known from the document; where there is a variable, its default."""
    variable: str | None = None
    way: tuple[str, ...] = ()
    """Keys of input objects within the variable."""
    is_list: bool = False
    """Whether the value is a list, which counts by its length; else it is a number."""

    def of(self, variables: Mapping[str, Any]) -> int | None:
        if self.variable is None or self.variable not in variables:
            return self.size
        value = variables[self.variable]
        for key in self.way:
            value = value.get(key) if type(value) is dict else None
        return _length(value) if self.is_list else _whole(value)


class _Size(NamedTuple):
    """How long a list may be."""

    sources: tuple[_Source, ...]
    assumed: int
    maximum: int | None
    """No list is longer, whatever is asked for: more is refused."""

    def of(self, variables: Mapping[str, Any]) -> int:
        found = [size for source in self.sources if (size := source.of(variables)) is not None]
        size = max(0, *found) if found else self.assumed
        return size if self.maximum is None else min(size, self.maximum)

    @property
    def is_known(self) -> bool:
        """Whether no variable has a say."""
        return all(source.variable is None for source in self.sources)


class _Sum:
    """A sum: what is known, and for each list that a variable decides the cost of one thing in it."""

    __slots__ = ("fixed", "parts")

    def __init__(self, fixed: int = 0) -> None:
        self.fixed = fixed
        self.parts: list[tuple[_Size, _Sum]] = []

    def add(self, size: _Size | None, other: "_Sum") -> None:
        """Add another sum as often as a size says; None: once."""
        if size is not None and not size.is_known:
            self.parts.append((size, other))
            return
        times = 1 if size is None else size.of({})
        self.fixed += times * other.fixed
        for part, inner in other.parts:
            self.parts.append((part, inner.times(times)))

    def times(self, number: int) -> "_Sum":
        if number == 1:
            return self
        made = _Sum(self.fixed * number)
        made.parts = [(size, inner.times(number)) for size, inner in self.parts]
        return made

    def of(self, variables: Mapping[str, Any]) -> int:
        total = self.fixed
        for size, inner in self.parts:
            total += size.of(variables) * inner.of(variables)
        return total


class Price:
    """What an operation costs, and how many things it brings."""

    def __init__(self, total: _Sum, inputs: Sequence[_Size], limits: OperationLimits) -> None:
        self._total = total
        self._inputs = inputs
        self._limits = limits
        # Most documents cost the same whatever their variables are.
        self._known = None if total.parts or inputs else _rounded(total.fixed)

    def of(self, variables: Mapping[str, Any]) -> int:
        """The cost with these variables, which need not be valid.

        Raises Refusal COST_LIMIT_EXCEEDED, and BATCH_TOO_LARGE where a batch has too many items.
        """
        cost = self._known
        if cost is None:
            for size in self._inputs:
                if size.of(variables) > self._limits.batch_items:
                    maximum = self._limits.batch_items
                    raise Refusal(Code.BATCH_TOO_LARGE, f"A batch has at most {maximum} items.", limit=maximum)
            cost = _rounded(self._total.of(variables))
        if cost > self._limits.cost:
            maximum = self._limits.cost
            message = f"It may cost {cost}, and at most {maximum} is answered: ask for less, or for smaller pages."
            raise Refusal(Code.COST_LIMIT_EXCEEDED, message, limit=maximum, estimate=cost)
        return cost

    def items(self, variables: Mapping[str, Any]) -> int:
        """How many items of batches these variables bring."""
        return sum([size.of(variables) for size in self._inputs]) if self._inputs else 0


def _rounded(hundredths: int) -> int:
    return -(-hundredths // HUNDREDTHS)


class _Group(NamedTuple):
    """A field that is answered once, however often it is selected."""

    parent: GraphQLNamedType
    node: FieldNode
    inner: list[SelectionSetNode]


class _Declared(NamedTuple):
    """What the schema says of a field's cost."""

    weight: int
    list_size: ListSize | None
    inputs: Sequence[tuple[str, int]]
    """The lists in its arguments that have a weight: where they are, and what each of their things costs."""


class Pricing:
    """Prices the operations of valid documents."""

    def __init__(self, schema: GraphQLSchema, limits: OperationLimits) -> None:
        self._schema = schema
        self._limits = limits
        self._declared: dict[int, _Declared] = {}
        """What the schema says of each field, by its identity."""

    def declared(self, field: GraphQLField) -> "_Declared":
        """What the schema says of a field's cost."""
        known = self._declared.get(id(field))
        if known is None:
            definition = field.extensions.get("strawberry-definition")
            weight, size = _weight(definition, get_named_type(field.type)), directive_of(definition, ListSize)
            known = self._declared[id(field)] = _Declared(weight, size, _weighted_inputs(field))
        return known

    def price(self, node: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]) -> Price:
        """The price of an operation. Fields that several fragments select count once, as they are answered once.

        The document must be within the limits of schema.execution.limits, as every fragment is spelt out here.
        What @skip and @include leave out counts, and so do all fragments of an interface, one beside the other.
        """
        defaults = {each.variable.name.value: each.default_value for each in node.variable_definitions or ()}
        walk = _Walk(self._schema, fragments, defaults, self._limits, self.declared)
        root = self._schema.get_root_type(node.operation)
        assert root is not None, "the document is valid"
        return Price(walk.selected(root, [node.selection_set], None), walk.inputs, self._limits)


class _Walk:
    """One walk over an operation."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        defaults: Mapping[str, ValueNode | None],
        limits: OperationLimits,
        declared: Callable[[GraphQLField], _Declared],
    ) -> None:
        self._schema = schema
        self._declared = declared
        self._fragments = fragments
        self._defaults = defaults
        self._limits = limits
        self.inputs: list[_Size] = []
        """The sizes of the lists of inputs that have a weight."""
        self._known: dict[tuple[Any, ...], _Sum] = {}
        """What is selected by the same nodes, which stand in every place where their fragment is spread."""

    def selected(
        self,
        parent: GraphQLNamedType,
        selection_sets: Sequence[SelectionSetNode],
        sized: tuple[Sequence[str], _Size] | None,
    ) -> _Sum:
        """What is selected of one object; `sized` names the fields whose size the field above has said."""
        total = _Sum()
        for of, node, inner in self._groups(parent, selection_sets).values():
            name = node.name.value
            if name in INTROSPECTION:
                total.fixed += INTROSPECTION[name] * HUNDREDTHS
            elif name != "__typename":
                size = sized[1] if sized is not None and name in sized[0] else None
                self._add_field(total, of.fields[name], node, inner, size)  # type: ignore[attr-defined]  # It has fields, as the document is valid.
        return total

    def _groups(
        self, parent: GraphQLNamedType, selection_sets: Sequence[SelectionSetNode]
    ) -> dict[tuple[str, str], _Group]:
        groups: dict[tuple[str, str], _Group] = {}
        waiting = [(parent, each) for each in selection_sets]
        while waiting:
            of, selection_set = waiting.pop()
            for node in selection_set.selections:
                if isinstance(node, FieldNode):
                    key = node.alias.value if node.alias else node.name.value
                    group = groups.setdefault((of.name, key), _Group(of, node, []))
                    if node.selection_set is not None:
                        group.inner.append(node.selection_set)
                elif isinstance(node, InlineFragmentNode):
                    condition = node.type_condition
                    inner = of if condition is None else self._schema.type_map[condition.name.value]
                    waiting.append((inner, node.selection_set))
                elif isinstance(node, FragmentSpreadNode):
                    fragment = self._fragments[node.name.value]
                    waiting.append((self._schema.type_map[fragment.type_condition.name.value], fragment.selection_set))
        return groups

    def _add_field(
        self, total: _Sum, field: GraphQLField, node: FieldNode, inner: Sequence[SelectionSetNode], size: _Size | None
    ) -> None:
        declared = self._declared(field)
        list_size = declared.list_size
        sized = None
        if list_size is not None:
            said = self._size(list_size, field, node)
            if list_size.sized_fields:
                sized = (list_size.sized_fields, said)
            else:
                size = said
        one = _Sum(declared.weight)
        if inner:
            one.add(None, self._inside(get_named_type(field.type), inner, sized))
        total.add(size, one)
        for way, weight in declared.inputs:
            given = _Size((self._source(way, field, node),), 0, None)
            self.inputs.append(given)
            total.add(given, _Sum(weight))

    def _inside(
        self,
        type_: GraphQLNamedType,
        selection_sets: Sequence[SelectionSetNode],
        sized: tuple[Sequence[str], _Size] | None,
    ) -> _Sum:
        key = type_.name, sized and (*sized[0], sized[1]), *[id(each) for each in selection_sets]
        known = self._known.get(key)
        if known is None:
            inputs = len(self.inputs)
            known = self.selected(type_, selection_sets, sized)
            if len(self.inputs) == inputs:
                self._known[key] = known
        return known

    def _size(self, list_size: ListSize, field: GraphQLField, node: FieldNode) -> _Size:
        ways = list_size.slicing_arguments or ()
        sources = tuple(self._source(way, field, node) for way in ways)
        maximum = self._limits.page_size if "first" in ways else None
        return _Size(sources, list_size.assumed_size or 0, maximum)

    def _source(self, dotted: str, field: GraphQLField, node: FieldNode) -> _Source:
        name, *way = dotted.split(".")
        type_: Any = field.args[name].type
        for key in way:
            type_ = get_named_type(type_).fields[key].type
        is_list = isinstance(type_.of_type if isinstance(type_, GraphQLNonNull) else type_, GraphQLList)
        arguments: Sequence[ArgumentNode] = node.arguments or ()
        value = next((each.value for each in arguments if each.name.value == name), None)
        return self._read(value, tuple(way), is_list=is_list)

    def _read(self, value: ValueNode | None, way: tuple[str, ...], *, is_list: bool) -> _Source:
        """The source that an argument's value is, or a part of it."""
        if isinstance(value, VariableNode):
            name = value.name.value
            return self._read(self._defaults[name], way, is_list=is_list)._replace(
                variable=name, way=way, is_list=is_list
            )
        if value is None or isinstance(value, NullValueNode):
            return _Source(None)
        if way:
            assert isinstance(value, ObjectValueNode), "the document is valid"
            inner = next((each.value for each in value.fields if each.name.value == way[0]), None)
            return self._read(inner, way[1:], is_list=is_list)
        if is_list:
            return _Source(len(value.values) if isinstance(value, ListValueNode) else 1)
        return _Source(int(value.value) if isinstance(value, IntValueNode) else None)


def _weight(definition: Any, type_: GraphQLNamedType) -> int:
    """What one object or value of a field costs, in hundredths."""
    cost = directive_of(definition, Cost) or directive_of(type_.extensions.get("strawberry-definition"), Cost)
    if cost is not None:
        return _hundredths(cost)
    return HUNDREDTHS if is_composite_type(type_) else 0


def _hundredths(cost: Cost) -> int:
    return round(float(cost.weight) * HUNDREDTHS)


def _weighted_inputs(field: GraphQLField) -> list[tuple[str, int]]:
    """The lists in a field's arguments that have a weight: where they are, and what each of their things costs."""
    found: list[tuple[str, int]] = []
    for name, argument in field.args.items():
        type_ = get_named_type(argument.type)
        if isinstance(type_, GraphQLInputObjectType):
            for key, inner in type_.fields.items():
                cost = directive_of(inner.extensions.get("strawberry-definition"), Cost)
                if cost is not None:
                    found.append((f"{name}.{key}", _hundredths(cost)))
    return found


def _length(value: Any) -> int | None:
    """How many things a list has; one thing alone is taken for a list of one."""
    if value is None:
        return None
    return len(value) if type(value) is list else 1


def _whole(value: Any) -> int | None:
    """A number of a request as a whole one; None where it is none, which validation refuses later."""
    if type(value) is int:
        return value
    if isinstance(value, JsonNumber):
        try:
            return int(float(value.text))
        except (OverflowError, ValueError):
            return None
    return None
