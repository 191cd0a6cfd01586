"""The alarms and the dashboard of observability.yaml, against what is really counted."""

import json
import re
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from provisioner import telemetry
from provisioner.aws.clients import client
from provisioner.aws.records import Records
from provisioner.intake.ticket_systems import Systems
from provisioner.outcomes import findings
from provisioner.outcomes.findings import Finding, Kind
from provisioner.upkeep import looking
from publish_outcome import app as publish_outcome
from receive_hook import app as receive_hook
from tests.support.answering import answer
from tests.support.emitted_metrics import Metric, metrics_in
from tests.support.samples import key_arn, sample_event
from tests.support.sweeping import region_sweeper, sweeper, workers_started
from tests.support.template import load_observability, load_template, nested_template
from update_ticket import app as update_ticket

TEMPLATE = load_template()
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
OBSERVABILITY: dict[str, dict[str, Any]] = load_observability()["Resources"]
ALARMS = {
    name: resource["Properties"]
    for name, resource in OBSERVABILITY.items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}
FUNCTIONS = {
    name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::Serverless::Function"
}
QUEUES = {name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::SQS::Queue"}
OURS = "MultiRegionKeys"

# Name of the metric and of its dimensions, as AWS's own services count:
# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
METRICS_OF_AWS: dict[str, tuple[set[str], tuple[str, ...]]] = {
    "AWS/States": (
        {
            "ExecutionsStarted",
            "ExecutionsSucceeded",
            "ExecutionsFailed",
            "ExecutionsTimedOut",
            "ExecutionsAborted",
            "ExecutionThrottled",
        },
        ("StateMachineArn",),
    ),
    "AWS/Lambda": ({"Errors", "Throttles", "Duration"}, ("FunctionName",)),
    "AWS/SQS": (
        {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
        ("QueueName",),
    ),
    "AWS/ApiGateway": ({"Count", "4XXError", "5XXError", "Latency"}, ("ApiName", "Stage")),
}
# What the values of those dimensions are in this stack.
VALUES_OF_AWS = {
    "StateMachineArn": {"${ProvisionKey}", "${ProvisionBatch}", "${ChangeKeySet}"},
    "FunctionName": {f"${{{name}}}" for name in FUNCTIONS},
    "QueueName": {f"${{{name}.QueueName}}" for name in QUEUES},
    # SAM names an API that is given no name after the stack.
    "ApiName": {"${AWS::StackName}"},
    "Stage": {RESOURCES["KeysApi"]["Properties"]["StageName"]},
}


def as_text(value: Any) -> str:
    """Write a reference as `!Sub` does."""
    if isinstance(value, str):
        return value
    ((kind, given),) = value.items()
    assert kind in ("Ref", "Fn::GetAtt", "Fn::Sub")
    return given if kind == "Fn::Sub" else f"${{{given}}}"


def metric_of(described: dict[str, Any]) -> Metric:
    dimensions = {d["Name"]: as_text(d["Value"]) for d in described["Dimensions"]}
    return Metric(described["Namespace"], described["MetricName"], frozenset(dimensions.items()))


def watched(alarm: dict[str, Any]) -> list[Metric]:
    """List the metrics that an alarm looks at: one, or those that it sums up."""
    if "Metrics" not in alarm:
        return [metric_of(alarm)]
    return [
        metric_of(query["MetricStat"]["Metric"])
        for query in alarm["Metrics"]
        if "MetricStat" in query
    ]


def dashboard() -> dict[str, Any]:
    body = OBSERVABILITY["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    parsed: dict[str, Any] = json.loads(body)
    return parsed


def widgets(kind: str) -> list[dict[str, Any]]:
    return [w["properties"] for w in dashboard()["widgets"] if w["type"] == kind]


def drawn() -> list[Metric]:
    """List the metrics that the dashboard draws."""
    lines = [line for widget in widgets("metric") for line in widget["metrics"]]
    found = []
    for line in lines:
        if isinstance(line[0], dict):
            assert line[0].keys() >= {"expression", "label"}
            continue
        namespace, name, *pairs = [part for part in line if isinstance(part, str)]
        dimensions = zip(pairs[::2], pairs[1::2], strict=True)
        found.append(Metric(namespace, name, frozenset(dimensions)))
    return found


@pytest.fixture
def emitted(request: pytest.FixtureRequest) -> set[Metric]:
    """Return what the functions count when they count everything that they can, once for all."""
    if not _EMITTED:
        names = ("records", "context", "capsys")
        _EMITTED.update(_count_everything(*map(request.getfixturevalue, names)))
    return {*_EMITTED}


_EMITTED: set[Metric] = set()


def _count_everything(
    records: Records, context: Any, capsys: pytest.CaptureFixture[str]
) -> set[Metric]:
    failed = sample_event("publish-outcome")
    refused = {name: failed[name] for name in ("request", "executionArn")}
    publish_outcome.handler(failed, context)
    looking.count()
    created = {**failed, "status": "CREATED", "failures": []}
    publish_outcome.handler(created, context)
    request: Any = {**created["request"], "revision": 2}
    seen = records.get(request["requestId"])
    assert seen
    records.claim_change(request, created["executionArn"], seen=seen, superseded={})
    changed = {**created, "request": request, "status": "UPDATED", "removed": {}}
    publish_outcome.handler(changed, context)
    operation = {"operationId": "op-1", "operation": "REPAIR", "confirm": []}
    for status, failures in (("FINISHED", []), ("FAILED", failed["failures"])):
        seen = records.get(request["requestId"])
        assert seen
        execution = f"{created['executionArn']}-operation"
        assert records.claim_operation(operation, execution, seen=seen)[0]  # type: ignore[arg-type]
        ended = {**changed, "status": status, "failures": failures, "operation": operation}
        publish_outcome.handler({**ended, "executionArn": execution}, context)
    nothing_known: dict[str, Any] = {"status": "REJECTED", "problems": [], "provenance": None}
    publish_outcome.handler({**refused, **nothing_known}, context)
    telemetry.count_new_key()
    telemetry.take_expected_error_off()
    telemetry.count_broken_hooks(1)
    for kind in Kind:
        finding = Finding(kind, "CHG1", "us-east-1", key_arn(), "A sentence.")
        findings.report(finding, events=client("events"), bus="keys")
    workers_started()
    sweeper(records).sweep([])
    region_sweeper(records).sweep("worker", begin=True)
    _count_what_is_wrong_with_tickets(context)
    found = metrics_in(capsys.readouterr().out.splitlines())
    stack = ("service", "${AWS::StackName}")
    # POWERTOOLS_SERVICE_NAME, which is the stack's name in template.yaml and here.
    return {
        metric._replace(dimensions=metric.dimensions - {("service", "mrk-provisioner")} | {stack})
        for metric in found
    }


def _count_what_is_wrong_with_tickets(context: Any) -> None:
    answer(client("secretsmanager"), "GetSecretValue", {"SecretString": "[]"})
    delivery: Any = {"pathParameters": {"source": "jira"}, "headers": {}, "body": "{}"}
    receive_hook.handler(delivery, context)
    jira = {"kind": "jira", "url": "https://example.com", "user": "x", "token": "x"}
    systems = Systems(json.dumps({"jira": jira}))
    ticket = {"system": "jira", "id": "none"}
    body = {"detail-type": "x", "detail": {"requestId": "CHG1", "ticket": ticket}}
    message: Any = {"messageId": "1", "receiptHandle": "1", "body": json.dumps(body)}
    with mock.patch.object(update_ticket._systems, "value", return_value=systems):
        update_ticket.handler({"Records": [message]}, context)


def assert_is_counted(metric: Metric, emitted: set[Metric]) -> None:
    if metric.namespace == OURS:
        assert metric in emitted
        return
    names, dimensions = METRICS_OF_AWS[metric.namespace]
    assert metric.name in names
    assert {name for name, _ in metric.dimensions} == set(dimensions)
    for name, value in metric.dimensions:
        assert value in VALUES_OF_AWS[name]


def test_everything_is_passed_under_the_name_of_what_it_is() -> None:
    nested = RESOURCES["Observability"]["Properties"]["Parameters"]
    stands_for = {name: as_text(value) for name, value in nested.items()}

    assert nested.keys() == nested_template()["Parameters"].keys()
    assert stands_for.pop("StackName") == "${AWS::StackName}"
    assert stands_for == {
        name: f"${{{name}.QueueName}}" if name in QUEUES else f"${{{name}}}" for name in stands_for
    }


def test_nothing_is_named_after_the_nested_stack() -> None:
    assert "AWS::Stack" not in json.dumps(nested_template()["Resources"])


def test_the_nested_application_has_no_more_parameters_than_sam_takes() -> None:
    # https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-template-nested-applications.html
    assert len(nested_template()["Parameters"]) <= 60


def test_the_functions_emit_in_the_namespace_and_by_the_name_of_the_stack() -> None:
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]

    assert variables["POWERTOOLS_METRICS_NAMESPACE"] == OURS
    assert variables["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}


def test_every_metric_in_the_code_is_known_here(emitted: set[Metric]) -> None:
    code = "".join(path.read_text() for path in Path("functions").rglob("*.py"))

    in_code = set(re.findall(r'add_metric\(\s*"(\w+)"', code))
    assert code.count("add_metric(") == len(re.findall(r'add_metric\(\s*"(\w+)"', code))
    assert {metric.name for metric in emitted} == in_code


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_watches_what_is_counted(name: str, emitted: set[Metric]) -> None:
    assert watched(ALARMS[name])
    for metric in watched(ALARMS[name]):
        assert_is_counted(metric, emitted)


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_what_it_means_and_notifies_whom_it_should(name: str) -> None:
    alarm = ALARMS[name]

    description = alarm["AlarmDescription"]["Fn::Sub"]
    sentence, _, link = description.partition("; see ${RunbookUrl}#")
    assert link == f"{name.lower()}."
    assert sentence[0].isupper()
    assert "." not in sentence
    assert alarm["AlarmActions"] == [
        {"Fn::If": ["AlarmsNotify", {"Ref": "AlarmTopicArn"}, {"Ref": "AWS::NoValue"}]}
    ]


@pytest.mark.parametrize("name", ALARMS)
def test_only_the_sweep_alarms_by_its_silence(name: str) -> None:
    silence = "breaching" if name == "SweepMissingAlarm" else "notBreaching"

    assert ALARMS[name]["TreatMissingData"] == silence


@pytest.mark.parametrize("machine", ["ProvisionKey", "ChangeKeySet"])
def test_every_way_in_which_an_execution_ends_badly_has_an_alarm(machine: str) -> None:
    of_machine = frozenset({("StateMachineArn", f"${{{machine}}}")})
    all_watched = [m for alarm in ALARMS.values() for m in watched(alarm)]

    assert {m.name for m in all_watched if m.dimensions == of_machine} >= {
        "ExecutionsFailed",
        "ExecutionsTimedOut",
        "ExecutionsAborted",
        "ExecutionThrottled",
    }


def test_every_kind_of_finding_has_an_alarm() -> None:
    of_findings = [m for alarm in ALARMS.values() for m in watched(alarm) if m.name == "Findings"]

    # What was asked for is published and not counted.
    alarming = {*Kind} - {Kind.KEY_DELETED}
    assert sorted(dict(m.dimensions)["kind"] for m in of_findings) == sorted(alarming)


def test_every_queue_has_an_alarm() -> None:
    visible = [
        dict(metric.dimensions)["QueueName"]
        for alarm in ALARMS.values()
        for metric in watched(alarm)
        if metric.name == "ApproximateNumberOfMessagesVisible"
    ]

    # What waits to be written into tickets waits for a reason, and not for ever.
    assert sorted(visible) == sorted(
        VALUES_OF_AWS["QueueName"] - {"${TicketUpdates.QueueName}", "${KeyEvents.QueueName}"}
    )


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_every_function_has_an_alarm(metric: str) -> None:
    sums = [
        [m for m in watched(alarm) if (m.namespace, m.name) == ("AWS/Lambda", metric)]
        for alarm in ALARMS.values()
    ]

    functions = [dict(m.dimensions)["FunctionName"] for summed in sums for m in summed]
    assert sorted(functions) == sorted(VALUES_OF_AWS["FunctionName"])


@pytest.mark.parametrize("name", [name for name, alarm in ALARMS.items() if "Metrics" in alarm])
def test_an_alarm_on_a_sum_is_one_that_cloudwatch_takes(name: str) -> None:
    queries = ALARMS[name]["Metrics"]

    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-limits.html
    assert len(watched(ALARMS[name])) <= 10
    assert [q for q in queries if q.get("ReturnData", True)] == [
        {"Id": "sum", "Expression": "SUM(METRICS())"}
    ]
    assert len({query["Id"] for query in queries}) == len(queries)
    assert all(re.fullmatch("[a-z][A-Za-z0-9_]*", query["Id"]) for query in queries)
    assert {(q["MetricStat"]["Stat"], q["MetricStat"]["Period"]) for q in queries[1:]} == {
        ("Sum", 300)
    }


def test_the_dashboard_draws_what_is_counted(emitted: set[Metric]) -> None:
    assert drawn()
    for metric in drawn():
        assert_is_counted(metric, emitted)


def test_the_dashboard_draws_what_the_alarms_watch() -> None:
    assert set(drawn()) >= {metric for alarm in ALARMS.values() for metric in watched(alarm)}


def test_the_dashboard_shows_the_state_of_every_alarm() -> None:
    (shown,) = widgets("alarm")

    assert sorted(shown["alarms"]) == sorted(f"${{{name}.Arn}}" for name in ALARMS)


def test_the_expression_of_the_dashboard_names_lines_that_are_there() -> None:
    lines = [line for widget in widgets("metric") for line in widget["metrics"]]
    ids = {part["id"] for line in lines for part in line if isinstance(part, dict) and "id" in part}
    expressions = [line[0]["expression"] for line in lines if isinstance(line[0], dict)]

    assert {name for text in expressions for name in re.findall(r"\b[a-z]\w*", text)} == ids


def test_the_dashboard_substitutes_only_what_is_there() -> None:
    body = OBSERVABILITY["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    names = {name.split(".")[0] for name in re.findall(r"\$\{([\w:.]+)\}", body)}

    assert names <= {
        *OBSERVABILITY,
        *RESOURCES,
        *TEMPLATE["Parameters"],
        "AWS::StackName",
        "AWS::Region",
    }


def test_no_widget_of_the_dashboard_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in dashboard()["widgets"]:
        assert widget["x"] + widget["width"] <= 24
        fields = {
            (widget["x"] + column, widget["y"] + row)
            for column in range(widget["width"])
            for row in range(widget["height"])
        }
        assert taken.isdisjoint(fields)
        taken |= fields
