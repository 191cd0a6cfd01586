"""The state machine's definition against the code, the template and the sample events."""

import ast
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonata.jsonata import Jsonata

from provisioner import errors
from provisioner.aws import new_keys
from provisioner.domain.material import Material
from provisioner.errors import Conflict, KeyMaterialRefused
from provisioner.material.request import Need
from provisioner.outcomes.failures import Failure
from provisioner.outcomes.outcome import Outcome, Refusal
from tests.support.event_fields import fields_declared_by, fields_read_by
from tests.support.raised_errors import (
    IDEMPOTENCY_ERRORS,
    errors_of,
    errors_of_handler,
    every_concrete_error,
)
from tests.support.retriers import LAMBDA_ERRORS_TO_RETRY, TOO_MANY, least_seconds, retrier_of
from tests.support.template import load_template

TEXT = Path("statemachine/provision_key.asl.json").read_text()
DEFINITION: dict[str, Any] = json.loads(TEXT)
TEMPLATE = load_template()

# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
ERRORS_OF_AWS = {
    "States.ALL",
    "States.DataLimitExceeded",
    "States.Timeout",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Sandbox.Timedout",
    "Runtime.ExitError",
}
# What may have made a key although nobody heard of it.
AMBIGUOUS = ERRORS_OF_AWS - {"Lambda.TooManyRequestsException"} | {"PrimaryKeyUnconfirmed"}


