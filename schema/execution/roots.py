"""The root fields of an operation."""

from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode

from app.domain.refusals import Code, Refusal
from schema.execution.documents import Operation


def check_one_root(operation: Operation) -> None:
    """Raise BAD_REQUEST unless an operation has exactly one root field, conditional ones counted too."""
    if len(_response_names(operation)) != 1:
        raise Refusal(Code.BAD_REQUEST, "With an Idempotency-Key an operation has exactly one root field.")


def _response_names(operation: Operation) -> set[str]:
    """Under which names the root fields are answered; each fragment is looked at once."""
    names: set[str] = set()
    seen: set[str] = set()
    waiting: list[SelectionSetNode] = [operation.node.selection_set]
    while waiting:
        for selection in waiting.pop().selections:
            match selection:
                case FieldNode():
                    names.add((selection.alias or selection.name).value)
                case FragmentSpreadNode():
                    name = selection.name.value
                    if name not in seen:
                        seen.add(name)
                        waiting.append(operation.fragment_definitions[name].selection_set)
                case InlineFragmentNode():
                    waiting.append(selection.selection_set)
    return names
