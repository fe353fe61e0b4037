"""How the root fields of an operation were answered, for a client that asks; nobody else pays for it."""

from typing import Any

from graphql import GraphQLSchema
from graphql.execution.values import VariableValues

from resolvers.context import Context
from resolvers.plans import statement
from schema.execution.documents import Operation
from schema.execution.plans import Direct, Plan, Root, Stored
from schema.execution.selections import Selections


class Ways:
    """The ways of one operation. All go through graphql-core until a plan is said to have been gone by."""

    def __init__(self, schema: GraphQLSchema, operation: Operation, variables: VariableValues) -> None:
        self._selections = Selections(schema, operation, variables)
        self._variables = variables
        self._planned: tuple[Plan, Context] | None = None

    def went(self, plan: Plan, context: Context) -> None:
        """The operation was answered by a plan, for a caller."""
        self._planned = plan, context

    def told(self) -> dict[str, Any]:
        """How each root field was answered, by its key; the one statement, where there is one, without values; and
        those that are asked by what it tells.
        """
        if self._planned is None:
            fields = [{"field": root.key, "by": "graphql-core"} for root in self._selections.roots()]
            return {"fields": fields, "sql": None}
        plan, context = self._planned
        sql = None
        if plan.asked is not None:
            sql = statement(context, plan.asked, plan.given(self._variables, context))
        told: dict[str, Any] = {"fields": [{"field": root.key, "by": _by(root)} for root in plan.roots], "sql": sql}
        if plan.postponed:
            told["later"] = [
                each.declaration.statement(context, each.arguments.values(self._variables)) for each in plan.postponed
            ]
        return told


def _by(root: Root) -> str:
    match root:
        case Stored():
            return "store"
        case Direct():
            return "resolver"
        case _:
            return "graphql-core"