def all_states(machine: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, state in machine["States"].items():
        found[name] = state
        for inner in machines_in(state):
            found |= all_states(inner)
    return found


def machines_in(state: dict[str, Any]) -> list[dict[str, Any]]:
    """List the state machines inside a Map or a Parallel."""
    return [*state.get("Branches", []), *filter(None, [state.get("ItemProcessor")])]


STATES = all_states(DEFINITION)
# StartChange calls no function.
TASKS = {
    name: state
    for name, state in STATES.items()
    if state["Type"] == "Task" and "FunctionName" in state["Arguments"]
}
STEPS_OF_CHANGES = (
    "apply_change",
    "claim_change",
    "confirm_change",
    "plan_change",
    "promote_replica_key",
    "restore_key",
    "retire_key",
)
CALLBACKS = {
    name: task for name, task in TASKS.items() if task["Resource"].endswith(".waitForTaskToken")
}
# The API answers them, and what comes over the bus is refused on the bus.
REFUSALS_OF_A_DOCUMENT = {"RequestRejected", "RequestNotFound", "KeyMaterialNotAwaited"}
REFUSALS_OF_A_DECISION = {"AlreadyDecided", "ApproverIsRequester", "ContentChanged", "NotAwaited"}
FAULTS_OF_TICKETS = {
    "TicketNotMoved",
    "TicketNotUpdatable",
    "TicketSystemBusy",
    "TicketSystemRefused",
}
CONFLICTS = {kind.__name__ for kind in Conflict.__subclasses__()}
REFUSALS_OF_MATERIAL = {kind.__name__ for kind in KeyMaterialRefused.__subclasses__()}
PUBLISHING = {"PublishOutcome", "PublishFailure", "PublishRefusal"}
TASKS_WITH_A_PAYLOAD = sorted(TASKS.keys() - {"ValidateRequest"})


def function_of(task: dict[str, Any]) -> str:
    """Name a task's function as template.yaml does."""
    return str(task["Arguments"]["FunctionName"]).removeprefix("${").removesuffix("Arn}")


def step_of(task: dict[str, Any]) -> str:
    """Name the folder of a task's function."""
    handler: str = TEMPLATE["Resources"][function_of(task)]["Properties"]["Handler"]
    return handler.removesuffix(".app.handler")


def named_errors(task: dict[str, Any], *kinds: str) -> set[str]:
    return {
        name
        for kind in kinds or ("Retry", "Catch")
        for rule in task.get(kind, [])
        for name in rule["ErrorEquals"]
    }


def errors_of_task(name: str) -> set[str]:
    """Name what the function of a task raises for that task's payload."""
    if name == "PublishRefusal":  # The same function, by its other branch.
        return errors_of("provisioner.outcomes.outcome", "publish_refusal") | IDEMPOTENCY_ERRORS
    return errors_of_handler(step_of(TASKS[name]))


# Asking again changes nothing: somebody has to act, or another step to decide.
FINAL = {
    "AliasInUse",
    "Cancelled",
    "KeyOfEarlierDeployment",
    "KeyTagMissing",
    "KmsLimitExceeded",
    "KmsRequestRefused",
    "PrimaryKeyMoved",
    "RequestTakenOver",
}
# What is retried elsewhere and has another reason here, or none.
NOT_RETRIED = {
    # CreateKey's denial; and its answer that is not known, which is looked for.
    "CreatePrimaryKey": {"KmsAccessDenied", "PrimaryKeyUnconfirmed"},
    "ReconcilePrimaryKey": {"KeyPolicyRefused", "KeyStateConflict"},
    "ApplyPrimaryKeySettings": {"KeyStateConflict"},
    "ApplyReplicaKeySettings": {"KeyStateConflict"},
    "ImportKeyMaterial": {"KeyPolicyRefused", "KeyStateConflict"},
    "ConfirmKeySet": {
        "KmsAccessDenied",
        "RegionNotEnabled",
        "KeyPolicyRefused",
        "KeyStateConflict",
    },
    "RollBackKeySet": {"KeyPolicyRefused"},
}


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_retries_every_error_of_its_function_that_may_pass(name: str) -> None:
    retried = named_errors(TASKS[name], "Retry") - ERRORS_OF_AWS

    assert retried == errors_of_task(name) - FINAL - NOT_RETRIED.get(name, set())


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_catches_by_name_only_what_its_function_raises(name: str) -> None:
    assert named_errors(TASKS[name], "Catch") - ERRORS_OF_AWS <= errors_of_task(name)


def test_every_error_that_create_primary_key_raises_says_whether_a_key_may_exist() -> None:
    caught = named_errors(TASKS["CreatePrimaryKey"], "Catch") - ERRORS_OF_AWS

    assert caught == errors_of_handler("create_primary_key") - AMBIGUOUS


def test_every_error_is_raised_by_a_step_or_told_by_who_knows_of_it() -> None:
    steps = {
        *map(step_of, TASKS.values()),
        *STEPS_OF_CHANGES,
        "read_batch",
        "report_batch",
        "start_requests",
    }
    raised = set().union(*map(errors_of_handler, steps))

    told_elsewhere = REFUSALS_OF_A_DOCUMENT | REFUSALS_OF_MATERIAL
    told_elsewhere |= {"KeyMaterialNotProvided", "NotUnderWay"} | REFUSALS_OF_A_DECISION
    told_elsewhere |= CONFLICTS | FAULTS_OF_TICKETS
    told_elsewhere -= {"RequestNotFound"}  # A change that lost its record ends with it, too.
    told_elsewhere -= {"OperationRefused"}  # So does an operation that cannot go on.
    assert every_concrete_error() - raised == told_elsewhere


def test_a_document_is_refused_by_what_no_task_ends_with() -> None:
    assert errors_of("provisioner.intake.request", "parse_request") == {"RequestRejected"}
    answering = errors_of("provisioner.material.response", "take_answer")
    assert answering == REFUSALS_OF_A_DOCUMENT | {"DependencyUnavailable"}
    assert errors_of_handler("validate_request") == {"DependencyUnavailable"}


def test_a_function_that_the_bus_calls_ends_only_with_what_may_pass() -> None:
    assert errors_of_handler("receive_key_material") == {
        "DependencyUnavailable",
        "EventNotPublished",
    }


def test_the_api_answers_every_error_of_its_routes() -> None:
    routes = [
        (f"keys_api.{path.stem}", node.name)
        for path in Path("functions/keys_api").glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(one).startswith("router.") for one in node.decorator_list)
    ]
    raised = set().union(*(errors_of(module, route) for module, route in routes))
    code = ast.parse(Path("functions/keys_api/app.py").read_text())
    answered = {
        name.id
        for decorator in ast.walk(code)
        if isinstance(decorator, ast.Call)
        and ast.unparse(decorator.func) == "app.exception_handler"
        for name in ast.walk(decorator.args[0])
        if isinstance(name, ast.Name)
    }

    assert routes
    assert answered - IDEMPOTENCY_ERRORS == raised - IDEMPOTENCY_ERRORS


