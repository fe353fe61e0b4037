"""Documents that were parsed and validated once, and are known when they come again."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    parse,
    specified_rules,
    validate,
)
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.language import BREAK, DirectiveNode, Node, OperationType, VariableNode, Visitor, visit

from app.domain.refusals import Code, Refusal
from app.threads import standing_ready
from schema.execution.coercion import Coerce, Coercions
from schema.execution.limits import OperationLimits, check_document, check_text, too_large
from schema.execution.pricing import Price, Pricing

DOCUMENTS_MAX = 1000
TOKENS_MAX = 200_000
"""Of all documents that are kept; each takes about half a kilobyte."""

ERRORS_MAX = 5
"""Errors of one document or its variables that are told; a client mends the first ones first."""
LARGE_TOKENS = 500
"""Reading a document of so many tokens holds the event loop for some milliseconds."""

_TOKEN = re.compile(r"[\w$@]+|[^\s,\w]")
_ABORTED = "Parsing aborted"
"""What graphql-core says where a limit was reached."""


class Planned(dict[tuple[Any, ...], Any]):
    """How an operation is answered, by the values of the variables that its @skip and @include hang on."""


class Operation(NamedTuple):
    """One operation of a valid document, with all that its execution needs of the document."""

    node: OperationDefinitionNode
    fragment_definitions: dict[str, FragmentDefinitionNode]
    fragments: dict[str, FragmentDetails]
    inputs: list[tuple[GraphQLVariableSignature, Coerce]]
    """Its variables, and how a value of each is coerced."""
    switches: tuple[str, ...]
    """The variables that @skip and @include hang on."""
    plans: Planned
    """Its plans (schema.execution.plans)."""
    price: Price
    tokens: int
    """Of its document."""

    def __hash__(self) -> int:
        return id(self.node)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Operation) and self.node is other.node

    @property
    def name(self) -> str | None:
        return self.node.name.value if self.node.name else None

    @property
    def is_mutation(self) -> bool:
        return self.node.operation is OperationType.MUTATION

    @property
    def is_subscription(self) -> bool:
        return self.node.operation is OperationType.SUBSCRIPTION


class Unsound(Exception):  # noqa: N818 - a document's fault, told to whoever sent it.
    """A document that does not parse or is not valid."""

    def __init__(self, code: Code, errors: list[GraphQLError]) -> None:
        super().__init__(code)
        self.code = code
        self.errors = errors


class Document(NamedTuple):
    """A valid document."""

    operations: dict[str | None, Operation]
    tokens: int


class Documents:
    """The documents seen lately, bounded by number and by size. A document seen before costs no parse.

    is_schema_told: whether documents may ask for the schema itself, and errors suggest names of it.
    """

    def __init__(
        self, schema: GraphQLSchema, limits: OperationLimits | None = None, *, is_schema_told: bool = True
    ) -> None:
        self._schema = schema
        self._limits = limits or OperationLimits()
        self._pricing = Pricing(schema, self._limits)
        self._coercions = Coercions()
        self._is_schema_told = is_schema_told
        self._rules = specified_rules if is_schema_told else (*specified_rules, NoSchemaIntrospectionCustomRule)
        self._known: OrderedDict[str, Document] = OrderedDict()
        self._tokens = 0
        # One thread: large documents of many clients wait for each other, and not the small ones for them.
        self._reader = standing_ready(1, "documents")

    def known(self, text: str, name: str | None) -> Operation | None:
        """The operation of a document that is known; None for another one. Raises as `operation` does."""
        document = self._known.get(text)
        if document is None:
            return None
        self._known.move_to_end(text)
        return _chosen(document.operations, name)

    async def operation(self, text: str, name: str | None) -> Operation:
        """The operation of a document by its name, or its only one.

        A large document is read in a thread, so that nobody waits for it but who sent it.
        Raises Unsound where the document is, Refusal OPERATION_RESOLUTION_FAILURE where it has no such operation, and
        DOCUMENT_TOO_LARGE or QUERY_TOO_COMPLEX where it is above a limit.
        """
        found = self.known(text, name)
        if found is not None:
            return found
        check_text(text, self._limits)
        if is_large(text):
            document = await asyncio.get_running_loop().run_in_executor(self._reader, self._read, text)
        else:
            document = self._read(text)
        self._keep(text, document)
        return _chosen(document.operations, name)

    def _read(self, text: str) -> Document:
        document = self._parsed(text)
        if "\\u" in text:
            _refuse_nul(document)
        check_document(document, self._limits)
        errors = validate(
            self._schema, document, self._rules, max_errors=ERRORS_MAX, hide_suggestions=not self._is_schema_told
        )
        if errors:
            raise Unsound(Code.GRAPHQL_VALIDATION_FAILED, errors[:ERRORS_MAX])
        return Document(_operations(self._schema, document, self._pricing, self._coercions), document.token_count or 0)

    def _parsed(self, text: str) -> DocumentNode:
        tokens = self._limits.tokens
        try:
            return parse(text, max_lexical_tokens=tokens, max_comments=tokens)
        except GraphQLError as error:
            if _ABORTED in error.message:
                raise too_large("tokens", tokens) from None
            raise Unsound(Code.GRAPHQL_PARSE_FAILED, [error]) from error

    def _keep(self, text: str, document: Document) -> None:
        if text in self._known:  # Read in a thread for another one meanwhile.
            return
        self._known[text] = document
        self._tokens += document.tokens
        while len(self._known) > DOCUMENTS_MAX or self._tokens > TOKENS_MAX:
            _, oldest = self._known.popitem(last=False)
            self._tokens -= oldest.tokens


def is_large(text: str) -> bool:
    """Whether a text has more tokens than are read at once."""
    return len(text) > LARGE_TOKENS and sum(1 for _ in _TOKEN.finditer(text)) > LARGE_TOKENS


def _chosen(operations: Mapping[str | None, Operation], name: str | None) -> Operation:
    if name is None and len(operations) != 1:
        raise Refusal(Code.OPERATION_RESOLUTION_FAILURE, "The document has several operations: name one.")
    found = next(iter(operations.values())) if name is None else operations.get(name)
    if found is None:
        raise Refusal(Code.OPERATION_RESOLUTION_FAILURE, "The document has no operation of this name.")
    return found


def _operations(
    schema: GraphQLSchema, document: DocumentNode, pricing: Pricing, coercions: Coercions
) -> dict[str | None, Operation]:
    definitions = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    fragments = {name: FragmentDetails(node, None) for name, node in definitions.items()}
    operations: dict[str | None, Operation] = {}
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            read = [get_variable_signature(schema, variable) for variable in node.variable_definitions or ()]
            inputs = [(each, coercions.of(each.type)) for each in read if not isinstance(each, GraphQLError)]
            assert len(inputs) == len(read), "the document is valid"
            switches, price = _switches(node, definitions.values()), pricing.price(node, definitions)
            name = node.name.value if node.name else None
            operations[name] = Operation(
                node, definitions, fragments, inputs, switches, Planned(), price, document.token_count or 0
            )
    return operations


class _Variables(Visitor):
    """The variables that stand somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable(self, node: VariableNode, *_args: Any) -> None:
        self.names.add(node.name.value)


def variables_in(*nodes: Node) -> set[str]:
    """The variables that stand in some nodes."""
    found = _Variables()
    for node in nodes:
        visit(node, found)
    return found.names


class _Directives(Visitor):
    """The directives of a document; no other than @skip and @include takes a variable."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[DirectiveNode] = []

    def enter_directive(self, node: DirectiveNode, *_args: Any) -> None:
        self.found.append(node)


def _switches(node: OperationDefinitionNode, fragments: Collection[FragmentDefinitionNode]) -> tuple[str, ...]:
    """The variables that decide what an operation selects."""
    directives = _Directives()
    for each in (node.selection_set, *fragments):
        visit(each, directives)
    return tuple(sorted(variables_in(*directives.found)))


class _Nul(Visitor):
    """Looks for a text that holds U+0000, which no database of ours keeps."""

    found = False

    def enter_string_value(self, node: Any, *_args: Any) -> Any:
        if "\x00" in node.value:
            self.found = True
            return BREAK
        return None


def _refuse_nul(document: DocumentNode) -> None:
    visitor = _Nul()
    visit(document, visitor)
    if visitor.found:
        raise Refusal(Code.BAD_REQUEST, "A text must not hold U+0000.")
