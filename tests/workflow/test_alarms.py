"""Every alarm of the deployed stack, set off by its real cause, as far as the emulator goes.

The cause is always real: a request fails, a run is stopped, an answer is not delivered, a function
is refused its room. What the emulator does with it differs from CloudWatch:

- It does not read metrics out of logs. The test takes the lines that the functions wrote and feeds
  what they count, by exactly the names and dimensions in them.
- Of AWS's own services, only Lambda counts, and only functions that are not called by another
  service. For the others the test feeds what the service would count, with the dimensions that AWS
  documents, once it has seen the cause.
- It evaluates an alarm whenever a metric is put, without regard for dimensions, missing data and
  how many periods have to cross the threshold. So the test looks at two things: the alarm's state
  in the emulator, and the alarm's own metric, dimensions included, evaluated here as CloudWatch
  does.
- It has no alarms on sums: `local/stack/build.py` puts the first metric in place of the sum. The
  test adds up the metrics that observability.yaml names. It does not wait for three periods of five
  minutes.
- Its CloudFormation forgets a function's dead-letter queue, so the test sets the template's one.
- It neither throttles Step Functions nor times an execution out: these two metrics are fed without
  a cause.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.emulator.faults import Fault
from local.polling import wait_for
from local.settings import STACK_NAME
from local.stack.stack import Stack
from provisioner.clock import instant_text
from tests.support.emitted_metrics import Metric, metrics_in
from tests.support.stack.held_secrets import holding
from tests.support.stack.material_holder import new_material, provide
from tests.support.stack.reading import keys_of_request, new_request
from tests.support.stack.sweeping import sweep_to_its_end
from tests.support.template import load_observability

HOME = "us-east-1"
HOUR = timedelta(hours=1)
IS_CROSSED: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
}


@pytest.fixture(autouse=True)
def no_faults_left(stack: Stack) -> Iterator[None]:
    yield
    stack.clear_faults()


@pytest.fixture(scope="module")
def names(stack: Stack) -> dict[str, str]:
    """Map each alarm's name in observability.yaml to its name in the emulator."""
    nested = stack.resources("AWS::CloudFormation::Stack")["Observability"]
    return replace(stack, name=nested).resources("AWS::CloudWatch::Alarm")


