"""An operation from text to answer."""

import uuid
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

import orjson
import structlog
from graphql import ExecutionResult, GraphQLError, GraphQLSchema, Undefined
from graphql.execution.executor import Executor, default_field_resolver, default_type_resolver
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values

from app.domain.callers import Caller
from app.domain.refusals import Code, Refusal
from app.web.operations import Answered, Asked
from resolvers.context import Context
from schema.execution.coercion import Coercions
from schema.execution.documents import ERRORS_MAX, Documents, Operation, Unsound

_log = structlog.get_logger("balance_gateway")


class Runner:
    """Runs operations of a schema. `context_of` makes what each one carries with it."""

    def __init__(self, schema: GraphQLSchema, context_of: Callable[[Caller], Context]) -> None:
        self._schema = schema
        self._context_of = context_of
        self._documents = Documents(schema)
        self._coercions = Coercions()

    async def __call__(self, asked: Asked, caller: Caller, *, mutations: bool) -> Answered:
        """The answer to one request. Never raises: what is unexpected is logged and told as INTERNAL with its id."""
        try:
            operation = self._documents.operation(asked.query, asked.operation_name)
            if operation.is_mutation and not mutations:
                raise Refusal(Code.METHOD_NOT_ALLOWED, "A mutation needs POST.")
            if operation.is_subscription:
                raise Refusal(Code.BAD_REQUEST, "A subscription needs a stream.")
            variables = self._variables(operation, asked.variables)
        except Unsound as unsound:
            return _refused(unsound.code, [_told(error, unsound.code) for error in unsound.errors])
        except Refusal as refusal:
            return _refused(refusal.code, [_plain(refusal)])
        except Exception as error:  # noqa: BLE001 - the last line of defence.
            return _refused(Code.INTERNAL, [_internal(error)])
        return await self._executed(operation, variables, caller)

    def _variables(self, operation: Operation, raw: dict[str, Any]) -> VariableValues:
        sources: dict[str, VariableValueSource] = {}
        coerced: dict[str, Any] = {}
        for signature in operation.signatures:
            name = signature.name
            if name not in raw:
                return self._variables_slowly(operation, raw)
            value = self._coercions.of(signature.type)(raw[name])
            if value is Undefined:
                return self._variables_slowly(operation, raw)
            sources[name] = VariableValueSource(signature, raw[name])
            coerced[name] = value
        return VariableValues(sources, coerced)

    def _variables_slowly(self, operation: Operation, raw: dict[str, Any]) -> VariableValues:
        """By graphql-core: defaults, absent variables, and what is wrong."""
        nodes = operation.node.variable_definitions or ()
        found = get_variable_values(self._schema, nodes, raw, max_errors=ERRORS_MAX)
        if isinstance(found, list):
            raise Unsound(Code.BAD_REQUEST, found[:ERRORS_MAX])
        return found

    async def _executed(self, operation: Operation, variables: VariableValues, caller: Caller) -> Answered:
        executor: Executor[Any] = Executor(
            self._schema,
            operation.fragment_definitions,
            operation.fragments,
            None,
            self._context_of(caller),
            operation.node,
            variables,
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
            False,
            None,
            None,
            None,
        )
        try:
            result: ExecutionResult | Awaitable[ExecutionResult] = executor.execute_operation()  # type: ignore[assignment]  # The plain executor streams nothing.
            answer = await result if isawaitable(result) else result
            assert isinstance(answer, ExecutionResult)
        except Exception as error:  # noqa: BLE001 - the last line of defence.
            return _refused(Code.INTERNAL, [_internal(error)])
        body: dict[str, Any] = {"data": answer.data}
        if answer.errors:
            body = {"errors": [_told(error, Code.BAD_REQUEST) for error in answer.errors], **body}
        return Answered(orjson.dumps(body), ran=True, code=None)


def _refused(code: Code, errors: list[dict[str, Any]]) -> Answered:
    return Answered(orjson.dumps({"errors": errors}), ran=False, code=code)


def _told(error: GraphQLError, code: Code) -> dict[str, Any]:
    """An error as the client sees it: its place, and a code; what is unexpected is hidden behind an id."""
    cause: BaseException | None = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    if isinstance(cause, Refusal):
        told = _plain(cause)
    elif cause is None or isinstance(cause, GraphQLError):
        told = {"message": error.message, "extensions": {"code": code}}
    else:
        told = _internal(cause)
    if error.locations:
        told["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path is not None:
        told["path"] = list(error.path)
    return told


def _plain(refusal: Refusal) -> dict[str, Any]:
    return {"message": refusal.message, "extensions": {"code": refusal.code, **refusal.extensions}}


def _internal(error: BaseException) -> dict[str, Any]:
    number = uuid.uuid4().hex
    _log.error("internal_error", id=number, error=type(error).__name__, exc_info=error)
    return {"message": "Internal error.", "extensions": {"code": Code.INTERNAL, "id": number}}
