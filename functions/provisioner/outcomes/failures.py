"""What ended a step in a Region, and how that becomes a problem of the request."""

import json
import re
from typing import NotRequired, TypedDict

from provisioner import errors
from provisioner.domain.plan import KeySetRequest, regions
from provisioner.errors import Conflict, Problem, ProvisionerError, new_problem

_UNEXPECTED = "UnexpectedFailure"
_OF_THE_REQUEST = ("requestId", "primaryRegion", "confirm", "operation", "operationId")
"""Fields that a request has once, whichever Region's key an error is about."""
# Lambda puts it first, and what follows it may be cut.
# https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
_MESSAGE = re.compile(r'"errorMessage": *"((?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*)')


class Failure(TypedDict):
    """An error that ended a step, in the Region that the step worked for.

    `error` and `cause` are what Step Functions has of it. `keyArn` and `answers` are there for key
    material that was not provided: whose, and after how many answers that did not bring it.
    """

    step: str
    region: str
    error: str
    cause: NotRequired[str]
    keyArn: NotRequired[str]
    answers: NotRequired[int]


def failure_of(step: str, region: str, error: str, message: str) -> Failure:
    """Return the failure that a step would have ended with by raising such an error."""
    cause = json.dumps({"errorMessage": message, "errorType": error})
    return {"step": step, "region": region, "error": error, "cause": cause}


def error_code(name: str) -> str:
    """Turn an error's class name into the code that events carry: `AliasInUse` → `ALIAS_IN_USE`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def conflict_problems(conflict: Conflict) -> list[Problem]:
    """Report a conflict as problems of the request, one for each field that does not fit."""
    code = error_code(type(conflict).__name__)
    return [new_problem(path, code, str(conflict)) for path in conflict.fields]


def problem_of(
    failure: Failure, request: KeySetRequest, execution_arn: str, again: str | None = None
) -> Problem:
    """Phrase a failure, and say which field of the request it is about.

    An error that is not ours is unexpected, and so is one of which nothing is known but its name:
    then the execution shows what happened.

    Parameters
    ----------
    again
        How to ask again for the operation that has failed; None where a request has.
    """
    kind, message = _kind_of(failure["error"]), _message_of(failure, request)
    name = kind.reported_as or failure["error"]
    if kind is ProvisionerError or message is None:
        kind, name = ProvisionerError, _UNEXPECTED
        message = _unexpected(failure, execution_arn, again)
    elif again and kind.operation_step:
        what_happened = message.removesuffix(kind.next_step).rstrip()
        message = f"{what_happened} {kind.operation_step.replace('{again}', again)}"
    return _problem(failure["region"], kind, name, message, request)


def refusal_problem(error: ProvisionerError, region: str, request: KeySetRequest) -> Problem:
    """Say which field of the request an error is about that a step reports and goes on from."""
    kind = type(error)
    return _problem(region, kind, kind.reported_as or kind.__name__, str(error), request)


def _problem(
    region: str, kind: type[ProvisionerError], name: str, message: str, request: KeySetRequest
) -> Problem:
    return new_problem(path_of(kind.field, region, request), error_code(name), message)


def path_of(field: str, region: str, request: KeySetRequest) -> str:
    """Return the path of a field that a request has for its key in a Region."""
    named = regions(request)
    if field in _OF_THE_REQUEST:
        return field
    if region not in named:  # Its key is removed.
        return "replicas"
    index = named.index(region) - 1
    if index >= 0:
        return f"replicas[{index}].{field}"
    return "primaryRegion" if field == "region" else field


def _kind_of(name: str) -> type[ProvisionerError]:
    """Return our error of that name, or the base of all where it is none of ours."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, ProvisionerError):
        return kind
    return ProvisionerError


def _message_of(failure: Failure, request: KeySetRequest) -> str | None:
    """Return what an error of ours says, or None where that is not known."""
    if "keyArn" in failure:
        return str(errors.KeyMaterialNotProvided(_not_provided(failure, request)))
    found = _MESSAGE.search(failure.get("cause", ""))
    if not found:
        return None
    message: str = json.loads(f'"{found[1]}"', strict=False)
    # Half of a pair of surrogates may be left of what was cut.
    return message.encode(errors="replace").decode()


def _not_provided(failure: Failure, request: KeySetRequest) -> str:
    arn = failure["keyArn"]
    if "answers" in failure:
        return f"None of {failure['answers']} answers brought the key material of {arn}."
    wanted = request["keyMaterial"]
    days = wanted["deadlineInDays"] if wanted else 0
    return f"Nobody provided the key material of {arn} within {days} days."


def _unexpected(failure: Failure, execution_arn: str, again: str | None) -> str:
    if failure["error"] == "States.DataLimitExceeded":
        fewer = "Send the request again with fewer replicas."
        if again:
            fewer = f"Leave replicas out with the next revision, then {again}."
        return (
            "The import parameters of so many Regions are more than Step Functions can pass on. "
            f"{fewer}"
        )
    return (
        f"{failure['step']} ended unexpectedly with {failure['error']}. Inspect the execution "
        f"{execution_arn}, then {again or 'send the request again: it goes on where it stopped'}."
    )