def test_material_that_kms_does_not_take_is_told_and_not_raised() -> None:
    importing = errors_of("provisioner.aws.kms", "import_key_material")

    assert importing - errors_of_handler("import_key_material") == REFUSALS_OF_MATERIAL


def test_the_definition_finds_out_one_failure_itself_and_names_it_as_its_class_is_named() -> None:
    named = set(re.findall(r"""['"]error['"]: ['"](\w+)['"]""", TEXT))

    assert named == {"KeyMaterialNotProvided"}
    assert named <= every_concrete_error()


FAILURES = re.findall(r"\{'step': [^}]*\}", TEXT)


def test_failures_are_handed_over_as_they_are_read() -> None:
    for text in FAILURES:
        fields = set(re.findall(r"'(\w+)': ", text))
        assert {"step", "region", "error"} <= fields <= Failure.__annotations__.keys(), text


def test_what_is_kept_of_a_cause_holds_the_longest_message() -> None:
    (kept,) = {int(length) for length in re.findall(r"errorOutput\.Cause, 0, (\d+)", TEXT)}

    for name in set().union(*map(errors_of_task, TASKS)) - IDEMPOTENCY_ERRORS:
        kind = getattr(errors, name)
        message = f"{'x' * 1_000} {kind.next_step}"
        assert len(json.dumps({"errorMessage": message})) < kept, kind


@pytest.mark.parametrize("name", sorted(TASKS.keys() - CALLBACKS.keys()))
def test_a_task_outlives_its_function(name: str) -> None:
    function = TEMPLATE["Resources"][function_of(TASKS[name])]["Properties"]
    timeout = function.get("Timeout", TEMPLATE["Globals"]["Function"]["Timeout"])

    assert TASKS[name]["TimeoutSeconds"] > timeout


def test_only_questions_wait_for_an_answer() -> None:
    assert CALLBACKS.keys() == {"AskForApproval", "AskForKeyMaterial"}


@pytest.mark.parametrize("name", CALLBACKS)
def test_the_end_of_waiting_is_caught_and_never_retried(name: str) -> None:
    first = CALLBACKS[name]["Catch"][0]

    assert {"States.Timeout", "States.ALL"}.isdisjoint(named_errors(CALLBACKS[name], "Retry"))
    read_again = {"AskForApproval": "ClaimRequest"}
    assert (first["ErrorEquals"], first["Next"]) == (
        ["States.Timeout"],
        read_again.get(name, "IsKeyMaterialDeadlineOver"),
    )


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_task_that_waits_for_an_answer_hands_out_its_own_token(name: str) -> None:
    payload = CALLBACKS[name]["Arguments"]["Payload"]

    assert payload["taskToken"] == "{% $states.context.Task.Token %}"


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        (timedelta(days=30), 84_600),
        (timedelta(seconds=84_601), 84_600),
        (timedelta(seconds=84_599), 84_599),
        (timedelta(seconds=1), 1),
        (timedelta(milliseconds=1), 1),
        (timedelta(0), 1),
        (timedelta(days=-1), 1),
    ],
)
def test_a_question_waits_until_the_deadline_and_less_than_its_parameters_are_good_for(
    left: timedelta, seconds: int
) -> None:
    entered = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
    timeout = CALLBACKS["AskForKeyMaterial"]["TimeoutSeconds"]
    expression = Jsonata(timeout.removeprefix("{%").removesuffix("%}"))
    expression.assign("deadline", (entered + left).isoformat(timespec="milliseconds"))
    expression.assign("states", {"context": {"State": {"EnteredTime": entered.isoformat()}}})

    assert expression.evaluate({}) == seconds


