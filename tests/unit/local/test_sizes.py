"""What is sent and kept, against what AWS takes, for the largest request that is allowed.

https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
https://aws.amazon.com/blogs/compute/more-room-to-build-serverless-services-now-support-payloads-up-to-1-mb/
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from keys_api import app as keys_api
from provisioner import json_text
from provisioner.aws import event_bus, executions
from provisioner.aws.clients import client
from provisioner.aws.partitions import known_regions
from provisioner.aws.records import Records, Status
from provisioner.change.work import WaveWork, size_problems, waves
from provisioner.domain.change import observed_as_declared, plan_change
from provisioner.domain.plan import KeyFacts, KeySetRequest, fingerprint, key_facts, regions
from provisioner.errors import DependencyUnavailable, new_problem
from provisioner.intake.request import MAX_REQUEST_BYTES, parse_request
from provisioner.outcomes.failures import Failure, error_code, problem_of
from provisioner.outcomes.refusal import given_back
from tests.support.answering import answer, calls_of
from tests.support.samples import (
    EXECUTION,
    SETTINGS,
    document_of,
    in_days,
    key_arn,
    pairs_of,
    problems_of,
)
from tests.support.template import load_template

STATE = 256 * 1024
ITEM = 400 * 1024
EVENT = 1024 * 1024
ENVIRONMENT = 4 * 1024
LISTS = 1_400
"""What docs/reference.md allows for all lists together."""
TOKEN = 4_096
"""Characters of an import token, which is a belief: KMS's reference allows 8,192."""

DEFINITION = Path("statemachine/provision_key.asl.json").read_text()
(KEPT_OF_A_CAUSE,) = {int(n) for n in re.findall(r"errorOutput\.Cause, 0, (\d+)", DEFINITION)}
REGIONS = sorted(known_regions("aws") - {"us-east-1"})
TEMPLATE = load_template()


