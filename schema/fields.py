"""How fields are declared: a description, and where the value stands or who answers.

`stored(...)` takes a declaration (resolvers.declarations), `answered(...)` a resolver. Both name the arguments by their
types. `bind` hands the resolvers to graphql-core as they are: no wrapper of Strawberry's runs for a field.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import strawberry
from graphql import GraphQLObjectType, GraphQLSchema
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from resolvers.declarations import Column, Declaration, Pages
from resolvers.fetch import resolver_of
from schema.costs import paged

_DECLARED = "declared"
_RESOLVER = "resolver"
_LISTENER = "listener"

PAGE_ARGUMENTS: Mapping[str, Any] = {"first": int | None, "after": str | None, "last": int | None, "before": str | None}


def stored(
    declaration: Declaration, description: str | None = None, *, costs: Sequence[object] = (), **arguments: Any
) -> Any:
    """A field whose value stands in the store, as declared. `costs` are directives of schema.costs."""
    given = {**PAGE_ARGUMENTS, **arguments} if isinstance(declaration, Pages) else arguments
    return _field({_DECLARED: declaration, _RESOLVER: resolver_of(declaration)}, description, given, costs)


def column(
    name: str,
    description: str | None = None,
    *,
    tell: Callable[[Any], Any] | None = None,
    costs: Sequence[object] = (),
) -> Any:
    """A field that is a column of the record; `tell` says what of its value is told."""
    return stored(Column(name, tell), description, costs=costs)


def answered(
    resolver: Callable[..., Any], description: str | None = None, *, costs: Sequence[object] = (), **arguments: Any
) -> Any:
    """A field that a resolver answers."""
    return _field({_RESOLVER: resolver}, description, arguments, costs)


def listened(
    listener: Callable[..., Any], resolver: Callable[..., Any], description: str | None = None, **arguments: Any
) -> Any:
    """A subscription's field: who gives the things that come, and what of each is told."""
    return _field({_LISTENER: listener, _RESOLVER: resolver}, description, arguments)


def _field(
    metadata: Mapping[str, Any],
    description: str | None,
    arguments: Mapping[str, Any],
    costs: Sequence[object] = (),
) -> StrawberryField:
    if not costs and PAGE_ARGUMENTS.keys() <= arguments.keys():
        costs = (paged(),)
    field = StrawberryField(description=description, metadata=metadata, directives=costs)
    field.arguments = [_argument(name.rstrip("_"), annotation) for name, annotation in arguments.items()]
    return field


def _argument(name: str, annotation: Any) -> StrawberryArgument:
    return StrawberryArgument(
        python_name=name,
        graphql_name=name,
        type_annotation=StrawberryAnnotation(annotation),
        default=strawberry.UNSET,
    )


def bind(schema: GraphQLSchema) -> None:
    """Give each field of a schema its resolver, and each one-of input its sign."""
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            for field in type_.fields.values():
                definition = field.extensions.get("strawberry-definition")
                resolver = definition.metadata.get(_RESOLVER) if definition is not None else None
                if resolver is not None:
                    field.resolve = resolver
                    field.subscribe = definition.metadata.get(_LISTENER)


def declaration_of(field: Any) -> Declaration | None:
    """The declaration of a graphql-core field; None where a resolver answers it."""
    definition = field.extensions.get("strawberry-definition")
    found: Declaration | None = definition.metadata.get(_DECLARED) if definition is not None else None
    return found
