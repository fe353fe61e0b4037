"""Lists that graphql-core's executor completes at once."""

from typing import Any

from graphql import GraphQLList, GraphQLResolveInfo
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.executor import Executor
from graphql.pyutils import AwaitableOrValue, Path

from schema.execution.selections import Selected, Selections
from schema.execution.shown import Show, shown

MANY = 16
"""Things of a list that are worth it."""


class ListExecutor(Executor[Any]):
    """The executor, but a list of which all that is selected is at hand is shown column by column.

    The executor's own way costs some microseconds for each field of each thing: a series has 2,000 of them. Whatever
    can't be shown so goes the executor's way, which also says what is wrong where.
    """

    selections: Selections
    """Of the operation that is executed."""

    def complete_list_value(
        self,
        return_type: GraphQLList[Any],
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> AwaitableOrValue[list[Any]]:
        if type(result) is list and len(result) >= MANY:
            show = self._show(field_details_list, info)
            if show is not None:
                try:
                    told: list[Any] = show(result)
                except Exception:  # noqa: BLE001, S110 - the executor says why, and where.
                    pass
                else:
                    return told
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)

    def _show(self, details: FieldDetailsList, info: GraphQLResolveInfo[Any]) -> Show | None:
        """How a field's list is shown; None where something of it is to be resolved."""
        known: dict[tuple[str, int], Show | None] = self.__dict__.setdefault("_shows", {})
        key = info.parent_type.name, id(details[0].node)
        if key not in known:
            field = info.parent_type.fields[info.field_name]
            known[key] = shown(
                self.selections, Selected(str(info.path.key), info.field_name, info.parent_type, field, details)
            )
        return known[key]
