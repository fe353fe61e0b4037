"""The interface of all that has an id."""

import strawberry


@strawberry.interface
class Node:
    id: strawberry.ID
