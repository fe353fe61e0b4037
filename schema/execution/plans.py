"""The plan of an operation: which of its root fields the database answers, by one statement, and which are resolved.

A plan is made once for an operation (and each way in which its @skip and @include may stand), from the declarations of
its fields, and kept with it. What stands in the store is a piece of the statement; a root field with anything else in
it is resolved: at once, where what its resolver gives is all that is shown of it, else by graphql-core.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import ref

import orjson
from graphql import (
    GraphQLEnumType,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    is_leaf_type,
)
from graphql.execution.values import VariableValues

from app.domain.callers import Scope
from app.domain.currencies import CURRENCIES, Currency
from resolvers import declarations as d
from resolvers import plans as p
from resolvers.context import Context
from schema.execution.documents import Operation, Planned
from schema.execution.selections import TYPENAME, Arguments, Selected, Selections
from schema.execution.shown import Show, shown
from schema.fields import declaration_of

_OF_THE_SCHEMA = frozenset({"__schema", "__type"})

PIECES_MAX = 200
"""Pieces that read of further tables; a statement with more of them takes the database long to plan."""


class Site(NamedTuple):
    """A field with arguments, inside what the database answers."""

    declaration: p.SiteDeclaration
    arguments: Arguments
    tells_places: bool
    """Whether cursors are asked for."""


class Postponed(NamedTuple):
    """What another statement tells, inside what the database answers."""

    declaration: d.Later
    arguments: Arguments
    show: Show


class Stored(NamedTuple):
    """A root field that the database answers; its place among them."""

    key: str
    selected: Selected
    place: int


class Direct(NamedTuple):
    """A root field whose resolver gives all that is shown of it."""

    key: str
    selected: Selected
    show: Show
    arguments: Arguments


class Resolved(NamedTuple):
    """A root field that graphql-core resolves."""

    key: str
    selected: Selected


Root = Stored | Direct | Resolved


class _Unplanned(Exception):  # noqa: N818 - the field is resolved instead.
    """A field that the database can't answer."""