class Alarm:
    """One alarm of the stack, evaluated at the moment at which it was made."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._cloudwatch = stack.client("cloudwatch")
        self._name = name
        self._moment = datetime.now(UTC)
        self._cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="A test.")
        (self.described,) = self._cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]

    @property
    def metric(self) -> Metric:
        """The metric that it watches."""
        dimensions = {d["Name"]: d["Value"] for d in self.described["Dimensions"]}
        return Metric(
            self.described["Namespace"],
            self.described["MetricName"],
            frozenset(dimensions.items()),
        )

    def feed(
        self, metric: Metric, values: list[float], *, earlier: timedelta = timedelta()
    ) -> None:
        """Put values of a metric, as CloudWatch does from a line of a log."""
        datum = {
            "MetricName": metric.name,
            "Dimensions": [{"Name": n, "Value": v} for n, v in sorted(metric.dimensions)],
            "Timestamp": self._moment - earlier,
            "Values": values,
        }
        self._cloudwatch.put_metric_data(Namespace=metric.namespace, MetricData=[datum])

    def is_on(self, *, later: timedelta = timedelta()) -> bool:
        """Evaluate it as CloudWatch does, some time after its moment."""
        periods = self.described["EvaluationPeriods"]
        needed: int = self.described.get("DatapointsToAlarm", periods)
        crossed = [self._is_crossed(index, self._moment + later) for index in range(periods)]
        return crossed.count(True) >= needed

    def _is_crossed(self, index: int, moment: datetime) -> bool:
        alarm, period = self.described, self.described["Period"]
        start = (int(moment.timestamp()) // period - index) * period
        points = self._cloudwatch.get_metric_statistics(
            Namespace=alarm["Namespace"],
            MetricName=alarm["MetricName"],
            Dimensions=alarm["Dimensions"],
            StartTime=datetime.fromtimestamp(start, UTC),
            EndTime=datetime.fromtimestamp(start + period, UTC),
            Period=period,
            Statistics=[alarm["Statistic"]],
        )["Datapoints"]
        if not points:
            return bool(alarm["TreatMissingData"] == "breaching")
        compare = IS_CROSSED[alarm["ComparisonOperator"]]
        value: float = points[0][alarm["Statistic"]]
        return compare(value, alarm["Threshold"])

    @property
    def state(self) -> str:
        """What the emulator makes of it."""
        (described,) = self._cloudwatch.describe_alarms(AlarmNames=[self._name])["MetricAlarms"]
        state: str = described["StateValue"]
        return state


def emitted_by(stack: Stack, function: str, since: float, name: str) -> dict[Metric, list[float]]:
    """Return the metrics of a name in what the functions have logged, once there is one."""
    logs, log_group = stack.client("logs"), stack.resources("AWS::Logs::LogGroup")["FunctionLogs"]

    def found() -> dict[Metric, list[float]] | None:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=log_group, startTime=int(since * 1000)
        )
        lines = [event["message"] for page in pages for event in page["events"]]
        metrics = metrics_in(lines)
        return {m: values for m, values in metrics.items() if m.name == name} or None

    return wait_for(found, f"{function} to log {name}", timeout=30)


def failed_execution(stack: Stack) -> dict[str, Any]:
    """Let a request fail, since its alias is in use; give its execution."""
    kms, request = stack.client("kms", HOME), new_request("alarm-failed")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=request["alias"], TargetKeyId=key)
    execution = stack.wait_for_execution(stack.start_execution(request))
    assert execution["status"] == "FAILED"
    return execution


def failed_batch(stack: Stack) -> dict[str, Any]:
    """Let a batch fail; give its execution."""
    return stack.wait_for_execution(stack.start_batch("requests/not-there.csv"))


def stopped_execution(stack: Stack) -> tuple[dict[str, Any], str]:
    """Stop a run that waits for its replica; give its execution and the request's ID."""
    request = new_request("alarm-stopped", replicas=[{"region": "eu-west-1"}])
    with stack.changed_kms_settings(creating_seconds=15):
        arn = stack.start_execution(request)
        wait_for(
            lambda: keys_of_request(stack, request["requestId"], "eu-west-1") or None,
            "the replica to exist",
            timeout=60,
        )
        stack.client("stepfunctions").stop_execution(executionArn=arn)
        execution = stack.wait_for_execution(arn)
    assert execution["status"] == "ABORTED"
    return execution, request["requestId"]


def created_key(stack: Stack, name: str) -> tuple[dict[str, Any], str]:
    """Make a key set; give its request and the primary key's ARN."""
    request = new_request(name)
    stack.send(request)
    detail = stack.wait_for_outcome(request["requestId"])["detail"]
    return request, detail["key"]["primary"]["arn"]


def test_a_failed_request_sets_off_its_alarm(stack: Stack, names: dict[str, str]) -> None:
    alarm, since = Alarm(stack, names["RequestsFailedAlarm"]), time.time()
    assert not alarm.is_on()

    failed_execution(stack)
    emitted = emitted_by(stack, "PublishOutcomeFunction", since, "RequestsFailed")
    assert emitted.keys() == {alarm.metric}
    alarm.feed(alarm.metric, emitted[alarm.metric])

    assert alarm.is_on()
    assert alarm.state == "ALARM"


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("ExecutionsFailedAlarm", failed_execution),
        ("ExecutionsAbortedAlarm", lambda stack: stopped_execution(stack)[0]),
        ("BatchesFailedAlarm", failed_batch),
    ],
    ids=["failed", "aborted", "batch"],
)
def test_an_execution_that_ends_badly_sets_off_its_alarm(
    stack: Stack, names: dict[str, str], name: str, cause: Callable[[Stack], dict[str, Any]]
) -> None:
    alarm = Alarm(stack, names[name])
    assert not alarm.is_on()

    execution = cause(stack)
    machine = frozenset({("StateMachineArn", execution["stateMachineArn"])})
    metric = f"Executions{execution['status'].capitalize()}"
    alarm.feed(Metric("AWS/States", metric, machine), [1.0])

    assert alarm.is_on()
    assert alarm.state == "ALARM"


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("ChangesFailedAlarm", "ExecutionsFailed"),
        ("ChangesTimedOutAlarm", "ExecutionsTimedOut"),
        ("ChangesAbortedAlarm", "ExecutionsAborted"),
        ("ChangesThrottledAlarm", "ExecutionThrottled"),
    ],
)
def test_an_alarm_on_changes_watches_the_state_machine_of_changes(
    stack: Stack, names: dict[str, str], name: str, metric: str
) -> None:
    changes = stack.outputs["StateMachineArn"].replace("provision-key", "change-key-set")
    alarm = Alarm(stack, names[name])
    assert not alarm.is_on()

    for index in range(alarm.described["EvaluationPeriods"]):
        earlier = index * timedelta(seconds=alarm.described["Period"])
        machine = frozenset({("StateMachineArn", changes)})
        alarm.feed(Metric("AWS/States", metric, machine), [1.0], earlier=earlier)

    assert alarm.is_on()


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("ExecutionsTimedOutAlarm", "ExecutionsTimedOut"),
        ("ExecutionsThrottledAlarm", "ExecutionThrottled"),
    ],
)
def test_what_the_emulator_cannot_do_to_an_execution_sets_off_its_alarm_all_the_same(
    stack: Stack, names: dict[str, str], name: str, metric: str
) -> None:
    alarm = Alarm(stack, names[name])
    machine = frozenset({("StateMachineArn", stack.outputs["StateMachineArn"])})
    assert not alarm.is_on()

    for index in range(alarm.described["EvaluationPeriods"]):
        earlier = index * timedelta(seconds=alarm.described["Period"])
        alarm.feed(Metric("AWS/States", metric, machine), [1.0], earlier=earlier)

    assert alarm.is_on()
    assert alarm.state == "ALARM"


