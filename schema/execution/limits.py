"""How large and how involved a document may be: counted in one linear walk, before anything is validated or run."""

from typing import Any, NamedTuple

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)
from graphql.language import OperationType

from app.domain.refusals import Code, Refusal

DIRECTIVES_AT_ONE_PLACE_MAX = 5
"""No directive of the schema may stand twice at one place, so more are never valid."""

_INTROSPECTION = frozenset({"__schema", "__type"})
"""Fields whose depth does not count: graphql-core bounds it, and tools ask to a depth of 15."""


class OperationLimits(NamedTuple):
    """What may be asked at most. Depth to fields are counted with every fragment spelt out."""

    characters: int = 20_000
    tokens: int = 2_000
    depth: int = 12
    aliases: int = 30
    root_fields: int = 20
    mutations: int = 5
    directives: int = 50
    fragments: int = 500
    fields: int = 2_000
    cost: int = 10_000
    page_size: int = 1_000
    batch_items: int = 10_000


class _Counted(NamedTuple):
    """What a definition adds up to, its fragments spelt out."""

    depth: int = 0
    root_fields: int = 0
    aliases: int = 0
    directives: int = 0
    fragments: int = 0
    fields: int = 0


class _Spread(NamedTuple):
    """A place where a definition holds a fragment."""

    name: str
    depth: int
    is_introspection: bool


class _Part(NamedTuple):
    """What stands in a definition itself, and the fragments that it holds."""

    own: _Counted
    spreads: list[_Spread]


def check_text(text: str, limits: OperationLimits) -> None:
    """Raise DOCUMENT_TOO_LARGE for a text that is not worth reading."""
    if len(text) > limits.characters:
        raise too_large("characters", limits.characters)


def too_large(unit: str, maximum: int) -> Refusal:
    return Refusal(Code.DOCUMENT_TOO_LARGE, f"A document has at most {maximum} {unit}.", limit=maximum, unit=unit)


def check_document(document: DocumentNode, limits: OperationLimits) -> None:
    """Raise QUERY_TOO_COMPLEX for a document that is too involved, valid or not.

    Every definition is walked once, and what a fragment adds up to is remembered: a fragment that is spread in many
    ways costs no more than its text. One that holds itself counts as empty where it does; validation refuses it.
    Aliases, directives, fragments and fields of several operations count together.
    """
    fragments: dict[str, _Part] = {}
    operations: list[tuple[OperationType, _Part]] = []
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            fragments[definition.name.value] = _part(definition)
        elif isinstance(definition, OperationDefinitionNode):
            operations.append((definition.operation, _part(definition)))
    known = _counted_fragments(fragments)
    total = _Counted()
    for operation, part in operations:
        counted = _spelt_out(part, known)
        if operation is OperationType.MUTATION:
            _hold(counted.root_fields, limits.mutations, "mutations", "mutations at once")
        _hold(counted.root_fields, limits.root_fields, "rootFields", "fields at its root")
        total = _Counted(max(total.depth, counted.depth), 0, *map(sum, zip(total[2:], counted[2:], strict=True)))
    _hold(total.depth, limits.depth, "depth", "fields within each other")
    _hold(total.aliases, limits.aliases, "aliases", "aliases")
    _hold(total.directives, limits.directives, "directives", "directives")
    _hold(total.fragments, limits.fragments, "fragments", "fragments, each counted wherever it is spread")
    _hold(total.fields, limits.fields, "fields", "fields")


def _hold(found: int, maximum: int, name: str, told: str) -> None:
    if found > maximum:
        message = f"A document has at most {maximum} {told}."
        raise Refusal(Code.QUERY_TOO_COMPLEX, message, limit=name, maximum=maximum)


def _part(definition: OperationDefinitionNode | FragmentDefinitionNode) -> _Part:
    directives = _directives(definition.directives)
    for variable in definition.variable_definitions or ():
        directives += _directives(variable.directives)
    depth_max = root_fields = aliases = fragments = fields = 0
    spreads: list[_Spread] = []
    waiting: list[tuple[SelectionSetNode, int, bool]] = [(definition.selection_set, 0, False)]
    while waiting:
        selection_set, depth, is_introspection = waiting.pop()
        for node in selection_set.selections:
            if node.directives:
                directives += _directives(node.directives)
            if isinstance(node, FieldNode):
                name = node.name.value
                fields += 1
                root_fields += depth == 0
                aliases += node.alias is not None and name != "__typename"
                exempt = is_introspection or name in _INTROSPECTION
                if not exempt and depth >= depth_max:
                    depth_max = depth + 1
                if node.selection_set is not None:
                    waiting.append((node.selection_set, depth + 1, exempt))
            elif isinstance(node, InlineFragmentNode):
                fragments += 1
                waiting.append((node.selection_set, depth, is_introspection))
            elif isinstance(node, FragmentSpreadNode):
                fragments += 1
                spreads.append(_Spread(node.name.value, depth, is_introspection))
    return _Part(_Counted(depth_max, root_fields, aliases, directives, fragments, fields), spreads)


def _directives(nodes: tuple[DirectiveNode, ...] | Any) -> int:
    count = len(nodes or ())
    if count > DIRECTIVES_AT_ONE_PLACE_MAX:
        message = f"At one place a document has at most {DIRECTIVES_AT_ONE_PLACE_MAX} directives."
        raise Refusal(Code.QUERY_TOO_COMPLEX, message, limit="directives", maximum=DIRECTIVES_AT_ONE_PLACE_MAX)
    return count


def _counted_fragments(fragments: dict[str, _Part]) -> dict[str, _Counted]:
    """What each fragment adds up to; those that it holds first, without recursion, as a document may chain many."""
    known: dict[str, _Counted] = {}
    begun: set[str] = set()
    for first in fragments:
        waiting = [first]
        while waiting:
            name = waiting[-1]
            if name in known:
                waiting.pop()
                continue
            held = [spread.name for spread in fragments[name].spreads if spread.name in fragments]
            missing = [each for each in held if each not in known and each not in begun]
            if name in begun or not missing:
                known[name] = _spelt_out(fragments[name], known)
                waiting.pop()
            else:
                waiting += missing
            begun.add(name)
    return known


def _spelt_out(part: _Part, known: dict[str, _Counted]) -> _Counted:
    depth, root_fields, aliases, directives, fragments, fields = part.own
    for spread in part.spreads:
        inner = known.get(spread.name)
        if inner is None:
            continue
        if not spread.is_introspection:
            depth = max(depth, spread.depth + inner.depth)
        if spread.depth == 0:
            root_fields += inner.root_fields
        aliases += inner.aliases
        directives += inner.directives
        fragments += inner.fragments
        fields += inner.fields
    return _Counted(depth, root_fields, aliases, directives, fragments, fields)
