"""What AWS answers instead of a result, as botocore raises it."""

from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError


class AlreadyExistsException(ClientError):
    """KMS: the alias or the replica key is there already."""


class NotFoundException(ClientError):
    """KMS: no such key or alias."""


class ExecutionAlreadyExists(ClientError):
    """Step Functions: that name was used with other input."""


class ExecutionDoesNotExist(ClientError):
    """Step Functions: no such execution."""


class TaskDoesNotExist(ClientError):
    """Step Functions: the execution of that task is over."""


class TaskTimedOut(ClientError):
    """Step Functions: that task is closed, by its time or by an answer."""


class InvalidToken(ClientError):
    """Step Functions: that is no task token."""


class PaginationTokenExpiredException(ClientError):
    """Tagging API: a page is asked for too late."""


_CLASSES = {
    kind.__name__: kind
    for kind in (
        AlreadyExistsException,
        NotFoundException,
        ExecutionAlreadyExists,
        ExecutionDoesNotExist,
        TaskDoesNotExist,
        TaskTimedOut,
        InvalidToken,
        PaginationTokenExpiredException,
    )
}
EXCEPTIONS = SimpleNamespace(**_CLASSES)
"""What every client has as `exceptions`."""


def refusal(code: str, operation: str, *, status: int = 400, **more: Any) -> Exception:
    """Make the error of an answered call; `more` goes beside `Error` in the response."""
    response: Any = {
        "Error": {"Code": code, "Message": f"{code} for {operation}."},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **more,
    }
    return _CLASSES.get(code, ClientError)(response, operation)