def test_each_finding_sets_off_the_alarm_of_its_kind_and_no_other(
    stack: Stack, names: dict[str, str]
) -> None:
    alarms = {
        "REQUEST_STUCK": "RequestStuckAlarm",
        "SURPLUS_KEY": "SurplusKeyAlarm",
        "KEY_NOT_ENABLED": "KeyNotEnabledAlarm",
        "ALIAS_ELSEWHERE": "AliasElsewhereAlarm",
        "MATERIAL_EXPIRES": "MaterialExpiresAlarm",
        "KEYS_OF_AN_EARLIER_DEPLOYMENT": "KeysOfAnEarlierDeploymentAlarm",
    }
    kms, since = stack.client("kms", HOME), time.time()
    _, stuck = stopped_execution(stack)
    moved, _ = created_key(stack, "alarm-moved")
    _, target = created_key(stack, "alarm-target")
    kms.update_alias(AliasName=moved["alias"], TargetKeyId=target)
    leaving, deleted = created_key(stack, "alarm-leaving")
    kms.schedule_key_deletion(KeyId=deleted, PendingWindowInDays=7)
    stray = {"mrk:request-id": "alarm-nobodys", "mrk:stack": STACK_NAME}
    tags = [{"TagKey": key, "TagValue": value} for key, value in stray.items()]
    kms.create_key(MultiRegion=True, Tags=tags)
    valid_to = instant_text(datetime.now(UTC) + timedelta(days=3))
    material = {"wrappingKeySpec": "RSA_2048", "validTo": valid_to}
    expiring = new_request("alarm-expiring", origin="EXTERNAL", keyMaterial=material)
    stack.send(expiring)
    provide(stack, expiring["requestId"], new_material("SYMMETRIC_DEFAULT").secret)
    stack.wait_for_outcome(expiring["requestId"])
    wanted = {
        (stuck, "REQUEST_STUCK"),
        ("alarm-nobodys", "SURPLUS_KEY"),
        (leaving["requestId"], "KEY_NOT_ENABLED"),
        (moved["requestId"], "ALIAS_ELSEWHERE"),
        (expiring["requestId"], "MATERIAL_EXPIRES"),
    }

    def all_found() -> bool | None:
        stack.invoke("SweepFunction", {})
        found = {
            (request_id, event["detail"].get("kind"))
            for request_id, _ in wanted
            for event in stack.events(request_id)
        }
        return wanted <= found or None

    def sweep_as_if_the_table_were_new() -> bool | None:
        table_made_at = datetime.now(UTC).isoformat()
        work = {"region": HOME, "tableMadeAt": table_made_at, "begin": True}
        position = stack.invoke("SweepRegionFunction", work)
        return bool(position and position["earlier"]) or None

    def emitted_kinds() -> dict[str, dict[Metric, list[float]]] | None:
        emitted = emitted_by(stack, "a sweep", since, "Findings")
        kinds = {dict(metric.dimensions)["kind"]: {metric: emitted[metric]} for metric in emitted}
        return kinds if kinds.keys() == alarms.keys() else None

    wait_for(all_found, "the sweep to find everything", timeout=90, interval=1)
    sweep_to_its_end(stack)
    wait_for(sweep_as_if_the_table_were_new, "a worker of its own", timeout=30, interval=0.5)
    found = wait_for(emitted_kinds, "every kind to be counted", timeout=30, interval=0.5)
    emitted = {metric: values for kind in found.values() for metric, values in kind.items()}

    made = {kind: Alarm(stack, names[name]) for kind, name in alarms.items()}
    fed = set()
    for metric, values in emitted.items():
        kind = dict(metric.dimensions)["kind"]
        made[kind].feed(metric, values)
        fed.add(kind)
        assert {kind for kind, alarm in made.items() if alarm.is_on()} == fed
        assert made[kind].state == "ALARM"


