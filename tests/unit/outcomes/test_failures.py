"""How what ended a step is phrased."""

import json
import re

import pytest

from provisioner import errors
from provisioner.errors import (
    AliasInUse,
    KeyTagsNotInEffect,
    Problem,
    ReplicaKeyNotEnabled,
)
from provisioner.outcomes.failures import Failure, failure_of, problem_of, refusal_problem
from tests.support.raised_errors import errors_of_handler
from tests.support.samples import EXECUTION, key_arn, request_of

HOME, REPLICA = "us-east-1", "eu-west-1"
REQUEST = request_of(replicas=[{"region": REPLICA}])
MATERIAL = request_of(origin="EXTERNAL", keyMaterial={"deadlineInDays": 3})
TRACE = ['  File "/var/task/app.py", line 1, in handler\n'] * 100


def ended(error: str, cause: str | None = None, region: str = HOME) -> Failure:
    """Return a failure as the definition hands it on."""
    failure: Failure = {"step": "CreateReplicaKey", "region": region, "error": error}
    return failure if cause is None else {**failure, "cause": cause}


def cause_of(message: str, **more: object) -> str:
    """Write a cause as Lambda does."""
    return json.dumps({"errorMessage": message, "errorType": "X", **more}, ensure_ascii=False)


def problem(failure: Failure) -> Problem:
    return problem_of(failure, REQUEST, EXECUTION)


@pytest.mark.parametrize("message", ["It failed.", 'Not "so".\n', "Schlüssel \\ 鍵 🔑", ""])
def test_an_error_of_ours_says_what_it_said(message: str) -> None:
    found = problem(ended("AliasInUse", cause_of(message, stackTrace=TRACE)[:2_000]))

    assert found == {"path": "alias", "code": "ALIAS_IN_USE", "message": message}


def test_a_cause_that_is_written_in_ascii_is_read_too() -> None:
    cause = json.dumps({"errorMessage": "Schlüssel 🔑"})

    assert problem(ended("AliasInUse", cause))["message"] == "Schlüssel 🔑"


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_message_that_is_cut_ends_where_it_is_cut(*, ascii_only: bool) -> None:
    message = 'ü🔑"\n' * 30
    cause = json.dumps({"errorMessage": message}, ensure_ascii=ascii_only)

    for length in range(30, len(cause) - 2):
        cut = problem(ended("AliasInUse", cause[:length]))["message"]
        cut.encode()
        assert message.startswith(cut.removesuffix("?")), length


def test_an_error_is_reported_as_the_class_says() -> None:
    failure = failure_of("ApplyReplicaKeySettings", REPLICA, "KeyTagsNotInEffect", "Denied.")

    assert problem(failure) == {
        "path": "replicas[0].region",
        "code": "KMS_ACCESS_DENIED",
        "message": "Denied.",
    }
    refused = refusal_problem(KeyTagsNotInEffect("Denied."), REPLICA, REQUEST)
    assert refused["code"] == "KMS_ACCESS_DENIED"


def test_a_replica_that_is_not_enabled_says_for_how_long_it_was_awaited() -> None:
    error = ReplicaKeyNotEnabled(f"The replica key in {REPLICA} is still Creating.")

    found = problem(failure_of("Step", REPLICA, type(error).__name__, str(error)))

    assert found["code"] == "REPLICA_KEY_NOT_ENABLED"
    assert found["message"].startswith("The replica key in eu-west-1 is still Creating.")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("States.Timeout", None),
        ("Lambda.Unknown", "The cause could not be determined."),
        ("Sandbox.Timedout", cause_of("Task timed out after 60.00 seconds")),
        ("KeyError", cause_of("'Arn'")),
        # No class of ours, although the module has that name.
        ("Iterable", cause_of("It is none.")),
        # Ours, and nothing is known of what it said.
        ("AliasInUse", None),
        ("AliasInUse", ""),
    ],
)
def test_what_is_none_of_ours_is_unexpected_and_names_the_execution(
    error: str, cause: str | None
) -> None:
    assert problem(ended(error, cause, REPLICA)) == {
        "path": "replicas[0].region",
        "code": "UNEXPECTED_FAILURE",
        "message": f"CreateReplicaKey ended unexpectedly with {error}. Inspect the execution "
        f"{EXECUTION}, then send the request again: it goes on where it stopped.",
    }


def test_what_is_too_large_to_be_passed_on_says_how_to_make_it_smaller() -> None:
    found = problem(ended("States.DataLimitExceeded", "The state returned a result ..."))

    assert found["code"] == "UNEXPECTED_FAILURE"
    assert found["message"].endswith("Send the request again with fewer replicas.")


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({}, f"Nobody provided the key material of {key_arn()} within 3 days."),
        ({"answers": 50}, f"None of 50 answers brought the key material of {key_arn()}."),
    ],
)
def test_key_material_that_was_not_provided_says_whose_and_why(
    more: dict[str, int], what: str
) -> None:
    failure: Failure = {**ended("KeyMaterialNotProvided"), "keyArn": key_arn(), **more}  # type: ignore[typeddict-item]

    assert problem_of(failure, MATERIAL, EXECUTION) == {
        "path": "primaryRegion",
        "code": "KEY_MATERIAL_NOT_PROVIDED",
        "message": f"{what} Send the request again: it asks for the key material again.",
    }


def test_an_error_that_is_reported_and_one_that_is_raised_read_alike() -> None:
    error = AliasInUse("alias/cards points to another key.")

    raised = problem(failure_of("Step", HOME, "AliasInUse", str(error)))
    assert raised == refusal_problem(error, HOME, REQUEST)


STEPS_OF_OPERATIONS = (
    "plan_change",
    "claim_change",
    "restore_key",
    "create_replica_key",
    "apply_change",
    "rotate_key",
    "import_new_key_material",
    "adopt_key",
    "release_key",
    "ask_for_key_material",
    "confirm_change",
)
AGAIN = "ask for the operation again, with a new operationId"


@pytest.mark.parametrize("step", STEPS_OF_OPERATIONS)
def test_whatever_ends_an_operation_does_not_say_to_send_the_request_again(step: str) -> None:
    ends = errors_of_handler(step)
    assert ends
    for name in ends:
        message = str(getattr(errors, name).next_step)
        cause = cause_of(f"It failed. {message}")
        text = problem_of(ended(name, cause), REQUEST, EXECUTION, AGAIN)["message"]
        assert not re.search("(request|[Ss]end it) again", text), f"{name}: {text}"
        assert "{again}" not in text


def test_an_operation_that_ended_unexpectedly_is_asked_for_again() -> None:
    for error in ("States.DataLimitExceeded", "Lambda.Unknown"):
        text = problem_of(ended(error), REQUEST, EXECUTION, AGAIN)["message"]
        assert text.endswith(f", then {AGAIN}.")
