"""An operation from text to answer."""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any, NamedTuple

import orjson
import structlog
from graphql import ExecutionResult, GraphQLError, GraphQLSchema, Undefined, located_error
from graphql.execution import create_source_event_stream
from graphql.execution.executor import Executor, default_field_resolver, default_type_resolver
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values

from app.domain.callers import Caller
from app.domain.columns import Columns
from app.domain.numbers import JsonNumber
from app.domain.refusals import Code, Refusal
from app.rates import Rates
from app.threads import apart
from app.web.access import at_hand, carry
from app.web.operations import Answered, Asked, OutcomeUnknown
from app.web.running import REQUEST_SECONDS
from resolvers.context import Context
from resolvers.once import Onces
from resolvers.plans import Unstored
from resolvers.plans import answer as answer_of
from schema.execution.documents import ERRORS_MAX, Documents, Operation, Unsound
from schema.execution.limits import OperationLimits
from schema.execution.lists import ListExecutor
from schema.execution.plans import Direct, Plan, Plans, Resolved, Root, Stored, whole
from schema.execution.roots import check_one_root
from schema.execution.selections import Selections
from schema.execution.ways import Ways

_log = structlog.get_logger("balance_gateway")


FINISH_SECONDS = 3.0
"""How long the end of the process waits for mutations whose clients are gone."""
LATELY_MAX = 2_000
"""Answers to subscriptions that are kept for others who ask the same."""
_SOUND = b'{"data":'
"""How an answer without errors begins."""