def test_many_keys_within_an_hour_set_off_their_alarm(stack: Stack, names: dict[str, str]) -> None:
    alarm, since = Alarm(stack, names["KeysPerHourAlarm"]), time.time()
    replicas = [{"region": "eu-west-1"}]
    request = new_request("alarm-keys", replicas=replicas)
    stack.send(request)
    stack.wait_for_outcome(request["requestId"])

    def both() -> list[float] | None:
        emitted = emitted_by(stack, "CreateReplicaKeyFunction", since, "NewKeys")
        assert emitted.keys() == {alarm.metric}
        values = emitted[alarm.metric]
        return values if len(values) > len(replicas) else None

    # More keys may be made meanwhile: for requests of the tests before.
    made = wait_for(both, "both keys to be counted", timeout=30)
    missing = int(alarm.described["Threshold"]) - len(made)
    alarm.feed(alarm.metric, [*made, *[1.0] * (missing - 1)])
    assert not alarm.is_on()
    alarm.feed(alarm.metric, [1.0])

    assert alarm.is_on()
    assert alarm.state == "ALARM"


def test_two_sweeps_that_cannot_look_set_off_their_alarm(
    stack: Stack, names: dict[str, str]
) -> None:
    alarm, since = Alarm(stack, names["ChecksFailedAlarm"]), time.time()
    created_key(stack, "alarm-unseen")
    stack.put_faults(
        Fault("DescribeKey", "refuse", code="AccessDeniedException", region=HOME, times=1_000)
    )

    def failed() -> dict[Metric, list[float]] | None:
        stack.invoke("SweepFunction", {})
        emitted = emitted_by(stack, "a sweep", since, "ChecksFailed")
        return emitted if sum(emitted[alarm.metric]) else None

    emitted = wait_for(failed, "a look to fail", timeout=60, interval=1)
    stack.clear_faults()
    sweep_to_its_end(stack)
    assert emitted.keys() == {alarm.metric}
    alarm.feed(alarm.metric, emitted[alarm.metric])
    assert not alarm.is_on()
    # The sweep of an hour ago, which ended in the same way.
    alarm.feed(alarm.metric, emitted[alarm.metric], earlier=HOUR)

    assert alarm.is_on()
    assert alarm.state == "ALARM"


def test_the_silence_of_the_sweep_sets_off_its_alarm(stack: Stack, names: dict[str, str]) -> None:
    alarm, since = Alarm(stack, names["SweepMissingAlarm"]), time.time()

    sweep_to_its_end(stack)
    emitted = emitted_by(stack, "SweepFunction", since, "ChecksFailed")
    assert emitted.keys() == {alarm.metric}
    alarm.feed(alarm.metric, emitted[alarm.metric])

    assert not alarm.is_on()
    assert not alarm.is_on(later=2 * HOUR)
    assert alarm.is_on(later=3 * HOUR)
    assert alarm.state == "OK"


@pytest.mark.parametrize(
    ("alarm_name", "function", "call"),
    [
        ("UndeliveredAnswersAlarm", "ReceiveKeyMaterialFunction", "GetItem"),
        ("UndeliveredSweepsAlarm", "SweepFunction", "Query"),
    ],
)
def test_a_dead_letter_sets_off_the_alarm_of_its_queue(
    stack: Stack, names: dict[str, str], alarm_name: str, function: str, call: Any
) -> None:
    alarm = Alarm(stack, names[alarm_name])
    sqs, queue = stack.client("sqs"), dict(alarm.metric.dimensions)["QueueName"]
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    material = {"region": HOME, "importToken": "AAAA", "encryptedKeyMaterial": "AAAA"}
    lost = {"requestId": "alarm-answer", "materials": [material]}
    functions, name = stack.client("lambda"), stack.functions()[function]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    target = arn["Attributes"]["QueueArn"]
    functions.update_function_configuration(
        FunctionName=name, DeadLetterConfig={"TargetArn": target}
    )
    stack.put_faults(Fault(call, "error-before", service="dynamodb", times=1_000))

    functions.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(lost))

    assert_set_off_by_letters(stack, alarm, queue, url)


