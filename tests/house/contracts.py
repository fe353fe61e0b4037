"""How a schema differs from the contract, as far as a client written against the contract could notice."""

from collections.abc import Iterator

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    find_breaking_changes,
    print_ast,
)

UNNOTICED = {"DIRECTIVE_REMOVED", "DIRECTIVE_ARG_REMOVED", "DIRECTIVE_LOCATION_REMOVED"}
"""Breaking changes that no client of the contract sees: it uses no directives of its own."""


def differences(contract: GraphQLSchema, schema: GraphQLSchema) -> list[str]:
    """Each difference in a line, sorted; what the schema has beyond the contract is none."""
    changes = find_breaking_changes(contract, schema)
    found = {f"{change.type.name}: {change.description}" for change in changes if change.type.name not in UNNOTICED}
    for name, wanted in contract.type_map.items():
        given = schema.type_map.get(name)
        if given is not None and not name.startswith("__"):
            found.update(_of_types(wanted, given))
    return sorted(found)


def _of_types(wanted: GraphQLNamedType, given: GraphQLNamedType) -> Iterator[str]:
    # A type that became one of another kind is a breaking change already.
    if isinstance(wanted, GraphQLInputObjectType) and isinstance(given, GraphQLInputObjectType):
        if wanted.is_one_of != given.is_one_of:
            yield f"ONE_OF: {wanted.name}"
        for name in wanted.fields.keys() & given.fields.keys():
            yield from _of_defaults(f"{wanted.name}.{name}", wanted.fields[name], given.fields[name])
    elif isinstance(wanted, GraphQLObjectType | GraphQLInterfaceType) and type(given) is type(wanted):
        for name in wanted.fields.keys() & given.fields.keys():
            yield from _of_fields(f"{wanted.name}.{name}", wanted.fields[name], given.fields[name])


def _of_fields(where: str, wanted: GraphQLField, given: GraphQLField) -> Iterator[str]:
    # Nullable that became non-null breaks no client, and yet it is a promise that the contract doesn't make.
    if str(wanted.type) != str(given.type):
        yield f"TYPE: {where} is {given.type}, not {wanted.type}"
    if given.deprecation_reason and not wanted.deprecation_reason:
        yield f"DEPRECATED: {where}"
    for name in wanted.args.keys() & given.args.keys():
        yield from _of_defaults(f"{where}({name}:)", wanted.args[name], given.args[name])


_Defaulted = GraphQLArgument | GraphQLInputField


def _of_defaults(where: str, wanted: _Defaulted, given: _Defaulted) -> Iterator[str]:
    if _default(wanted) != _default(given):
        yield f"DEFAULT: {where} is {_default(given)}, not {_default(wanted)}"


def _default(element: _Defaulted) -> str | None:
    node = element.ast_node.default_value if element.ast_node else None
    return print_ast(node) if node else None