@pytest.mark.parametrize(
    ("fresh", "origin", "regions"),
    [
        (True, "AWS_KMS", ["eu-west-1"]),
        # Its policy and its tag decide whether it may be replicated, so they come first.
        (False, "AWS_KMS", []),
        # A key that has no material yet is not replicated.
        (True, "EXTERNAL", []),
        (False, "EXTERNAL", []),
    ],
)
def test_replicas_are_made_beside_the_settings_of_a_new_key_alone(
    fresh: bool,
    origin: str,
    regions: list[str],
) -> None:
    text = STATES["CreatePrimaryKey"]["Assign"]["toReplicate"]
    expression = Jsonata(text.removeprefix("{%").removesuffix("%}"))
    expression.assign("states", {"result": {"Payload": {"fresh": fresh}}})
    expression.assign("request", {"origin": origin, "replicas": [{"region": "eu-west-1"}]})

    assert [one["region"] for one in expression.evaluate({})] == regions


# At least so many seconds pass before a task ends with one of these.
FLOORS = {
    # https://docs.aws.amazon.com/kms/latest/developerguide/abac.html: "up to five minutes"
    "KeyTagsNotInEffect": 300,
    # So long Terraform waits for a new principal (PropagationTimeout of its provider for AWS).
    "KeyPolicyRefused": 120,
    # So long a replica key may be Creating before the request fails.
    "ReplicaKeyNotEnabled": 1800,
    # Requests that come together wait for each other where ten functions may run at once.
    TOO_MANY: 600,
}


def has_a_floor(retrier: dict[str, Any]) -> bool:
    return not FLOORS.keys().isdisjoint(retrier["ErrorEquals"])


@pytest.mark.parametrize("error", FLOORS)
def test_what_takes_minutes_to_pass_is_retried_for_minutes(error: str) -> None:
    retried = {name: task for name, task in TASKS.items() if retrier_of(task, error)}

    assert retried
    for name, task in retried.items():
        assert least_seconds(task, error) >= FLOORS[error], name


def test_a_step_that_acts_on_a_new_key_by_its_tags_waits_until_they_count() -> None:
    raising = {n for n, t in TASKS.items() if "KeyTagsNotInEffect" in errors_of_handler(step_of(t))}

    assert raising == {n for n, t in TASKS.items() if retrier_of(t, "KeyTagsNotInEffect")}
    assert raising > {"ApplyPrimaryKeySettings", "ApplyReplicaKeySettings", "CreateReplicaKey"}


def test_a_key_is_called_new_for_longer_than_its_tags_take_to_count() -> None:
    assert timedelta(seconds=FLOORS["KeyTagsNotInEffect"]) < new_keys._NEW_FOR


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_retries_what_aws_says_to_retry_of_lambda(name: str) -> None:
    # Whatever else may have run CreatePrimaryKey goes to ReconcilePrimaryKey.
    expected = set() if name == "CreatePrimaryKey" else LAMBDA_ERRORS_TO_RETRY

    assert named_errors(TASKS[name], "Retry") & LAMBDA_ERRORS_TO_RETRY == expected
    assert retrier_of(TASKS[name], TOO_MANY)


def test_what_stops_create_primary_key_on_the_way_leads_to_a_look_for_its_key() -> None:
    ways = {
        name: rule["Next"]
        for rule in TASKS["CreatePrimaryKey"]["Catch"]
        for name in rule["ErrorEquals"]
    }

    assert ways.keys() & LAMBDA_ERRORS_TO_RETRY == set()
    assert ways["States.ALL"] == "MayPrimaryKeyBeTriedAgain"


@pytest.mark.parametrize("name", sorted(n for n, s in STATES.items() if s["Type"] == "Map"))
def test_a_map_needs_no_more_functions_at_once_than_a_new_account_has(name: str) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    assert STATES[name]["MaxConcurrency"] == 10


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_is_retried_patiently(name: str) -> None:
    for retrier in TASKS[name]["Retry"]:
        assert retrier["BackoffRate"] > 1
        assert retrier["JitterStrategy"] == ("NONE" if has_a_floor(retrier) else "FULL")
        assert retrier["MaxDelaySeconds"] >= retrier["IntervalSeconds"]
        assert retrier["MaxAttempts"] >= 3