class Runner:
    """Runs operations of a schema. `context_of` makes what each one carries with it.

    is_schema_told: whether operations may ask for the schema itself, and errors suggest names of it.
    with_plans: whether what stands in the store is written by the database; else resolvers answer everything.
    shows_plans: whether a client is told how its operation was answered.
    event_seconds: how long the answer to one event of a subscription may take.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        context_of: Callable[[Caller], Context],
        *,
        limits: OperationLimits | None = None,
        rates: Rates | None = None,
        is_schema_told: bool = True,
        with_plans: bool = True,
        shows_plans: bool = False,
        event_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._schema = schema
        self._event_seconds = event_seconds
        self._plans = Plans(schema) if with_plans else None
        self._shows_plans = shows_plans
        self._context_of = context_of
        self._limits = limits or OperationLimits()
        self._rates = rates
        self._documents = Documents(schema, self._limits, is_schema_told=is_schema_told)
        self._is_schema_told = is_schema_told
        self._writing: set[asyncio.Future[Answered]] = set()
        self._onces = Onces()
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
        return await self._told_of(asked, operation, variables, cost, caller)

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
            return await self._told_of(asked, operation, variables, cost, caller)
        try:
            executor = self._executor(operation, variables, self._context_of(caller), None)
            begun = create_source_event_stream(executor)
            source = await begun if isawaitable(begun) else begun
        except Exception as error:  # noqa: BLE001 - the last line of defence.
            return _refused(Code.INTERNAL, [_internal(error)])
        if isinstance(source, ExecutionResult):
            told = [_told(error, Code.BAD_REQUEST) for error in source.errors or ()]
            return _refused(Code(told[0]["extensions"]["code"]), told)
        key = (operation, _canonical(asked.variables), caller._replace(expires_at=None))
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
        """Who asked the same about the same event, with the same rights, gets the same answer: made once.

        One that failed is not kept: whoever resumes before its event is answered anew. Raises Refusal TIMEOUT.
        """
        made = self._lately.get(key)
        if made is None:
            made = self._lately[key] = asyncio.ensure_future(answer())
            carry(made)
            while len(self._lately) > LATELY_MAX:
                self._lately.popitem(last=False)
        # One listener that goes away does not cancel what others wait for.
        await asyncio.wait({made}, timeout=self._event_seconds)
        made.cancel()
        if not made.done() or made.cancelled():
            self._forget(key, made)
            told = f"The answer to an event took longer than {self._event_seconds:g} s."
            raise Refusal(Code.TIMEOUT, f"{told} Resume after the last one received.", limit=self._event_seconds)
        body = made.result().body
        if not body.startswith(_SOUND):
            self._forget(key, made)
        return body

    def _forget(self, key: Hashable, made: "asyncio.Future[Answered]") -> None:
        if self._lately.get(key) is made:
            del self._lately[key]

    def _told_of(
        self, asked: Asked, operation: Operation, variables: VariableValues, cost: int, caller: Caller
    ) -> Awaitable[Answered]:
        """The answer to an operation, and beside it what else was asked of it."""
        if not (asked.wants_cost or asked.wants_plan or operation.is_mutation):
            return self._executed(operation, variables, caller, None)
        return self._told_more(asked, operation, variables, cost, caller)

    async def _told_more(
        self, asked: Asked, operation: Operation, variables: VariableValues, cost: int, caller: Caller
    ) -> Answered:
        ways = Ways(self._schema, operation, variables) if asked.wants_plan and self._shows_plans else None
        answer = await self._answered(asked, operation, variables, caller, ways)
        if ways is None and not asked.wants_cost:
            return answer
        told: dict[str, Any] = {}
        if asked.wants_cost:
            told["cost"] = {"estimate": cost, "maximum": self._limits.cost}
        if ways is not None:
            told["plan"] = ways.told()
        return answer.with_extensions(told)

    async def _answered(
        self, asked: Asked, operation: Operation, variables: VariableValues, caller: Caller, ways: Ways | None
    ) -> Answered:
        """The answer to an operation. One that writes is not torn when nobody waits for it any more."""
        if not operation.is_mutation:
            return await self._executed(operation, variables, caller, None, ways=ways)
        writing = asyncio.ensure_future(self._written(asked, operation, variables, caller, ways))
        carry(writing)
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError as cancelled:
            raise OutcomeUnknown from cancelled

    async def _written(
        self, asked: Asked, operation: Operation, variables: VariableValues, caller: Caller, ways: Ways | None
    ) -> Answered:
        """The answer to a mutation; to one with a key that was answered before, the same again."""
        if asked.idempotency_key is None:
            return await self._executed(operation, variables, caller, None, ways=ways)
        try:
            return await self._onces.answer(
                asked,
                self._context_of(caller),
                lambda context: self._executed(operation, variables, caller, None, context, ways=ways),
            )
        except Refusal as refusal:
            return _refused(refusal.code, [_plain(refusal)])
        except Exception as error:  # noqa: BLE001 - the last line of defence.
            return _refused(Code.INTERNAL, [_internal(error)])

    async def _prepared(
        self, asked: Asked, caller: Caller, *, mutations: bool
    ) -> tuple[Operation, VariableValues, int] | Answered:
        """The operation that is asked for, its variables and its cost; or why it does not run."""
        try:
            if self._rates is not None:
                self._rates.admit(caller)
            if not asked.query:
                # No query is remembered for who sends its hash alone; who is told so sends it whole.
                raise Refusal(Code.PERSISTED_QUERY_NOT_FOUND, "PersistedQueryNotFound")
            of = asked.query, asked.operation_name
            operation = self._documents.known(*of) or await self._documents.operation(*of)
            request = at_hand()
            request.name, request.type = operation.name, operation.node.operation.value
            if operation.is_mutation and not mutations:
                raise Refusal(Code.METHOD_NOT_ALLOWED, "A mutation needs POST.")
            if asked.idempotency_key is not None:
                check_one_root(operation)
            cost = request.cost = operation.price.of(asked.variables)
            if self._rates is not None:
                self._rates.charge(caller, cost)
            items = operation.price.items(asked.variables)
            variables = partial(self._variables, operation, asked.variables)
            return operation, await apart(items, variables) if items else variables(), cost
        except Unsound as unsound:
            return _refused(unsound.code, [_told(error, unsound.code) for error in unsound.errors])
        except Refusal as refusal:
            return _refused(refusal.code, [_plain(refusal)])._replace(extensions=refusal.extensions)
        except Exception as error:  # noqa: BLE001 - the last line of defence.
            return _refused(Code.INTERNAL, [_internal(error)])

    def _variables(self, operation: Operation, raw: dict[str, Any]) -> VariableValues:
        sources: dict[str, VariableValueSource] = {}
        coerced: dict[str, Any] = {}
        for signature, coerce in operation.inputs:
            name = signature.name
            value = coerce(raw[name]) if name in raw else Undefined
            if value is Undefined:
                return self._variables_slowly(operation, raw)
            sources[name] = VariableValueSource(signature, raw[name])
            coerced[name] = value
        return VariableValues(sources, coerced)

    def _variables_slowly(self, operation: Operation, raw: dict[str, Any]) -> VariableValues:
        """By graphql-core: defaults, absent variables, and what is wrong."""
        nodes = operation.node.variable_definitions or ()
        found = get_variable_values(
            self._schema, nodes, raw, max_errors=ERRORS_MAX, hide_suggestions=not self._is_schema_told
        )
        if isinstance(found, list):
            raise Unsound(Code.BAD_REQUEST, found[:ERRORS_MAX])
        return found

    def _executor(self, operation: Operation, variables: VariableValues, context: Context, root: Any) -> Executor[Any]:
        executor = ListExecutor(
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
            hide_suggestions=not self._is_schema_told,
        )
        executor.selections = Selections(self._schema, operation, variables)
        return executor

    async def _executed(
        self,
        operation: Operation,
        variables: VariableValues,
        caller: Caller,
        root: Any,
        context: Context | None = None,
        *,
        ways: Ways | None = None,
    ) -> Answered:
        context = context or self._context_of(caller)
        is_still = False
        try:
            if root is None and self._plans is not None:
                plan = self._plans.of(operation, variables)
                answered = await self._planned(plan, operation, variables, context)
                if answered is not None:
                    if ways is not None:
                        ways.went(plan, context)
                    return answered
                is_still = plan.is_still and plan.asked is None
            data, errors = await self._resolved(operation, variables, context, root, is_still=is_still)
        except Exception as error:  # noqa: BLE001 - the last line of defence.
            return _refused(Code.INTERNAL, [_internal(error)])
        is_nothing = not any(value is not None for value in (data or {}).values())
        return _answered(orjson.dumps(data), errors, is_nothing=is_nothing)

    async def _resolved(
        self, operation: Operation, variables: VariableValues, context: Context, root: Any, *, is_still: bool = False
    ) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        """The data of an operation that graphql-core executes, and its errors as they are told.

        is_still: whether it tells of the schema alone; then nothing is awaited, and it takes long.
        """
        execute: Any = self._executor(operation, variables, context, root).execute_operation
        result: ExecutionResult | Awaitable[ExecutionResult] = (
            await asyncio.to_thread(execute) if is_still else execute()
        )
        answer = await result if isawaitable(result) else result
        assert isinstance(answer, ExecutionResult)
        return answer.data, [_told(error, Code.BAD_REQUEST) for error in answer.errors or ()]

    async def _planned(
        self, plan: Plan, operation: Operation, variables: VariableValues, context: Context
    ) -> Answered | None:
        """The answer by a plan; None where the whole is to be resolved, which knows best what to say."""
        if plan.resolved is not None and (plan.asked is None or operation.is_mutation):
            return None
        errors: list[dict[str, Any]] = []
        texts = await _stored(plan, variables, context, errors)
        if texts is None:
            return None
        rest: Mapping[str, Any] = {}
        if plan.resolved is not None:
            data, told = await self._resolved(plan.resolved, variables, context, None, is_still=plan.is_still)
            errors += told
            if data is None:
                return _answered(b"null", errors, is_nothing=True)
            rest = data
        parts: list[tuple[str, bytes]] = []
        for root in plan.roots:
            match root:
                case Stored(place=place):
                    text = texts[place]
                case Direct():
                    text = await _direct(root, variables, context, errors)
                case Resolved(key=key):
                    text = orjson.dumps(rest[key])
            parts.append((root.key, text))
        if errors and any(
            text == b"null" and not root.selected.is_nullable for root, (_, text) in zip(plan.roots, parts, strict=True)
        ):
            return _answered(b"null", errors, is_nothing=True)
        return _answered(whole(parts), errors, is_nothing=all(text == b"null" for _, text in parts))


async def _stored(
    plan: Plan, variables: VariableValues, context: Context, errors: list[dict[str, Any]]
) -> Sequence[bytes] | None:
    """What the database writes of a plan, by the places of its roots; None where resolvers are to be asked."""
    if plan.asked is None:
        return ()
    if plan.is_given_up or not plan.scopes <= context.caller.scopes:
        return None
    try:
        given = plan.given(variables, context)
    except (Refusal, GraphQLError, Unstored):
        return None
    try:
        found = await answer_of(context, plan.asked, given)
    except Refusal as refusal:
        stored = [root for root in plan.roots if isinstance(root, Stored)]
        errors += [_told(_located(refusal, root), refusal.code) for root in stored]
        return [b"null"] * len(stored)
    except Exception as error:  # noqa: BLE001 - resolvers ask less at once, and say what is wrong where.
        # A statement may be more than the database's parser takes; it would be each time.
        _log.warning("plan_failed", error=type(error).__name__)
        plan.is_given_up = True
        return None
    texts = [plan.spliced(text) for text in found if text is not None]
    if len(texts) != len(found):
        return None
    return await _postponed(plan, texts, variables, context) if plan.postponed else texts


async def _postponed(
    plan: Plan, texts: Sequence[bytes], variables: VariableValues, context: Context
) -> Sequence[bytes] | None:
    """The texts with what other statements tell; None where resolvers are to say what is wrong of which field."""
    asked = plan.postponed_in(texts)

    async def tell(place: int, places: Mapping[bytes, tuple[str, ...]]) -> Mapping[bytes, bytes]:
        later = plan.postponed[place]
        arguments = later.arguments.values(variables)
        found = await later.declaration.load(context, arguments, list(places.values()))
        refused = next((each for each in found if isinstance(each, Refusal)), None)
        if refused is not None:
            raise refused
        show = later.show
        size = sum([len(each) for each in found])
        return await apart(
            size, lambda: {key: orjson.dumps(show(each)) for key, each in zip(places, found, strict=True)}
        )

    try:
        told = await asyncio.gather(*[tell(*each) for each in asked.items()])
    except (Refusal, GraphQLError):
        return None
    except Exception as error:  # noqa: BLE001 - resolvers say what is wrong, and of which field.
        _log.warning("plan_failed", error=type(error).__name__)
        return None
    put = {key: text for each in told for key, text in each.items()}
    return [plan.with_postponed(text, put) for text in texts]


async def _direct(root: Direct, variables: VariableValues, context: Context, errors: list[dict[str, Any]]) -> bytes:
    """What a root field's resolver gives, as JSON; null beside its error."""
    assert root.selected.field is not None
    resolve = root.selected.field.resolve
    assert resolve is not None
    try:
        value = resolve(None, _Asking(context), **root.arguments.values(variables))
        value = await value if isawaitable(value) else value
        return await apart(_size_of(value), lambda: orjson.dumps(root.show(value)))
    except Exception as error:  # noqa: BLE001 - as graphql-core does for a field.
        errors.append(_told(_located(error, root), Code.BAD_REQUEST))
        return b"null"


def _size_of(value: Any) -> int:
    """How many things a resolver gave, more or less."""
    return (
        max([len(each) for each in value if isinstance(each, list | Columns)], default=0)
        if isinstance(value, tuple)
        else 0
    )


class _Asking(NamedTuple):
    """What a resolver of a root field is handed of graphql-core's info."""

    context: Context


def _located(error: Exception, root: Root) -> GraphQLError:
    return located_error(error, [detail.node for detail in root.selected.details], [root.key])


def _answered(data: bytes, errors: list[dict[str, Any]], *, is_nothing: bool) -> Answered:
    """An answer of data and errors; `is_nothing` says that every root field is null."""
    if errors and is_nothing and all(error["extensions"]["code"] is Code.UNAVAILABLE for error in errors):
        # For want of a database: then the request's status says so, and to try again.
        return _refused(Code.UNAVAILABLE, errors)
    if errors:
        at_hand().code = errors[0]["extensions"]["code"]
    told = b'"errors":%b,' % orjson.dumps(errors) if errors else b""
    return Answered(b'{%b"data":%b}' % (told, data), ran=True, code=None)


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
    at_hand().code = code
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
