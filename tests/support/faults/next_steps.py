"""What walks of errors have in common: to bring them about, to read them, and to do as they say."""

import re
from collections.abc import Callable
from typing import Any

from provisioner import errors
from provisioner.domain.operation import again_of
from provisioner.outcomes.failures import error_code
from tests.support.faults.aws import Aws, Call, Network
from tests.support.faults.errors import refusal
from tests.support.faults.kms import ACCOUNT
from tests.support.faults.scenario import Scenario


class Refusing(Network):
    """Answers one operation with an error, for as long as its cause is there."""

    def __init__(
        self,
        operation: str,
        code: str,
        status: int = 400,
        *,
        is_caused: Callable[[], bool] = lambda: True,
    ) -> None:
        self._operation, self._code, self._status = operation, code, status
        self._is_caused = is_caused

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.operation == self._operation and self._is_caused():
            raise refusal(self._code, call.operation, status=self._status)
        return effect()


class Full(Network):
    """A bus that takes no event, although it takes the call."""

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.operation == "PutEvents":
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]}
        return effect()


class LateAlias(Network):
    """Creates the alias in the background of a call whose answer says that it exists."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.operation == "ListAliases":
            return {"Aliases": []}
        if call.operation == "CreateAlias":
            self._aws.kms.alias_seconds = 10**6
            effect()
        answer = effect()
        self._aws.kms.alias_seconds = 0
        return answer


def send(scenario: Scenario, **changes: Any) -> None:
    """Send the request with other fields than before."""
    scenario.document = {**scenario.document, **changes}
    scenario.deliver()


def failures(aws: Aws) -> list[dict[str, Any]]:
    """List the errors of every outcome that says the request failed."""
    return [
        error
        for event in aws.events
        if event.detail_type == "Multi-Region Key Creation Failed"
        for error in event.detail["errors"]
    ]


def failed_with(scenario: Scenario, error: str) -> None:
    """Check that all failures so far name an error with its next step."""
    found = failures(scenario.aws)
    assert {one["code"] for one in found} == {error_code(error)}
    assert all(getattr(errors, error).next_step in one["message"] for one in found)


def last(aws: Aws) -> dict[str, Any]:
    """Return the newest outcome."""
    return next(event.detail for event in reversed(aws.events) if "status" in event.detail)


def ended_with(scenario: Scenario, error: str, status: str = "FAILED") -> dict[str, Any]:
    """Check that the newest outcome names an error with its next step, and return it."""
    outcome = last(scenario.aws)
    kind = getattr(errors, error)
    step = kind.next_step
    if "operationId" in outcome:
        again = again_of(outcome["operation"])
        step = kind.operation_step.replace("{again}", again) or step
    assert outcome["status"] == status
    assert {one["code"] for one in outcome["errors"]} == {error_code(kind.reported_as or error)}
    assert all(one["message"].endswith(step) for one in outcome["errors"])
    return outcome


def run_what_is_named(scenario: Scenario) -> list[str]:
    """Run every command that the newest failure names, as whoever administers the keys.

    Returns
    -------
    list of str
        The commands' names.
    """
    [message] = {one["message"] for one in last(scenario.aws)["errors"]}
    commands = re.findall(r"aws kms ([a-z-]+) ([^;]*?)(?=[;.] )", message)
    for command, given in commands:
        options = dict(re.findall(r"--([a-z-]+) (\S+)", given))
        key_id = options["key-id"].rsplit("/", 1)[-1]
        key = scenario.aws.kms.keys[f"arn:aws:kms:{options['region']}:{ACCOUNT}:key/{key_id}"]
        match command:
            case "cancel-key-deletion":
                assert key.leaving
                key.leaving, key.disabled = False, True
            case "enable-key":
                assert not key.leaving
                key.disabled = False
            case "update-primary-region":
                scenario.aws.kms.promote(key_id, options["primary-region"])
            case "tag-resource":
                assert not key.leaving
                name, value = re.findall(r"=([^,]+)", options["tags"])
                key.tags[name] = value
            case _:
                raise AssertionError(command)
    assert commands
    return [command for command, _ in commands]
