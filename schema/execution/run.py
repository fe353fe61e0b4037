"""An operation from text to answer."""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from inspect import isawaitable
from typing import Any

import orjson
import structlog
from graphql import ExecutionResult, GraphQLError, GraphQLSchema, Undefined
from graphql.execution import create_source_event_stream
from graphql.execution.executor import Executor, default_field_resolver, default_type_resolver
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values

from app.domain.callers import Caller
from app.domain.numbers import JsonNumber
from app.domain.refusals import Code, Refusal
from app.rates import Rates
from app.web.operations import Answered, Asked, OutcomeUnknown
from resolvers.context import Context
from schema.execution.coercion import Coercions
from schema.execution.documents import ERRORS_MAX, Documents, Operation, Unsound
from schema.execution.limits import OperationLimits

_log = structlog.get_logger("balance_gateway")


LARGE_ITEMS = 1_000
"""Items of a batch whose variables are read in a thread, so that nobody else waits for that."""
FINISH_SECONDS = 3.0
"""How long the end of the process waits for mutations whose clients are gone."""
LATELY_MAX = 2_000
"""Answers to subscriptions that are kept for others who ask the same."""


class Runner:
    """Runs operations of a schema. `context_of` makes what each one carries with it."""

    def __init__(
        self,
        schema: GraphQLSchema,
        context_of: Callable[[Caller], Context],
        *,
        limits: OperationLimits | None = None,
        rates: Rates | None = None,
    ) -> None:
        self._schema = schema
        self._context_of = context_of
        self._limits = limits or OperationLimits()
        self._rates = rates
        self._documents = Documents(schema, self._limits)
        self._writing: set[asyncio.Future[Answered]] = set()
        self._coercions = Coercions()
        self._lately: OrderedDict[Hashable, asyncio.Future[Answered]] = OrderedDict()

    async def __call__(self, asked: Asked, caller: Caller, *, mutations: bool) -> Answered:
        """The answer to one request. Never raises: what is unexpected is logged and told as INTERNAL with its id.

        Cancelled, a query ends; a mutation goes on, and OutcomeUnknown is raised.
        """
        prepared = await self._prepared(asked, caller, mutations=mutations)
        if isinstance(prepared, Answered):
            return prepared
        operation, variables, cost = prepared
        if operation.is_subscription:
            return _refused(Code.BAD_REQUEST, [_plain(Refusal(Code.BAD_REQUEST, "A subscription needs a stream."))])
        answer = await self._answered(operation, variables, caller)
        return answer.with_cost(cost, self._limits.cost) if asked.wants_cost else answer

    async def subscribe(
        self, asked: Asked, caller: Caller, *, mutations: bool
    ) -> AsyncGenerator[bytes, None] | Answered:
        """The same for any operation; a subscription that began gives its answers one by one.

        Iterating raises Refusal where the subscription ends by the gateway's will. Closing the generator ends it.
        """
        prepared = await self._prepared(asked, caller, mutations=mutations)
        if isinstance(prepared, Answered):
            return prepared
        operation, variables, cost = prepared
        if not operation.is_subscription:
            answer = await self._answered(operation, variables, caller)
            return answer.with_cost(cost, self._limits.cost) if asked.wants_cost else answer
        try:
            executor = self._executor(operation, variables, self._context_of(caller), None)
            begun = create_source_event_stream(executor)
            source = await begun if isawaitable(begun) else begun
        except Exception as error:  # noqa: BLE001 - the last line of defence.
            return _refused(Code.INTERNAL, [_internal(error)])
        if isinstance(source, ExecutionResult):
            told = [_told(error, Code.BAD_REQUEST) for error in source.errors or ()]
            return _refused(Code(told[0]["extensions"]["code"]), told)
        key = (operation, _canonical(asked.variables), caller)
        return self._answers(source, operation, variables, caller, key)

    async def finish(self) -> None:
        """Wait for mutations that nobody waits for any more, but not for ever."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=FINISH_SECONDS)

    async def _answers(
        self, source: Any, operation: Operation, variables: VariableValues, caller: Caller, key: tuple[Any, ...]
    ) -> AsyncGenerator[bytes, None]:
        """An answer for each event, executed anew, with loaders of its own."""
        try:
            async for event in source:
                yield await self._shared((*key, event.id), lambda: self._executed(operation, variables, caller, event))  # noqa: B023 - awaited at once.
        except GraphQLError as error:
            raise error.original_error or error from error
        finally:
            await source.aclose()

    async def _shared(self, key: Hashable, answer: Callable[[], Awaitable[Answered]]) -> bytes:
        """Who asked the same about the same event, with the same rights, gets the same answer: made once."""
        made = self._lately.get(key)
        if made is None:
            made = self._lately[key] = asyncio.ensure_future(answer())
            while len(self._lately) > LATELY_MAX:
                self._lately.popitem(last=False)
        # One listener that goes away does not cancel what others wait for.
        return (await asyncio.shield(made)).body

    async def _answered(self, operation: Operation, variables: VariableValues, caller: Caller) -> Answered:
        """The answer to an operation. One that writes is not torn when nobody waits for it any more."""
        answering = self._executed(operation, variables, caller, None)
        if not operation.is_mutation:
            return await answering
        writing = asyncio.ensure_future(answering)
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError as cancelled:
            raise OutcomeUnknown from cancelled

    async def _prepared(
        self, asked: Asked, caller: Caller, *, mutations: bool
    ) -> tuple[Operation, VariableValues, int] | Answered:
        """The operation that is asked for, its variables and its cost; or why it does not run."""
        try:
            if self._rates is not None:
                self._rates.admit(caller)
            operation = await self._documents.operation(asked.query, asked.operation_name)
            if operation.is_mutation and not mutations:
                raise Refusal(Code.METHOD_NOT_ALLOWED, "A mutation needs POST.")
            cost = operation.price.of(asked.variables)
            if self._rates is not None:
                self._rates.charge(caller, cost)
            if operation.price.items(asked.variables) > LARGE_ITEMS:
                return operation, await asyncio.to_thread(self._variables, operation, asked.variables), cost
            return operation, self._variables(operation, asked.variables), cost
        except Unsound as unsound:
            return _refused(unsound.code, [_told(error, unsound.code) for error in unsound.errors])
        except Refusal as refusal:
            return _refused(refusal.code, [_plain(refusal)])._replace(extensions=refusal.extensions)
        except Exception as error:  # noqa: BLE001 - the last line of defence.
            return _refused(Code.INTERNAL, [_internal(error)])

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

    def _executor(self, operation: Operation, variables: VariableValues, context: Context, root: Any) -> Executor[Any]:
        return Executor(
            self._schema,
            operation.fragment_definitions,
            operation.fragments,
            root,
            context,
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

    async def _executed(self, operation: Operation, variables: VariableValues, caller: Caller, root: Any) -> Answered:
        executor = self._executor(operation, variables, self._context_of(caller), root)
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


def _canonical(value: Any) -> Hashable:
    """A JSON value that can be a key; numbers by their digits."""
    match value:
        case dict():
            return tuple(sorted((key, _canonical(each)) for key, each in value.items()))
        case list():
            return ("list", *map(_canonical, value))
        case JsonNumber():
            return ("number", value.text)
        case _:
            return (type(value).__name__, value)


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