def test_a_dead_request_sets_off_the_alarm_of_its_queue(
    stack: Stack, names: dict[str, str]
) -> None:
    alarm = Alarm(stack, names["UndeliveredRequestsAlarm"])
    sqs, queue = stack.client("sqs"), dict(alarm.metric.dimensions)["QueueName"]
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]

    sqs.send_message(QueueUrl=url, MessageBody="what EventBridge could not deliver")

    assert_set_off_by_letters(stack, alarm, queue, url)


def assert_set_off_by_letters(stack: Stack, alarm: Alarm, queue: str, url: str) -> None:
    sqs = stack.client("sqs")

    def letters() -> int | None:
        visible = "ApproximateNumberOfMessages"
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[visible])
        return int(answer["Attributes"][visible]) or None

    count = wait_for(letters, "the dead letter", timeout=60)
    visible = Metric(
        "AWS/SQS", "ApproximateNumberOfMessagesVisible", frozenset({("QueueName", queue)})
    )
    alarm.feed(visible, [float(count)])

    assert alarm.is_on()
    assert alarm.state == "ALARM"
    sqs.purge_queue(QueueUrl=url)


def test_a_5xx_of_the_api_sets_off_its_alarm(stack: Stack, names: dict[str, str]) -> None:
    alarm = Alarm(stack, names["ApiErrorsAlarm"])
    api, stage = stack.outputs["ApiUrl"].split("/")[-2:]
    described = stack.client("apigateway").get_rest_api(restApiId=api)
    assert not alarm.is_on()
    stack.put_faults(Fault("GetItem", "error-before", service="dynamodb", times=20))

    answer = stack.api("GET", "/keys/alarm-unknown")

    assert answer.status_code == 503
    dimensions = frozenset({("ApiName", described["name"]), ("Stage", stage)})
    alarm.feed(Metric("AWS/ApiGateway", "5XXError", dimensions), [1.0])
    assert alarm.is_on()
    assert alarm.state == "ALARM"


def summed(stack: Stack, alarm: str) -> float:
    """Add up what an alarm of observability.yaml watches, as Lambda counted it in this hour."""
    cloudwatch, functions = stack.client("cloudwatch"), stack.functions()
    total = 0.0
    for query in load_observability()["Resources"][alarm]["Properties"]["Metrics"]:
        metric = query.get("MetricStat", {}).get("Metric", {})
        if metric.get("Namespace") != "AWS/Lambda":
            continue
        dimensions = [
            {"Name": d["Name"], "Value": functions[d["Value"]["Ref"]]} for d in metric["Dimensions"]
        ]
        points = cloudwatch.get_metric_statistics(
            Namespace=metric["Namespace"],
            MetricName=metric["MetricName"],
            Dimensions=dimensions,
            StartTime=datetime.now(UTC) - HOUR,
            EndTime=datetime.now(UTC) + HOUR,
            Period=query["MetricStat"]["Period"],
            Statistics=[query["MetricStat"]["Stat"]],
        )["Datapoints"]
        total += sum(point["Sum"] for point in points)
    return total


def threshold(alarm: str) -> float:
    return float(load_observability()["Resources"][alarm]["Properties"]["Threshold"])


@pytest.mark.parametrize(
    ("alarm", "function", "event", "call"),
    [
        ("StepErrorsAlarm", "ApplyKeySettingsFunction", "apply-key-settings", "DescribeKey"),
        ("ChangeStepErrorsAlarm", "RetireKeyFunction", "retire-key", "DescribeKey"),
        ("OperationStepErrorsAlarm", "ReleaseKeyFunction", "release-key", "ListResourceTags"),
    ],
)
def test_a_step_that_kms_throttles_again_and_again_counts_for_its_alarm(
    stack: Stack, alarm: str, function: str, event: str, call: str
) -> None:
    before = {name: summed(stack, name) for name in (alarm, "FunctionErrorsAlarm")}
    payload = Path(f"events/{event}.json").read_text()
    stack.put_faults(Fault(call, "throttle", times=1_000))

    for _ in range(int(threshold(alarm))):
        answer = stack.client("lambda").invoke(
            FunctionName=stack.functions()[function], Payload=payload
        )
        assert json.loads(answer["Payload"].read())["errorType"] == "KmsThrottled"

    assert summed(stack, alarm) - before[alarm] == threshold(alarm)
    assert summed(stack, "FunctionErrorsAlarm") == before["FunctionErrorsAlarm"]


