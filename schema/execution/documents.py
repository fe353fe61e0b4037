"""Documents that were parsed and validated once, and are known when they come again."""

from collections import OrderedDict
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
from graphql.language import BREAK, OperationType, Visitor, visit

from app.domain.refusals import Code, Refusal

DOCUMENTS_MAX = 1000
CHARACTERS_MAX = 8_000_000
"""Of all documents that are kept."""

ERRORS_MAX = 5
"""Errors of one document or its variables that are told; a client mends the first ones first."""


class Operation(NamedTuple):
    """One operation of a valid document, with all that its execution needs of the document."""

    node: OperationDefinitionNode
    fragment_definitions: dict[str, FragmentDefinitionNode]
    fragments: dict[str, FragmentDetails]
    signatures: list[GraphQLVariableSignature]

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


class Documents:
    """The documents seen lately, bounded by number and by size. A document seen before costs no parse.

    is_schema_told: whether documents may ask for the schema itself, and errors suggest names of it.
    """

    def __init__(self, schema: GraphQLSchema, *, is_schema_told: bool = True) -> None:
        self._schema = schema
        self._is_schema_told = is_schema_told
        self._rules = specified_rules if is_schema_told else (*specified_rules, NoSchemaIntrospectionCustomRule)
        self._known: OrderedDict[str, dict[str | None, Operation]] = OrderedDict()
        self._characters = 0

    def operation(self, text: str, name: str | None) -> Operation:
        """The operation of a document by its name, or its only one.

        Raises Unsound where the document is, Refusal OPERATION_RESOLUTION_FAILURE where it has no such operation.
        """
        operations = self._known.get(text)
        if operations is None:
            operations = self._read(text)
            self._keep(text, operations)
        else:
            self._known.move_to_end(text)
        if name is None and len(operations) != 1:
            raise Refusal(Code.OPERATION_RESOLUTION_FAILURE, "The document has several operations: name one.")
        found = next(iter(operations.values())) if name is None else operations.get(name)
        if found is None:
            raise Refusal(Code.OPERATION_RESOLUTION_FAILURE, "The document has no operation of this name.")
        return found

    def _read(self, text: str) -> dict[str | None, Operation]:
        try:
            document = parse(text)
        except GraphQLError as error:
            raise Unsound(Code.GRAPHQL_PARSE_FAILED, [error]) from error
        if "\\u" in text:
            _refuse_nul(document)
        errors = validate(
            self._schema, document, self._rules, max_errors=ERRORS_MAX, hide_suggestions=not self._is_schema_told
        )
        if errors:
            raise Unsound(Code.GRAPHQL_VALIDATION_FAILED, errors[:ERRORS_MAX])
        return _operations(self._schema, document)

    def _keep(self, text: str, operations: dict[str | None, Operation]) -> None:
        self._known[text] = operations
        self._characters += len(text)
        while len(self._known) > DOCUMENTS_MAX or self._characters > CHARACTERS_MAX:
            oldest, _ = self._known.popitem(last=False)
            self._characters -= len(oldest)


def _operations(schema: GraphQLSchema, document: DocumentNode) -> dict[str | None, Operation]:
    definitions = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    fragments = {name: FragmentDetails(node, None) for name, node in definitions.items()}
    operations: dict[str | None, Operation] = {}
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            read = [get_variable_signature(schema, variable) for variable in node.variable_definitions or ()]
            signatures = [signature for signature in read if not isinstance(signature, GraphQLError)]
            assert len(signatures) == len(read), "the document is valid"
            operations[node.name.value if node.name else None] = Operation(node, definitions, fragments, signatures)
    return operations


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