def retried_blindly(task: dict[str, Any]) -> set[str]:
    return named_errors(task, "Retry") & (AMBIGUOUS | {"States.ALL", "States.TaskFailed"})


def test_create_key_is_never_retried_where_a_key_may_exist() -> None:
    task = TASKS["CreatePrimaryKey"]
    blind = {**task, "Retry": [{**task["Retry"][0], "ErrorEquals": ["States.ALL"]}]}

    assert retried_blindly(task) == set()
    assert retried_blindly(blind) == {"States.ALL"}


@pytest.mark.parametrize("name", sorted(TASKS.keys() - PUBLISHING))
def test_whatever_ends_a_task_leads_to_an_outcome(name: str) -> None:
    assert TASKS[name]["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


def test_every_substitution_is_defined_and_used() -> None:
    machine = TEMPLATE["Resources"]["ProvisionKey"]["Properties"]

    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) == machine["DefinitionSubstitutions"].keys()


def test_the_definition_may_invoke_the_functions_that_it_uses_and_no_others() -> None:
    (policy,) = TEMPLATE["Resources"]["ProvisionKeyRole"]["Properties"]["Policies"]
    statement = policy["PolicyDocument"]["Statement"][0]

    used = {f"{function_of(task)}.Arn" for task in TASKS.values()}
    assert {arn["Fn::GetAtt"] for arn in statement["Resource"]} == used


@pytest.mark.parametrize("name", TASKS_WITH_A_PAYLOAD)
def test_a_payload_is_what_its_function_reads(name: str) -> None:
    task = TASKS[name]
    read: set[Any] = {*fields_read_by(step_of(task))}
    if step_of(task) == "publish_outcome":
        read = {*(Outcome if name != "PublishRefusal" else Refusal).__annotations__}
        read -= {"letter", "operation"}

    assert task["Arguments"]["Payload"].keys() == read
    assert fields_declared_by(step_of(task)) in (read, None)


@pytest.mark.parametrize("name", sorted({*TASKS_WITH_A_PAYLOAD} - {"PublishRefusal"}))
def test_a_function_has_a_sample_of_its_payload(name: str) -> None:
    task = TASKS[name]
    sample = json.loads(Path(f"events/{step_of(task).replace('_', '-')}.json").read_text())

    assert sample.keys() == task["Arguments"]["Payload"].keys()


def test_a_question_is_asked_as_its_event_says_it() -> None:
    task = TASKS["AskForKeyMaterial"]
    sample = json.loads(Path("events/ask-for-key-material.json").read_text())["question"]

    for question in (task["Arguments"]["Payload"]["question"], sample):
        assert question.keys() == Need.__annotations__.keys()
    assert sample["materials"][0].keys() == Material.__annotations__.keys()


def test_every_state_is_reached_from_the_start() -> None:
    def reached(machine: dict[str, Any]) -> set[str]:
        seen: set[str] = set()
        coming = [machine["StartAt"]]
        while coming:
            name = coming.pop()
            if name in seen:
                continue
            seen.add(name)
            state = machine["States"][name]
            ways = [state, *state.get("Choices", []), *state.get("Catch", [])]
            coming += [way[to] for way in ways for to in ("Next", "Default") if to in way]
            for inner in machines_in(state):
                seen |= reached(inner)
        return seen

    assert reached(DEFINITION) == STATES.keys()


def test_every_expression_is_jsonata() -> None:
    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            for item in value.values() if isinstance(value, dict) else value:
                yield from texts(item)

    expressions = [text for text in texts(DEFINITION) if "{%" in text or "%}" in text]

    assert expressions
    for expression in expressions:
        assert expression.startswith("{%"), expression
        assert expression.endswith("%}"), expression
        Jsonata(expression[2:-2])
