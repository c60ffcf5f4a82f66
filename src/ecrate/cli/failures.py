"""How a command fails: exit codes as the AWS command line, version 2, documents them.

A failure is one line that says what is wrong and one that says what to do next; `details` are what
`--debug` adds. Nothing here knows HTTP or parsing; all modules of the command line raise these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

BAD_COMMAND: Final = 252
BAD_CONFIGURATION: Final = 253
SERVICE_ERROR: Final = 254
OTHER_ERROR: Final = 255
INTERRUPTED: Final = 130

_ADVICE: Final = {
    "AccessDeniedException": "`ecrate iam simulate` explains why, on the server's machine.",
    "ExpiredTokenException": "Get new credentials; those of a session last some hours.",
    "ImageNotFoundException": "`ecrate ecr list-images` lists the images of a repository.",
    "InvalidSignatureException": "Does the secret key belong to the access key, is the clock right?"
    ' `eval "$(ecrate env)"` sets those of a local server.',
    "LifecyclePolicyNotFoundException": "`ecrate ecr put-lifecycle-policy` sets one.",
    "RegistryPolicyNotFoundException": "`ecrate ecr put-registry-policy` sets one.",
    "RepositoryAlreadyExistsException": "`ecrate ecr describe-repositories` shows it.",
    "RepositoryNotEmptyException": "--force deletes it with all its images.",
    "RepositoryNotFoundException": "`ecrate ecr describe-repositories` lists those there are; "
    "`ecrate ecr create-repository` makes one.",
    "RepositoryPolicyNotFoundException": "`ecrate ecr set-repository-policy` sets one.",
    "UnrecognizedClientException": "Does the access key belong to this server? "
    '`eval "$(ecrate env)"` sets that of a local server.',
    "UploadNotFoundException": "`ecrate ecr initiate-layer-upload` starts a new upload.",
}


class CommandError(Exception):
    """The command ends with this text on standard error and this exit code."""

    def __init__(
        self, message: str, exit_code: int = OTHER_ERROR, *, advice: str = "", details: str = ""
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.advice = advice
        self.details = details

    def text(self, *, with_details: bool) -> str:
        """Give what is to be printed."""
        parts = (str(self), self.advice, self.details if with_details else "")
        return "\n".join(part for part in parts if part)


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
            advice=_ADVICE.get(code, ""),
        )
        self.code = code
        self.message = message
        self.body = body


def nearest(word: str, known: Iterable[str]) -> str:
    """Give `; maybe you meant ...` with the known words most like `word`, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), cutoff=0.6)
    return f"; maybe you meant {' or '.join(close)}" if close else ""