def largest(over: int = 0, **fields: Any) -> dict[str, Any]:
    """Return the largest request: a replica in every Region, and text that is not ASCII."""
    replicas: list[dict[str, Any]] = [
        {"region": region, "alias": f"alias/{'a' * 250}", "policy": {"users": [key_user()]}}
        for region in REGIONS
    ]
    tags = {f"tag{n}": "é" * 256 for n in range(47)}
    document = document_of(
        tags=tags, description="鍵" * 8192, replicas=replicas, ticket={"id": "鍵" * 1_300}, **fields
    )
    left = MAX_REQUEST_BYTES + over - json_text.size(document)
    for replica in replicas:
        # What `"description":"",` takes, and then letters of three bytes each.
        letters = max(0, min(8192, (left - 17) // 3))
        if letters:
            replica["description"] = "鍵" * letters
            left = MAX_REQUEST_BYTES + over - json_text.size(document)
    document["alias"] += "a" * left
    assert json_text.size(document) == MAX_REQUEST_BYTES + over
    return document


def key_user() -> str:
    return "arn:aws:iam::111122223333:role/CardService"


def facts(request: KeySetRequest) -> list[KeyFacts]:
    return [
        {"region": region, "arn": key_arn(region), "alias": "alias/" + "a" * 250,
         "keyState": "PendingDeletion", "validTo": in_days(100)}
        for region in regions(request)
    ]  # fmt: skip


def failures(request: KeySetRequest) -> list[Failure]:
    """Return a failure of every Region, each as long as the definition hands one on."""
    message = str(DependencyUnavailable("KMS says: " + "x" * 100_000))
    trace = ['  File "/var/task/provisioner/aws/kms.py"' + "x" * 10_000]
    cause = json.dumps({"errorMessage": message, "stackTrace": trace})[:KEPT_OF_A_CAUSE]
    return [
        {"step": "ApplyReplicaKeySettings", "region": region, "error": "DependencyUnavailable",
         "cause": cause}
        for region in regions(request)
    ]  # fmt: skip


def test_the_largest_request_is_taken_and_one_byte_more_is_not() -> None:
    assert problems_of(largest()) == []
    assert pairs_of(largest(over=1)) == {("", "REQUEST_TOO_LARGE")}


def test_a_request_with_its_defaults_is_taken_again_although_it_is_larger() -> None:
    request = parse_request(largest(), SETTINGS)

    assert json_text.size(request) > MAX_REQUEST_BYTES
    assert parse_request(request, SETTINGS) == request
    assert pairs_of({**request, "rotation": {}}) == {("", "REQUEST_TOO_LARGE")}
    assert pairs_of({**request, "more": 1}) == {("", "REQUEST_TOO_LARGE")}


def test_every_step_gets_the_largest_request_with_what_it_needs_beside_it() -> None:
    request = parse_request(largest(), SETTINGS)
    primary, *replicas = facts(request)
    beside = {"FunctionName": "f" * 200, "executionArn": EXECUTION, "startedAt": in_days(0)}
    metadata = {
        "Description": request["description"],
        "MultiRegionConfiguration": [{"Arn": k["arn"], "Region": k["region"]} for k in replicas],
    }
    payloads: dict[str, dict[str, Any]] = {
        "created": {"keyMetadata": metadata, "failures": []},
        "failed": {"keyMetadata": None, "failures": failures(request)},
    }

    for payload in payloads.values():
        whole = {**beside, **payload, "request": request, "primary": primary, "replicas": replicas}
        assert json_text.size(whole) < STATE


def tagged(letter: str, count: int) -> KeySetRequest:
    """Return a request of every Region with so many tags whose keys are as long as they can be."""
    tags = {f"{letter * 126}{n:02}": "x" for n in range(count)}
    replicas = [{"region": region, "description": "x" * 3_000} for region in REGIONS]
    return parse_request(document_of(tags=tags, replicas=replicas), SETTINGS)


def planned(count: int) -> tuple[KeySetRequest, list[WaveWork]]:
    """Plan a revision that exchanges so many tags of each key."""
    before, request = tagged("a", count), tagged("鍵", count)
    observed = observed_as_declared(before, SETTINGS)
    for region, key in observed["keys"].items():
        key["arn"] = key_arn(region)
    changes = plan_change(before, request, observed, SETTINGS)
    return request, waves(changes, observed, SETTINGS.partition)


def test_the_plan_of_a_change_fits_into_a_state_or_is_refused() -> None:
    kept: list[int] = []
    refused: list[int] = []
    for count in range(0, 48, 3):
        request, work = planned(count)
        problems = size_problems(request, work)
        (refused if problems else kept).append(count)
        assert {(one["path"], one["code"]) for one in problems} <= {
            ("tags", "CHANGE_NOT_SUPPORTED")
        }
        if not problems:
            metadata = {"Description": "鍵" * 8192, "MultiRegionConfiguration": facts(request)}
            assigned = {
                "request": request, "waves": work, "keys": facts(request), "keyMetadata": metadata,
                "removed": {r: {"arn": key_arn(r), "notBefore": in_days(30), "revision": 2}
                            for r in regions(request)},
                "toConfirm": regions(request), "promotionIn": regions(request),
            }  # fmt: skip
            assert json_text.size(assigned) < STATE

    # Exchanged in several revisions, each of these tags can be.
    assert kept[:2] == [0, 3]
    assert refused
    assert kept[-1] < refused[0]


def test_import_parameters_of_every_region_fit_into_a_question_and_a_record() -> None:
    request = parse_request(largest(origin="EXTERNAL"), SETTINGS)
    primary, *replicas = facts(request)
    materials = [
        {"region": key["region"], "keyArn": key["arn"],
         "wrappingAlgorithm": "RSA_AES_KEY_WRAP_SHA_256",
         "wrappingKeySpec": "RSA_4096", "publicKey": "A" * 736, "importToken": "A" * TOKEN,
         "validUntil": in_days(1)}
        for key in (primary, *replicas)
    ]  # fmt: skip
    key = key_facts(request, primary, replicas)
    question = {"ticket": request["ticket"], "key": key, "materials": materials, "errors": []}
    record = {"request": request, "ticket": request["ticket"], "key": key, "materials": materials}

    assert json_text.size(question) < STATE
    assert json_text.size({"materials": materials, "replicas": replicas, "keys": replicas}) < STATE
    assert json_text.size(record) < ITEM


def test_the_record_and_the_event_of_the_largest_request_that_failed_everywhere_fit(
    records: Records,
) -> None:
    request = parse_request(largest(), SETTINGS)
    primary, *replicas = facts(request)
    key = key_facts(request, primary, replicas)
    errors = [problem_of(failure, request, EXECUTION) for failure in failures(request)]
    records.claim(request, EXECUTION)
    records.finish(request, execution_arn=EXECUTION, status=Status.FAILED, key=key, errors=errors)

    items: list[Any] = client("dynamodb").scan(TableName="requests")["Items"]
    (item,) = items

    kept = sum(
        len(name.encode()) + len(next(iter(value.values())).encode())
        for name, value in item.items()
    )
    assert MAX_REQUEST_BYTES < kept < ITEM
    assert json_text.size({"key": key, "errors": errors, "ticket": request["ticket"]}) < EVENT


def test_a_refusal_gives_back_little_of_a_large_request() -> None:
    problems = [new_problem("", "REQUEST_TOO_LARGE", "It is.")]

    assert given_back(document_of(ticket={"id": 1}), problems) == {
        "requestId": "CHG1",
        "revision": 1,
        "ticket": None,
        "digest": fingerprint(document_of(ticket={"id": 1})),
    }
    for request_id in ("x" * 2_000, float("nan"), "\ud800", ["x" * 2_000]):
        assert given_back({"requestId": request_id}, problems)["requestId"] is None
    assert given_back(document_of(ticket={"id": 1}), []) == {
        "requestId": "CHG1",
        "revision": 1,
        "ticket": {"id": 1},
        "digest": fingerprint(document_of(ticket={"id": 1})),
    }


def test_what_is_sent_is_utf_8_and_compact(records: Records) -> None:
    request = parse_request(document_of(description="鍵", ticket={"a": [1, 2]}), SETTINGS)
    states, events = client("stepfunctions"), client("events")
    sent = [*map(calls_of, (states, events))]
    answer(states, "StartExecution", {"executionArn": EXECUTION, "startDate": "0"})
    answer(states, "SendTaskSuccess", {})
    answer(events, "PutEvents", {"FailedEntryCount": 0, "Entries": []})

    executions.start(states, SETTINGS.state_machine_arn, EXECUTION, request)
    executions.answer_task(states, "token", {"materials": ["鍵", 2]})
    event_bus.put_event(events, "keys", "detail-type", {"description": ["鍵", 2]})
    records.claim(request, EXECUTION)

    (_, started), (_, answered) = sent[0]
    (_, put), *_ = sent[1]
    item: dict[str, Any]
    (item,) = client("dynamodb").scan(TableName="requests")["Items"]
    assert '"description":"鍵",' in started["input"]
    assert started["input"] == item["request"]["S"]
    assert answered["output"] == '{"materials":["鍵",2]}'
    assert put["Entries"][0]["Detail"] == '{"description":["鍵",2]}'


def test_one_module_writes_what_is_sent() -> None:
    hashed_or_parsed_again = {"plan", "outcome", "response", "confirm", "failures"}
    hashed_or_parsed_again |= {"policy_meaning", "lost_principals"}
    writers = {
        path.stem for path in Path("functions").rglob("*.py") if "json.dumps(" in path.read_text()
    }

    # A key policy has a limit of its own, which key_policy counts as it writes. What field_texts
    # quotes in a sentence is cut short, and what is written of policies to compare them stays here.
    assert writers - hashed_or_parsed_again == {"key_policy", "field_texts"}


def test_the_largest_request_is_started_by_the_api_with_what_step_functions_takes(
    records: Records, context: Any
) -> None:
    sent = calls_of(client("stepfunctions"))
    answer(client("stepfunctions"), "StartExecution", {"executionArn": "a", "startDate": "0"})
    event = {
        "httpMethod": "POST",
        "path": "/keys",
        "headers": {},
        "queryStringParameters": None,
        "body": json_text.text(largest()),
        "isBase64Encoded": False,
        "requestContext": {"stage": "v1"},
    }

    answered = keys_api.handler(event, context)

    assert (answered["statusCode"], records.get("CHG1") is None) == (202, False)
    (started,) = [arguments for name, arguments in sent if name == "StartExecution"]
    assert len(started["input"].encode()) < STATE


PSEUDO = {
    "AWS::StackName": "s" * (80 - len("-provision-batch")),
    "AWS::Partition": "aws-us-gov",
    "AWS::AccountId": "111122223333",
    "AWS::Region": "ap-southeast-1",
    "EndpointUrl": "",  # Not in AWS.
}


def worst(name: str) -> str:
    """Return the longest text that a parameter, a pseudo parameter or a resource can stand for."""
    if name in PSEUDO:
        return PSEUDO[name]
    if name in TEMPLATE["Parameters"]:
        return worst_answer(TEMPLATE["Parameters"][name])
    if name.endswith("FunctionRole"):  # SAM makes it.
        return f"{PSEUDO['AWS::StackName']}-{name}"[:64]
    kind = TEMPLATE["Resources"][name]["Type"].rpartition("::")[2]
    if kind == "Queue":
        return f"https://sqs.{PSEUDO['AWS::Region']}.amazonaws.com/111122223333/{'q' * 80}"
    # CloudFormation makes a name of the stack's, the logical ID and twelve characters of its own.
    longest = {"Function": 64, "Bucket": 63}.get(kind, 255)
    return f"{PSEUDO['AWS::StackName']}-{name}-{'r' * 12}"[:longest]


def worst_answer(parameter: dict[str, Any]) -> str:
    match parameter["Type"]:
        case "CommaDelimitedList":
            return ""  # Counted once for all of them.
        case "Number":
            return str(parameter.get("MaxValue", 10**9))
    if "AllowedValues" not in parameter:
        return "t" * 255  # A table's name
    return max(map(str, parameter["AllowedValues"]), key=len)


def text_of(value: Any) -> str:
    match value:
        case {"Ref": str(name)}:
            return worst(name)
        case {"Fn::Join": [_, inner]}:
            return ",".join(map(text_of, inner)) if isinstance(inner, list) else text_of(inner)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([\w:]+)\}", lambda found: worst(found[1]), text)
        case {"Fn::If": [_, one, other]}:
            return max(text_of(one), text_of(other), key=len)
        case {"Fn::GetAtt": str(attribute)}:
            return "A" * 21 if attribute.endswith(".RoleId") else "arn:" + "n" * 140
    return str(value)


@pytest.mark.parametrize(
    "name",
    [n for n, r in TEMPLATE["Resources"].items() if r["Type"] == "AWS::Serverless::Function"],
)
def test_a_functions_environment_has_room_for_1_4_kb_of_lists(name: str) -> None:
    shared = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    own = TEMPLATE["Resources"][name]["Properties"].get("Environment", {}).get("Variables", {})
    # What Lambda measures is the variables as JSON.
    rest = json_text.size({key: text_of(value) for key, value in {**shared, **own}.items()})

    assert rest + LISTS <= ENVIRONMENT


def test_an_errors_message_is_bounded_and_keeps_its_next_step() -> None:
    error = DependencyUnavailable("x" * 10_000)

    assert len(str(error)) < 1_200
    assert str(error).endswith(DependencyUnavailable.next_step)
    assert error_code("DependencyUnavailable") == "DEPENDENCY_UNAVAILABLE"