class Plan:
    """How an operation is answered."""

    def __init__(self, schema: GraphQLSchema, operation: Operation, variables: VariableValues) -> None:
        self._selections = Selections(schema, operation, variables)
        self._splices: list[Callable[[str], Any]] = []
        self.postponed: list[Postponed] = []
        self._reads = 0
        self.is_given_up = False
        """Whether the database did not take its statement."""
        self.sites: list[Site] = []
        self.scopes: set[Scope] = set()
        pieces: list[p.Piece] = []
        self.roots: list[Root] = []
        for selected in self._selections.roots():
            piece = None if operation.is_mutation else self._stored(selected)
            if piece is not None:
                self.roots.append(Stored(selected.key, selected, len(pieces)))
                pieces.append(piece)
                continue
            show = self._direct(selected, is_mutation=operation.is_mutation)
            if show is None:
                self.roots.append(Resolved(selected.key, selected))
            else:
                self.roots.append(Direct(selected.key, selected, show, selected.arguments()))
        self.asked = p.Asked(pieces, self._reads) if pieces else None
        self.resolved = self._rest(operation)
        resolved = [root.selected.name for root in self.roots if isinstance(root, Resolved)]
        self.is_still = bool(resolved) and all(name in _OF_THE_SCHEMA for name in resolved)
        """Whether graphql-core is left with what tells of the schema alone."""
        del self._selections  # What they told stands in the roots.
        self._constant: list[p.Given | None] = [None] * len(self.sites)

    def given(self, variables: VariableValues, context: Context) -> list[p.Given]:
        """What was given at each site. Raises GraphQLError or the Refusal of the field that it is an argument of."""
        given = []
        for number, site in enumerate(self.sites):
            found = self._constant[number]
            if found is None:
                arguments = site.arguments.values(variables)
                found = p.given_at(number, site.declaration, arguments, context, tells_places=site.tells_places)
                if site.arguments.is_constant:
                    self._constant[number] = found
            given.append(found)
        return given

    def postponed_in(self, texts: Iterable[bytes]) -> dict[int, dict[bytes, tuple[str, ...]]]:
        """What is asked for by other statements: by its place in the plan, what stands for it, with its values."""
        found: dict[int, dict[bytes, tuple[str, ...]]] = {}
        for text in texts:
            for match in _POSTPONED.finditer(text):
                found.setdefault(int(match[1]), {})[match[0]] = tuple(match[2].decode().split(":"))
        return found

    def with_postponed(self, text: bytes, told: Mapping[bytes, bytes]) -> bytes:
        """A text with what other statements tell."""
        return _POSTPONED.sub(lambda match: told[match[0]], text) if _LATER in text else text

    def spliced(self, text: bytes) -> bytes:
        """A text of the database with what the gateway puts in."""
        return _SPLICED.sub(self._put_in, text) if _SPLICE in text else text

    def _put_in(self, match: "re.Match[bytes]") -> bytes:
        return orjson.dumps(self._splices[int(match[1])](match[2].decode()))

    def _rest(self, operation: Operation) -> Operation | None:
        """The operation with the root fields that graphql-core resolves, and no others."""
        nodes = tuple(
            detail.node for root in self.roots if isinstance(root, Resolved) for detail in root.selected.details
        )
        if not nodes:
            return None
        node = operation.node
        rest = OperationDefinitionNode(
            operation=node.operation,
            name=node.name,
            variable_definitions=node.variable_definitions,
            directives=node.directives,
            selection_set=SelectionSetNode(selections=nodes),
            loc=node.loc,
        )
        return operation._replace(node=rest)

    def _direct(self, selected: Selected, *, is_mutation: bool) -> Show | None:
        if selected.field is None or isinstance(selected.declaration, d.Keyed | d.Named | d.Pages):
            return None
        if is_mutation and not selected.is_nullable:
            return None
        return shown(self._selections, selected)

    def _stored(self, selected: Selected) -> p.Piece | None:
        """The piece of a root field; None where something of it does not come from the store."""
        marks = len(self.sites), len(self._splices), set(self.scopes), self._reads, len(self.postponed)
        try:
            match selected.declaration:
                case d.Keyed(source=source, scope=scope) as declaration if selected.is_nullable:
                    self.scopes.add(scope)
                    site = self._site(declaration, selected)
                    return p.Found(source, site, self._object(selected, source))
                case d.Named() as declaration:
                    return self._named(declaration, selected)
                case d.Pages() as declaration if selected.is_nullable:
                    return self._page(declaration, selected)
        except _Unplanned:
            del self.sites[marks[0] :], self._splices[marks[1] :], self.postponed[marks[4] :]
            self.scopes, self._reads = marks[2], marks[3]
        return None

    def _named(self, declaration: d.Named, selected: Selected) -> p.Named:
        site = self._site(declaration, selected)
        kinds: dict[str, tuple[Any, p.Object]] = {}
        for type_ in self._selections.kinds(selected):
            identity = declaration_of(type_.fields["id"])
            assert isinstance(identity, d.Identity)
            if identity.kind in declaration.of.stored:
                source, _ = declaration.of.stored[identity.kind]
                kinds[identity.kind] = source, self._row(self._selections.of_type(selected, type_), source)
        return p.Named(site, kinds, declaration.is_list)

    def _site(self, declaration: p.SiteDeclaration, selected: Selected) -> int:
        self.sites.append(Site(declaration, selected.arguments(), tells_places=True))
        return len(self.sites) - 1

    def _object(self, selected: Selected, source: Any) -> p.Object:
        _, inner = self._of(selected)
        return self._row(inner, source)

    def _row(self, inner: Sequence[Selected], source: Any) -> p.Object:
        self._reads += 1
        if self._reads > PIECES_MAX:
            raise _Unplanned
        return p.Object(tuple((each.key, self._piece(each, source)) for each in inner))

    def _of(self, selected: Selected) -> tuple[GraphQLObjectType, list[Selected]]:
        found = self._selections.of(selected)
        if found is None:
            raise _Unplanned
        return found

    def _piece(self, selected: Selected, source: Any) -> p.Piece:
        match selected.declaration:
            case d.Identity(kind=kind):
                return p.Identified(kind.value)
            case d.Column(name=name) if name in source.record._fields and is_leaf_type(get_named_type(selected.type)):
                return p.Value(name, _enum_names(selected))
            case d.Lesser(amount=amount, less=less):
                return p.Difference(amount, less)
            case d.Coded(name=name):
                return self._coded(selected, name)
            case d.Same():
                return self._object(selected, source)
            case _:
                return self._related(selected)

    def _related(self, selected: Selected) -> p.Piece:
        """What stands in other rows than the record's own."""
        match selected.declaration:
            case d.One(source=other, by=by, scope=scope):
                self.scopes.add(scope)
                return p.Related(other, by, self._object(selected, other), selected.is_nullable)
            case d.Several(source=other, by=by, scope=scope):
                self.scopes.add(scope)
                return p.Several(other, by, self._object(selected, other))
            case d.Latest(scope=scope, source=entries):
                self.scopes.add(scope)
                return p.Latest(self._object(selected, entries))
            case d.AsOf(scope=scope, source=entries) as declaration:
                self.scopes.add(scope)
                return p.Before(self._site(declaration, selected), self._object(selected, entries))
            case d.Pages() as declaration:
                return self._page(declaration, selected)
            case d.Later() as declaration if selected.is_nullable:
                return self._later(declaration, selected)
            case _:
                return _typename(selected)

    def _later(self, declaration: d.Later, selected: Selected) -> p.Later:
        show = shown(self._selections, selected)
        if show is None:
            raise _Unplanned
        self.scopes.add(declaration.scope)
        self.postponed.append(Postponed(declaration, selected.arguments(), show))
        return p.Later(declaration.columns, len(self.postponed) - 1)

    def _coded(self, selected: Selected, column: str) -> p.Object:
        """A currency: the store knows its code, the gateway the rest."""
        _, inner = self._of(selected)
        fields: list[tuple[str, p.Piece]] = []
        for each in inner:
            match each.declaration:
                case d.Column(name="code"):
                    fields.append((each.key, p.Value(column)))
                case d.Column(name=name):
                    self._splices.append(_of_currency(name))
                    fields.append((each.key, p.Spliced(column, len(self._splices) - 1)))
                case _:
                    fields.append((each.key, _typename(each)))
        return p.Object(tuple(fields))

    def _page(self, declaration: d.Pages, selected: Selected) -> p.Page:
        self.scopes.add(declaration.scope)
        site = self._site(declaration, selected)
        _, inner = self._of(selected)
        parts = tuple((each.key, self._part(each, declaration.source)) for each in inner)
        self.sites[site] = self.sites[site]._replace(tells_places=p.tells_places(parts))
        return p.Page(declaration.source, declaration.link, site, parts)

    def _part(self, selected: Selected, source: Any) -> p.Part:
        match selected.declaration:
            case None if selected.name == TYPENAME:
                return _typename(selected)
            case d.Part(name="nodes"):
                return p.Rows(self._object(selected, source))
            case d.Part(name="edges"):
                _, inner = self._of(selected)
                return p.Rows(p.Object(tuple((each.key, self._of_edge(each, source)) for each in inner)))
            case d.Part(name="total_count"):
                return p.Fact.COUNT
            case d.Part(name="totals"):
                return p.Totals(self._totals(selected))
            case d.Same():
                _, inner = self._of(selected)
                return p.Facts(tuple((each.key, _fact(each)) for each in inner))
            case _:
                raise _Unplanned

    def _of_edge(self, selected: Selected, source: Any) -> p.Piece:
        match selected.declaration:
            case d.Column(name="cursor"):
                return p.Cursor()
            case d.Column(name="node"):
                return self._object(selected, source)
            case _:
                return _typename(selected)

    def _totals(self, selected: Selected) -> p.Object:
        _, inner = self._of(selected)
        fields: list[tuple[str, p.Piece]] = []
        for each in inner:
            match each.declaration:
                case d.Coded(name=name):
                    fields.append((each.key, self._coded(each, name)))
                case d.Column(name=name):
                    fields.append((each.key, p.Value(name)))
                case _:
                    fields.append((each.key, _typename(each)))
        return p.Object(tuple(fields))


