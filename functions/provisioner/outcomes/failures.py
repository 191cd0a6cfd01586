"""What ended a step in a Region, and how that becomes a problem of the request."""

import re
from typing import TypedDict

from provisioner import errors
from provisioner.domain.plan import KeySetRequest, regions
from provisioner.errors import Conflict, Problem, ProvisionerError, new_problem


class Failure(TypedDict):
    """An error that ended a step, in the Region that the step worked for."""

    step: str
    region: str
    error: str
    message: str


def error_code(name: str) -> str:
    """Turn an error's class name into the code that events carry: `AliasInUse` → `ALIAS_IN_USE`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def conflict_problems(conflict: Conflict) -> list[Problem]:
    """Report a conflict as problems of the request, one for each field that does not fit."""
    code = error_code(type(conflict).__name__)
    return [new_problem(path, code, str(conflict)) for path in conflict.fields]


def problem_of(failure: Failure, request: KeySetRequest) -> Problem:
    """Say which field of the request a failure is about; a name of AWS's own is about the key."""
    known = getattr(errors, failure["error"], ProvisionerError)
    path = path_of(known.field, failure["region"], request)
    return new_problem(path, error_code(known.reported_as or failure["error"]), failure["message"])


def path_of(field: str, region: str, request: KeySetRequest) -> str:
    """Return the path of a field that a request has for its key in a Region."""
    index = regions(request).index(region) - 1
    if index >= 0:
        return f"replicas[{index}].{field}"
    return "primaryRegion" if field == "region" else field
