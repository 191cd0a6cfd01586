"""Faults that calls of AWS services can be made to meet, for tests of what follows.

`PUT /_local/faults` takes a JSON list of rules with the fields of `Fault`, `GET` returns which are
left, `DELETE` removes them. A call counts for the first rule that fits it, and for no other: two
rules for one operation are met one after the other.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

type Kind = Literal[
    "refuse",
    "throttle",
    "error-before",
    "error-after",
    "lose-before",
    "lose-after",
    "hang-after",
    "kill-before",
    "kill-after",
]
type Service = Literal["kms", "dynamodb", "events", "states"]

# The first part of X-Amz-Target, and how the service names an error inside it.
TARGETS: dict[str, Service] = {
    "TrentService": "kms",
    "DynamoDB_20120810": "dynamodb",
    "AWSEvents": "events",
    "AWSStepFunctions": "states",
}
_INTERNAL_ERRORS: dict[Service, str] = {
    "kms": "KMSInternalException",
    "dynamodb": "InternalServerError",
    "events": "InternalException",
    "states": "InternalServerException",
}
_THROTTLED: dict[Service, str] = {
    "kms": "You have exceeded the rate at which you may call KMS. "
    "Reduce the frequency of your calls.",
    "dynamodb": "The rate of on-demand requests exceeds the allowed account throughput limit.",
    "events": "Rate exceeded",
    "states": "Rate exceeded",
}


@dataclass(frozen=True)
class Fault:
    """What happens to some calls of one operation."""

    operation: str
    fault: Kind
    """`…-before`: without effect; `…-after`: once the call had its effect.

    `refuse` and `throttle` answer an error without effect, `error-…` HTTP 500, `lose-…` closes the
    connection without an answer, `hang-after` answers only after `seconds`, and `kill-…` kills the
    process that called, which must descend from the emulator's.
    """
    service: Service = "kms"
    region: str | None = None
    """Only calls in this Region."""
    skip: int = 0
    """How many calls pass first."""
    times: int = 1
    """How many calls meet it after that."""
    code: str | None = None
    """For `refuse`: the exception's name."""
    status: int = 400
    """For `refuse`: the HTTP status."""
    message: str = ""
    """For `refuse`: the exception's message."""
    seconds: float = 0
    """For `hang-after`."""

    @property
    def has_effect(self) -> bool:
        """Whether the call has its effect."""
        return self.fault.endswith("-after")

    def error(self) -> tuple[int, str, str]:
        """Return the HTTP status, the exception's name and the message that the caller gets."""
        if self.fault == "refuse":
            return self.status, self.code or "ValidationException", self.message
        if self.fault == "throttle":
            return 400, "ThrottlingException", _THROTTLED[self.service]
        return 500, _INTERNAL_ERRORS[self.service], "The request failed inside the service."


def parse(rules: Any) -> list[Fault]:
    """Read a list of rules.

    Raises
    ------
    ValueError
        It is none, or a rule has a field or a fault that does not exist.
    """
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise ValueError("The faults must be a JSON list of objects.")
    known = {field.name for field in fields(Fault)}
    for rule in rules:
        if not {"operation", "fault"} <= rule.keys() <= known:
            raise ValueError(
                f"A fault has operation and fault, and of: {', '.join(sorted(known))}."
            )
        for name, type_ in (("fault", Kind), ("service", Service)):
            allowed = get_args(type_.__value__)
            if rule.get(name, allowed[0]) not in allowed:
                raise ValueError(f"{name} must be one of: {', '.join(allowed)}.")
    return [Fault(**rule) for rule in rules]


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._left: list[Fault] = []

    def put(self, faults: list[Fault]) -> None:
        """Put faults in the place of those that are left."""
        self._left = list(faults)

    def clear(self) -> None:
        """Remove all."""
        self._left = []

    def as_json(self) -> list[dict[str, Any]]:
        """List what is left."""
        return [asdict(fault) for fault in self._left]

    def next(self, service: Service, operation: str, region: str) -> Fault | None:
        """Count a call; return the fault that it meets, or None."""
        for index, fault in enumerate(self._left):
            if (fault.service, fault.operation) != (service, operation):
                continue
            if fault.region not in (None, region):
                continue
            if fault.skip:
                self._left[index] = replace(fault, skip=fault.skip - 1)
                return None
            if fault.times > 1:
                self._left[index] = replace(fault, times=fault.times - 1)
            else:
                del self._left[index]
            return fault
        return None
