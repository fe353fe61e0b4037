"""What was wrong, told as data."""

import strawberry

from app.domain.refusals import UserErrorCode
from schema.fields import column

strawberry.enum(UserErrorCode)


@strawberry.type(description="Why a mutation did nothing. All that is wrong is told at once.")
class UserError:
    code: UserErrorCode = column("code")
    message: str = column("message")
    path: list[str] = column("path", 'The way to the argument, such as ["input", "maxBalance"].')
    documented_code: str | None = column(
        "documented_code",
        "The code that the documented operation gives for this, verbatim: WCFG0004, O005, 100.",
    )