def test_a_function_that_ends_with_an_error_counts_for_its_alarm(stack: Stack) -> None:
    before = {name: summed(stack, name) for name in ("StepErrorsAlarm", "FunctionErrorsAlarm")}
    stack.put_faults(Fault("Query", "error-before", service="dynamodb", times=20))

    answer = stack.client("lambda").invoke(
        FunctionName=stack.functions()["SweepFunction"], Payload="{}"
    )

    assert json.loads(answer["Payload"].read())["errorType"] == "DependencyUnavailable"
    assert summed(stack, "FunctionErrorsAlarm") - before["FunctionErrorsAlarm"] == threshold(
        "FunctionErrorsAlarm"
    )
    assert summed(stack, "StepErrorsAlarm") == before["StepErrorsAlarm"]


@pytest.mark.parametrize(
    ("alarm", "function"),
    [
        ("TicketErrorsAlarm", "UpdateTicketFunction"),
        ("LookErrorsAlarm", "LookAtKeysFunction"),
    ],
)
def test_a_function_of_a_queue_that_ends_with_an_error_counts_for_its_alarm(
    stack: Stack, alarm: str, function: str
) -> None:
    before = summed(stack, alarm)

    for _ in range(int(threshold(alarm))):
        stack.client("lambda").invoke(FunctionName=stack.functions()[function], Payload="{}")

    assert summed(stack, alarm) - before == threshold(alarm)


def test_an_entry_of_a_webhook_that_cannot_be_used_sets_off_its_alarm(
    stack: Stack, names: dict[str, str]
) -> None:
    alarm, since = Alarm(stack, names["BrokenHooksAlarm"]), time.time()
    with holding(stack, "HooksSecretArn", "ReceiveHookFunction", {"jira": {"scheme": "none"}}):
        assert stack.deliver("jira", b"{}", {}).status_code == 401
        emitted = emitted_by(stack, "ReceiveHookFunction", since, "BrokenHooks")
    alarm.feed(alarm.metric, emitted[alarm.metric])

    assert alarm.is_on()
    assert alarm.state == "ALARM"


def test_a_ticket_that_is_not_written_to_sets_off_its_alarm(
    stack: Stack, names: dict[str, str]
) -> None:
    alarm, since = Alarm(stack, names["TicketsNotUpdatedAlarm"]), time.time()
    entry = {"kind": "jira", "url": "https://example.com", "user": "x", "token": "x"}
    detail = {"requestId": "alarm-ticket", "ticket": {"system": "jira", "id": "none"}}
    body = json.dumps({"detail-type": "Multi-Region Key Created", "detail": detail})
    message = {"messageId": "1", "receiptHandle": "1", "body": body}
    with holding(stack, "TicketsSecretArn", "UpdateTicketFunction", {"jira": entry}):
        stack.invoke("UpdateTicketFunction", {"Records": [message]})
        emitted = emitted_by(stack, "UpdateTicketFunction", since, "TicketsNotUpdated")
    alarm.feed(alarm.metric, emitted[alarm.metric])

    assert alarm.is_on()
    assert alarm.state == "ALARM"


def test_drift_sets_off_its_alarm_and_so_does_an_operation_that_fails(
    stack: Stack, names: dict[str, str]
) -> None:
    drift, since = Alarm(stack, names["DriftDetectedAlarm"]), time.time()
    failed = Alarm(stack, names["OperationsFailedAlarm"])
    request, arn = created_key(stack, "drifting")
    request_id = request["requestId"]
    kms = stack.client("kms", arn.split(":")[3])
    kms.update_key_description(KeyId=arn, Description="by hand")
    look = json.dumps({"look": {"requestId": request_id, "events": []}})
    message = {"messageId": "1", "receiptHandle": "1", "body": look}

    with stack.changed_environment("LookAtKeysFunction", QUIET_PERIOD_SECONDS="0"):
        stack.invoke("LookAtKeysFunction", {"Records": [message]})
        emitted = emitted_by(stack, "LookAtKeysFunction", since, "DriftDetected")
    drift.feed(drift.metric, emitted[drift.metric])
    assert drift.is_on()
    assert drift.state == "ALARM"

    body = {"operationId": "op-1", "operation": "REPAIR", "confirm": ["RESTORE:us-east-1"]}
    assert stack.api("POST", f"/keys/{request_id}/operations", json=body).status_code == 202
    emitted = emitted_by(stack, "PublishOutcomeFunction", since, "OperationsFailed")
    failed.feed(failed.metric, emitted[failed.metric])
    assert failed.is_on()
    assert failed.state == "ALARM"