def _fact(selected: Selected) -> "p.Fact | p.Constant":
    match selected.declaration:
        case d.Part(name=name):
            return p.Fact(name)
        case _:
            return _typename(selected)


def _typename(selected: Selected) -> p.Constant:
    if selected.name != TYPENAME:
        raise _Unplanned
    return p.Constant(f'"{selected.parent.name}"')


def _of_currency(name: str) -> Callable[[str], Any]:
    def tell(code: str) -> Any:
        currency: Currency = CURRENCIES[code]
        return getattr(currency, name)

    return tell


def _enum_names(selected: Selected) -> tuple[tuple[Any, str], ...]:
    type_ = get_named_type(selected.type)
    if not isinstance(type_, GraphQLEnumType):
        return ()
    return tuple((value.value, name) for name, value in type_.values.items())


_SPLICE = p.SPLICE.encode()
_SPLICED = re.compile(_SPLICE + rb"(\d+):([^" + _SPLICE + rb"]*)" + _SPLICE)
_LATER = p.LATER.encode()
_POSTPONED = re.compile(_LATER + rb"(\d+):([^" + _LATER + rb"]*)" + _LATER)

PLANS_MAX = 16
"""Plans that are kept for one operation: as many ways as its @skip and @include may stand."""
TOKENS_MAX = 200_000
"""Of the documents of all plans that are kept, each counted as often as it has plans."""


class Plans:
    """The plans of operations, kept with them."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._kept: deque[tuple[ref[Planned], tuple[Any, ...], int]] = deque()
        """Whose plans were made, in this order, and of how many tokens; the document may be gone."""
        self._tokens = 0

    def of(self, operation: Operation, variables: VariableValues) -> Plan:
        """The plan of an operation, as its @skip and @include stand with the variables."""
        stand: tuple[Any, ...] = tuple([variables.coerced.get(name) for name in operation.switches])
        plan = operation.plans.get(stand)
        if plan is None:
            plan = Plan(self._schema, operation, variables)
            while len(operation.plans) >= PLANS_MAX:
                operation.plans.pop(next(iter(operation.plans)))
            operation.plans[stand] = plan
            self._keep(operation, stand)
        return plan

    def _keep(self, operation: Operation, stand: tuple[Any, ...]) -> None:
        self._kept.append((ref(operation.plans), stand, operation.tokens))
        self._tokens += operation.tokens
        while self._tokens > TOKENS_MAX:
            owner, oldest, tokens = self._kept.popleft()
            self._tokens -= tokens
            known = owner()
            if known is not None:
                known.pop(oldest, None)


def whole(parts: Sequence[tuple[str, bytes]]) -> bytes:
    """An object of texts that are JSON already."""
    return b"{" + b",".join([b'"%b":%b' % (key.encode(), text) for key, text in parts]) + b"}"
