"""What an answer costs: the directives of the GraphQL Cost Directives specification (IBM), printed in the schema.

An object costs its weight, 1 unless said otherwise; a scalar nothing; a list as many times what one of it costs as it
has things.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import strawberry
from strawberry.schema_directive import Location

PAGE_ASSUMED = 50
"""The size of a page that neither first nor last names."""

_COSTLY = [
    Location.ARGUMENT_DEFINITION,
    Location.ENUM,
    Location.FIELD_DEFINITION,
    Location.INPUT_FIELD_DEFINITION,
    Location.OBJECT,
    Location.SCALAR,
]

D = TypeVar("D")


@strawberry.schema_directive(locations=_COSTLY, name="cost")
class Cost:
    """What one of a type, or of a field's objects, costs; on a list of an input, what each thing in it costs."""

    weight: str


@strawberry.schema_directive(locations=[Location.FIELD_DEFINITION], name="listSize")
class ListSize:
    """How many things a list holds: as many as an argument says (a number, or the length of a list), else as assumed.

    sized_fields: the fields of the answered object that are the list; none: the field itself is.
    """

    assumed_size: int | None = strawberry.UNSET
    slicing_arguments: list[str] | None = strawberry.UNSET
    sized_fields: list[str] | None = strawberry.UNSET
    require_one_slicing_argument: bool | None = True


def paged() -> ListSize:
    """The size of a connection."""
    return ListSize(
        assumed_size=PAGE_ASSUMED,
        slicing_arguments=["first", "last"],
        sized_fields=["nodes", "edges"],
        require_one_slicing_argument=False,
    )


def assumed(size: int) -> ListSize:
    """A list whose size nobody says."""
    return ListSize(assumed_size=size, require_one_slicing_argument=False)


def said(argument: str, *sized_fields: str) -> ListSize:
    """A list as long as one of the arguments."""
    return ListSize(slicing_arguments=[argument], sized_fields=list(sized_fields) or strawberry.UNSET)


def directive_of(definition: Any, directive: type[D]) -> D | None:
    """The directive of this kind that a Strawberry definition bears."""
    found: Iterable[Any] = getattr(definition, "directives", None) or ()
    return next((each for each in found if isinstance(each, directive)), None)