@pytest.mark.parametrize("name", ["UndeliveredTicketUpdatesAlarm", "UndeliveredKeyEventsAlarm"])
def test_a_message_that_was_not_taken_sets_off_the_alarm_of_its_queue(
    stack: Stack, names: dict[str, str], name: str
) -> None:
    alarm = Alarm(stack, names[name])
    sqs, queue = stack.client("sqs"), dict(alarm.metric.dimensions)["QueueName"]
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]

    sqs.send_message(QueueUrl=url, MessageBody="{}")

    assert_set_off_by_letters(stack, alarm, queue, url)


@pytest.mark.parametrize(
    ("alarm", "function"),
    [
        ("StepThrottlesAlarm", "CreatePrimaryKeyFunction"),
        ("ChangeStepThrottlesAlarm", "RetireKeyFunction"),
        ("OperationStepThrottlesAlarm", "AdoptKeyFunction"),
        ("FunctionThrottlesAlarm", "KeysApiFunction"),
        ("TicketThrottlesAlarm", "ReceiveHookFunction"),
        ("LookThrottlesAlarm", "LookAtKeysFunction"),
    ],
)
def test_a_function_without_room_counts_for_its_alarm(
    stack: Stack, alarm: str, function: str
) -> None:
    functions, before = stack.client("lambda"), summed(stack, alarm)
    name = stack.functions()[function]
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)

    try:
        with pytest.raises(ClientError, match="TooManyRequestsException"):
            functions.invoke(FunctionName=name, Payload="{}")
    finally:
        functions.delete_function_concurrency(FunctionName=name)

    assert summed(stack, alarm) - before >= threshold(alarm)


def test_every_alarm_is_set_off_by_a_test_of_this_file(names: dict[str, str]) -> None:
    sums = {
        name for name in names if "Metrics" in load_observability()["Resources"][name]["Properties"]
    }

    assert sums == {
        "StepErrorsAlarm",
        "ChangeStepErrorsAlarm",
        "OperationStepErrorsAlarm",
        "FunctionErrorsAlarm",
        "StepThrottlesAlarm",
        "ChangeStepThrottlesAlarm",
        "OperationStepThrottlesAlarm",
        "FunctionThrottlesAlarm",
        "TicketErrorsAlarm",
        "TicketThrottlesAlarm",
        "LookErrorsAlarm",
        "LookThrottlesAlarm",
    }
    assert names.keys() - sums == {
        "BrokenHooksAlarm",
        "TicketsNotUpdatedAlarm",
        "UndeliveredTicketUpdatesAlarm",
        "UndeliveredKeyEventsAlarm",
        "DriftDetectedAlarm",
        "OperationsFailedAlarm",
        "BatchesFailedAlarm",
        "ChangesFailedAlarm",
        "ChangesTimedOutAlarm",
        "ChangesAbortedAlarm",
        "ChangesThrottledAlarm",
        "ExecutionsFailedAlarm",
        "ExecutionsTimedOutAlarm",
        "ExecutionsAbortedAlarm",
        "ExecutionsThrottledAlarm",
        "UndeliveredRequestsAlarm",
        "UndeliveredAnswersAlarm",
        "UndeliveredSweepsAlarm",
        "RequestsFailedAlarm",
        "KeysPerHourAlarm",
        "RequestStuckAlarm",
        "SurplusKeyAlarm",
        "KeyNotEnabledAlarm",
        "AliasElsewhereAlarm",
        "MaterialExpiresAlarm",
        "KeyMissingAlarm",
        "TagsMissingAlarm",
        "PrimaryElsewhereAlarm",
        "UnfinishedKeySetAlarm",
        "KeysOfAnEarlierDeploymentAlarm",
        "ChecksFailedAlarm",
        "SweepMissingAlarm",
        "ApiErrorsAlarm",
    }
