"""How a command fails: exit codes as the AWS command line, version 2, documents them.

Nothing here knows HTTP or parsing; every other module of the command line raises these.
"""

from __future__ import annotations

from typing import Any, Final

BAD_COMMAND: Final = 252
BAD_CONFIGURATION: Final = 253
SERVICE_ERROR: Final = 254
OTHER_ERROR: Final = 255
INTERRUPTED: Final = 130


class CommandError(Exception):
    """The command ends with this text on standard error and this exit code."""

    def __init__(self, message: str, exit_code: int = OTHER_ERROR) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ConnectionFailedError(CommandError):
    """The endpoint was not reached, or broke off before it had answered, each time tried."""


class ServiceError(CommandError):
    """The service answered with an error; `body` is its JSON, `{}` where it had none."""

    def __init__(
        self, *, code: str, message: str, operation: str, body: dict[str, Any], retries: int = 0
    ) -> None:
        after = f" (reached max retries: {retries})" if retries else ""
        super().__init__(
            f"An error occurred ({code}) when calling the {operation} operation{after}: {message}",
            SERVICE_ERROR,
        )
        self.code = code
        self.message = message
        self.body = body
