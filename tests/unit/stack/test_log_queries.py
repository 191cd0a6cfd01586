"""The saved queries and those of the dashboard, against the lines that are written."""

import io
import json
import re
from typing import Any

import pytest
from awslambdaric import bootstrap

from provisioner.aws.clients import client
from provisioner.aws.records import Records
from publish_outcome import app as publish_outcome
from tests.support.answering import answer, refusal
from tests.support.samples import sample_event
from tests.support.sweeping import region_sweeper
from tests.support.template import load_observability, load_template

TEMPLATE = load_template()
RESOURCES = load_observability()["Resources"]
QUERIES = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Logs::QueryDefinition"
}
DASHBOARD = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
TEXTS = {name: query["QueryString"] for name, query in QUERIES.items()} | {
    widget["properties"]["title"]: widget["properties"]["query"]
    for widget in DASHBOARD["widgets"]
    if widget["type"] == "log"
}


# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
WORDS = {
    *("fields", "filter", "parse", "stats", "sort", "limit", "unnest"),
    *("as", "by", "into", "in", "and", "or", "asc", "desc"),
}
FUNCTIONS = {
    *("bin", "coalesce", "count", "count_distinct", "ispresent", "jsonParse"),
    *("latest", "max", "min"),
}
FIELDS_OF_CLOUDWATCH = {"@timestamp", "@message", "@log"}
# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html#platform-report
FIELDS_OF_LAMBDA = {"record.status"}


def names_in(query: str) -> tuple[set[str], set[str]]:
    """Return the fields and the functions that a query uses; what it names itself is left out."""
    # The sources come first, each a piped part of its own.
    bare = re.sub(r"""SOURCE '[^']*'|"[^"]*"|\b\d+\w*""", " ", query)
    functions = set(re.findall(r"(\w+)\(", bare))
    parsed = re.findall(r"parse @message\s+as (\w+(?:, \w+)*)", bare)
    made = {*re.findall(r"\b(?:as|into) (\w+)", bare), *", ".join(parsed).split(", ")}
    used = set(re.findall(r"@?[A-Za-z_][\w.]*", re.sub(r"\w+\(", " ", bare))) - WORDS
    return {name for name in used if name.split(".")[0] not in made}, functions


@pytest.fixture
def lines(records: Records, context: Any, log: io.StringIO) -> list[dict[str, Any]]:
    """Let the functions write lines of every kind that is queried."""
    failed = sample_event("publish-outcome")
    refused = {"path": "alias", "code": "REQUIRED", "message": "This field is required."}
    publish_outcome.handler(failed, context)
    publish_outcome.handler(
        {
            "status": "REJECTED",
            "request": failed["request"],
            "executionArn": failed["executionArn"],
            "problems": [refused],
            "provenance": None,
        },
        context,
    )
    answer(
        client("resourcegroupstaggingapi", "us-east-1"),
        "GetResources",
        refusal("ThrottlingException"),
    )
    region_sweeper(records, "us-east-1").sweep("worker", begin=True)
    return [json.loads(line) for line in log.getvalue().splitlines()]


def fields_of_an_uncaught_error() -> set[str]:
    """Return what the runtime writes about an error that a function ends with."""
    # `log_error` puts these two in front, where Lambda's log format is JSON.
    return {"timestamp", "level", *bootstrap.make_error("It failed.", "KmsThrottled", [], "1")}


@pytest.mark.parametrize("name", TEXTS)
def test_a_query_uses_fields_that_are_written(name: str, lines: list[dict[str, Any]]) -> None:
    written = {field for line in lines for field in line}
    known = written | fields_of_an_uncaught_error() | FIELDS_OF_CLOUDWATCH | FIELDS_OF_LAMBDA

    fields, functions = names_in(TEXTS[name])

    assert fields
    assert fields <= known
    assert functions <= FUNCTIONS


def test_the_functions_write_as_the_queries_read() -> None:
    assert load_template()["Globals"]["Function"]["LoggingConfig"]["LogFormat"] == "JSON"


def test_a_refused_request_is_found_with_its_codes(lines: list[dict[str, Any]]) -> None:
    assert 'message = "request refused"' in TEXTS["RefusedRequestsQuery"]

    (line,) = [line for line in lines if line["message"] == "request refused"]
    assert (line["request_id"], line["errors"]) == ("CHG0031403", ["REQUIRED"])


def test_what_the_sweep_could_not_look_at_is_found_by_its_error(
    lines: list[dict[str, Any]],
) -> None:
    (line,) = [line for line in lines if "exception_name" in line]

    assert (line["level"], line["exception_name"]) == ("ERROR", "DependencyUnavailable")


def test_a_throttled_call_is_found_with_its_region_and_operation() -> None:
    for text in (
        TEXTS["ThrottledCallsQuery"],
        TEXTS["Calls that KMS throttled until a step failed"],
    ):
        assert 'parse @message "KMS in * refused *:" as region, operation' in text
    message = "KMS in eu-west-1 refused CreateKey: Rate exceeded."

    found = re.search(r"KMS in (.*?) refused (.*?):", message)

    assert found
    assert found.groups() == ("eu-west-1", "CreateKey")


@pytest.mark.parametrize("name", QUERIES)
def test_a_saved_query_looks_at_every_function(name: str) -> None:
    logging = TEMPLATE["Globals"]["Function"]["LoggingConfig"]

    assert QUERIES[name]["LogGroupNames"] == [logging["LogGroup"]] == [{"Ref": "FunctionLogs"}]


def test_the_dashboard_looks_at_the_log_group_that_is_there() -> None:
    sources = {source for text in TEXTS.values() for source in re.findall("SOURCE '(.*?)'", text)}

    assert sources == {"${FunctionLogs}"}
